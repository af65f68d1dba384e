"""Every error on its way out: one handler for each kind, OpenSearch's envelope for all, never a traceback."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import ClientDisconnected, HTTPException, MethodNotAllowed, NotFound

from mlcommons_tasks.errors import IllegalArgument, PayloadTooLarge, ServerError, TaskPluginError, UpstreamError
from mlcommons_tasks.rest.exchange import UnsupportedMediaType, error_reply
from mlcommons_tasks.rest.gate import RepeatedHeader, UnexpectedMethod
from mlcommons_tasks.versions import CURRENT, Profile
from mlcommons_tasks.wire.content_encoding import BrokenContent
from mlcommons_tasks.wire.envelope import (
    error_body,
    invalid_uri_body,
    method_not_allowed_body,
    no_handler_body,
    repeated_header_body,
    unexpected_method_body,
    unsupported_media_type_body,
)
from mlcommons_tasks.wire.parameters import java_path

ERROR_OF_CLIENT = "the body ended before its end"
OUT_OF_RANGE = "input_coercion_exception"

log = logging.getLogger(__name__)


class AnsweringFlask(Flask):
    """An application that looks after what a handler of errors raises, too: some of them ask OpenSearch.

    One that is told to be `like` another has that one's rules, which take long to be made, and views of its own.
    """

    like: Flask | None = None

    def be_like(self, other: Flask) -> None:
        """Have another application's rules; every view is still to be added, under the same names."""
        self.like, self.url_map = other, other.url_map

    def add_url_rule(self, rule: str, endpoint: str | None = None, *args: Any, **options: Any) -> None:
        """Add a route; where the rules are another's, its view."""
        if self.like is None:
            super().add_url_rule(rule, endpoint, *args, **options)
            return
        view = args[0] if args else options.get("view_func")
        assert endpoint in self.like.view_functions  # noqa: S101  # blueprints name every route
        if view is not None:
            self.view_functions[endpoint] = view

    def handle_user_exception(self, e: Exception) -> Any:
        """Return the answer to an error, or to the one that came of answering it."""
        try:
            return super().handle_user_exception(e)
        except Exception as raised:
            if raised is e:
                raise
            return super().handle_user_exception(raised)


def handle_failures(app: Flask, forward_unknown: Callable[[], Response] | None, profile: Profile = CURRENT) -> None:
    """Register the handlers.

    `forward_unknown` answers ML routes that are not ours, where the cluster has the real plugin.
    """

    @app.errorhandler(TaskPluginError)
    def plugin_error(error: TaskPluginError) -> Response:
        if isinstance(error, UnsupportedMediaType):
            return error_reply(unsupported_media_type_body(error.content_type), 406)
        if isinstance(error, RepeatedHeader):
            return error_reply(repeated_header_body(error.reason or ""), error.status)
        if isinstance(error, PayloadTooLarge):
            response = Response(b"", status=413, headers={"Connection": "close"})
            response.headers.pop("Content-Type")
            return response
        if isinstance(error, UpstreamError):
            try:
                body = json.loads(error.payload)
            except ValueError:
                return Response(error.payload, status=error.status, content_type=error.content_type)
            if isinstance(body, dict) and "status" in body:  # a route may give it another
                body["status"] = error.status
            return error_reply(body, error.status)
        if error.type == OUT_OF_RANGE:
            error.status = profile.number_out_of_range
        return error_reply(error_body(error), error.status)

    @app.errorhandler(MethodNotAllowed)
    def method_not_allowed(error: MethodNotAllowed) -> Response:
        allowed = sorted(error.valid_methods or [])
        headers = {"Allow": ",".join(allowed)}
        if request.method == "OPTIONS":
            return Response(b"", headers=headers, content_type="text/plain; charset=UTF-8")
        if forward_unknown is not None and request.method != "HEAD":
            return forward_unknown()
        if isinstance(error, UnexpectedMethod):
            return error_reply(unexpected_method_body(allowed), 405, headers)
        return error_reply(method_not_allowed_body(_uri(), request.method, allowed), 405, headers)

    @app.errorhandler(NotFound)
    def no_handler(_: NotFound) -> Response:
        if forward_unknown is not None:
            return forward_unknown()
        if request.method == "OPTIONS":
            return Response(b"", content_type="text/plain; charset=UTF-8")
        try:
            path = java_path(_uri())
        except IllegalArgument:
            return error_reply(unexpected_method_body([]), 405)
        if path is None:
            return error_reply(invalid_uri_body(), 400)
        return error_reply(no_handler_body(path, request.method), 400)

    @app.errorhandler(HTTPException)
    def http_exception(error: HTTPException) -> Response:
        if isinstance(error, ClientDisconnected):
            log.info("the client went away: %s %s", request.method, _uri())
            raise BrokenContent(ERROR_OF_CLIENT) from error  # Netty closes without a word
        if error.code == PayloadTooLarge.status:  # a stream that grew too long
            return plugin_error(PayloadTooLarge(None))
        reason = error.description or error.name
        return error_reply(
            error_body(TaskPluginError(reason, type="exception", status=error.code or 400)), error.code or 400
        )

    @app.errorhandler(Exception)
    def unforeseen(error: Exception) -> Response:
        log.error("%s %s broke", request.method, _uri(), exc_info=error)
        return error_reply(error_body(ServerError("an unforeseen error; the service's log tells more")), 500)


def _uri() -> str:
    return str(request.environ["mlcommons_tasks.target"])
