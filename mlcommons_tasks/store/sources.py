"""The data of a training: the sources of the hits of a caller's search, read with the caller's rights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from mlcommons_tasks.cancellation import Cancellation, Cancelled
from mlcommons_tasks.errors import IndexNotFound, TaskPluginError, UpstreamError
from mlcommons_tasks.store.connection import refused, until_it_counts
from mlcommons_tasks.store.mappings import TASK_INDEX
from mlcommons_tasks.store.upstream import Reply, Upstream
from mlcommons_tasks.wire.rendering import render_json

READ_DEADLINE_S = 60.0


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
    ) -> tuple[int, list[dict[str, Any]]]:
        """Return how many documents match and the sources of the hits, in order.

        `query` is a search body; `caller` the headers that say who asks. A search that is under way when it is
        cancelled ends in OpenSearch too: it stops what nobody waits for.

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
            return self._search(target, payload, caller, cancellation)

        try:
            reply = until_it_counts(search, deadline_s=READ_DEADLINE_S, closing=cancellation.event)
        except TaskPluginError as error:
            if cancellation.wanted:
                raise Cancelled from error
            raise
        hits = json.loads(reply.payload)["hits"]
        total = hits.get("total", {"value": len(hits["hits"])})["value"]
        return total, [hit.get("_source") for hit in hits["hits"]]

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

    def _search(
        self, target: str, payload: bytes, caller: Mapping[str, str], cancellation: Cancellation | None = None
    ) -> Reply:
        headers = [*caller.items(), ("Content-Type", "application/json")]
        reply = self._upstream.for_callers.request("POST", target, headers, payload, cancellation)
        if reply.status >= 400:
            raise refused(reply)
        return reply
