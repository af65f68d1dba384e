"""The life of a training task: CREATED, RUNNING, and an end. Every accepted task gets one.

Says when a state is written; what is written is the store's business, and the work is the trainer's.
RUNNING is written once the data is there, as the plugin does it: a task that finds none goes from CREATED to FAILED.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from mlcommons_tasks.clock import Clock
from mlcommons_tasks.errors import IndexNotFound, StatusError, TaskPluginError, UpstreamError
from mlcommons_tasks.execution.executors import WorkerDied
from mlcommons_tasks.execution.training import Trainer
from mlcommons_tasks.model import MLModel
from mlcommons_tasks.store.documents import Written
from mlcommons_tasks.store.models import ModelStore
from mlcommons_tasks.store.tasks import TaskStore
from mlcommons_tasks.task import FunctionName, IllegalTransition, InputType, MLTask, TaskState
from mlcommons_tasks.wire.ml_input import MLInput

log = logging.getLogger(__name__)

STOPPED = "the service stopped before the training ended"
ENDED_AT_ONCE = 16  #: how many tasks are written at the same time when the service stops


@dataclass
class _Stored:
    """A task of ours as it was last written."""

    task_id: str
    task: MLTask
    written: Written


class TaskGone(Exception):
    """Somebody deleted the task or ended it; there is nothing left to write."""


class TaskRunner:
    """Trains at once, or as a task.

    `at_once` is how many tasks are in work at the same time; the others wait as CREATED.
    """

    def __init__(
        self,
        tasks: TaskStore,
        models: ModelStore,
        trainer: Trainer,
        next_worker_node: Callable[[], str],
        clock: Clock,
        *,
        at_once: int = 8,
    ) -> None:
        self._tasks = tasks
        self._models = models
        self._trainer = trainer
        self._next_worker_node = next_worker_node
        self._clock = clock
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="training")
        self._fits = ThreadPoolExecutor(at_once, thread_name_prefix="fit")
        self._lock = threading.Lock()
        self._open: dict[str, tuple[_Stored, Future[None]]] = {}
        self._closing = False

    def train(self, ml_input: MLInput, caller: dict[str, str]) -> str:
        """Train while the caller waits; return the model's id. No task is stored.

        Raises:
            TaskPluginError: what the training or the store raised.
        """
        try:
            content = self._trainer.fit(ml_input, self._trainer.read(ml_input, caller))
            return self._store_model(ml_input, content, patient=False)
        except WorkerDied as error:
            raise StatusError(str(error), 503) from error

    def train_async(self, ml_input: MLInput, caller: dict[str, str]) -> str:
        """Store a task that is CREATED and return its id; the training follows.

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
        task_id, written = self._tasks.create(task)
        stored = _Stored(task_id, task, written)
        with self._lock:
            future = None if self._closing else self._threads.submit(self._run, stored, ml_input, caller)
            if future is not None:
                self._open[task_id] = (stored, future)
        if future is None:  # close() came meanwhile
            self._fail(stored, STOPPED)
        else:
            future.add_done_callback(lambda _: self._forget(task_id))
        return task_id

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
        self._fits.shutdown(wait=False)

    def _fail_all(self, tasks: list[_Stored]) -> None:
        """End tasks as FAILED, several at a time: the service's end is waited for."""
        if tasks:
            with ThreadPoolExecutor(ENDED_AT_ONCE, thread_name_prefix="ending") as pool:
                list(pool.map(lambda stored: self._fail(stored, STOPPED), tasks))

    def _run(self, stored: _Stored, ml_input: MLInput, caller: dict[str, str]) -> None:
        try:
            frame = self._trainer.read(ml_input, caller)
            fit = self._fits.submit(self._trainer.fit, ml_input, frame)  # it need not wait for the write
            self._write(stored, lambda task, now: task.running(now))
            model_id = self._store_model(ml_input, fit.result(), patient=True)
            self._write(stored, lambda task, now: task.completed(model_id, now))
        except TaskGone:
            log.info("task %s is gone; its training is dropped", stored.task_id)
        except TaskPluginError as error:
            self._fail(stored, error.reason or type(error).__name__)
        except WorkerDied as error:
            self._fail(stored, STOPPED if self._closing else str(error))
        except Exception as error:
            log.exception("the training of task %s broke", stored.task_id)
            self._fail(stored, f"{type(error).__name__}: {error}")

    def _store_model(self, ml_input: MLInput, content: bytes, *, patient: bool) -> str:
        return self._models.create(MLModel(FunctionName(ml_input.function_name), content), patient=patient)

    def _fail(self, stored: _Stored, reason: str) -> None:
        try:
            self._write(stored, lambda task, now: task.failed(reason, now))
        except TaskGone:
            log.info("task %s is gone; nothing to say of its failure", stored.task_id)
        except TaskPluginError as error:
            log.error("task %s could not be ended as FAILED (%s): %s", stored.task_id, reason, error)  # noqa: TRY400

    def _write(self, stored: _Stored, step: Callable[[MLTask, int], MLTask]) -> None:
        """Write a step; a write that somebody else's came before is compared anew.

        Raises:
            TaskGone: the task or its index was deleted, or the task has ended.
        """
        try:
            after = step(stored.task, self._clock.now_in_millis())
        except IllegalTransition as error:  # close() ended it, and the training was not over yet
            raise TaskGone from error
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
                    raise TaskGone from error
                stored.written = found.written
            else:
                stored.task = after
                return

    def _forget(self, task_id: str) -> None:
        with self._lock:
            self._open.pop(task_id, None)
