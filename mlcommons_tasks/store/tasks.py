"""The stored tasks: `.plugins-ml-task`. Says what is written; when, is the runner's business."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import opensearchpy

from mlcommons_tasks.store.batches import Batches, Written
from mlcommons_tasks.store.documents import CREATE_DEADLINE_S, DocumentIndex, IndexedStore, new_document_id
from mlcommons_tasks.store.mappings import TASK_INDEX, task_index_body
from mlcommons_tasks.store.upstream import Upstream
from mlcommons_tasks.task import TRANSITIONS, MLTask, TaskState
from mlcommons_tasks.versions import CURRENT, Profile

CANCEL_ATTEMPTS = 10  #: a task moves on three times in its life


@dataclass(frozen=True)
class Position:
    """Where a stored task stands: its state and model as they are stored, and what the next write compares with."""

    state: str | None
    written: Written
    model_id: str | None = None


class ReadableTasks(IndexedStore):
    """Tasks in OpenSearch as callers have them: polled, searched and deleted."""

    def source(self, task_id: str) -> bytes | None:
        """Return a task's stored source, or None if the task or the index is missing."""
        return self._documents.source(task_id)

    def poll(self, task_id: str) -> bytes | None:
        """Return a task's stored source for somebody who waits for its end; see `source`."""
        return self.source(task_id)

    def is_played(self, task_id: str) -> bool:
        """Say whether a task shows what it was told, with nothing behind it; one that is but stored does not."""
        return False


class TaskStore(ReadableTasks):
    """Tasks in OpenSearch, and how they are written."""

    def __init__(
        self,
        client: opensearchpy.OpenSearch,
        upstream: Upstream,
        profile: Profile = CURRENT,
        batches: Batches | None = None,
        *,
        index: str = TASK_INDEX,
        new_id: Callable[[], str] = new_document_id,
    ) -> None:
        super().__init__(DocumentIndex(index, task_index_body(profile), client, upstream, batches, TASK_INDEX))
        self._profile = profile
        self._new_id = new_id

    def new_id(self) -> str:
        """Return an id for a new task."""
        return self._new_id()

    def create(self, task_id: str, task: MLTask) -> Written:
        """Store a new task; return where it was put."""
        return self._documents.create(task_id, self.as_stored(task.source()))

    def as_stored(self, source: dict[str, Any]) -> dict[str, Any]:
        """Return a task's document as the version that is emulated stores it."""
        if not self._profile.lists_worker_nodes:
            return {**source, "worker_node": ",".join(source["worker_node"])}
        return source

    def update(self, task_id: str, before: MLTask, after: MLTask, expected: Written) -> Written:
        """Store what changed between `before` and `after`, provided that nobody else wrote since."""
        return self._documents.update(task_id, after.changes_since(before), expected)

    def cancel(self, task_ids: Iterable[str], now: int) -> set[str]:
        """Write CANCELLED on tasks that have not ended; return those that are cancelled now, or were already.

        A task that is gone counts as cancelled: whoever works on it shall stop. `now` is in milliseconds.

        Raises:
            StoreUnavailable, UpstreamError: OpenSearch did not take it.
        """
        wanted = list(task_ids)
        return self._documents.until_it_counts(lambda: self._cancel(wanted, now), deadline_s=CREATE_DEADLINE_S)

    def _cancel(self, undecided: list[str], now: int) -> set[str]:
        cancelled: set[str] = set()
        for _ in range(CANCEL_ATTEMPTS):
            if not undecided:
                break
            changes: dict[str, tuple[dict[str, Any], Written]] = {}
            for task_id, position in self._documents.positions(undecided).items():
                if position is None or position[0].get("state") == TaskState.CANCELLED.value:
                    cancelled.add(task_id)
                elif TaskState.CANCELLED in _may_follow(position[0]):
                    change = {"state": TaskState.CANCELLED.value, "last_update_time": now}
                    changes[task_id] = (change, position[1])
            undecided = self._documents.update_all(changes)  # they moved on meanwhile
            cancelled |= changes.keys() - set(undecided)
        return cancelled

    def find(self, task_id: str) -> tuple[dict[str, Any], Written] | None:
        """Return a task's stored source and what the next write compares with, None if it is gone.

        Raises:
            StoreUnavailable, UpstreamError: it could not be read.
        """
        return self._documents.find(task_id)

    def position(self, task_id: str) -> Position | None:
        """Return where a task stands, or None if it is gone."""
        found = self._documents.find(task_id)
        return None if found is None else Position(found[0].get("state"), found[1], found[0].get("model_id"))


def _may_follow(source: dict[str, Any]) -> frozenset[TaskState]:
    try:
        return TRANSITIONS.get(TaskState(source.get("state")), frozenset())
    except ValueError:
        return frozenset()
