"""The stored tasks: `.plugins-ml-task`. Says what is written; when, is the runner's business."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import opensearchpy

from mlcommons_tasks.errors import IndexNotFound, UpstreamError
from mlcommons_tasks.store.documents import DocumentIndex, IndexedStore, Written, new_document_id
from mlcommons_tasks.store.mappings import TASK_INDEX, task_index_body
from mlcommons_tasks.store.upstream import Upstream
from mlcommons_tasks.task import MLTask
from mlcommons_tasks.versions import CURRENT, Profile


@dataclass(frozen=True)
class Position:
    """Where a stored task stands: its state as it is stored, and what the next write compares with."""

    state: str | None
    written: Written


class TaskStore(IndexedStore):
    """Tasks in OpenSearch."""

    def __init__(self, client: opensearchpy.OpenSearch, upstream: Upstream, profile: Profile = CURRENT) -> None:
        super().__init__(DocumentIndex(TASK_INDEX, task_index_body(profile), client, upstream))
        self._profile = profile

    def create(self, task: MLTask) -> tuple[str, Written]:
        """Store a new task; return its id and where it was put."""
        task_id = new_document_id()
        return task_id, self._documents.create(task_id, self._source(task))

    def _source(self, task: MLTask) -> dict[str, Any]:
        source = task.source()
        if not self._profile.lists_worker_nodes:
            source["worker_node"] = ",".join(task.worker_node)
        return source

    def update(self, task_id: str, before: MLTask, after: MLTask, expected: Written) -> Written:
        """Store what changed between `before` and `after`, provided that nobody else wrote since."""
        return self._documents.update(task_id, after.changes_since(before), expected)

    def source(self, task_id: str) -> bytes | None:
        """Return a task's stored source, or None if the task or the index is missing."""
        return self._documents.source(task_id)

    def position(self, task_id: str) -> Position | None:
        """Return where a task stands, or None if it is gone."""
        try:
            source, written = self._documents.read(task_id)
        except (IndexNotFound, UpstreamError) as error:
            if error.status == 404:
                return None
            raise
        return Position(source.get("state"), written)
