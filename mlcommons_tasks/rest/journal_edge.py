"""Records a request and its answer as they pass, for the journal. WSGI; holds nothing back and looks into nothing.

An entry is kept before the last byte of the answer is handed to the server: who has the answer finds the entry.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mlcommons_tasks.emulation.entries import MOST_REQUEST, MOST_RESPONSE, Answer, Entry, entry_of
from mlcommons_tasks.rest.passage import TARGET, headers_of
from mlcommons_tasks.rest.routing import StartResponse, WsgiApp, close_answer, raw_target

#: What those who answer may say of a request, in its environ: names, and an id.
FAULT = "mlcommons_tasks.fault"
SCENARIO = "mlcommons_tasks.scenario"
TASK_ID = "mlcommons_tasks.task_id"
#: The answer in whose place a stale one is shown.
INSTEAD_OF = "mlcommons_tasks.instead_of"
#: What of the request's body was read so far, `ReadSoFar`.
BODY = "mlcommons_tasks.body_read"

#: Called by who ends a connection itself, before that: the entry is to be there once the caller sees the end.
BREAKS_OFF = "mlcommons_tasks.breaks_off"

WITHOUT_BODY = frozenset({204, 304})


def recorded(
    app: WsgiApp,
    environ: dict[str, Any],
    start_response: StartResponse,
    keep: Callable[[Entry], None],
    *,
    namespace: str,
    now_in_millis: Callable[[], int],
    identity_headers: Iterable[str] = (),
) -> Iterable[bytes]:
    """Have an application answer a request, and keep one entry of it.

    `keep` is called once, when the answer is about to be whole, or has broken off, or the caller went away.
    """
    return _Recording(environ, start_response, keep, namespace, now_in_millis, identity_headers).of(app)


class ReadSoFar:
    """A request's body that is read by somebody else, the beginning of which is kept."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._kept: list[bytes] = []
        self.length = 0  #: bytes that were read

    @property
    def first(self) -> bytes:
        """The first bytes, of those that were read."""
        return b"".join(self._kept)[:MOST_REQUEST]

    def read(self, size: int = -1) -> bytes:
        """Return at most `size` bytes, none at the end."""
        return self._seen(self._stream.read(size))

    def readline(self, size: int = -1) -> bytes:
        """Return bytes up to the end of a line."""
        return self._seen(self._stream.readline(size))

    def readlines(self, hint: int = -1) -> list[bytes]:
        """Return all lines."""
        return list(self)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def _seen(self, piece: Any) -> bytes:
        if self.length < MOST_REQUEST and piece:
            self._kept.append(bytes(piece[:MOST_REQUEST]))
        self.length += len(piece)
        return bytes(piece)


class _Recording:
    """One request under way: what is known of it, and the answer as it passes."""

    def __init__(
        self,
        environ: dict[str, Any],
        start_response: StartResponse,
        keep: Callable[[Entry], None],
        namespace: str,
        now_in_millis: Callable[[], int],
        identity_headers: Iterable[str],
    ) -> None:
        self._environ = environ
        self._start_response = start_response
        self._keep = keep
        self._namespace = namespace
        self._identity_headers = identity_headers
        self._at = now_in_millis()
        self._began = time.perf_counter()
        self._target = str(environ.get(TARGET) or raw_target(environ))
        self._body = ReadSoFar(environ["wsgi.input"])
        environ["wsgi.input"] = environ[BODY] = self._body
        environ[BREAKS_OFF] = self.breaks
        self._status: int | None = None
        self._headers: list[tuple[str, str]] = []
        self._left: int | None = None  #: bytes of the answer that are still to come, if that is known
        self._pieces: list[bytes] = []
        self._passed = 0
        self._is_kept = False

    def of(self, app: WsgiApp) -> Iterable[bytes]:
        """Return the answer, which is recorded as it is read."""
        try:
            answer = app(self._environ, self._start)
        except BaseException:
            self._finish(dropped=True)
            raise
        return _Recorded(self, answer)

    def _start(self, status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Callable[[bytes], Any]:
        self._status = int(status.split(" ", 1)[0])
        self._headers = list(headers)
        self._left = None
        if self._environ["REQUEST_METHOD"] == "HEAD" or self._status in WITHOUT_BODY or self._status < 200:
            self._left = 0
        else:
            for name, value in headers:
                if name.lower() == "content-length" and value.isdigit():
                    self._left = int(value)
        write = self._start_response(status, headers, *exc_info)

        def recorded_write(piece: bytes) -> Any:
            self.passes(piece)
            return write(piece)

        return recorded_write

    def passes(self, piece: bytes) -> None:
        """See a piece of the answer before the server does."""
        if self._passed < MOST_RESPONSE:
            self._pieces.append(piece[: MOST_RESPONSE - self._passed])
        self._passed += len(piece)
        if self._left is not None and self._passed >= self._left:
            self._finish()

    def ends(self) -> None:
        """See the end of the answer before the server does."""
        self._finish(dropped=self._left is not None and self._passed < self._left)

    def breaks(self) -> None:
        """See that the rest of the answer does not come, or that nobody wants it."""
        self._finish(dropped=True)

    def _finish(self, *, dropped: bool = False) -> None:
        if self._is_kept:
            return
        self._is_kept = True
        environ = self._environ
        announced = str(environ.get("CONTENT_LENGTH") or "")
        unread = announced.isdigit() and int(announced) > self._body.length
        instead_of: Answer | None = environ.get(INSTEAD_OF)
        self._keep(
            entry_of(
                at=self._at,
                took_in_millis=round((time.perf_counter() - self._began) * 1000, 3),
                namespace=self._namespace,
                address=environ.get("REMOTE_ADDR"),
                method=environ["REQUEST_METHOD"],
                target=self._target,
                request_headers=headers_of(environ),
                request_body=self._body.first,
                request_truncated=unread or self._body.length > MOST_REQUEST,
                status=self._status,
                response_headers=self._headers,
                response_body=b"".join(self._pieces),
                response_truncated=self._passed > MOST_RESPONSE,
                identity_headers=self._identity_headers,
                instead_of=instead_of,
                fault=environ.get(FAULT),
                scenario=environ.get(SCENARIO),
                task_id=environ.get(TASK_ID),
                dropped=dropped,
            )
        )


class _Recorded:
    """An answer as the server reads it."""

    def __init__(self, recording: _Recording, answer: Iterable[bytes]) -> None:
        self._recording = recording
        self._answer = answer
        self._pieces = iter(answer)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            piece = next(self._pieces)
        except StopIteration:
            self._recording.ends()
            raise
        except BaseException:
            self._recording.breaks()
            raise
        self._recording.passes(piece)
        return piece

    def close(self) -> None:
        """Be done with it."""
        self._recording.breaks()
        close_answer(self._answer)
