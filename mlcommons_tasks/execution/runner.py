"""The life of a training task: CREATED, RUNNING, and an end. Every accepted task gets one.

Says when a state is written; what is written is the store's business, and the work is the trainer's.
RUNNING is written once the data is there, as the plugin does it: a task that finds none goes from CREATED to FAILED.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from mlcommons_tasks.cancellation import Cancelled
from mlcommons_tasks.clock import Clock
from mlcommons_tasks.cluster_task import CANCELLED_BY, Outcome, Stage
from mlcommons_tasks.data_frame import DataFrame
from mlcommons_tasks.errors import IndexNotFound, StatusError, TaskPluginError, UpstreamError
from mlcommons_tasks.execution.executors import WorkerDied
from mlcommons_tasks.execution.live import LiveTask
from mlcommons_tasks.execution.membership import Membership
from mlcommons_tasks.execution.registry import Registry
from mlcommons_tasks.execution.training import Trainer
from mlcommons_tasks.model import MLModel
from mlcommons_tasks.store.documents import Written
from mlcommons_tasks.store.models import ModelStore
from mlcommons_tasks.store.tasks import TaskStore
from mlcommons_tasks.task import TRANSITIONS, FunctionName, IllegalTransition, InputType, MLTask, TaskState
from mlcommons_tasks.wire.ml_input import DataFrameDataset, MLInput, SearchQueryDataset

log = logging.getLogger(__name__)

STOPPED = "the service stopped before the training ended"
ENDED_AT_ONCE = 16  #: how many tasks are written at the same time when the service stops


@dataclass
class _Stored:
    """A task of ours as it was last written, and the training that it is of."""

    task_id: str
    task: MLTask
    written: Written
    live: LiveTask


class TaskGone(Exception):
    """Somebody deleted the task or ended it as `state`; there is nothing left to write."""

    def __init__(self, state: str | None = None) -> None:
        super().__init__(f"the task is {state or 'gone'}")
        self.state = state


class TaskCancelled(TaskPluginError):
    """A training that its caller waited for was cancelled."""

    status = 500
    type = "task_cancelled_exception"


class TaskRunner:
    """Trains at once, or as a task.

    `at_once` is how many tasks are in work at the same time; the others wait as CREATED.
    """

    def __init__(
        self,
        tasks: TaskStore,
        models: ModelStore,
        trainer: Trainer,
        registry: Registry,
        membership: Membership,
        next_worker_node: Callable[[], str],
        clock: Clock,
        *,
        at_once: int = 8,
    ) -> None:
        self._tasks = tasks
        self._models = models
        self._trainer = trainer
        self._registry = registry
        self._membership = membership
        self._next_worker_node = next_worker_node
        self._clock = clock
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="training")
        self._fits = ThreadPoolExecutor(at_once, thread_name_prefix="fit")
        self._after = ThreadPoolExecutor(1, thread_name_prefix="after-cancel")
        self._lock = threading.Lock()
        self._open: dict[str, tuple[_Stored, Future[None]]] = {}
        self._closing = False

    def train(self, ml_input: MLInput, caller: dict[str, str], task_headers: Mapping[str, str]) -> str:
        """Train while the caller waits; return the model's id. No task is stored.

        `caller` are the headers that say who asks, `task_headers` those that cluster tasks carry.

        Raises:
            TaskPluginError: what the training or the store raised.
        """
        self._membership.await_known()
        live = self._registry.open(self._next_worker_node(), describe(ml_input), task_headers)
        try:
            return self._train(live, ml_input, {**caller, **task_headers})
        except WorkerDied as error:
            raise StatusError(str(error), 503) from error
        except Cancelled as error:
            raise TaskCancelled(f"task cancelled: {CANCELLED_BY}") from error
        finally:
            self._registry.end(live, TaskState.COMPLETED, Outcome())

    def _train(self, live: LiveTask, ml_input: MLInput, caller: dict[str, str]) -> str:
        frame = self._read(live, ml_input, caller)
        content = self._trainer.fit(ml_input, frame, live)
        live.cancellation.check()
        live.enter(Stage.STORE, self._clock.now_in_millis())
        model_id = self._store_model(ml_input, content, patient=False)
        if live.cancellation.wanted:
            self._discard(model_id)
            raise Cancelled
        return model_id

    def train_async(self, ml_input: MLInput, caller: dict[str, str], task_headers: Mapping[str, str]) -> str:
        """Store a task that is CREATED and return its id; the training follows.

        `caller` are the headers that say who asks, `task_headers` those that cluster tasks carry.

        Raises:
            TaskPluginError: the task could not be stored, or the service is stopping.
        """
        if self._closing:
            raise StatusError("the service is stopping", 503)
        task = MLTask.training(
            FunctionName(ml_input.function_name),
            InputType(ml_input.input_type),
            self._next_worker_node(),
            self._clock.now_in_millis(),
        )
        self._membership.await_known()
        task_id = self._tasks.new_id()
        description = f"ml_task[{task_id}], {describe(ml_input)}"
        live = self._registry.open(task.worker_node[0], description, task_headers, task_id)
        self._registry.announce(live)  # while the task is stored
        try:
            written = self._tasks.create(task_id, task)
        except BaseException:
            self._registry.forget(live)
            raise
        if not self._registry.await_written(live):
            log.warning("other replicas do not see task %s in _tasks yet: OpenSearch is slow", task_id)
        stored = _Stored(task_id, task, written, live)
        with self._lock:
            future = (
                None if self._closing else self._threads.submit(self._run, stored, ml_input, {**caller, **task_headers})
            )
            if future is not None:
                self._open[task_id] = (stored, future)
        if future is None:  # close() came meanwhile
            self._fail(stored, STOPPED)
        else:
            future.add_done_callback(lambda _: self._forget(task_id))
            live.cancellation.on_cancel(lambda: self._cancel_waiting(stored, future))
        return task_id

    @property
    def has_open(self) -> bool:
        """Whether there is a task of ours that has not ended."""
        return bool(self._open)

    def time_out(self, timeout_s: int) -> None:
        """Fail the tasks that were created more than `timeout_s` seconds ago, and stop their trainings."""
        since = self._clock.now_in_millis() - timeout_s * 1000
        reason = f"timeout after {timeout_s} seconds"
        with self._lock:
            late = [(stored, future) for stored, future in self._open.values() if stored.task.create_time < since]
        for stored, future in late:
            try:
                self._write(stored, lambda task, now: task.failed(reason, now))
            except TaskGone:  # it ended meanwhile
                continue
            except TaskPluginError as error:
                log.warning("task %s could not be timed out yet: %s", stored.task_id, error)
                continue
            outcome = Outcome(error={"type": "exception", "reason": reason})
            self._registry.end(stored.live, TaskState.FAILED, outcome)
            future.cancel()
            stored.live.cancellation.cancel()

    def close(self, grace_s: float) -> None:
        """Let running trainings end for `grace_s` seconds, and end the others as FAILED at once.

        Returns when no task of ours is CREATED or RUNNING; if OpenSearch is away, it gives up on that.
        """
        until = time.monotonic() + grace_s
        with self._lock:
            if self._closing:
                return
            self._closing = True
            unfinished = list(self._open.values())
        running = {future: stored for stored, future in unfinished if not future.cancel()}
        waiting = [stored for stored, future in unfinished if future.cancelled()]
        self._threads.shutdown(wait=False)
        self._fail_all(waiting)
        late = wait(running, timeout=max(0.0, until - time.monotonic())).not_done
        self._tasks.close()
        self._models.close()
        self._fail_all([running[future] for future in late])
        for future in late:
            running[future].live.cancellation.cancel()  # nobody waits for their data or their fits
        self._fits.shutdown(wait=False)
        self._after.shutdown()

    def _fail_all(self, tasks: list[_Stored]) -> None:
        """End tasks as FAILED, several at a time: the service's end is waited for."""
        if tasks:
            with ThreadPoolExecutor(ENDED_AT_ONCE, thread_name_prefix="ending") as pool:
                list(pool.map(lambda stored: self._fail(stored, STOPPED), tasks))

    def _run(self, stored: _Stored, ml_input: MLInput, caller: dict[str, str]) -> None:
        model_id = None
        try:
            frame = self._read(stored.live, ml_input, caller)
            fit = self._fits.submit(self._trainer.fit, ml_input, frame, stored.live)  # it need not wait for the write
            stored.live.running()  # who sees that the task is RUNNING sees it in `_tasks` as well
            self._write(stored, lambda task, now: task.running(now))
            self._registry.changed(stored.live)
            content = fit.result()
            stored.live.cancellation.check()
            stored.live.enter(Stage.STORE, self._clock.now_in_millis())
            model_id = self._store_model(ml_input, content, patient=True)
            self._complete(stored, model_id)
            response = {"model_id": model_id, "task_id": stored.task_id, "status": TaskState.COMPLETED.value}
            self._registry.end(stored.live, TaskState.COMPLETED, Outcome(response=response))
        except TaskGone as gone:
            self._drop(stored, gone.state, model_id)
        except Cancelled:
            self._drop(stored, TaskState.CANCELLED.value, model_id)
            self._say_cancelled(stored)
        except TaskPluginError as error:
            self._fail(stored, error.reason or type(error).__name__, error.type)
        except WorkerDied as error:
            self._fail(stored, STOPPED if self._closing else str(error))
        except Exception as error:
            log.exception("the training of task %s broke", stored.task_id)
            self._fail(stored, f"{type(error).__name__}: {error}")
        finally:
            stored.live.cancellation.cancel()  # a fit that is still under way is nobody's now

    def _read(self, live: LiveTask, ml_input: MLInput, caller: dict[str, str]) -> DataFrame:
        live.cancellation.check()
        live.enter(Stage.READ, self._clock.now_in_millis())
        frame = self._trainer.read(ml_input, caller, live.cancellation)
        live.cancellation.check()
        live.enter(Stage.FIT, self._clock.now_in_millis(), rows=frame.size)
        return frame

    def _complete(self, stored: _Stored, model_id: str) -> None:
        self._write(stored, lambda task, now: task.completed(model_id, now))

    def _store_model(self, ml_input: MLInput, content: bytes, *, patient: bool) -> str:
        return self._models.create(MLModel(FunctionName(ml_input.function_name), content), patient=patient)

    def _drop(self, stored: _Stored, state: str | None, model_id: str | None) -> None:
        """Leave nothing of a training whose task was deleted, or ended as `state`, by somebody else."""
        log.info("task %s is %s; its training is dropped", stored.task_id, state or "gone")
        stored.live.cancel(self._clock.now_in_millis())
        if model_id is not None:
            self._discard(model_id)
        outcome = {"type": "resource_not_found_exception", "reason": "the ML task was deleted while it ran"}
        if state == TaskState.CANCELLED.value:
            outcome = {"type": TaskCancelled.type, "reason": f"task cancelled: {CANCELLED_BY}"}
        elif state is not None:
            outcome = {"type": "exception", "reason": f"the ML task was ended as {state}"}
        self._registry.end(stored.live, TaskState.CANCELLED, Outcome(error=outcome))

    def _discard(self, model_id: str) -> None:
        try:
            self._models.discard(model_id)
        except TaskPluginError as error:
            log.error("model %s of a dropped training stays: %s", model_id, error)  # noqa: TRY400

    def _cancel_waiting(self, stored: _Stored, future: Future[None]) -> None:
        """End a task that was cancelled before its turn came."""
        if future.cancel():
            self._drop(stored, TaskState.CANCELLED.value, None)
            with contextlib.suppress(RuntimeError):  # the service has stopped
                self._after.submit(self._say_cancelled, stored)

    def _say_cancelled(self, stored: _Stored) -> None:
        """Have the stored task say it too: one that was cancelled while it was being stored does not yet."""
        if stored.task.state not in TRANSITIONS:  # close() ended it
            return
        try:
            self._tasks.cancel([stored.task_id], self._clock.now_in_millis())
        except TaskPluginError as error:
            log.error("task %s could not be ended as CANCELLED: %s", stored.task_id, error)  # noqa: TRY400

    def _fail(self, stored: _Stored, reason: str, kind: str = "exception") -> None:
        try:
            self._write(stored, lambda task, now: task.failed(reason, now))
        except TaskGone as gone:
            self._drop(stored, gone.state, None)
        except TaskPluginError as error:
            log.error("task %s could not be ended as FAILED (%s): %s", stored.task_id, reason, error)  # noqa: TRY400
        self._registry.end(stored.live, TaskState.FAILED, Outcome(error={"type": kind, "reason": reason}))

    def _write(self, stored: _Stored, step: Callable[[MLTask, int], MLTask]) -> None:
        """Write a step; a write that somebody else's came before is compared anew.

        Raises:
            TaskGone: the task or its index was deleted, or the task has ended.
        """
        try:
            after = step(stored.task, self._clock.now_in_millis())
        except IllegalTransition as error:  # close() ended it, and the training was not over yet
            raise TaskGone(stored.task.state.value) from error
        while True:
            try:
                stored.written = self._tasks.update(stored.task_id, stored.task, after, stored.written)
            except IndexNotFound as error:
                raise TaskGone from error
            except UpstreamError as error:
                if error.status not in (404, 409):
                    raise
                found = self._tasks.position(stored.task_id)
                if found is None or found.state not in (TaskState.CREATED.value, TaskState.RUNNING.value):
                    raise TaskGone(found.state if found is not None else None) from error
                stored.written = found.written
            else:
                stored.task = after
                return

    def _forget(self, task_id: str) -> None:
        with self._lock:
            self._open.pop(task_id, None)


def describe(ml_input: MLInput) -> str:
    """Return what is trained on what, in a line."""
    dataset = ml_input.dataset
    if isinstance(dataset, SearchQueryDataset):
        return f"algorithm[{ml_input.function_name}], indices[{','.join(dataset.indices)}]"
    rows = dataset.frame.size if isinstance(dataset, DataFrameDataset) else 0
    return f"algorithm[{ml_input.function_name}], rows[{rows}]"
