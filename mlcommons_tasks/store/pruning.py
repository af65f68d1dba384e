"""Deletes what is over and was not touched for long: finished ML tasks, and the results of trainings.

Knows the two indices, and when something of theirs is over. Must not know how often it is looked for, nor models.
"""

from __future__ import annotations

from typing import Any

import opensearchpy
from elasticsearch_dsl import Search

from mlcommons_tasks.store.batches import raise_failure
from mlcommons_tasks.store.connection import translated
from mlcommons_tasks.store.mappings import CLUSTER_TASK_INDEX, TASK_INDEX
from mlcommons_tasks.task import TaskState

#: States that nothing follows; a job that is UNREACHABLE may be heard of again.
OVER = tuple(
    state.value
    for state in (
        TaskState.COMPLETED,
        TaskState.FAILED,
        TaskState.CANCELLED,
        TaskState.COMPLETED_WITH_ERROR,
        TaskState.EXPIRED,
    )
)
AT_ONCE = 2_000  #: documents a request: some 300 kB
CHANGED, GONE = 409, 404


class Pruner:
    """What both indices keep of tasks that are over."""

    def __init__(
        self, client: opensearchpy.OpenSearch, *, tasks: str = TASK_INDEX, results: str = CLUSTER_TASK_INDEX
    ) -> None:
        self._client = client
        self._tasks = tasks
        self._results = results

    def prune_tasks(self, before: int) -> int:
        """Delete ML tasks that are over and were last written before a time, in milliseconds; return how many.

        At most `AT_ONCE` at a call. A task that somebody writes meanwhile stays, and so does one without a state or a
        time. Others may do the same at the same time.

        Raises:
            StoreUnavailable, UpstreamError: OpenSearch did not take it.
        """
        wanted = Search().filter("terms", state=list(OVER)).filter("range", last_update_time={"lt": before})
        return delete_some(self._client, self._tasks, wanted)

    def prune_results(self, before: int) -> int:
        """Delete what `_tasks` tells of trainings that ended before a time, in milliseconds; return how many.

        Likewise.
        """
        wanted = Search().filter("term", completed=True).filter("range", ended={"lt": before})
        return delete_some(self._client, self._results, wanted)


def delete_some(client: opensearchpy.OpenSearch, index: str, wanted: Search) -> int:
    """Delete documents that a search finds, at most `AT_ONCE`; return how many.

    One that somebody writes meanwhile stays.

    Raises:
        StoreUnavailable, UpstreamError: OpenSearch did not take it.
    """
    body = wanted.extra(seq_no_primary_term=True, track_total_hits=False, _source=False)[0:AT_ONCE].to_dict()
    with translated():
        try:
            client.indices.refresh(index=index)  # not every write to it does
            hits = client.search(index=index, body=body)["hits"]["hits"]
        except opensearchpy.NotFoundError:  # nothing was ever stored
            return 0
        if not hits:
            return 0
        operations = [{"delete": _where(hit)} for hit in hits]
        answer = client.bulk(index=index, body=operations, params={"refresh": "true"})
    results = [item["delete"] for item in answer["items"]]
    raise_failure(result for result in results if result["status"] not in (CHANGED, GONE))
    return sum(result["status"] < 300 for result in results)


def _where(hit: dict[str, Any]) -> dict[str, Any]:
    return {"_id": hit["_id"], "if_seq_no": hit["_seq_no"], "if_primary_term": hit["_primary_term"]}
