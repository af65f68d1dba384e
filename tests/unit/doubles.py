"""Stand-ins for the rooms around the runner: they hold what was written and fail when they are told to."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlcommons_tasks.cancellation import Cancellation
from mlcommons_tasks.data_frame import DataFrame
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

    ids: Iterator[int] = field(default_factory=itertools.count)

    def new_id(self) -> str:
        """Return the next id."""
        return f"task-{next(self.ids)}"

    def create(self, task_id: str, task: MLTask) -> Written:
        """Store a task."""
        with self.lock:
            self._put(task_id, task.source())
        self.on_create()
        return Written(0, 1)

    def cancel(self, task_ids: Iterable[str], now: int) -> set[str]:
        """Write CANCELLED on those that have not ended."""
        cancelled = set()
        for task_id in task_ids:
            if self.sources[task_id]["state"] in ("CREATED", "RUNNING"):
                self.meddle(task_id, state="CANCELLED", last_update_time=now)
            if self.sources[task_id]["state"] == "CANCELLED":
                cancelled.add(task_id)
        return cancelled

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
    discarded: list[str] = field(default_factory=list)
    error: TaskPluginError | None = None

    def create(self, model: MLModel, *, patient: bool = False) -> str:
        """Store a model."""
        if self.error is not None:
            raise self.error
        self.stored.append(model)
        return f"model-{len(self.stored) - 1}"

    def discard(self, model_id: str) -> None:
        """Note it."""
        self.discarded.append(model_id)

    def close(self) -> None:
        """Do nothing."""


@dataclass
class Trainer:
    """A trainer that does as it is told: `reading` and `fitting` are called where the work would be."""

    reading: Callable[[], None] = lambda: None
    fitting: Callable[[], None] = lambda: None

    def read(self, _ml_input: Any, _caller: dict[str, str], _cancellation: Cancellation) -> DataFrame:
        """Return no rows."""
        self.reading()
        return DataFrame((), (), (), 0)

    def fit(self, _ml_input: Any, _frame: Any, _watch: Any) -> bytes:
        """Return a content."""
        self.fitting()
        return b"content"


@dataclass
class ClusterTaskIndex:
    """The index of cluster tasks in memory, shared by those who are given it."""

    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    errors: list[TaskPluginError] = field(default_factory=list)
    written: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def write(self, whole: Mapping[str, Any], changed: Mapping[str, Any], gone: Iterable[str]) -> None:
        """Write, change and delete documents."""
        with self.lock:
            if self.errors:
                raise self.errors.pop(0)
            self.written += 1
            self.documents |= {key: dict(document) for key, document in whole.items()}
            for key, changes in changed.items():
                if key in self.documents:
                    before = self.documents[key]
                    task = {**before["task"], **changes.get("task", {})}
                    self.documents[key] = {**before, **changes, "task": task}
            for key in gone:
                self.documents.pop(key, None)

    def cancelled_of(self, owner: str) -> dict[str, int]:
        """Return when trainings of an owner were cancelled."""
        with self.lock:
            return {
                key: document["task"]["cancellation_time"]
                for key, document in self.documents.items()
                if document["owner"] == owner and document.get("cancelled") and not document["completed"]
            }

    def cancel(self, task_ids: Iterable[str], now: int) -> None:
        """Note that trainings are cancelled."""
        self.write({}, {key: {"cancelled": True, "task": {"cancellation_time": now}} for key in task_ids}, ())


class Membership:
    """A process that everybody knows."""

    def await_known(self) -> None:
        """Return at once."""
