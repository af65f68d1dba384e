"""Everything that is not ours goes to OpenSearch and comes back as it is, with the caller's credentials only."""

from __future__ import annotations

from flask import Blueprint, Response, request
from werkzeug.exceptions import ClientDisconnected

from mlcommons_tasks.errors import StoreUnavailable
from mlcommons_tasks.rest.passage import FAILURE, SET_ANEW, TARGET, Passed, as_gateway, callers_headers, send_on
from mlcommons_tasks.rest.patience import patience
from mlcommons_tasks.rest.routing import EVERY_METHOD
from mlcommons_tasks.store.upstream import Reply, Upstream

NAME = "proxy"
FORWARDED = "mlcommons_tasks.forwarded"
#: Headers of a request of which another, without a body, has its own.
OF_THE_BODY = frozenset({"accept", "accept-encoding", "content-type", "content-encoding", "user-agent"})


def proxy_blueprint(upstream: Upstream) -> Blueprint:
    """Return the route that forwards every path outside `/_plugins/_ml`."""
    routes = Blueprint(NAME, __name__)

    @routes.route("/", methods=EVERY_METHOD)
    @routes.route("/<elsewhere:_path>", methods=EVERY_METHOD)
    def forward_elsewhere(_path: str = "") -> Response:
        if (failure := request.environ.get(FAILURE)) is not None:
            raise failure
        try:
            return forward(upstream)
        except StoreUnavailable as error:
            raise as_gateway(error) from error

    return routes


def forward(upstream: Upstream, *, was_read: bool = False, target: str | None = None) -> Response:
    """Send the request in hand to OpenSearch and return its answer, streamed both ways.

    `was_read` says that somebody has read the body already, which Flask then keeps; `target` stands in place of the
    request's own.

    Raises:
        StoreUnavailable: OpenSearch cannot be reached, or did not answer in time.
        PayloadTooLarge: the body is longer than OpenSearch takes; it would not read it to the end.
    """
    payload = request.get_data() if was_read else None
    environ = request.environ
    try:
        passed = Passed(send_on(upstream, environ, target or environ[TARGET], payload=payload), environ)
    except ConnectionResetError as error:
        raise ClientDisconnected from error
    environ[FORWARDED] = True
    response = Response(passed, status=passed.status, direct_passthrough=True)
    response.headers.clear()
    for name, value in passed.headers:
        response.headers.add(name, value)
    return response


def ask(upstream: Upstream, target: str, method: str | None = None, payload: bytes | None = None) -> Reply:
    """Send OpenSearch a request in the caller's name, with a body of ours or none; return the whole answer, as JSON.

    Raises:
        StoreUnavailable: OpenSearch cannot be reached.
    """
    own = SET_ANEW | OF_THE_BODY
    headers = [(name, value) for name, value in callers_headers(request.environ, upstream) if name.lower() not in own]
    method = method or request.method
    wait_s = patience(method, target, upstream.timeout_s)
    headers.append(("Accept", "application/json"))
    if payload is not None:
        headers.append(("Content-Type", "application/json"))
    return upstream.for_callers.request(method, target, headers, payload, timeout_s=wait_s)


def is_forwarded() -> bool:
    """Say whether the answer to the request in hand is OpenSearch's own."""
    return bool(request.environ.get(FORWARDED))
