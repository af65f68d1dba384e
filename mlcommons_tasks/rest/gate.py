"""What OpenSearch refuses before a handler sees the request.

Source: OpenSearch 3.6.0 `AbstractHttpServerTransport.handleIncomingRequest`, `RestController.dispatchRequest`.
"""

from __future__ import annotations

from collections.abc import Collection

from flask import Flask, request
from werkzeug.exceptions import MethodNotAllowed

from mlcommons_tasks.errors import BadRequest, IllegalArgument
from mlcommons_tasks.rest.exchange import RestRequest
from mlcommons_tasks.wire.parameters import decode

#: Says, in place of a header, which one was sent with two values; no client can send a name with spaces.
REPEATED_HEADER = "REPEATED HEADER"


class RepeatedHeader(BadRequest):
    """A header that has one value was sent with two."""


class UnexpectedMethod(MethodNotAllowed):
    """The path has a handler and cannot be decoded."""


def refuse_early(app: Flask, *, elsewhere: Collection[str], forwards_unknown: bool = False) -> None:
    """Look at every request before its handler does, but for those of the blueprints `elsewhere`.

    With `forwards_unknown` the body of a request that no handler has is left to be read.
    """

    @app.before_request
    def look() -> None:
        if repeated := request.environ.get(f"HTTP_{REPEATED_HEADER}"):
            raise RepeatedHeader(repeated)
        if request.blueprint in elsewhere:
            return
        rest = RestRequest.current()
        if request.view_args is not None or not forwards_unknown:
            _ = rest.payload  # Netty hands on no request before its body is whole
        rest.refuse_unreadable()
        if request.view_args is None:
            return
        try:
            request.view_args.update({name: decode(raw) for name, raw in request.view_args.items()})
        except IllegalArgument as error:
            allowed = app.create_url_adapter(request).allowed_methods()  # type: ignore[union-attr]
            raise UnexpectedMethod(list(allowed)) from error
        rest.refuse_unsupported_body()
