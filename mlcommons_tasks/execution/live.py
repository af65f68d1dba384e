"""A training of this process while it runs: what its entry in `_tasks` says, and how it is told to stop."""

from __future__ import annotations

import dataclasses
import threading

from mlcommons_tasks.cancellation import Cancellation
from mlcommons_tasks.cluster_task import ClusterTask, Outcome, Recipe, Stage
from mlcommons_tasks.execution.progress import Progress, Reported
from mlcommons_tasks.task import TaskState
from mlcommons_tasks.wire.cluster_tasks import NANOS_PER_MILLI


class LiveTask:
    """The one record of it that changes; what others see are snapshots.

    `recipe` is what another process would need to end it, None for a training whose caller waits.
    """

    def __init__(self, task: ClusterTask, recipe: Recipe | None = None) -> None:
        self.recipe = recipe
        self.is_lost = False  #: whether another process has it now: nothing is written of it here any more
        self.cancellation = Cancellation()
        self.ended_event = threading.Event()
        self._lock = threading.Lock()
        self._task = task
        self._reported: Reported | None = None

    @property
    def key(self) -> str:
        """Its id as text."""
        return str(self._task.id)

    def snapshot(self) -> ClusterTask:
        """Return what it is at the moment."""
        with self._lock:
            return self._with(self._reported.read()) if self._reported is not None else self._task

    def enter(self, stage: Stage, now: int, rows: int | None = None) -> None:
        """Begin a stage; `rows` says how many were read."""
        with self._lock:
            if self._task.completed:
                return
            rows = self._task.rows if rows is None else rows
            self._task = dataclasses.replace(self._task, stage=stage, stage_start_time=now, rows=rows)

    def running(self) -> None:
        """Say that the ML task is RUNNING, unless it has ended meanwhile."""
        with self._lock:
            if self._task.state == TaskState.CREATED.value:
                self._task = dataclasses.replace(self._task, state=TaskState.RUNNING.value)

    def lose(self) -> None:
        """Stop work on it that another process has taken over."""
        self.is_lost = True
        self.cancellation.cancel()

    def cancel(self, now: int) -> bool:
        """Tell it to stop; False if it has ended."""
        with self._lock:
            if self._task.completed:
                return False
            if self._task.cancellation_time is not None:
                return True
            self._task = dataclasses.replace(self._task, cancellation_time=now, state=TaskState.CANCELLED.value)
        self.cancellation.cancel()
        return True

    def end(self, state: TaskState, outcome: Outcome, now: int) -> bool:
        """Say what became of it; False if that was said before."""
        with self._lock:
            if self._task.completed:
                return False
            took = max(1, now - self._task.start_time) * NANOS_PER_MILLI
            self._task = dataclasses.replace(
                self._task, state=state.value, stage=None, outcome=outcome, running_time_in_nanos=took
            )
        self.ended_event.set()
        return True

    def began(self, reported: Reported) -> None:
        """Take note of where its job reports."""
        with self._lock:
            self._reported = reported

    def ended(self) -> None:
        """Keep what its job reported last."""
        with self._lock:
            if self._reported is not None:
                self._task, self._reported = self._with(self._reported.read()), None

    def _with(self, progress: Progress) -> ClusterTask:
        if not progress.iterations:
            return self._task
        return dataclasses.replace(
            self._task,
            iteration=progress.iteration,
            iterations=progress.iterations,
            cpu_time_in_nanos=progress.cpu_time_in_nanos,
        )
