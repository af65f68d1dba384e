"""Stand-ins for the rooms around the runner: they hold what was written and fail when they are told to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mlcommons_tasks.errors import TaskPluginError, UpstreamError
from mlcommons_tasks.model import MLModel
from mlcommons_tasks.store.documents import Written
from mlcommons_tasks.store.tasks import Position
from mlcommons_tasks.task import MLTask


def refusal(status: int) -> UpstreamError:
    """Return an error of OpenSearch."""
    return UpstreamError(status, b"{}", "application/json", "some_exception", f"status {status}")


@dataclass
class Tasks:
    """A task store in memory: `fail_next` are raised by the next updates, in order."""

    sources: dict[str, dict[str, Any]] = field(default_factory=dict)
    seq_no: dict[str, int] = field(default_factory=dict)
    states: dict[str, list[str]] = field(default_factory=dict)
    fail_next: list[TaskPluginError] = field(default_factory=list)
    on_create: Callable[[], None] = lambda: None
    closed: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def create(self, task: MLTask) -> tuple[str, Written]:
        """Store a task."""
        with self.lock:
            task_id = f"task-{len(self.sources)}"
            self._put(task_id, task.source())
        self.on_create()
        return task_id, Written(0, 1)

    def update(self, task_id: str, before: MLTask, after: MLTask, expected: Written) -> Written:
        """Store a step, unless told to fail or somebody else wrote."""
        with self.lock:
            if self.fail_next:
                raise self.fail_next.pop(0)
            if task_id not in self.sources:
                raise refusal(404)
            if self.seq_no[task_id] != expected.seq_no:
                raise refusal(409)
            self._put(task_id, {**self.sources[task_id], **after.changes_since(before)})
            return Written(self.seq_no[task_id], 1)

    def position(self, task_id: str) -> Position | None:
        """Say where a task stands."""
        with self.lock:
            if task_id not in self.sources:
                return None
            return Position(self.sources[task_id]["state"], Written(self.seq_no[task_id], 1))

    def meddle(self, task_id: str, **changes: Any) -> None:
        """Write as somebody else."""
        with self.lock:
            self._put(task_id, {**self.sources[task_id], **changes})

    def close(self) -> None:
        """Note it."""
        self.closed = True

    def _put(self, task_id: str, source: dict[str, Any]) -> None:
        self.sources[task_id] = source
        self.seq_no[task_id] = self.seq_no.get(task_id, -1) + 1
        self.states.setdefault(task_id, []).append(source["state"])


@dataclass
class Models:
    """A model store in memory."""

    stored: list[MLModel] = field(default_factory=list)
    error: TaskPluginError | None = None

    def create(self, model: MLModel, *, patient: bool = False) -> str:
        """Store a model."""
        if self.error is not None:
            raise self.error
        self.stored.append(model)
        return f"model-{len(self.stored) - 1}"

    def close(self) -> None:
        """Do nothing."""


@dataclass
class Trainer:
    """A trainer that does as it is told: `reading` and `fitting` are called where the work would be."""

    reading: Callable[[], None] = lambda: None
    fitting: Callable[[], None] = lambda: None

    def read(self, _ml_input: Any, _caller: dict[str, str]) -> Any:
        """Return no rows."""
        self.reading()

    def fit(self, _ml_input: Any, _frame: Any) -> bytes:
        """Return a content."""
        self.fitting()
        return b"content"
