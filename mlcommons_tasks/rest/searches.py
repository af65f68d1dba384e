"""What searching and deleting have in common for tasks and models: the plugin's own rules, OpenSearch's own answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flask import Response

from mlcommons_tasks.errors import TaskPluginError
from mlcommons_tasks.rest.exchange import RestRequest, passed_on
from mlcommons_tasks.store.upstream import Reply

Search = Callable[[bytes, Mapping[str, str], Iterable[tuple[str, str]]], Reply]
SourceFilter = Callable[[Mapping[str, Any], str], dict[str, list[str]]]

ALWAYS = {"version": "true", "seq_no_primary_term": "true"}  #: what the plugin turns on in every search
TIMED_OUT = b'"timed_out":true'
HEAD_LENGTH = 200  #: bytes of a search answer within which `timed_out` stands


def search_reply(search: Search, rest: RestRequest, source_filter: SourceFilter) -> Response:
    """Run a caller's search: the body as it came, the plugin's own wishes beside it."""
    payload, media_type = rest.body_or_source()
    rest.finish()
    query = {
        **rest.rendering_parameters(),
        **ALWAYS,
        **source_parameters(source_filter(parsed(payload), rest.user_agent)),
    }
    return searched(search(payload, query, [*rest.passed_headers(), ("Content-Type", media_type)]))


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


def parsed(payload: bytes) -> dict[str, Any]:
    """Return a search body as far as it can be read; OpenSearch says what is wrong with the rest."""
    try:
        body = json.loads(payload)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def deletion(answer: Reply, missing: TaskPluginError) -> Response:
    """Return OpenSearch's answer to a deletion; a document that went meanwhile is `missing`."""
    if answer.status == 404:
        raise missing
    return passed_on(answer)
