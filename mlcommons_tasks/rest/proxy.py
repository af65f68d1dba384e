"""Everything that is not ours goes to OpenSearch and comes back as it is, with the caller's credentials only."""

from __future__ import annotations

from collections.abc import Iterator

import urllib3
from flask import Blueprint, Response, request
from werkzeug.http import is_hop_by_hop_header

from mlcommons_tasks.errors import StoreUnavailable, TaskPluginError
from mlcommons_tasks.rest.routing import EVERY_METHOD
from mlcommons_tasks.store.upstream import ByteStream, Upstream

CHUNK_SIZE = 64 * 1024
SET_ANEW = frozenset({"host", "content-length", "expect"})  #: headers that each connection has of its own


class BadGateway(TaskPluginError):
    """502: OpenSearch is gone or refuses connections."""

    status = 502
    type = "connect_transport_exception"


def proxy_blueprint(upstream: Upstream) -> Blueprint:
    """Return the route that forwards every path outside `/_plugins/_ml`."""
    routes = Blueprint("proxy", __name__)

    @routes.route("/", methods=EVERY_METHOD)
    @routes.route("/<elsewhere:_path>", methods=EVERY_METHOD)
    def forward_elsewhere(_path: str = "") -> Response:
        return forward(upstream)

    return routes


def forward(upstream: Upstream) -> Response:
    """Send the request in hand to OpenSearch and return its answer, streamed both ways.

    Raises:
        BadGateway: OpenSearch cannot be reached.
    """
    named = {name.strip().lower() for name in request.headers.get("Connection", "").split(",")}
    headers = [
        (name, value)
        for name, value in request.headers.items()
        if not is_hop_by_hop_header(name) and name.lower() not in SET_ANEW and name.lower() not in named
    ]
    headers += [
        (name, urllib3.util.SKIP_HEADER) for name in ("User-Agent", "Accept-Encoding") if name not in request.headers
    ]
    length = request.content_length
    chunked = length is None and "chunked" in request.headers.get("Transfer-Encoding", "").lower()
    body: ByteStream | Iterator[bytes] | bytes | None = None
    if chunked:
        body = iter(lambda: request.stream.read(CHUNK_SIZE), b"")
    elif length is not None:
        headers.append(("Content-Length", str(length)))
        body = request.stream if length else b""
    try:
        answer = upstream.open(
            request.method, request.environ["mlcommons_tasks.target"], headers, body, chunked=chunked
        )
    except StoreUnavailable as error:
        raise BadGateway(error.reason) from error
    response = Response(_pieces(answer), status=answer.status, direct_passthrough=True)
    response.headers.clear()
    for name, value in answer.headers.items():
        if not is_hop_by_hop_header(name):
            response.headers.add(name, value)
    return response


def _pieces(answer: urllib3.response.BaseHTTPResponse) -> Iterator[bytes]:
    try:
        yield from answer.stream(CHUNK_SIZE, decode_content=False)
    finally:
        answer.release_conn()
