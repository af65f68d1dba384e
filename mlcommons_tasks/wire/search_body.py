"""What the plugin changes in a search body before it runs it, and nothing else: a body is otherwise passed through.

Source: ml-commons 3.6.0 `RestActionUtils.getSourceContext` and `MLSearchHandler`; recorded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mlcommons_tasks.versions import CURRENT, Profile

CONTENT_FIELDS = ("content", "model_content")  #: left out unless a body says what it wants of `_source`
UI_FIELD = "ui_metadata"  #: shown to Dashboards only
CREDENTIAL_FIELD = "connector.credential"  #: never shown
DASHBOARDS = "OpenSearch Dashboards"  #: what its User-Agent contains

#: A model nobody hid.
_VISIBLE = {
    "bool": {
        "should": [
            {"term": {"is_hidden": {"value": False}}},
            {"bool": {"must_not": [{"exists": {"field": "is_hidden"}}]}},
        ],
        "minimum_should_match": "1",
    }
}


def source_filter(body: Mapping[str, Any], user_agent: str, profile: Profile = CURRENT) -> dict[str, list[str]]:
    """Return the `_source` the plugin makes of the body's.

    `_source: false` is not honoured: the plugin turns fetching on in every case.
    """
    wanted = body.get("_source")
    for_dashboards = DASHBOARDS in user_agent
    if not profile.honours_source:
        return {"includes": [], "excludes": [] if for_dashboards else [UI_FIELD]}
    if wanted is None:
        excludes = [*CONTENT_FIELDS] if for_dashboards else [*CONTENT_FIELDS, UI_FIELD]
        return {"includes": [], "excludes": excludes}
    includes, excludes = _fields(wanted)
    if not for_dashboards:
        excludes = [*excludes, UI_FIELD]
    return {"includes": includes, "excludes": excludes}


def visible_models(body: Mapping[str, Any], user_agent: str, profile: Profile = CURRENT) -> dict[str, Any]:
    """Return the body of a search for models: hidden ones and credentials are kept out."""
    source = source_filter(body, user_agent, profile)
    if profile.hides_credentials:
        source["excludes"].append(CREDENTIAL_FIELD)
    if not profile.hides_models:
        return {**body, "_source": source}
    query: dict[str, Any] = {"filter": [_VISIBLE]}
    if body.get("query") is not None:
        query["must"] = [body["query"]]
    return {**body, "query": {"bool": query}, "_source": source}


def can_be_rewritten(body: Mapping[str, Any]) -> bool:
    """Say whether a body's query can be put into another one; `query: null` is a mistake of the caller's."""
    return "query" not in body or body["query"] is not None


def in_point_in_time(body: Mapping[str, Any]) -> bool:
    """Say whether a search names a point in time: that then says what is searched, not an index."""
    return isinstance(body.get("pit"), dict)


def is_plain(payload: bytes) -> bool:
    """Say whether OpenSearch reads a body as we do, its `_source` included: as JSON by the book, no name twice."""
    try:
        body = json.loads(payload, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return False
    wanted = body.get("_source", True) if isinstance(body, dict) else None
    if isinstance(wanted, dict):
        if not wanted.keys() <= {"include", "includes", "exclude", "excludes"}:
            return False
        return all(_is_plain_list(fields) for fields in wanted.values())
    return isinstance(wanted, bool) or _is_plain_list(wanted)


def _is_plain_list(fields: Any) -> bool:
    return isinstance(fields, str) or (isinstance(fields, list) and all(isinstance(field, str) for field in fields))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found


def _fields(wanted: Any) -> tuple[list[str], list[str]]:
    """Return what a body's `_source` includes and excludes; of one that cannot be, nothing: OpenSearch refuses it."""
    if not isinstance(wanted, Mapping):
        return _listed(wanted), []
    found: dict[str, Any] = {"include": [], "exclude": []}
    for name, fields in wanted.items():  # each has two names, of which the later counts
        found[name.removesuffix("s")] = fields
    return _listed(found["include"]), _listed(found["exclude"])


def _listed(fields: Any) -> list[str]:
    if isinstance(fields, str):
        return [fields]
    return [str(field) for field in fields] if isinstance(fields, list) else []
