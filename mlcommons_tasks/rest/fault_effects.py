"""What a fault does to one answer: refuses, delays, breaks off, spoils or replaces it. WSGI; decides nothing.

An answer that is only delayed, cut or spoiled passes piece by piece.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any

from mlcommons_tasks.cluster_task import TASK_HEADERS
from mlcommons_tasks.emulation.entries import MOST_RESPONSE, Answer
from mlcommons_tasks.emulation.faults import Effect, Fault
from mlcommons_tasks.errors import IllegalArgument, TaskPluginError
from mlcommons_tasks.rest.exchange import LONGEST_BODY
from mlcommons_tasks.rest.journal_edge import BODY, BREAKS_OFF, FAULT, INSTEAD_OF, WITHOUT_BODY
from mlcommons_tasks.rest.passage import TARGET, BrokenOff
from mlcommons_tasks.rest.routing import StartResponse, WsgiApp, close_answer, raw_target
from mlcommons_tasks.wire import media_types
from mlcommons_tasks.wire.envelope import error_body
from mlcommons_tasks.wire.parameters import BadParameter, Parameters
from mlcommons_tasks.wire.rendering import render

#: Begins no JSON, YAML, CBOR or SMILE, and nothing that is compressed: it takes the place of a body's first byte.
SPOILT = b">"
MOST_READ = 1024 * 1024  #: bytes of a body that are read before a connection ends, so that it ends in peace
SOCKETS = ("gunicorn.socket", "werkzeug.socket")
#: Headers that a replayed answer has anew: its body is kept decompressed and whole.
NOT_REPLAYED = frozenset({"content-length", "content-encoding", "transfer-encoding", "connection", "date"})
REASONS = {status.value: status.phrase for status in HTTPStatus}

_PARENT_BREAKER = (
    "[parent] Data too large, data for [<http_request>] would be [1020054732/972.7mb], which is larger than the limit"
    " of [1020054732/972.7mb], real usage: [1020053960/972.7mb], new bytes reserved: [772/772b]"
)
#: What OpenSearch says by a type, where a fault says no reason.
_SENTENCES: dict[str, str] = {
    "circuit_breaking_exception": _PARENT_BREAKER,
    "rejected_execution_exception": (
        "rejected execution of coordinating operation [coordinating_and_primary_bytes=53687091, replica_bytes=0,"
        " all_bytes=53687091, coordinating_operation_bytes=1024, max_coordinating_and_primary_bytes=53687091]"
    ),
    "cluster_block_exception": "blocked by: [SERVICE_UNAVAILABLE/2/no cluster-manager];",
    "search_phase_execution_exception": "all shards failed",
    "connect_transport_exception": "[][127.0.0.1:9300] connect_exception",
    "receive_timeout_transport_exception": "[][127.0.0.1:9300] request_id [42] timed out after [30000ms]",
    "exception": "Internal error",
}
#: The type of an error by its status, where a fault says none.
_TYPES = {
    429: "rejected_execution_exception",
    500: "exception",
    502: "connect_transport_exception",
    503: "cluster_block_exception",
    504: "receive_timeout_transport_exception",
}
_METADATA: dict[str, dict[str, Any]] = {
    "circuit_breaking_exception": {
        "bytes_wanted": 1020054732,
        "bytes_limit": 1020054732,
        "durability": "PERMANENT",
    }
}

#: Asked for an earlier answer to the same request, by how many reads ago; None if there is none.
Earlier = Callable[[int], Answer | None]
#: Has the clock pass so many seconds.
Sleep = Callable[[float], None]


def apply(
    fault: Fault,
    seen: int,
    environ: dict[str, Any],
    start_response: StartResponse,
    app: WsgiApp,
    *,
    earlier: Earlier = lambda _: None,
    sleep: Sleep = time.sleep,
    version: str | None = None,
) -> Iterable[bytes]:
    """Answer a request with a fault's effect; `seen` is the request's running number among those that match.

    `version` is what `X-OpenSearch-Version` says, if anything. `earlier` is asked once the real answer is there and
    the request's body was read.

    Raises:
        ConnectionResetError: servers end the connection without an answer.
    """
    environ[FAULT] = fault.name
    effect = fault.effect
    if effect.status is not None:
        return refuse(effect, environ, start_response, version)
    if effect.delay is not None:
        sleep(fault.delay_s(seen))
        return app(environ, start_response)
    if effect.drop:
        drop(environ)
    if effect.reset:
        reset(environ)
    if effect.truncate is not None:
        return _Truncated(app, environ, start_response, effect.truncate.after)
    if effect.malformed:
        return _Malformed(app, environ, start_response)
    assert effect.stale is not None  # noqa: S101  # a fault has one effect
    return stale(effect.stale.reads, environ, start_response, app, earlier)


def refuse(
    effect: Effect, environ: dict[str, Any], start_response: StartResponse, version: str | None = None
) -> list[bytes]:
    """Answer with an error in OpenSearch's envelope."""
    status = effect.status or 500
    error = error_of(effect)
    payload, content_type = _rendered(error, environ)
    headers = [("Content-Type", content_type), ("Content-Length", str(len(payload)))]
    if not _read_on(environ, LONGEST_BODY):  # what is left of the request would be taken for the next one
        headers.append(("Connection", "close"))
    if version is not None:
        headers.insert(0, ("X-OpenSearch-Version", version))
    for name in TASK_HEADERS:
        value = environ.get(f"HTTP_{name.upper().replace('-', '_')}")
        if value is not None and (version is not None or name == "X-Opaque-Id"):
            headers.append((name, value))
    if effect.retry_after is not None:
        headers.append(("Retry-After", str(effect.retry_after)))
    start_response(f"{status} {REASONS.get(status, '')}", headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [payload]


def error_of(effect: Effect) -> TaskPluginError:
    """Return the error that a fault's status stands for."""
    status = effect.status or 500
    kind = effect.type or _TYPES.get(status, "status_exception")
    reason = effect.reason
    if reason is None:
        reason = _SENTENCES.get(kind) or REASONS.get(status) or f"status {status}"
    return TaskPluginError(reason, type=kind, status=status, metadata=_METADATA.get(kind))


def drop(environ: dict[str, Any]) -> None:
    """End the connection without a byte.

    Raises:
        ConnectionResetError: always; servers close for it.
    """
    _read_on(environ)
    connection = _socket(environ)
    environ.get(BREAKS_OFF, _nothing)()
    if connection is not None:
        with contextlib.suppress(OSError):  # one server would wait for the caller's next request
            connection.shutdown(socket.SHUT_RDWR)
    raise ConnectionResetError(errno.ECONNRESET, "dropped by a fault")


def reset(environ: dict[str, Any]) -> None:
    """End the connection by a TCP reset; of a server that does not tell its socket, without a byte.

    Raises:
        ConnectionResetError: always.
    """
    connection = _socket(environ)
    environ.get(BREAKS_OFF, _nothing)()
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            _close_under(connection)
    raise ConnectionResetError(errno.ECONNRESET, "reset by a fault")


def stale(
    reads: int, environ: dict[str, Any], start_response: StartResponse, app: WsgiApp, earlier: Earlier
) -> Iterable[bytes]:
    """Answer what the same request was answered `reads` reads ago, or the oldest that is known.

    The request is done all the same, and its answer noted in the environ: a later one may show it. The first one, and
    one with an answer that is too long to keep, is answered as it is.
    """
    begun: list[tuple[str, list[tuple[str, str]], tuple[Any, ...]]] = []
    written: list[bytes] = []

    def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Callable[[bytes], Any]:
        begun[:] = [(status, headers, exc_info)]
        return written.append

    real = app(environ, start)
    pieces = iter(real)
    try:
        length = sum(map(len, written))
        for piece in pieces:
            written.append(piece)
            length += len(piece)
            if length > MOST_RESPONSE:
                break
    except BaseException:
        close_answer(real)
        raise
    status, headers, _ = begun[0]
    answer = None
    if length <= MOST_RESPONSE:
        with contextlib.suppress(TaskPluginError):  # where the journal cannot be read the real one is shown
            answer = earlier(reads)
    if answer is None:
        start_response(status, headers)
        return _Joined(written, pieces, real)
    close_answer(real)
    environ[INSTEAD_OF] = Answer(int(status.split(" ", 1)[0]), tuple(headers), b"".join(written))
    return replay(answer, environ, start_response)


def replay(answer: Answer, environ: dict[str, Any], start_response: StartResponse) -> list[bytes]:
    """Answer what was answered before."""
    opaque_id = environ.get("HTTP_X_OPAQUE_ID")
    is_head = environ["REQUEST_METHOD"] == "HEAD"
    headers = []
    for name, value in answer.headers:
        if name.lower() == "x-opaque-id" and opaque_id is not None:
            headers.append((name, opaque_id))
        elif name.lower() not in NOT_REPLAYED or (is_head and name.lower() == "content-length"):
            headers.append((name, value))
    if answer.status not in WITHOUT_BODY and not is_head:
        headers.append(("Content-Length", str(len(answer.body))))
    start_response(f"{answer.status} {REASONS.get(answer.status, '')}", headers)
    return [] if is_head or not answer.body else [answer.body]


class _Passing(ABC):
    """An answer on its way; what becomes of each piece is for others to say."""

    def __init__(self, app: WsgiApp, environ: dict[str, Any], start_response: StartResponse) -> None:
        self._environ = environ
        self._start_response = start_response
        self.has_body = environ["REQUEST_METHOD"] != "HEAD"
        self.length: int | None = None  #: that was announced
        self._answer = app(environ, self._start)

    def _start(self, status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Callable[[bytes], Any]:
        code = int(status.split(" ", 1)[0])
        self.has_body = self.has_body and code >= 200 and code not in WITHOUT_BODY
        lengths = [value for name, value in headers if name.lower() == "content-length"]
        self.length = int(lengths[0]) if lengths and lengths[0].isdigit() else None
        write = self._start_response(status, headers, *exc_info)
        return lambda piece: [write(each) for each in self.changed(piece)]

    @abstractmethod
    def changed(self, piece: bytes) -> Iterator[bytes]:
        """Return what is sent in place of a piece."""

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._answer:
            yield from self.changed(piece)

    def close(self) -> None:
        """Be done with it."""
        close_answer(self._answer)


class _Truncated(_Passing):
    """An answer of which only the first bytes come, though its head tells of all."""

    def __init__(self, app: WsgiApp, environ: dict[str, Any], start_response: StartResponse, after: int) -> None:
        self._left = after
        super().__init__(app, environ, start_response)

    def changed(self, piece: bytes) -> Iterator[bytes]:
        """Return what of a piece may still be sent; end the connection where there is more of it, or will be.

        Raises:
            BrokenOff: this was all.
        """
        if not self.has_body:
            yield piece
            return
        first, more = piece[: self._left], len(piece) > self._left
        self._left -= len(first)
        if self.length is not None:
            self.length -= len(first)
            more = self._left == 0 and self.length > 0
        yield first
        if more:
            _read_on(self._environ)
            raise BrokenOff(errno.ECONNRESET, "truncated by a fault")


class _Malformed(_Passing):
    """An answer as long as it should be that nobody can read."""

    _is_spoilt = False

    def changed(self, piece: bytes) -> Iterator[bytes]:
        """Spoil the first byte of all."""
        if piece and not self._is_spoilt:
            self._is_spoilt = True
            piece = SPOILT + piece[1:]
        yield piece


class _Joined:
    """An answer the beginning of which was read already."""

    def __init__(self, first: list[bytes], rest: Iterator[bytes], answer: Iterable[bytes]) -> None:
        self._first = first
        self._rest = rest
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        yield from self._first
        yield from self._rest

    def close(self) -> None:
        """Be done with it."""
        close_answer(self._answer)


def _nothing() -> None:
    """Nobody records the request."""


def _socket(environ: dict[str, Any]) -> socket.socket | None:
    for name in SOCKETS:
        if (found := environ.get(name)) is not None:
            return found  # type: ignore[no-any-return]
    return None


def _close_under(connection: socket.socket) -> None:
    """Close a connection that a server still holds, which then finds one in its place that the other side has ended.

    So the number stays the server's: it would speak TLS to whoever had it next.
    """
    ended, other = socket.socketpair()
    other.close()
    with ended:
        os.dup2(ended.fileno(), connection.fileno(), inheritable=False)


def _read_on(environ: dict[str, Any], most: int = MOST_READ) -> bool:
    """Read what there is of the request's body, at most so many bytes; say whether that was all of it.

    A connection that is closed over unread bytes is reset, and on one that is kept they would be the next request.
    """
    announced = str(environ.get("CONTENT_LENGTH") or "")
    left = int(announced) if announced.isdigit() else 0
    is_chunked = "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()
    if is_chunked:
        left = most + 1
    left -= getattr(environ.get(BODY), "length", 0)
    unread = min(left, most)
    left -= unread
    piece = b"?"
    with contextlib.suppress(OSError, TaskPluginError):
        while unread > 0 and (piece := environ["wsgi.input"].read(min(unread, 64 * 1024))):
            unread -= len(piece)
    return not piece if is_chunked else left + unread <= 0


def _rendered(error: TaskPluginError, environ: dict[str, Any]) -> tuple[bytes, str]:
    """Return an error in the format that the request wants, and that format's name."""
    target = str(environ.get(TARGET) or raw_target(environ))
    path, _, query = target.partition("?")
    try:
        parameters = Parameters(query, path)
        named, pretty = parameters.text("format"), parameters.text("pretty") in ("", "true")
        body = media_types.of_content_type(environ.get("CONTENT_TYPE"))
    except (BadParameter, IllegalArgument):
        named, pretty, body = None, False, None
    kind = media_types.of_reply(named, environ.get("HTTP_ACCEPT"), body)
    return render(error_body(error), kind, pretty=pretty), kind.value
