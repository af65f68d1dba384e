"""The searches of an anomaly localization, with the caller's rights: aggregates by time, by key, and of chosen keys.

They are those of ml-commons 3.6.0 `AnomalyLocalizerImpl`. Bodies are plain objects: they hold the caller's own query
and aggregations, which are never parsed with elasticsearch_dsl.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from mlcommons_tasks.errors import IllegalArgument, IndexNotFound, ServerError, StoreUnavailable
from mlcommons_tasks.java import java_repr
from mlcommons_tasks.store.connection import RETRYABLE, is_not_recovered, refused, until_it_counts
from mlcommons_tasks.store.mappings import TASK_INDEX
from mlcommons_tasks.store.sources import BLOCKS, READ_DEADLINE_S
from mlcommons_tasks.store.upstream import Reply, Upstream
from mlcommons_tasks.wire.aggregation_classes import SINGLE_VALUES, class_cast_problem
from mlcommons_tasks.wire.execute_input import Aggregation, Localization
from mlcommons_tasks.wire.rendering import render_json

PAGE = 65_535  #: buckets of a page: `search.max_buckets` unless a node is told otherwise
Interval = tuple[int, int]  #: in millis, both ends part of it
Key = tuple[str, ...]
After = Mapping[str, Any]  #: where a page ended

_SEARCH_RESPONSE = "org.opensearch.action.search.SearchResponse"
_NO_RESPONSE = (
    f'Cannot invoke "{_SEARCH_RESPONSE}.getAggregations()" because the return value of'
    ' "org.opensearch.action.search.MultiSearchResponse$Item.getResponse()" is null'
)
#: What an index that is not there is called where it cannot even be looked for.
_NO_INDEX = (IndexNotFound.type, "no_such_remote_cluster_exception")
_BAD_NAME = "invalid_index_name_exception"
_TOO_MANY = b"too_many_buckets_exception"  #: has the status of what passes, and does not
_NOWHERE = f"/{TASK_INDEX}-none/_search?ignore_unavailable=true"
#: What is wrong with a search body before it is run, beside what has the status 400.
_UNREADABLE = "aggregation_initialization_exception"
#: What is asked of a search, and not of its parts.
_OF_THE_SEARCH = "action_request_validation_exception"


class AggregationIndex:
    """What callers localize anomalies in; `caller` are always the headers that say who asks."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    def refuse_unreadable(self, body: bytes, caller: Mapping[str, str]) -> None:
        """Have OpenSearch's own parser look at a search body; nothing is read.

        Raises:
            UpstreamError: what the parser says of it.
            StoreUnavailable: OpenSearch cannot be reached.
        """
        reply = self._post(_NOWHERE, body, "application/json", caller)
        if reply.status < HTTPStatus.BAD_REQUEST:
            return
        error = refused(reply)
        if error.type == _UNREADABLE or (error.status == HTTPStatus.BAD_REQUEST and error.type != _OF_THE_SEARCH):
            raise error

    def totals(
        self, wanted: Localization, aggregation: Aggregation, intervals: Sequence[Interval], caller: Mapping[str, str]
    ) -> list[float]:
        """Return the aggregate of each interval.

        Raises:
            IndexNotFound: the name stands for no index.
            IllegalArgument: there is no time field.
            ServerError: one of the searches failed, or the aggregation has more than one value.
            UpstreamError: OpenSearch refuses all of it.
            StoreUnavailable: it stayed away too long.
        """
        if not wanted.time_field:
            raise IllegalArgument("field name is null or empty")
        if wanted.index_name is None:
            raise ServerError("index must not be null", type="null_pointer_exception")
        if not wanted.index_name:
            raise IndexNotFound("")
        if "," in wanted.index_name:  # one name to the plugin; several, were it sent
            raise _not_found(wanted.index_name)
        lines = b""
        for interval in intervals:
            body = _body(wanted, interval, {aggregation.name: aggregation.body})
            lines += render_json({"index": [wanted.index_name]}) + b"\n" + render_json(body) + b"\n"

        index = wanted.index_name

        def search() -> list[dict[str, Any]]:
            reply = self._answered("/_msearch?typed_keys=true", lines, "application/x-ndjson", caller)
            items: list[dict[str, Any]] = json.loads(reply.payload)["responses"]
            if not _is_there(items):
                self._refuse_if_just_started()
                raise _not_found(index)
            return items

        items = until_it_counts(search, deadline_s=READ_DEADLINE_S)
        return [_total(item, aggregation) for item in items]

    def page(
        self,
        wanted: Localization,
        aggregation: Aggregation,
        interval: Interval,
        after: After | None,
        caller: Mapping[str, str],
    ) -> tuple[list[tuple[Key, float]], After | None]:
        """Return the aggregates of an interval by key, one page of them, and what is to come after; None at the end.

        Raises:
            IllegalArgument: there is no attribute, or one twice.
            UpstreamError: OpenSearch refuses the search.
            StoreUnavailable: it stayed away too long.
        """
        _refuse_attributes(wanted.attributes)
        composite: dict[str, Any] = {
            "size": PAGE,
            "sources": [{name: {"terms": {"field": name}}} for name in wanted.attributes],
        }
        if after is not None:
            composite["after"] = after
        inner = {"composite": composite, "aggs": {aggregation.name: aggregation.body}}
        found = self._search(wanted, _body(wanted, interval, {aggregation.name: inner}), caller)
        if found is None:
            return [], None
        result = _named(found, aggregation.name)[1]
        buckets = result["buckets"]
        values = [
            (tuple(_text(bucket["key"][name]) for name in wanted.attributes), _value(bucket, aggregation.name))
            for bucket in buckets
        ]
        return values, result.get("after_key")

    def values_of(
        self,
        wanted: Localization,
        aggregation: Aggregation,
        interval: Interval,
        keys: Sequence[Key],
        caller: Mapping[str, str],
    ) -> list[float]:
        """Return the aggregates of an interval for these keys.

        Raises:
            UpstreamError: OpenSearch refuses the search.
            StoreUnavailable: it stayed away too long.
        """
        filters = {str(number): _has_key(wanted.attributes, key) for number, key in enumerate(keys)}
        inner = {"filters": {"filters": filters}, "aggs": {aggregation.name: aggregation.body}}
        found = self._search(wanted, _body(wanted, interval, {aggregation.name: inner}), caller)
        if found is None:
            return []
        buckets = _named(found, aggregation.name)[1]["buckets"]
        return [_value(buckets[str(number)], aggregation.name) for number in range(len(keys))]

    def _search(
        self, wanted: Localization, body: Mapping[str, Any], caller: Mapping[str, str]
    ) -> dict[str, Any] | None:
        target = f"/{quote(wanted.index_name or '', safe='')}/_search?typed_keys=true"
        reply = self._answered(target, render_json(body), "application/json", caller)
        found: dict[str, Any] | None = json.loads(reply.payload).get("aggregations")
        return found

    def _answered(self, target: str, payload: bytes, content_type: str, caller: Mapping[str, str]) -> Reply:
        def ask() -> Reply:
            reply = self._post(target, payload, content_type, caller)
            if reply.status in RETRYABLE and _TOO_MANY not in reply.payload:
                raise refused(reply)
            return reply

        reply = until_it_counts(ask, deadline_s=READ_DEADLINE_S)
        if reply.status >= HTTPStatus.BAD_REQUEST:
            raise refused(reply)
        return reply

    def _post(self, target: str, payload: bytes, content_type: str, caller: Mapping[str, str]) -> Reply:
        headers = [*caller.items(), ("Content-Type", content_type)]
        return self._upstream.for_callers.request("POST", target, headers, payload)

    def _refuse_if_just_started(self) -> None:
        own = list(self._upstream.endpoint.authorization.items())
        reply = self._upstream.request("GET", BLOCKS, own)
        if reply.status == HTTPStatus.OK and is_not_recovered(json.loads(reply.payload)):
            raise StoreUnavailable("OpenSearch has just started, and does not know its indices yet")


def _body(wanted: Localization, interval: Interval, aggregations: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a search within an interval that gives no hits."""
    clauses: list[Any] = [{"range": {wanted.time_field: {"gte": interval[0], "lte": interval[1]}}}]
    if wanted.filter_query is not None:
        clauses.append(wanted.filter_query)
    return {"size": 0, "query": {"bool": {"filter": clauses}}, "aggs": aggregations}


def _has_key(attributes: Sequence[str], key: Key) -> dict[str, Any]:
    terms = [{"term": {name: {"value": value}}} for name, value in zip(attributes, key, strict=True)]
    return {"bool": {"filter": terms}}


def _refuse_attributes(attributes: Sequence[str]) -> None:
    """Refuse what the plugin's own composite aggregation refuses to be made of."""
    if not attributes:
        raise IllegalArgument("Composite [sources] cannot be null or empty")
    twice = sorted({name for name in attributes if attributes.count(name) > 1}, key=attributes.index)
    if twice:
        raise IllegalArgument(f"Composite source names must be unique, found duplicates: [{', '.join(twice)}]")


def _is_there(items: Sequence[Mapping[str, Any]]) -> bool:
    """Say whether a name that all these searches were about stands for an index.

    Raises:
        UpstreamError: it is none that an index can have.
    """
    for item in items:
        error = item.get("error")
        if isinstance(error, Mapping):
            if error.get("type") == _BAD_NAME:
                status = int(item.get("status", HTTPStatus.BAD_REQUEST))
                raise refused(Reply(status, [("Content-Type", "application/json")], render_json(item)))
            if error.get("type") in _NO_INDEX:
                return False
        elif item.get("_shards", {}).get("total") == 0:  # a pattern that matches nothing
            return False
    return True


def _not_found(index: str) -> IndexNotFound:
    return IndexNotFound(f"Failed to find index: {index}")


def _total(item: Mapping[str, Any], aggregation: Aggregation) -> float:
    if "error" in item:
        raise ServerError(_NO_RESPONSE, type="null_pointer_exception")
    kind, _ = _named(item["aggregations"], aggregation.name)
    if kind not in SINGLE_VALUES:
        raise ServerError(class_cast_problem(kind), type="class_cast_exception")
    return _value(item["aggregations"], aggregation.name)


def _named(found: Mapping[str, Any], name: str) -> tuple[str, dict[str, Any]]:
    """Return the type and the body of an aggregation among others that are keyed `type#name`."""
    for key, body in found.items():
        kind, mark, rest = key.partition("#")
        if mark and rest == name:
            return kind, body
    raise AssertionError(f"OpenSearch left out the aggregation {name}")


def _value(found: Mapping[str, Any], name: str) -> float:
    """Return the one value of an aggregation; what is no finite number counts as nothing."""
    value = _named(found, name)[1].get("value")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return 0.0
    return float(value)


def _text(value: Any) -> str:
    """Return a part of a key as Java's toString gives it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return java_repr(value) if isinstance(value, float) else str(value)
