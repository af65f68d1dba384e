"""Stand-ins for the rooms around the runner: they hold what was written and fail when they are told to."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from mlcommons_tasks.cancellation import Cancellation
from mlcommons_tasks.clock import SystemClock
from mlcommons_tasks.cluster_task import FIRST_NUMBER, ClusterTask, TaskId
from mlcommons_tasks.data_frame import ColumnMeta, ColumnType, DataFrame, FrameBuilder
from mlcommons_tasks.errors import TaskPluginError, UpstreamError
from mlcommons_tasks.execution.calls import Calls
from mlcommons_tasks.execution.cluster_tasks import ClusterTasks
from mlcommons_tasks.execution.executors import Watch
from mlcommons_tasks.execution.handover import Handover
from mlcommons_tasks.execution.live import LiveTask
from mlcommons_tasks.execution.queue import Queue
from mlcommons_tasks.execution.registry import Registry
from mlcommons_tasks.execution.runner import TaskRunner
from mlcommons_tasks.model import MLModel
from mlcommons_tasks.store.batches import Written
from mlcommons_tasks.store.connection import until_it_counts
from mlcommons_tasks.store.tasks import Position
from mlcommons_tasks.task import MLTask
from mlcommons_tasks.wire.ml_input import DataFrameDataset, MLInput, SearchQueryDataset
from tests.unit.cluster_index import ClusterTaskIndex

ASKED = MLInput("KMEANS", None, SearchQueryDataset(("i",), {}))
PATIENCE_S = 10.0
Result = TypeVar("Result")
OBEYED_S = 1.0  #: a job that looks at its flag has stopped by then


def inline() -> MLInput:
    """Return a training whose rows come with it."""
    builder = FrameBuilder()
    builder.add((ColumnType.DOUBLE,), [1.5])
    return MLInput("KMEANS", None, DataFrameDataset(builder.build([ColumnMeta("x", ColumnType.DOUBLE)])))


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
    before_create: Callable[[], None] = lambda: None
    on_create: Callable[[], None] = lambda: None
    fail_reads: list[TaskPluginError] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    ids: Iterator[int] = field(default_factory=itertools.count)

    def new_id(self) -> str:
        """Return the next id."""
        return f"task-{next(self.ids)}"

    def create(self, task_id: str, task: MLTask) -> Written:
        """Store a task."""
        self.before_create()
        with self.lock:
            self._put(task_id, task.source())
        self.on_create()
        return Written(0, 1)

    def cancel(self, task_ids: Iterable[str], now: int) -> set[str]:
        """Write CANCELLED on those that have not ended; say which are, or are gone."""
        cancelled = set()
        for task_id in task_ids:
            if task_id not in self.sources:
                cancelled.add(task_id)
                continue
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
            if self.fail_reads:
                raise self.fail_reads.pop(0)
            if task_id not in self.sources:
                return None
            source = self.sources[task_id]
            return Position(source["state"], Written(self.seq_no[task_id], 1), source.get("model_id"))

    def find(self, task_id: str) -> tuple[dict[str, Any], Written] | None:
        """Return a task as it is stored."""
        with self.lock:
            if task_id not in self.sources:
                return None
            return dict(self.sources[task_id]), Written(self.seq_no[task_id], 1)

    def meddle(self, task_id: str, **changes: Any) -> None:
        """Write as somebody else."""
        with self.lock:
            self._put(task_id, {**self.sources.get(task_id, {}), **changes})

    def close(self) -> None:
        """Give up on what does not work at once."""
        self.closing.set()

    @property
    def closed(self) -> bool:
        """Whether it was."""
        return self.closing.is_set()

    def patiently(self, action: Callable[[], Result]) -> Result:
        """Repeat what fails for the moment."""
        return until_it_counts(action, deadline_s=None, closing=self.closing)

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
    storing: Callable[[], None] = lambda: None

    ids: Iterator[int] = field(default_factory=itertools.count)
    by_id: dict[str, MLModel] = field(default_factory=dict)

    def new_id(self) -> str:
        """Return the next id."""
        return f"model-{next(self.ids)}"

    def create(self, model_id: str, model: MLModel, *, patient: bool = False) -> None:
        """Store a model."""
        self.storing()
        if self.error is not None:
            raise self.error
        if model_id in self.by_id:
            raise refusal(409)
        self.stored.append(model)
        self.by_id[model_id] = model

    def exists(self, model_id: str) -> bool:
        """Say whether a model is there."""
        return model_id in self.by_id

    def discard(self, model_id: str) -> None:
        """Note it."""
        self.discarded.append(model_id)
        self.by_id.pop(model_id, None)

    def close(self) -> None:
        """Do nothing."""


@dataclass
class Trainer:
    """A trainer that does as it is told: `reading` and `fitting` are called where the work would be.

    It sees that it is cancelled after that.
    """

    reading: Callable[[], None] = lambda: None
    fitting: Callable[[], None] = lambda: None

    def read(self, _ml_input: Any, _caller: dict[str, str], cancellation: Cancellation, *, patient: bool) -> DataFrame:
        """Return no rows."""
        _ = patient
        self.reading()
        cancellation.check()
        return DataFrame((), (), (), 0)

    def fit(self, _ml_input: Any, _frame: Any, watch: Watch) -> bytes:
        """Return a content."""
        self.fitting()
        watch.cancellation.check()
        return b"content"


class Membership:
    """A process that everybody knows."""

    def await_known(self) -> None:
        """Return at once."""

    def is_alone(self) -> bool:
        """Say that there are others."""
        return False

    def saw(self, owners: set[str], asked_at: float) -> None:
        """Do nothing."""


class Nodes:
    """A cluster of one node."""

    def next_worker_node(self) -> str:
        """Return it."""
        return "node"

    def next_predict_node(self) -> str:
        """Return it."""
        return "node"


class Replica:
    """What one process of the service knows of cluster tasks, over stores that it may share with others."""

    def __init__(self, tasks: Tasks, index: ClusterTaskIndex) -> None:
        self.tasks = tasks
        self.index = index
        store: Any = index
        self.registry = Registry(store, SystemClock())
        parts: Any = (self.registry, Membership(), index, tasks, SystemClock())
        self.cluster = ClusterTasks(*parts)

    def open(self, ml_task_id: str | None = None) -> LiveTask:
        """Take up a training."""
        return self.registry.open("node", "a training", {"X-Opaque-Id": "me"}, ml_task_id)

    def announced(self, ml_task_id: str) -> LiveTask:
        """Take up a training that others know of, and whose task is stored."""
        live = self.open(ml_task_id)
        self.registry.announce(live)
        if ml_task_id not in self.tasks.sources:
            self.tasks.meddle(ml_task_id, state="RUNNING")
        assert self.registry.await_written(live)
        return live

    def document(self, live: LiveTask) -> dict[str, Any] | None:
        """Return what is stored of a training."""
        return self.index.documents.get(live.key)

    def __enter__(self) -> Replica:
        return self

    def __exit__(self, *_: object) -> None:
        self.index.errors.clear()
        self.index.writing = lambda: None
        self.registry.close()


class House:
    """A runner and the doubles around it."""

    def __init__(self, beside: House | None = None, queue: Queue | None = None) -> None:
        self.tasks = beside.tasks if beside else Tasks()
        self.models = beside.models if beside else Models()
        self.trainer = Trainer()
        self.go = threading.Event()
        self.at_work = threading.Semaphore(0)
        self.index = beside.index if beside else ClusterTaskIndex()
        self.replica = Replica(self.tasks, self.index)
        self.registry, self.cluster = self.replica.registry, self.replica.cluster
        parts: Any = (self.models, self.trainer, self.registry, Membership())
        self.handover: Any = Handover(cast(Any, self.index), self.registry)
        self.queue = queue or Queue(2)
        clock, tasks = SystemClock(), cast(Any, self.tasks)
        self.runner = TaskRunner(tasks, *parts, lambda: "node", clock, queue=self.queue, handover=self.handover)
        self.calls = Calls(*parts, Nodes(), clock, self.queue)

    def hold(self) -> None:
        """Let trainings wait at their work until `go`."""
        self.trainer.fitting = self.wait

    def wait(self) -> None:
        """Say that a training is at work, and wait for `go`."""
        self.at_work.release()
        assert self.go.wait(PATIENCE_S)

    def begin(self) -> str:
        """Start a training as a task."""
        return self.runner.train_async(ASKED, {}, {})

    def run(self) -> list[str]:
        """Run one task to its end; return its states."""
        task_id = self.begin()
        return self.end(task_id)

    def end(self, task_id: str) -> list[str]:
        """Wait for what runs; return the states of a task."""
        self.runner._threads.shutdown(wait=True)
        return self.tasks.states[task_id]

    def __enter__(self) -> House:
        return self

    def __exit__(self, *_: object) -> None:
        self.go.set()
        self.runner.close(0)
        self.registry.close()


def a_watch() -> LiveTask:
    """Return what a training is watched by."""
    return LiveTask(ClusterTask(TaskId("node", FIRST_NUMBER), "a training", {}, 0, "me", "ml-1", "RUNNING"))
