"""A request and a reply as OpenSearch's handlers have them, on top of Flask's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response, request

from mlcommons_tasks.errors import PayloadTooLarge, ServerError, StatusError, UnreadableBody
from mlcommons_tasks.store.upstream import Reply
from mlcommons_tasks.wire.parameters import Parameters, parse_boolean
from mlcommons_tasks.wire.rendering import (
    JSON_CONTENT_TYPE,
    YAML_CONTENT_TYPE,
    render_json,
    render_pretty_json,
    render_yaml,
)

LONGEST_BODY = 100 * 1024 * 1024  #: `http.max_content_length`
STRUCTURED = ("application/json", "application/yaml", "application/cbor", "application/smile", "application/x-ndjson")
RENDERING = ("pretty", "human", "error_trace", "filter_path", "format")  #: what OpenSearch itself renders by


class RestRequest:
    """The request in hand, its parameters counted as they are asked for."""

    def __init__(self) -> None:
        self.target = str(request.environ["mlcommons_tasks.target"])
        self.path, _, query = self.target.partition("?")
        self.parameters = Parameters(query, self.path)

    @property
    def caller(self) -> dict[str, str]:
        """The headers that say who asks."""
        return {"Authorization": value} if (value := request.headers.get("Authorization")) else {}

    @property
    def user_agent(self) -> str:
        """The client's name for itself."""
        return request.headers.get("User-Agent", "")

    def body(self) -> bytes:
        """Return the body, which may be empty.

        Raises:
            PayloadTooLarge: it is longer than OpenSearch takes.
            UnsupportedMediaType: it is of no structured format.
        """
        if (request.content_length or 0) > LONGEST_BODY:
            raise PayloadTooLarge("")
        payload = request.get_data(cache=True)
        if len(payload) > LONGEST_BODY:
            raise PayloadTooLarge("")
        if payload:
            refuse_unstructured(request.headers.get("Content-Type", ""))
        return payload

    def body_or_source(self) -> tuple[bytes, str]:
        """Return the body, or the `source` parameter in its place, and its media type.

        Raises:
            UnreadableBody: there is neither.
            ServerError: one of `source` and `source_content_type` is missing.
        """
        payload = self.body()
        source = self.parameters.text("source")
        kind = self.parameters.text("source_content_type")
        if payload:
            return payload, request.headers.get("Content-Type", "")
        if source is None and kind is None:
            raise UnreadableBody("request body or source parameter is required")
        if source is None or kind is None:
            reason = "source and source_content_type parameters are required"
            raise ServerError(reason, type="illegal_state_exception")
        if not kind.startswith(STRUCTURED):
            raise ServerError(f"Unknown value for source_content_type [{kind}]", type="illegal_state_exception")
        return source.encode(), kind

    def finish(self, *path_parameters: str) -> None:
        """Say that everything was asked for; refuse what was not.

        Raises:
            IllegalArgument: a parameter is not known here.
        """
        self.body()
        self.parameters.refuse_unknown(*path_parameters)

    def rendering_parameters(self) -> dict[str, str]:
        """Return the parameters by which OpenSearch renders a reply that we pass on."""
        found = {name: self.parameters.text(name) for name in RENDERING}
        return {name: value for name, value in found.items() if value is not None}

    def passed_headers(self) -> list[tuple[str, str]]:
        """Return the headers that shape a reply that we pass on."""
        names = ("Accept", "X-Opaque-Id")
        return [(name, request.headers[name]) for name in names if name in request.headers]


class UnsupportedMediaType(StatusError):
    """406: the body's `Content-Type` is none that OpenSearch takes."""

    def __init__(self, content_type: str) -> None:
        super().__init__(content_type, 406)
        self.content_type = content_type


def refuse_unstructured(content_type: str) -> None:
    """Refuse a body that says it is no structured data, as OpenSearch does before anything else.

    Raises:
        UnsupportedMediaType: names it.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in STRUCTURED and not kind.startswith("application/vnd.opensearch+"):
        raise UnsupportedMediaType(content_type)


def reply(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a reply rendered as the request asks.

    Raises:
        IllegalArgument: `pretty` or another boolean has a value that is none.
    """
    for name in ("pretty", "human", "error_trace"):
        if name in request.args:
            parse_boolean(request.args[name])
    return _rendered(body, status, headers)


def error_reply(body: Any, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """Return an error as the request asks; what is wrong with how it asks no longer counts."""
    return _rendered(body, status, headers)


def passed_on(answer: Reply, status: int | None = None) -> Response:
    """Return an answer of OpenSearch as it came."""
    response = Response(answer.payload, status=status or answer.status, content_type=answer.content_type)
    for name, value in answer.headers:
        if name.lower() in ("warning", "x-opensearch-version"):
            response.headers.add(name, value)
    return response


def _rendered(body: Any, status: int, headers: Mapping[str, str] | None) -> Response:
    wanted = request.args.get("format") or request.headers.get("Accept", "")
    if wanted in ("yaml", "application/yaml"):
        return _response(render_yaml(body), status, YAML_CONTENT_TYPE, headers)
    pretty = request.args.get("pretty") in ("", "true")
    return _response(render_pretty_json(body) if pretty else render_json(body), status, JSON_CONTENT_TYPE, headers)


def _response(payload: bytes, status: int, content_type: str, headers: Mapping[str, str] | None) -> Response:
    response = Response(payload, status=status, content_type=content_type)
    response.headers.update(headers or {})
    return response
