"""Everything that is not ours goes to OpenSearch and comes back as it is, with the caller's credentials only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import urllib3
from flask import Blueprint, Response, request
from werkzeug.http import is_hop_by_hop_header

from mlcommons_tasks.errors import PayloadTooLarge, StoreUnavailable, TaskPluginError
from mlcommons_tasks.rest.exchange import LONGEST_BODY
from mlcommons_tasks.rest.routing import EVERY_METHOD
from mlcommons_tasks.store.upstream import ByteStream, Reply, Upstream

NAME = "proxy"
CHUNK_SIZE = 64 * 1024
TARGET = "mlcommons_tasks.target"
FORWARDED = "mlcommons_tasks.forwarded"
WITHOUT_BODY = frozenset({204, 304})
SET_ANEW = frozenset({"host", "content-length", "expect"})  #: headers that each connection has of its own


class SupportsItems(Protocol):
    """The headers of a request or of an answer."""

    def items(self) -> Iterable[tuple[str, str]]:
        """Return names and values, a name as often as it was sent."""


class BadGateway(TaskPluginError):
    """502: OpenSearch is gone or refuses connections."""

    status = 502
    type = "connect_transport_exception"


def proxy_blueprint(upstream: Upstream) -> Blueprint:
    """Return the route that forwards every path outside `/_plugins/_ml`."""
    routes = Blueprint(NAME, __name__)

    @routes.route("/", methods=EVERY_METHOD)
    @routes.route("/<elsewhere:_path>", methods=EVERY_METHOD)
    def forward_elsewhere(_path: str = "") -> Response:
        return forward(upstream)

    return routes


def forward(upstream: Upstream, *, was_read: bool = False, target: str | None = None) -> Response:
    """Send the request in hand to OpenSearch and return its answer, streamed both ways.

    `was_read` says that somebody has read the body already, which Flask then keeps; `target` stands in place of the
    request's own.

    Raises:
        BadGateway: OpenSearch cannot be reached.
        PayloadTooLarge: the body is longer than OpenSearch takes; it would not read it to the end.
    """
    length = request.content_length
    if (length or 0) > LONGEST_BODY:
        raise PayloadTooLarge(None)
    headers = [(name, value) for name, value in _end_to_end(request.headers) if name.lower() not in SET_ANEW]
    headers += [
        (name, urllib3.util.SKIP_HEADER) for name in ("User-Agent", "Accept-Encoding") if name not in request.headers
    ]
    chunked = length is None and "chunked" in request.headers.get("Transfer-Encoding", "").lower()
    body: ByteStream | Iterator[bytes] | bytes | None = None
    if was_read:
        body, chunked = request.get_data(), False
        headers.append(("Content-Length", str(len(body))))
    elif chunked:
        body = iter(lambda: request.stream.read(CHUNK_SIZE), b"")
    elif length is not None:
        headers.append(("Content-Length", str(length)))
        body = request.stream if length else b""
    try:
        answer = upstream.open(request.method, target or request.environ[TARGET], headers, body, chunked=chunked)
    except StoreUnavailable as error:
        raise BadGateway(error.reason) from error
    request.environ[FORWARDED] = True
    response = Response(_pieces(answer), status=f"{answer.status} {answer.reason or ''}", direct_passthrough=True)
    if request.method == "HEAD" or answer.status in WITHOUT_BODY:
        answer.drain_conn()  # there is nothing to read, and the connection serves again
        response.response = ()
    response.headers.clear()
    for name, value in _end_to_end(answer.headers):
        response.headers.add(name, value)
    return response


def ask(upstream: Upstream, target: str, method: str | None = None) -> Reply:
    """Send OpenSearch a request without a body in the caller's name, and return the whole answer, as JSON.

    Raises:
        StoreUnavailable: OpenSearch cannot be reached.
    """
    own = SET_ANEW | {"accept", "accept-encoding", "content-type", "content-encoding", "user-agent"}
    headers = [(name, value) for name, value in _end_to_end(request.headers) if name.lower() not in own]
    return upstream.request(method or request.method, target, [*headers, ("Accept", "application/json")])


def is_forwarded() -> bool:
    """Say whether the answer to the request in hand is OpenSearch's own."""
    return bool(request.environ.get(FORWARDED))


def _end_to_end(headers: SupportsItems) -> list[tuple[str, str]]:
    """Return the headers that concern more than one connection."""
    listed = [value for name, value in headers.items() if name.lower() == "connection"]
    named = {name.strip().lower() for name in ",".join(listed).split(",")}
    return [
        (name, value) for name, value in headers.items() if not is_hop_by_hop_header(name) and name.lower() not in named
    ]


def _pieces(answer: urllib3.response.BaseHTTPResponse) -> Iterator[bytes]:
    try:
        yield from answer.stream(CHUNK_SIZE, decode_content=False)
    finally:
        answer.close()  # a connection that was read to its end went back to the pool; one that was not must not
