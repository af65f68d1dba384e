"""A request on its way to OpenSearch and its answer on the way back, byte for byte; below Flask, which it knows not.

What no route of ours could ever match goes this way at once, everything else that is forwarded by `proxy.py`.
"""

from __future__ import annotations

import contextlib
import errno
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

from mlcommons_tasks.errors import IllegalArgument, PayloadTooLarge, StoreTooSlow, StoreUnavailable, TaskPluginError
from mlcommons_tasks.rest.exchange import LONGEST_BODY, BadContentType
from mlcommons_tasks.rest.patience import patience
from mlcommons_tasks.rest.routing import EVERY_METHOD
from mlcommons_tasks.store.http1 import Answer, Body, BodyLost, ByteStream
from mlcommons_tasks.store.upstream import Upstream
from mlcommons_tasks.wire.content_encoding import TooLong, decoded
from mlcommons_tasks.wire.identities import IDENTITIES
from mlcommons_tasks.wire.media_types import of_content_type

TARGET = "mlcommons_tasks.target"
#: The head of the request as it was sent, its lines of headers only; a server that has it puts it here.
HEAD = "mlcommons_tasks.head"
#: What became of a request that was to be forwarded and could not be.
FAILURE = "mlcommons_tasks.failure"
#: So much of a body is there before anything is sent on: of a short one that is broken OpenSearch sees nothing.
FIRST = 64 * 1024
GONE = "the caller went away"
SPOOLED_IN_MEMORY = 1024 * 1024
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
OWN = "x-emulator-"  #: how headers begin that are for us alone
SET_ANEW = frozenset({"host", "content-length", "expect"})  #: headers that each connection has of its own

StartResponse = Callable[..., Any]
WsgiApp = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]
Headers = list[tuple[str, str]]


class BadGateway(TaskPluginError):
    """502: OpenSearch is gone or refuses connections."""

    status = 502
    type = "connect_transport_exception"


class GatewayTimeout(TaskPluginError):
    """504: OpenSearch did not answer in time."""

    status = 504
    type = "receive_timeout_transport_exception"


class BrokenOff(ConnectionResetError):
    """OpenSearch stopped in the middle of an answer; servers end the caller's connection for it."""


class Passage:
    """Sends on what begins with no first segment of a path of ours; the application is asked about the rest."""

    def __init__(self, app: WsgiApp, upstream: Upstream, ours: frozenset[str]) -> None:
        self._app = app
        self._upstream = upstream
        self._ours = ours

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        target = environ[TARGET]
        if first_segment(target) in self._ours or environ["REQUEST_METHOD"] not in EVERY_METHOD:
            return self._app(environ, start_response)
        try:
            answer = send_on(self._upstream, environ, target)
            passed = Passed(answer, environ)
        except TaskPluginError as error:
            environ[FAILURE] = as_gateway(error)  # which the application knows how to say
            return self._app(environ, start_response)
        try:
            write = start_response(passed.status, passed.headers)
            if not answer.is_there:
                write(b"")  # the head goes out when it came
        except BaseException:
            passed.close()
            raise
        return passed


class Passed:
    """An answer of OpenSearch on its way back: status and headers as WSGI wants them, and a body to iterate."""

    def __init__(self, answer: Answer, environ: dict[str, Any]) -> None:
        """Begin with an answer whose body is unread.

        Raises:
            StoreUnavailable: it broke off while all of it was needed.
        """
        self._answer = answer
        self._spooled: IO[bytes] | None = None
        self.status = f"{answer.status} {answer.reason}"
        self.headers = end_to_end(answer.headers)
        if answer.is_endless and environ.get("SERVER_PROTOCOL") == "HTTP/1.0":
            self.headers.append(("Content-Length", str(self._spool())))

    def __iter__(self) -> Iterator[bytes]:
        if self._spooled is not None:
            yield from iter(lambda: self._spooled.read(FIRST), b"")  # type: ignore[union-attr]
            return
        try:
            yield from self._answer.pieces()
        except OSError as error:
            raise BrokenOff(errno.ECONNRESET, "OpenSearch broke off") from error

    def close(self) -> None:
        """Be done with it."""
        self._answer.close()
        if self._spooled is not None:
            self._spooled.close()

    def _spool(self) -> int:
        """Read all of it, for a caller who could not tell its end from a break; return its length."""
        spooled = tempfile.SpooledTemporaryFile(SPOOLED_IN_MEMORY)  # noqa: SIM115  # `close` closes it
        try:
            for piece in self._answer.pieces():
                spooled.write(piece)
        except OSError as error:
            spooled.close()
            raise StoreUnavailable(f"OpenSearch broke off: {error}") from error
        length = spooled.tell()
        spooled.seek(0)
        self._spooled = spooled
        return length


def send_on(upstream: Upstream, environ: dict[str, Any], target: str, *, payload: bytes | None = None) -> Answer:
    """Send a request to OpenSearch and return its answer with its body unread.

    `payload` is the body if somebody has read it already.

    Raises:
        StoreTooSlow: OpenSearch did not answer in time.
        StoreUnavailable: it cannot be reached.
        PayloadTooLarge: the body is longer than OpenSearch takes; it would not read it to the end.
        TaskPluginError: the body is broken.
        BrokenContent: it is not packed as it says, for which OpenSearch ended the connection.
        ConnectionResetError: the caller went away.
    """
    method = environ["REQUEST_METHOD"]
    sent = callers_headers(environ, upstream)
    headers = [(name, value) for name, value in sent if name.lower() not in SET_ANEW]
    body = _body_of(environ) if payload is None else Body(payload, length=len(payload))
    try:
        return upstream.for_callers.open(
            method, target, headers, body, timeout_s=patience(method, target, upstream.timeout_s)
        )
    except BodyLost as error:
        raise (error.__cause__ or error) from None
    except StoreUnavailable:
        if body is not None and body.is_whole:  # over a body that is not packed as it says OpenSearch hangs up
            with contextlib.suppress(TooLong):
                decoded(body.first, environ.get("HTTP_CONTENT_ENCODING", ""), LONGEST_BODY)
        try:  # over a Content-Type that is none, and another mistake beside it, it hangs up as well
            of_content_type(environ.get("CONTENT_TYPE"))
        except IllegalArgument as error:
            raise BadContentType(error) from error
        raise


def as_gateway(error: TaskPluginError) -> TaskPluginError:
    """Return what a forwarded request is told where one of ours would be told that OpenSearch is unavailable."""
    if isinstance(error, StoreTooSlow):
        return GatewayTimeout(error.reason)
    return BadGateway(error.reason) if isinstance(error, StoreUnavailable) else error


def first_segment(path: str) -> str:
    """Return a path's first segment; of one that begins with two slashes it is empty."""
    return path.partition("?")[0][1:].partition("/")[0]


def headers_of(environ: dict[str, Any]) -> Headers:
    """Return the headers of a request: as they were sent if the server tells that, else as WSGI keeps them."""
    head: bytes | None = environ.get(HEAD)
    if head is not None:
        lines = head.decode("latin-1").split("\r\n") if head else ()
        pairs = [line.partition(":") for line in lines]
        return [(name, value.strip(" \t")) for name, _, value in pairs]
    found = [(name[5:].replace("_", "-").title(), value) for name, value in environ.items() if name[:5] == "HTTP_"]
    if kind := environ.get("CONTENT_TYPE"):
        found.append(("Content-Type", kind))
    return [(name, value) for name, value in found if " " not in name]


def callers_headers(environ: dict[str, Any], upstream: Upstream) -> Headers:
    """Return the headers that a caller may have OpenSearch see: nobody says by a header who they are.

    That is for a proxy in front which has found it out, and only for the headers that the service is told of.
    """
    return [
        (name, value)
        for name, value in end_to_end(headers_of(environ))
        if not name.lower().startswith(OWN)
        and (not name.lower().startswith(IDENTITIES) or name.lower() in upstream.identity_headers)
    ]


def end_to_end(headers: Headers) -> Headers:
    """Return the headers that concern more than one connection."""
    named = [value for name, value in headers if name.lower() == "connection"]
    left_out = HOP_BY_HOP.union(each.strip().lower() for value in named for each in value.split(","))
    return [(name, value) for name, value in headers if name.lower() not in left_out]


def _body_of(environ: dict[str, Any]) -> Body | None:
    """Return the body of a request, a piece of which is read; None if it has none.

    Raises:
        PayloadTooLarge: it says that it is longer than OpenSearch takes.
        TaskPluginError: it is broken.
    """
    stream = environ["wsgi.input"]
    announced = environ.get("CONTENT_LENGTH")
    if announced:
        length = int(announced)
        if length > LONGEST_BODY:
            raise PayloadTooLarge(None)
        rest = _Announced(stream, length)
        first = _first_of(rest)
        return Body(first, rest if rest.left else None, length)
    coding = environ.get("HTTP_TRANSFER_ENCODING", "")
    if "chunked" not in coding.lower():
        return None
    limited = _Limited(stream)
    first = _first_of(limited)
    return Body(first, limited if len(first) == FIRST else None, None, coding)


def _first_of(stream: ByteStream) -> bytes:
    first = b""
    while len(first) < FIRST and (piece := stream.read(FIRST - len(first))):
        first += piece
    return first


class _Announced:
    """A body with a length; one that ends before it is one whose sender went away."""

    def __init__(self, stream: Any, left: int) -> None:
        self._stream = stream
        self.left = left

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` bytes, none at the end."""
        wanted = self.left if size < 0 else min(size, self.left)
        piece = _read(self._stream, wanted) if wanted else b""
        if wanted and not piece:
            raise ConnectionResetError(errno.ECONNRESET, GONE)
        self.left -= len(piece)
        return piece


class _Limited:
    """A body without a length, which may be too long all the same."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._seen = 0

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` bytes, none at the end.

        Raises:
            PayloadTooLarge: there are more than OpenSearch takes.
        """
        piece = _read(self._stream, size)
        self._seen += len(piece)
        if self._seen > LONGEST_BODY:
            raise PayloadTooLarge(None)
        return piece


def _read(stream: Any, size: int) -> bytes:
    try:
        return bytes(stream.read(size))
    except OSError as error:
        raise ConnectionResetError(errno.ECONNRESET, GONE) from error
