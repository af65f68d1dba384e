"""What searching and deleting have in common for tasks and models: the plugin's own rules, OpenSearch's own answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from flask import Response

from mlcommons_tasks.errors import TaskPluginError
from mlcommons_tasks.rest.exchange import RestRequest, passed_on
from mlcommons_tasks.store.upstream import Reply
from mlcommons_tasks.versions import Profile
from mlcommons_tasks.wire.bodies import json_of
from mlcommons_tasks.wire.json_reader import JsonReader
from mlcommons_tasks.wire.media_types import MediaType
from mlcommons_tasks.wire.search_body import in_point_in_time, source_filter

ALWAYS = {"version": "true", "seq_no_primary_term": "true"}  #: what the plugin turns on in every search
TIMED_OUT = b'"timed_out":true'
NOT_DELETED = b'"result":"not_found"'
HEAD_LENGTH = 200  #: bytes of a search answer within which `timed_out` stands


class Searchable(Protocol):
    """Documents that a caller's search may go to."""

    def search(self, payload: bytes, query: Mapping[str, str], headers: Iterable[tuple[str, str]]) -> Reply:
        """Run a search and return OpenSearch's answer."""

    def search_point_in_time(
        self, payload: bytes, query: Mapping[str, str], headers: Iterable[tuple[str, str]]
    ) -> Reply:
        """Run a search whose body names a point in time, with the rights of `headers`."""


def search_reply(documents: Searchable, rest: RestRequest, profile: Profile) -> Response:
    """Run a caller's search: the body as it came, the plugin's own wishes beside it."""
    payload, kind = rest.body_or_source()
    rest.finish()
    body = parsed(payload, kind) or {}
    query, headers = as_sent(rest)
    query |= source_parameters(source_filter(body, rest.user_agent, profile))
    if in_point_in_time(body):
        return searched(documents.search_point_in_time(rest.payload, query, [*headers, *rest.caller.items()]))
    return searched(documents.search(rest.payload, query | where(profile), headers))


def where(profile: Profile) -> dict[str, str]:
    """Return the parameters of a search by which an index that is not there is empty, or a 404."""
    return {} if profile.searches_no_index else {"ignore_unavailable": "false"}


def as_sent(rest: RestRequest) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Return the parameters and headers that make OpenSearch read a search as the caller sent it."""
    query = {**rest.rendering_parameters(), **ALWAYS}
    payload, kind = rest.body_or_source()
    if rest.payload:
        return query, [*rest.passed_headers(), ("Content-Type", kind.value)]
    return {**query, "source": payload.decode(), "source_content_type": kind.value}, rest.passed_headers()


def searched(answer: Reply) -> Response:
    """Return a search's answer; one that timed out is a 408."""
    late = answer.status == 200 and TIMED_OUT in answer.payload[:HEAD_LENGTH].replace(b" ", b"")
    return passed_on(answer, 408 if late else None)


def source_parameters(wanted: Mapping[str, list[str]]) -> dict[str, str]:
    """Return a `_source` filter as parameters, which OpenSearch puts above the body's."""
    parameters = {"_source": "true"}
    for name, fields in (("_source_includes", wanted["includes"]), ("_source_excludes", wanted["excludes"])):
        if fields:
            parameters[name] = ",".join(fields)
    return parameters


def parsed(payload: bytes, kind: MediaType) -> dict[str, Any] | None:
    """Return a search body, None if it is none that can be read: OpenSearch says what is wrong with it."""
    try:
        text = json_of(payload, kind) or b""
        try:
            body = json.loads(text)
        except ValueError:  # OpenSearch allows comments, and does not read beyond the end
            reader = JsonReader(text)
            reader.next()
            body = reader.value() if reader.token is not None else None
    except (TaskPluginError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def deletion(answer: Reply, missing: TaskPluginError | None) -> Response:
    """Return OpenSearch's answer to a deletion.

    A document that is not there is `missing`; without that, OpenSearch's own words for it with the plugin's status.
    """
    if answer.status != 404:
        return passed_on(answer)
    if missing is not None:
        raise missing
    return passed_on(answer, 200 if NOT_DELETED in answer.payload.replace(b" ", b"") else None)
