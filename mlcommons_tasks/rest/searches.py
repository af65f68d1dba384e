"""What searching and deleting have in common for tasks and models: the plugin's own rules, OpenSearch's own answers."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from flask import Response

from mlcommons_tasks.errors import IndexNotFound, TaskPluginError
from mlcommons_tasks.rest.exchange import RestRequest, passed_on
from mlcommons_tasks.store.connection import refused
from mlcommons_tasks.store.documents import IndexedStore
from mlcommons_tasks.store.upstream import Reply
from mlcommons_tasks.versions import Profile
from mlcommons_tasks.wire.bodies import json_of
from mlcommons_tasks.wire.json_reader import JsonReader
from mlcommons_tasks.wire.json_scanner import MAX_NUMBER_LENGTH, beyond
from mlcommons_tasks.wire.media_types import MediaType
from mlcommons_tasks.wire.permissions import Forbidden
from mlcommons_tasks.wire.search_answer import without_early_end
from mlcommons_tasks.wire.search_body import in_point_in_time, source_filter

ALWAYS = {"version": "true", "seq_no_primary_term": "true"}  #: what the plugin turns on in every search
NO_INDEX = b"index_not_found_exception"  #: in a reply of any format
TIMED_OUT = b'"timed_out":true'
NOT_DELETED = b'"result":"not_found"'
NO_FIELD = "\0"  #: stands for a field that a parameter cannot name: an empty one, or one with a comma
HEAD_LENGTH = 200  #: bytes of a search answer within which `timed_out` stands


def search_reply(documents: IndexedStore, rest: RestRequest, profile: Profile) -> Response:
    """Run a caller's search: the body as it came, the plugin's own wishes beside it."""
    payload, kind = rest.body_or_source()
    rest.finish(authorize=False)
    authorize_search(documents, rest)
    body = parsed(payload, kind) or {}
    query, headers = as_sent(rest)
    query |= source_parameters(source_filter(body, rest.user_agent, profile)) | pipeline_parameters(body)
    if in_point_in_time(body):
        answer = documents.search_point_in_time(rest.payload, query, [*headers, *rest.caller.items()])
    else:
        answer = documents.search(rest.payload, query, headers)
    return searched(or_nothing(documents, answer, rest, profile), body)


def plain_search(payload: bytes, user_agent: str, profile: Profile) -> dict[str, str] | None:
    """Return the parameters beside a search body in JSON that make the plugin's search of it; None unless it is plain.

    `plain_answer` then says what is answered.
    """
    body = parsed(payload, MediaType.JSON)
    if body is None or in_point_in_time(body) or body.get("terminate_after"):
        return None
    query = {"format": MediaType.JSON.name.lower(), **ALWAYS}
    return query | source_parameters(source_filter(body, user_agent, profile)) | pipeline_parameters(body)


def plain_answer(payload: bytes) -> bytes | None:
    """Return what is answered where OpenSearch answers a plain search with 200; None if that is nothing plain."""
    late = TIMED_OUT in payload[:HEAD_LENGTH].replace(b" ", b"")
    return None if late else without_early_end(payload)


def authorize_search(documents: IndexedStore, rest: RestRequest) -> None:
    """Refuse a caller who may not search; a body that cannot be read is refused before, as OpenSearch does it.

    Raises:
        UpstreamError: the body cannot be read.
        Forbidden: it can.
    """
    try:
        rest.authorize()
    except Forbidden:
        query, headers = as_sent(rest)
        answer = documents.search(rest.payload, query, headers, nothing=True)
        if answer.status >= 400:
            raise refused(answer) from None
        raise


def or_nothing(documents: IndexedStore, answer: Reply, rest: RestRequest, profile: Profile) -> Reply:
    """Return the answer to a search, one that found nothing where an index is missing, whichever the body means."""
    if answer.status != IndexNotFound.status or NO_INDEX not in answer.payload or not profile.searches_no_index:
        return answer
    documents.index_exists()  # which raises while OpenSearch does not know
    headers = [*rest.passed_headers(), ("Content-Type", MediaType.JSON.value)]
    return documents.search(b"{}", rest.rendering_parameters(), headers, nothing=True)


def as_sent(rest: RestRequest) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Return the parameters and headers that make OpenSearch read a search as the caller sent it."""
    query = {**rest.rendering_parameters(), **ALWAYS}
    payload, kind = rest.body_or_source()
    if rest.payload:
        return query, [*rest.passed_headers(), ("Content-Type", kind.value)]
    return {**query, "source": payload.decode(), "source_content_type": kind.value}, rest.passed_headers()


def searched(answer: Reply, body: Mapping[str, Any]) -> Response:
    """Return the answer to a search with `body`; one that timed out is a 408."""
    if not body.get("terminate_after"):
        answer = dataclasses.replace(answer, payload=without_early_end(answer.payload))
    late = answer.status == 200 and TIMED_OUT in answer.payload[:HEAD_LENGTH].replace(b" ", b"")
    return passed_on(answer, 408 if late else None)


def source_parameters(wanted: Mapping[str, list[str]]) -> dict[str, str]:
    """Return a `_source` filter as parameters, which OpenSearch puts above the body's."""
    parameters = {"_source": "true"}
    for name, fields in (("_source_includes", wanted["includes"]), ("_source_excludes", wanted["excludes"])):
        if fields:
            parameters[name] = ",".join(field if field and "," not in field else NO_FIELD for field in fields)
    return parameters


def pipeline_parameters(body: Mapping[str, Any]) -> dict[str, str]:
    """Return what keeps OpenSearch from the search pipeline that a body names: the plugin does not look for it."""
    return {"search_pipeline": "_none"} if isinstance(body.get("search_pipeline"), str) else {}


def parsed(payload: bytes, kind: MediaType) -> dict[str, Any] | None:
    """Return a search body, None if it is none that can be read: OpenSearch says what is wrong with it."""
    try:
        text = json_of(payload, kind) or b""
        try:
            body = json.loads(text, parse_float=_decimal)
        except ValueError:  # OpenSearch allows comments, and does not read beyond the end
            reader = JsonReader(text)
            reader.next()
            body = reader.value() if reader.token is not None else None
    except (TaskPluginError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _decimal(digits: str) -> float:
    """Return a number; one that is too long for OpenSearch is its to refuse."""
    if len(digits) > MAX_NUMBER_LENGTH:
        raise beyond("Number value length", len(digits), MAX_NUMBER_LENGTH, "NumberLength")
    return float(digits)


def deletion(answer: Reply, missing: TaskPluginError | None) -> Response:
    """Return OpenSearch's answer to a deletion.

    A document that is not there is `missing`; without that, OpenSearch's own words for it with the plugin's status.
    """
    if answer.status != 404:
        return passed_on(answer)
    if missing is not None:
        raise missing
    return passed_on(answer, 200 if NOT_DELETED in answer.payload.replace(b" ", b"") else None)
