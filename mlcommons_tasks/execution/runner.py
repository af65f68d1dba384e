"""The life of a training task: CREATED, RUNNING, and an end. Every accepted task gets one.

Work whose caller waits is no task: `calls` does that.
Says when a state is written; how is `states`' business, and the work is the trainer's.
RUNNING is written once the data is there, as the plugin does it: a task that finds none goes from CREATED to FAILED.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait

from mlcommons_tasks.cancellation import Cancelled
from mlcommons_tasks.clock import Clock
from mlcommons_tasks.cluster_task import Outcome, Stage
from mlcommons_tasks.data_frame import DataFrame
from mlcommons_tasks.errors import StatusError, TaskPluginError, TooManyRequests
from mlcommons_tasks.execution.calls import read_rows
from mlcommons_tasks.execution.executors import WorkerDied
from mlcommons_tasks.execution.handover import Handover, recipe_of
from mlcommons_tasks.execution.live import LiveTask
from mlcommons_tasks.execution.membership import Membership
from mlcommons_tasks.execution.queue import Queue
from mlcommons_tasks.execution.registry import Registry
from mlcommons_tasks.execution.states import StateWriter, Stored, TaskGone
from mlcommons_tasks.execution.training import Trainer, describe
from mlcommons_tasks.model import MLModel
from mlcommons_tasks.store.batches import Written
from mlcommons_tasks.store.connection import is_passing
from mlcommons_tasks.store.models import ModelStore
from mlcommons_tasks.store.tasks import TaskStore
from mlcommons_tasks.task import FunctionName, InputType, MLTask, TaskState
from mlcommons_tasks.wire.ml_input import DataFrameDataset, MLInput, SearchQueryDataset

log = logging.getLogger(__name__)

NOT_KNOWN = Written(0, 1)  #: where a task was put of which OpenSearch did not say it
STOPPED = "the service stopped before the training ended"
SLEPT = "the service was silent for so long that it was taken for dead, while the task was stored"
ENDING_S = 4.0  #: how long the end of tasks that wait may take at least, with an offer to other processes
ENDED_AT_ONCE = 16  #: how many tasks are written at the same time when the service stops


class TaskRunner:
    """Trains as tasks.

    `queue` says how many are in work at the same time, and how many more may wait, as CREATED.
    With `asks_callers` data is read with a caller's credentials, which are not written down.
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
        queue: Queue | None = None,
        asks_callers: bool = False,
        handover: Handover | None = None,
    ) -> None:
        self._tasks = tasks
        self._models = models
        self._trainer = trainer
        self._registry = registry
        self._membership = membership
        self._next_worker_node = next_worker_node
        self._clock = clock
        self._asks_callers = asks_callers
        self._handover = handover
        self._states = StateWriter(tasks, models, registry, clock)
        self._queue = queue or Queue()
        self._threads = ThreadPoolExecutor(self._queue.at_once, thread_name_prefix="training")
        self._fits = ThreadPoolExecutor(self._queue.at_once, thread_name_prefix="fit")
        self._after = ThreadPoolExecutor(1, thread_name_prefix="after-cancel")
        self._lock = threading.Lock()
        self._open: dict[str, tuple[Stored, Future[None]]] = {}
        self._closing = False

    def train_async(self, ml_input: MLInput, caller: dict[str, str], task_headers: Mapping[str, str]) -> str:
        """Store a task that is CREATED and return its id; the training follows.

        `caller` are the headers that say who asks, `task_headers` those that cluster tasks carry. Where too many wait
        already the task is stored as FAILED.

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
        task_id = self._tasks.new_id()
        try:
            self._queue.enter(lambda: task.worker_node[0])
        except TooManyRequests as error:
            self._tasks.create(task_id, task.failed(error.reason or "", task.create_time))
            return task_id
        try:
            stored, reading = self._stored(task_id, task, ml_input, caller, task_headers)
        except BaseException:
            self._queue.leave()
            raise
        self._submit(stored, ml_input, {**caller, **task_headers}, reading)
        return task_id

    def _stored(
        self, task_id: str, task: MLTask, ml_input: MLInput, caller: dict[str, str], task_headers: Mapping[str, str]
    ) -> tuple[Stored, Future[DataFrame] | None]:
        """Store a task, once the other replicas know of it: none is left to itself if this process dies.

        Its data is read meanwhile, if the task need not wait for its turn.
        """
        self._membership.await_known()
        description = f"ml_task[{task_id}], {describe(ml_input)}"
        recipe = recipe_of(ml_input, self._models.new_id(), asks_callers=self._asks_callers)
        live = self._registry.open(task.worker_node[0], description, task_headers, task_id, recipe)
        began = time.monotonic()
        self._registry.announce(live)
        reading = self._begin_to_read(live, ml_input, {**caller, **task_headers})
        try:
            if not self._registry.await_written(live):
                raise StatusError("OpenSearch does not take the task: what runs here could not be written down", 503)
            written = self._tasks.create(task_id, task)
        except BaseException as error:
            live.cancellation.cancel()  # nobody waits for its data
            if isinstance(error, TaskPluginError) and is_passing(error):  # it may have been stored all the same
                self._disown(Stored(task_id, task, NOT_KNOWN, live, recipe.model_id), error)
            else:
                self._registry.forget(live)
            raise
        stored = Stored(task_id, task, written, live, recipe.model_id)
        if time.monotonic() - began > self._registry.lease.renew_s:
            self._states.end_if_nobody_has(stored, SLEPT)
        return stored, reading

    def _begin_to_read(self, live: LiveTask, ml_input: MLInput, caller: dict[str, str]) -> Future[DataFrame] | None:
        if not isinstance(ml_input.dataset, SearchQueryDataset) or not self._queue.has_idle:
            return None
        with contextlib.suppress(RuntimeError):  # the service is stopping
            return self._fits.submit(read_rows, self._trainer, live, ml_input, caller, self._clock)
        return None

    def _disown(self, stored: Stored, error: TaskPluginError) -> None:
        """End a task whose caller was told that it could not be stored, once OpenSearch says whether it was."""
        try:
            self._after.submit(self._states.fail, stored, error.reason or type(error).__name__, error.type)
        except RuntimeError:  # the service has stopped
            self._registry.leave(stored.live)

    def fence(self, stored: Stored) -> bool:
        """Write a task that another process had, so that nothing that one writes counts; False if it has ended."""
        try:
            self._states.write(stored, MLTask.taken_over)
        except TaskGone as gone:
            self._states.drop(stored, gone.state)
            return False
        return True

    def resume(self, stored: Stored, ml_input: MLInput) -> None:
        """Train for a task that another process had."""
        self._queue.enter(None)
        self._submit(stored, ml_input, {})

    def finish(self, stored: Stored) -> None:
        """End a task whose model another process stored."""
        try:
            self._begin(stored)
            self._states.complete(stored)
        except TaskGone as gone:
            self._states.drop(stored, gone.state)

    def give_up(self, stored: Stored, reason: str) -> None:
        """End a task as FAILED that another process had."""
        self._states.fail(stored, reason)

    def _submit(
        self, stored: Stored, ml_input: MLInput, caller: dict[str, str], reading: Future[DataFrame] | None = None
    ) -> None:
        stored.ml_input = ml_input
        with self._lock:
            future = None if self._closing else self._threads.submit(self._run, stored, ml_input, caller, reading)
            if future is not None:
                self._open[stored.task_id] = (stored, future)
        if future is None:  # close() came meanwhile
            self._queue.leave()
            self._states.fail(stored, STOPPED)
        else:
            future.add_done_callback(lambda _: self._forget(stored))
            stored.live.cancellation.on_cancel(lambda: self._cancel_waiting(stored, future))

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
                self._states.write(stored, lambda task, now: task.failed(reason, now))
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
        """Let running trainings end for `grace_s` seconds, and hand over the others, or end them as FAILED.

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
        ending = threading.Thread(target=self._end_all, args=(waiting,), name="ending")  # OpenSearch may be away
        ending.start()
        late = wait(running, timeout=max(0.0, until - time.monotonic())).not_done
        ending.join(max(ENDING_S, until - time.monotonic()))
        self._tasks.close()
        self._models.close()
        ending.join()
        self._end_all([running[future] for future in late])
        for future in late:
            running[future].live.cancellation.cancel()  # nobody waits for their data or their fits
        self._fits.shutdown(wait=False)
        self._after.shutdown()

    def _end_all(self, tasks: list[Stored]) -> None:
        """Hand tasks over, and end as FAILED what nobody takes, several at a time: the service's end is waited for."""
        left = self._handover.offer(tasks, STOPPED) if self._handover is not None else dict.fromkeys(tasks, STOPPED)
        if left:
            with ThreadPoolExecutor(ENDED_AT_ONCE, thread_name_prefix="ending") as pool:
                list(pool.map(lambda each: self._states.fail(*each), left.items()))

    def _run(
        self, stored: Stored, ml_input: MLInput, caller: dict[str, str], reading: Future[DataFrame] | None
    ) -> None:
        try:
            if reading is not None:
                frame = reading.result()
                stored.live.cancellation.check()  # the rows may have been there before that was wanted
            else:
                frame = read_rows(self._trainer, stored.live, ml_input, caller, self._clock)
            if stored.live.recipe is not None and stored.live.recipe.body is None:
                stored.ml_input = dataclasses.replace(ml_input, dataset=DataFrameDataset(frame))
            fit = self._fits.submit(self._trainer.fit, ml_input, frame, stored.live)  # it need not wait for the write
            self._begin(stored)
            content = fit.result()
            stored.live.cancellation.check()
            stored.live.enter(Stage.STORE, self._clock.now_in_millis())
            self._states.store_model(stored, MLModel(FunctionName(ml_input.function_name), content))
            self._states.complete(stored)
        except TaskGone as gone:
            self._states.drop(stored, gone.state)
        except Cancelled:
            self._states.drop(stored, TaskState.CANCELLED.value)
            self._states.say_cancelled(stored)
        except TaskPluginError as error:
            self._states.fail(stored, error.reason or type(error).__name__, error.type)
        except WorkerDied as error:
            self._states.fail(stored, STOPPED if self._closing else str(error))
        except Exception as error:
            log.exception("the training of task %s broke", stored.task_id)
            self._states.fail(stored, f"{type(error).__name__}: {error}")
        finally:
            stored.live.cancellation.cancel()  # a fit that is still under way is nobody's now

    def _begin(self, stored: Stored) -> None:
        stored.live.running()  # who sees that the task is RUNNING sees it in `_tasks` as well
        if stored.task.state is TaskState.CREATED:  # one that was taken over may run already
            self._states.write(stored, lambda task, now: task.running(now))
        self._registry.changed(stored.live)

    def _cancel_waiting(self, stored: Stored, future: Future[None]) -> None:
        """End a task that was cancelled before its turn came."""
        if future.cancel() and not stored.live.is_lost:
            self._states.drop(stored, TaskState.CANCELLED.value)
            with contextlib.suppress(RuntimeError):  # the service has stopped
                self._after.submit(self._states.say_cancelled, stored)

    def _forget(self, stored: Stored) -> None:
        self._queue.leave()
        with self._lock:
            if stored.task_id in self._open and self._open[stored.task_id][0] is stored:  # it may have come back
                del self._open[stored.task_id]
