"""What becomes of a stored task: each step written with the one before in mind, and nothing left of what nobody wants.

Knows what is written, and by whom it may be: when, is the runner's business.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from mlcommons_tasks.clock import Clock
from mlcommons_tasks.cluster_task import CANCELLED_BY, Outcome
from mlcommons_tasks.errors import IndexNotFound, TaskPluginError, UpstreamError
from mlcommons_tasks.execution.live import LiveTask
from mlcommons_tasks.execution.registry import Registry
from mlcommons_tasks.model import MLModel
from mlcommons_tasks.store.batches import Written
from mlcommons_tasks.store.models import ModelStore
from mlcommons_tasks.store.tasks import TaskStore
from mlcommons_tasks.task import TRANSITIONS, IllegalTransition, MLTask, TaskState
from mlcommons_tasks.wire.ml_input import MLInput

log = logging.getLogger(__name__)

OPEN_STATES = frozenset(state.value for state in TRANSITIONS)


@dataclass(eq=False)
class Stored:
    """A task of ours as it was last written, and the training that it is of.

    `has_model` says that its model may be stored, under `model_id`; `ml_input` is what another process would need to
    train, with the rows in it where only this one can read them.
    """

    task_id: str
    task: MLTask
    written: Written
    live: LiveTask
    model_id: str
    has_model: bool = False
    ml_input: MLInput | None = None


class TaskGone(Exception):
    """There is nothing left to write: the task was deleted, or ended as `state`, or another process has it."""

    def __init__(self, state: str | None = None) -> None:
        super().__init__(f"the task is {state or 'gone'}")
        self.state = state


class TaskCancelled(TaskPluginError):
    """A training that its caller waited for was cancelled."""

    status = 500
    type = "task_cancelled_exception"


class StateWriter:
    """Writes the states of stored tasks."""

    def __init__(self, tasks: TaskStore, models: ModelStore, registry: Registry, clock: Clock) -> None:
        self._tasks = tasks
        self._models = models
        self._registry = registry
        self._clock = clock

    def write(self, stored: Stored, step: Callable[[MLTask, int], MLTask]) -> None:
        """Write a step; a write that somebody else's came before is compared anew.

        Raises:
            TaskGone: the task or its index was deleted, the task has ended, or another process has taken it over.
            TaskPluginError: OpenSearch refuses the write, or the service stops.
        """
        if stored.live.is_lost:
            raise TaskGone
        # Several threads may end a task: who sees what another wrote last sees what that was, too.
        expected, before = stored.written, stored.task
        try:
            after = step(before, self._clock.now_in_millis())
        except IllegalTransition as error:  # close() ended it, and the training was not over yet
            raise TaskGone(before.state.value) from error
        while True:
            try:
                written = self._tasks.update(stored.task_id, before, after, expected)
            except IndexNotFound as error:
                raise TaskGone from error
            except UpstreamError as error:
                if error.status not in (404, 409):
                    raise
                if not self._tasks.patiently(lambda: self._registry.owns(stored.live)):
                    raise TaskGone from error
                found = self._tasks.patiently(lambda: self._tasks.position(stored.task_id))
                if found is None or found.state not in OPEN_STATES:
                    raise TaskGone(found.state if found is not None else None) from error
                expected = found.written
            else:
                stored.task = after
                stored.written = written
                return

    def store_model(self, stored: Stored, model: MLModel) -> None:
        """Store the model of a training; it stays only if the task comes to be COMPLETED.

        Raises:
            TaskPluginError: OpenSearch refuses it, or the service stops.
        """
        had_one, stored.has_model = stored.has_model, True
        try:
            self._models.create(stored.model_id, model, patient=True)
        except UpstreamError as error:
            if error.status != 409:
                raise
            stored.has_model = had_one  # another process stored it, whose it is unless that had the task before

    def complete(self, stored: Stored) -> None:
        """Write down that a task has its model.

        Raises:
            TaskGone, TaskPluginError: as `write` does.
        """
        self.write(stored, lambda task, now: task.completed(stored.model_id, now))
        response = {"model_id": stored.model_id, "task_id": stored.task_id, "status": TaskState.COMPLETED.value}
        self._registry.end(stored.live, TaskState.COMPLETED, Outcome(response=response))

    def fail(self, stored: Stored, reason: str, kind: str = "exception") -> None:
        """End a task as FAILED; one that has ended is left as it is."""
        try:
            self.write(stored, lambda task, now: task.failed(reason, now))
        except TaskGone as gone:
            self.drop(stored, gone.state)
            return
        except TaskPluginError as error:
            log.error("task %s could not be ended as FAILED (%s): %s", stored.task_id, reason, error)  # noqa: TRY400
            self._registry.leave(stored.live)  # once it is said to be over, nobody would look for it
            return
        self._discard_model(stored)
        self._registry.end(stored.live, TaskState.FAILED, Outcome(error={"type": kind, "reason": reason}))

    def end_if_nobody_has(self, stored: Stored, reason: str) -> None:
        """End a task that was taken over before it was stored: who did that found none, and will not look again."""
        failed = stored.task.failed(reason, self._clock.now_in_millis())
        try:
            if self._tasks.patiently(lambda: self._registry.owns(stored.live)):
                return
            self._tasks.update(stored.task_id, stored.task, failed, stored.written)
        except TaskPluginError as error:
            if error.status not in (404, 409):  # or it was found
                log.error("task %s, which may be nobody's, could not be ended: %s", stored.task_id, error)  # noqa: TRY400

    def drop(self, stored: Stored, state: str | None) -> None:
        """Leave nothing of a training whose task was deleted, or ended as `state`, or taken over, by somebody else."""
        if stored.live.is_lost:
            log.info("task %s is another process's; its training here is dropped", stored.task_id)
            self._leave_model_to_heir(stored)
            return
        log.info("task %s is %s; its training is dropped", stored.task_id, state or "gone")
        stored.live.cancel(self._clock.now_in_millis())
        if state == TaskState.COMPLETED.value:
            self._leave_model_to_heir(stored)
        else:
            self._discard_model(stored)
        outcome = {"type": "resource_not_found_exception", "reason": "the ML task was deleted while it ran"}
        if state == TaskState.CANCELLED.value:
            outcome = {"type": TaskCancelled.type, "reason": f"task cancelled: {CANCELLED_BY}"}
        elif state is not None:
            outcome = {"type": "exception", "reason": f"the ML task was ended as {state}"}
        self._registry.end(stored.live, TaskState.CANCELLED, Outcome(error=outcome))

    def say_cancelled(self, stored: Stored) -> None:
        """Have the stored task say it too: one that was cancelled while it was being stored does not yet."""
        if stored.task.state not in TRANSITIONS or stored.live.is_lost:  # close() ended it, or it is not ours
            return
        try:
            self._tasks.cancel([stored.task_id], self._clock.now_in_millis())
        except TaskPluginError as error:
            log.error("task %s could not be ended as CANCELLED: %s", stored.task_id, error)  # noqa: TRY400

    def _discard_model(self, stored: Stored) -> None:
        if stored.has_model:
            discard(self._models, stored.model_id)

    def _leave_model_to_heir(self, stored: Stored) -> None:
        """Keep the model for the process that has the task now, unless that has ended it without one.

        Both store it under the same id. One that ends a task without a model deletes it, but maybe before ours came.
        """
        if not stored.has_model:
            return
        try:
            found = self._tasks.position(stored.task_id)
        except TaskPluginError as error:
            log.error("what became of task %s is not known, its model stays: %s", stored.task_id, error)  # noqa: TRY400
            return
        if found is None or (found.state not in OPEN_STATES and found.model_id != stored.model_id):
            discard(self._models, stored.model_id)


def discard(models: ModelStore, model_id: str) -> None:
    """Delete a model that nobody was told of."""
    try:
        models.discard(model_id)
    except TaskPluginError as error:
        log.error("model %s of a dropped training stays: %s", model_id, error)  # noqa: TRY400
