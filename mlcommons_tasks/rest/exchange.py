"""A request and a reply as OpenSearch's handlers have them, on top of Flask's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from flask import Response, current_app, g, request

from mlcommons_tasks.cluster_task import TASK_HEADERS
from mlcommons_tasks.errors import (
    BadRequest,
    IllegalArgument,
    PayloadTooLarge,
    ServerError,
    StatusError,
    TaskPluginError,
    UnreadableBody,
)
from mlcommons_tasks.store.upstream import Reply
from mlcommons_tasks.wire import media_types
from mlcommons_tasks.wire.bodies import json_of
from mlcommons_tasks.wire.content_encoding import TooLong, decoded, encoded, encoding_of_reply
from mlcommons_tasks.wire.filter_path import filtered
from mlcommons_tasks.wire.identities import CALLER_HEADERS
from mlcommons_tasks.wire.media_types import MediaType
from mlcommons_tasks.wire.parameters import BadParameter, Parameters
from mlcommons_tasks.wire.rendering import render
from mlcommons_tasks.wire.stack_trace import with_stack_traces

LONGEST_BODY = 100 * 1024 * 1024  #: `http.max_content_length`
LONGEST_TASK_HEADERS = 16 * 1024  #: bytes, two for a character
PASSED_ON = frozenset({"warning", "www-authenticate", "x-opensearch-version"})
IDENTITY_HEADERS = "IDENTITY_HEADERS"  #: where an app keeps the names of those a proxy in front may say it by
RENDERING = ("pretty", "human", "error_trace", "filter_path")  #: what OpenSearch itself renders by


class RestRequest:
    """The request in hand, its parameters counted as they are asked for."""

    def __init__(self) -> None:
        self.target = str(request.environ["mlcommons_tasks.target"])
        self.path, _, query = self.target.partition("?")
        self.media_type: MediaType | None = None  #: of the body
        self._broken: TaskPluginError | None = None
        #: Asks whether the caller may do this; raises Forbidden.
        self.authorize: Callable[[], None] = lambda: None
        try:
            self.parameters = Parameters(query, self.path)
            self.media_type = media_types.of_content_type(self.content_type)
        except BadParameter as error:
            self.parameters = Parameters("", self.path)
            self._broken = error
        except IllegalArgument as error:
            self._broken = BadContentType(error)

    @classmethod
    def current(cls) -> RestRequest:
        """Return the one of the request that Flask has in hand."""
        if "rest" not in g:
            g.rest = cls()
        found: RestRequest = g.rest
        return found

    @property
    def content_type(self) -> str | None:
        """The header as it was sent, None without one."""
        return request.environ.get("CONTENT_TYPE")

    @property
    def caller(self) -> dict[str, str]:
        """The headers that say who asks."""
        names = (*CALLER_HEADERS, *current_app.config.get(IDENTITY_HEADERS, ()))
        return {name: request.headers[name] for name in names if name in request.headers}

    @property
    def task_headers(self) -> dict[str, str]:
        """The headers that the tasks of a request carry."""
        return {name: request.headers[name] for name in TASK_HEADERS if name in request.headers}

    @property
    def user_agent(self) -> str:
        """The client's name for itself."""
        return request.headers.get("User-Agent", "")

    def refuse_unreadable(self) -> None:
        """Refuse what OpenSearch refuses before it looks for a handler.

        Raises:
            BadRequest: a parameter cannot be decoded, a header or a boolean cannot be read.
        """
        if self._broken is not None:
            raise self._broken
        try:
            for name in ("pretty", "human"):
                self.parameters.boolean(name)
        except IllegalArgument:
            self.parameters = Parameters("", self.path)  # none of them shapes the answer then
            raise
        self.parameters.boolean("error_trace")

    def refuse_unsupported_body(self) -> None:
        """Refuse a body that no handler takes.

        Raises:
            PayloadTooLarge: it is longer than OpenSearch takes.
            UnsupportedMediaType: it is of no structured format.
        """
        if self.payload and self.media_type is None:
            raise UnsupportedMediaType(self.content_type or "")

    @cached_property
    def payload(self) -> bytes:
        """The body, decompressed, which may be empty.

        Raises:
            PayloadTooLarge: it is longer than OpenSearch takes.
            BrokenContent: it is not compressed as it says.
        """
        if (request.content_length or 0) > LONGEST_BODY:
            raise PayloadTooLarge("")
        payload = request.get_data(cache=True)
        if len(payload) > LONGEST_BODY:
            raise PayloadTooLarge("")
        encoding = request.headers.get("Content-Encoding")
        if encoding is None:  # Netty takes a transfer's coding for the content's
            encoding = request.headers.get("Transfer-Encoding", "").partition(",")[0]
        try:
            return decoded(payload, encoding, LONGEST_BODY)
        except TooLong as error:
            raise PayloadTooLarge("") from error

    def json_body(self) -> bytes:
        """Return the body as JSON, whatever it was; it may be empty.

        Raises:
            JsonParseError: it is not of the format it says.
            UnsupportedMediaType: it is of one that only OpenSearch can read.
        """
        payload = json_of(self.payload, self.media_type or MediaType.JSON)
        if payload is None:
            raise UnsupportedMediaType(self.content_type or "")
        return payload

    def body_or_source(self) -> tuple[bytes, MediaType]:
        """Return the body, or the `source` parameter in its place, and its format.

        Raises:
            UnreadableBody: there is neither.
            ServerError: `source_content_type` is missing or unknown.
        """
        if self.payload and self.media_type is not None:
            return self.payload, self.media_type
        if not self.parameters.has("source"):
            raise UnreadableBody("request body or source parameter is required")
        source, named = self.parameters.text("source"), self.parameters.text("source_content_type")
        if source is None or named is None:
            reason = "source and source_content_type parameters are required"
            raise ServerError(reason, type="illegal_state_exception")
        kind = media_types.of_content_type(named)
        if kind is None:
            raise ServerError(f"Unknown value for source_content_type [{named}]", type="illegal_state_exception")
        return source.encode(), kind

    def finish(self, *path_parameters: str, authorize: bool = True) -> None:
        """Say that everything was asked for; refuse what was not, and who may not do this.

        Without `authorize` the caller of this does that, once the request has proved to be one: OpenSearch refuses
        what it cannot read before it asks for permissions.

        Raises:
            IllegalArgument: a parameter is not known here, or `X-Opaque-Id` is longer than a task may carry.
            Forbidden: the caller may not do this.
        """
        self.parameters.refuse_unknown(*path_parameters)
        opaque_id = request.headers.get("X-Opaque-Id")
        if opaque_id is not None and 2 * len(f"X-Opaque-Id{opaque_id}") > LONGEST_TASK_HEADERS:
            raise IllegalArgument("Request exceeded the maximum size of task headers 16kb")
        if authorize:
            self.authorize()

    def rendering_parameters(self) -> dict[str, str]:
        """Return the parameters by which OpenSearch renders a reply that we pass on."""
        found = {name: self.parameters.text(name) for name in RENDERING}
        return {
            **{name: value for name, value in found.items() if value is not None},
            "format": self.reply_type.name.lower(),
        }

    def passed_headers(self) -> list[tuple[str, str]]:
        """Return the headers that go along with a request that we pass on."""
        return list(self.task_headers.items())

    @property
    def reply_type(self) -> MediaType:
        """The format of the reply."""
        accept = request.headers.get("Accept")
        return media_types.of_reply(self.parameters.text("format"), accept, self.media_type)


class BadContentType(BadRequest):
    """The `Content-Type` is no media type."""

    type = "content_type_header_exception"

    def __init__(self, cause: IllegalArgument) -> None:
        super().__init__(f"java.lang.IllegalArgumentException: {cause.reason}", caused_by=cause)


class UnsupportedMediaType(StatusError):
    """406: the body's `Content-Type` is none that OpenSearch takes."""

    def __init__(self, content_type: str) -> None:
        super().__init__(content_type, 406)
        self.content_type = content_type


def reply(body: Any, status: int = 200) -> Response:
    """Return a reply rendered and filtered as the request asks."""
    wanted = RestRequest.current().parameters.text("filter_path")
    return _rendered(filtered(body, wanted), status, {})


def long_reply(body: Callable[[], Any], compact: Callable[[], bytes]) -> Response:
    """Return a reply that has a fast way to be written as compact JSON, for what may be long."""
    rest = RestRequest.current()
    shaped = rest.parameters.text("filter_path") or rest.parameters.text("pretty") in ("", "true")
    if shaped or rest.reply_type is not MediaType.JSON:
        return reply(body())
    return Response(compact(), content_type=MediaType.JSON.value)


def error_reply(body: Any, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """Return an error as the request asks; an error is never filtered."""
    if RestRequest.current().parameters.text("error_trace") in ("", "true"):
        body = with_stack_traces(body)
    return _rendered(body, status, headers or {})


def passed_on(answer: Reply, status: int | None = None) -> Response:
    """Return an answer of OpenSearch as it came."""
    response = Response(answer.payload, status=status or answer.status, content_type=answer.content_type)
    for name, value in answer.headers:
        if name.lower() in PASSED_ON:
            response.headers.add(name, value)
    return response


def compress(response: Response) -> None:
    """Compress a reply as the request's `Accept-Encoding` asks."""
    encoding = encoding_of_reply(request.headers.get("Accept-Encoding", ""))
    if encoding is None or request.method == "HEAD" or request.environ.get("SERVER_PROTOCOL") == "HTTP/1.0":
        return
    if payload := response.get_data():
        response.set_data(encoded(payload, encoding))
        response.headers["Content-Encoding"] = encoding


def _rendered(body: Any, status: int, headers: Mapping[str, str]) -> Response:
    rest = RestRequest.current()
    pretty = rest.parameters.text("pretty") in ("", "true")
    payload = render(body, rest.reply_type, pretty=pretty)
    response = Response(payload, status=status, content_type=rest.reply_type.value)
    response.headers.update(headers)
    return response
