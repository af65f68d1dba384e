"""The data of a training: the sources of the hits of a caller's search, read with the caller's rights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import msgspec

from mlcommons_tasks.cancellation import Cancellation, Cancelled
from mlcommons_tasks.errors import IndexNotFound, StoreUnavailable, TaskPluginError, UpstreamError
from mlcommons_tasks.store.connection import is_not_recovered, refused, until_it_counts
from mlcommons_tasks.store.mappings import TASK_INDEX
from mlcommons_tasks.store.upstream import Reply, Upstream
from mlcommons_tasks.wire.rendering import render_json

BLOCKS = "/_cluster/state/blocks?filter_path=blocks.global"
READ_DEADLINE_S = 60.0
TASK_DEADLINE_S = 600.0  #: nobody waits for it but the task, which OpenSearch may have left for a while


class _Hit(msgspec.Struct):
    source: dict[str, Any] | None = msgspec.field(name="_source", default=None)


class _Total(msgspec.Struct):
    value: int


class _Hits(msgspec.Struct):
    hits: list[_Hit]
    total: _Total | None = None


class _Found(msgspec.Struct):
    hits: _Hits


_DECODER = msgspec.json.Decoder(_Found)


def _hits(payload: bytes) -> tuple[int, list[dict[str, Any] | None]]:
    """Return the total and the sources that a search's answer has; there may be numbers in it only Python can read."""
    try:
        hits = _DECODER.decode(payload).hits
    except (msgspec.DecodeError, RecursionError):
        hits = msgspec.convert(json.loads(payload), _Found).hits
    return len(hits.hits) if hits.total is None else hits.total.value, [hit.source for hit in hits.hits]


class SourceIndex:
    """What callers train on."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    def read(
        self,
        indices: tuple[str, ...],
        query: dict[str, Any],
        caller: Mapping[str, str],
        cancellation: Cancellation,
        *,
        patient: bool = False,
    ) -> tuple[int, list[dict[str, Any] | None]]:
        """Return how many documents match and the sources of the hits, in order.

        `query` is a search body; `caller` the headers that say who asks. A search that is under way when it is
        cancelled ends in OpenSearch too: it stops what nobody waits for. If `patient`, OpenSearch may be away longer.

        Raises:
            Cancelled: that was wanted meanwhile.
            StoreUnavailable: OpenSearch stayed away too long.
            UpstreamError: it refuses the search.
            IndexNotFound: a name is none that an index can have.
        """
        for index in indices:
            if not index or "," in index:
                raise IndexNotFound(index)
        target = f"/{quote(','.join(indices), safe=',')}/_search"
        payload = render_json(query)

        def search() -> Reply:
            cancellation.check()
            try:
                return self._search(target, payload, caller, cancellation)
            except UpstreamError as error:
                if error.type == IndexNotFound.type and self._has_just_started():
                    raise StoreUnavailable("OpenSearch has just started, and does not know its indices yet") from error
                raise

        try:
            deadline_s = TASK_DEADLINE_S if patient else READ_DEADLINE_S
            reply = until_it_counts(search, deadline_s=deadline_s, closing=cancellation.event)
        except TaskPluginError as error:
            if cancellation.wanted:
                raise Cancelled from error
            raise
        return _hits(reply.payload)

    def refuse_bad_query(self, payload: bytes, caller: Mapping[str, str]) -> None:
        """Have OpenSearch's own parser look at a search body; nothing is read.

        Raises:
            UpstreamError: what the parser says of it.
            StoreUnavailable: OpenSearch cannot be reached.
        """
        nothing = f"/{TASK_INDEX}-none/_search?ignore_unavailable=true"
        try:
            self._search(nothing, payload, caller)
        except UpstreamError as error:
            if error.status == 400:  # what else there may be is found, and said, when the data is read
                raise

    def _has_just_started(self) -> bool:
        own = list(self._upstream.endpoint.authorization.items())
        reply = self._upstream.request("GET", BLOCKS, own)
        return reply.status == HTTPStatus.OK and is_not_recovered(json.loads(reply.payload))

    def _search(
        self, target: str, payload: bytes, caller: Mapping[str, str], cancellation: Cancellation | None = None
    ) -> Reply:
        headers = [*caller.items(), ("Content-Type", "application/json")]
        reply = self._upstream.for_callers.request("POST", target, headers, payload, cancellation)
        if reply.status >= 400:
            raise refused(reply)
        return reply
