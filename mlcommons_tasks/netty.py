"""What Netty does on a connection below OpenSearch and gunicorn does otherwise. Knows no route and no OpenSearch.

gunicorn stays the stricter one where requests could be smuggled: those it refuses are refused.
Source: Netty 4.2 `HttpObjectDecoder`, OpenSearch 3.6.0 `Netty4HttpServerTransport`; recorded.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterable
from typing import Any

from gunicorn.http.errors import (
    ExpectationFailed,
    InvalidChunkSize,
    InvalidHeader,
    InvalidHeaderName,
    InvalidHTTPVersion,
    InvalidRequestLine,
    InvalidRequestMethod,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
)

from mlcommons_tasks.errors import BadRequest, IllegalArgument, ServerError, TaskPluginError
from mlcommons_tasks.rest.gate import REPEATED_HEADER
from mlcommons_tasks.wire.envelope import error_body
from mlcommons_tasks.wire.rendering import JSON_CONTENT_TYPE, render_json

OPAQUE_ID = "X-OPAQUE-ID"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"})
VERSIONS = frozenset({"HTTP/1.0", "HTTP/1.1"})
#: Headers of which OpenSearch takes the first, where gunicorn would join them.
FIRST_COUNTS = frozenset({"ACCEPT", "AUTHORIZATION", "CONTENT-ENCODING", "USER-AGENT", OPAQUE_ID})
LONGEST_HEADERS = 16 * 1024  #: all together
EXPECTATION_FAILED = b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n"

_LIMITS = {
    LimitRequestLine: ("An HTTP line is larger than 4096 bytes.", "too_long_http_line_exception"),
    LimitRequestHeaders: ("HTTP header is larger than 16384 bytes.", "too_long_http_header_exception"),
}
_NOT_IN_A_NAME = re.compile(r"[^!#$%&'*+\-.^_`|~0-9A-Za-z]")
_TRANSFER_CODING = re.compile(r"(?:(?:gzip|deflate)[ \t]*,[ \t]*)?chunked", re.IGNORECASE)  # Netty unpacks these two
_LONE_LINE_FEED = "Line Feed must be preceded by Carriage Return when terminating HTTP start- and header field-lines"

StartResponse = Callable[..., Any]
WsgiApp = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


def prepare(request: Any, longest_body: int) -> None:
    """Look at gunicorn's request before anybody answers it.

    The first of some headers counts, and nobody is told to go on with a body that is too long.

    Raises:
        LimitRequestHeaders: all headers together are too long.
        InvalidHeader: a transfer coding by which requests are smuggled.
    """
    if sum(len(name) + len(value) + 4 for name, value in request.headers) > LONGEST_HEADERS:
        raise LimitRequestHeaders("all headers together")
    seen: dict[str, str] = {}
    kept = []
    for name, value in request.headers:
        if name in FIRST_COUNTS and name in seen:
            if name == OPAQUE_ID and value != seen[name]:
                kept.append((REPEATED_HEADER, "X-Opaque-Id"))
            continue
        if name == "TRANSFER-ENCODING" and not _TRANSFER_CODING.fullmatch(value):
            raise InvalidHeader(name, req=request)
        seen[name] = value
        kept.append((name, value))
        if name == "CONTENT-LENGTH" and int(value) > longest_body:
            request._expected_100_continue = False
    request.headers = kept


def served(app: WsgiApp, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Serve one request of gunicorn's.

    Raises:
        ConnectionResetError: Netty closes the connection without a word.
    """
    if environ["REQUEST_METHOD"] not in METHODS or environ["SERVER_PROTOCOL"] not in VERSIONS:
        raise ConnectionResetError(errno.ECONNRESET, "no method or version that Netty knows")
    response = start_response.__self__  # gunicorn's own
    theirs: list[str] = []
    _leave_out_headers(response, theirs)

    def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
        theirs[:] = [f"{name}: {value}\r\n" for name, value in headers if name.lower() in ("server", "date")]
        if ("Connection", "close") in headers:
            response.force_close()
        return start_response(status, headers, *exc_info)

    return app(environ, start)


def _leave_out_headers(response: Any, theirs: list[str]) -> None:
    """Keep gunicorn from naming itself and the time, and the connection where its state is what the client asked.

    `theirs` are what OpenSearch, or what stands before it, says of itself, in place of gunicorn's own.
    """
    default_headers = response.default_headers

    def needed() -> list[str]:
        left_out = ["Server:", "Date:", "Connection: keep-alive"]
        if response.req.should_close() and not response.must_close:
            left_out.append("Connection: close")
        return [header for header in default_headers() if not header.startswith(tuple(left_out))] + theirs

    response.default_headers = needed


def broken_body(error: ParseException) -> TaskPluginError:
    """Return what is wrong with chunks."""
    if isinstance(error, InvalidChunkSize):
        return BadRequest("Invalid character in chunk size", type="number_format_exception")
    return IllegalArgument(str(error))


def refusal(error: BaseException, version: str | None) -> bytes | None:
    """Return the answer to what is no request, None where the connection just ends.

    `version` is what `X-OpenSearch-Version` says, if anything.
    """
    if isinstance(error, ExpectationFailed):
        return EXPECTATION_FAILED
    if isinstance(error, InvalidRequestMethod) or (
        isinstance(error, InvalidHTTPVersion) and not isinstance(error.version, str)
    ):
        return None
    told = _told(error)
    payload = render_json(error_body(told))
    # before a line was read there is no version to answer in
    protocol = "HTTP/1.0" if isinstance(error, (InvalidRequestLine, InvalidHTTPVersion)) else "HTTP/1.1"
    status = "400 Bad Request" if isinstance(told, BadRequest) else "500 Internal Server Error"
    says_version = f"X-OpenSearch-Version: {version}\r\n" if version else ""
    head = (
        f"{protocol} {status}\r\n{says_version}"
        f"Content-Type: {JSON_CONTENT_TYPE}\r\nContent-Length: {len(payload)}\r\n\r\n"
    )
    return head.encode("latin-1") + (b"" if _asked_for_head(error) else payload)


def _asked_for_head(error: BaseException) -> bool:
    """Say whether it was a HEAD, which is answered without a body, as far as that was read."""
    request = getattr(error, "req", None)
    return request is not None and (getattr(request, "method", None) or str(request)[:5]) in ("HEAD", "HEAD ")


def _told(error: BaseException) -> TaskPluginError:
    for kind, (reason, type_) in _LIMITS.items():
        if isinstance(error, kind):
            return BadRequest(reason, type=type_)
    if isinstance(error, (InvalidHTTPVersion, InvalidRequestLine)):
        return _told_of_line(error)
    if isinstance(error, (InvalidHeader, InvalidHeaderName)):
        return _told_of_header(error)
    if isinstance(error, (ParseException, OSError)):
        return IllegalArgument(str(error) or type(error).__name__)
    return ServerError("an unforeseen error; the service's log tells more")


def _told_of_line(error: Any) -> TaskPluginError:
    if isinstance(error, InvalidHTTPVersion):
        return IllegalArgument(f"invalid version format: {error.version}")
    if "bare LF" in str(error.req):
        return BadRequest(_LONE_LINE_FEED, type="invalid_line_separator_exception")
    return IllegalArgument("text is empty (possibly HTTP/0.9)")


def _told_of_header(error: Any) -> TaskPluginError:
    name = str(error.hdr)
    if isinstance(error, InvalidHeaderName):
        found = _NOT_IN_A_NAME.search(name)
        where = f"invalid character 0x{ord(found[0]):02x} at index {found.start()}" if found else "another"
        return IllegalArgument(
            f"a header name can only contain \"token\" characters, but found {where} of header '{name}'."
        )
    values = [value for header, value in getattr(error.req, "headers", None) or () if header == name]
    if name == "CONTENT-LENGTH" and len(values) > 1:
        return IllegalArgument(f"Multiple Content-Length values found: [{', '.join(values)}]")
    if name == "CONTENT-LENGTH" and values and not values[0].isdigit():
        return IllegalArgument(f"Content-Length value is not a number: {values[0]}")
    if name == "CONTENT-TYPE":
        cause = IllegalArgument("only one Content-Type header should be provided")
        reason = f"java.lang.IllegalArgumentException: {cause.reason}"
        return BadRequest(reason, type="content_type_header_exception", caused_by=cause)
    if ":" not in name and not values:
        return IllegalArgument("No colon found")
    return IllegalArgument(str(error))
