"""The trainings of all replicas: seen, awaited, cancelled and deleted from any of them."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Iterable
from typing import Protocol

from mlcommons_tasks.clock import Clock
from mlcommons_tasks.cluster_task import PLAYED, ClusterTask, TaskId
from mlcommons_tasks.execution.live import LiveTask
from mlcommons_tasks.execution.membership import Membership
from mlcommons_tasks.execution.registry import Registry
from mlcommons_tasks.store.cluster_tasks import ClusterTaskStore
from mlcommons_tasks.store.tasks import TaskStore
from mlcommons_tasks.task import TaskState

log = logging.getLogger(__name__)

ALIVE_S = 1.0  #: how often it is looked whether the processes of such tasks live
LOOK_S = 0.1  #: how often a task that is waited for is looked at, as OpenSearch does


class Played(Protocol):
    """Trainings that scenarios play; `PLAYED` is their owner."""

    def running(self) -> list[ClusterTask]:
        """Return those that are not over."""

    def cancel(self, ml_task_id: str) -> bool:
        """Cancel one; False if it is over."""


class NothingPlayed:
    """None of them, where there is no emulator."""

    def running(self) -> list[ClusterTask]:
        """Return none."""
        return []

    def cancel(self, _ml_task_id: str) -> bool:
        """Cancel none."""
        return False


class ClusterTasks:
    """What the routes of `_tasks` ask."""

    def __init__(
        self,
        registry: Registry,
        membership: Membership,
        store: ClusterTaskStore,
        tasks: TaskStore,
        clock: Clock,
    ) -> None:
        self._registry = registry
        self._membership = membership
        self._store = store
        self._tasks = tasks
        self._clock = clock
        self.played: Played = NothingPlayed()

    def none_runs(self) -> bool:
        """Say whether it is known without a question to OpenSearch that nothing runs anywhere."""
        return self._membership.is_alone() and not self._registry.has_running and not self.played.running()

    def running(self) -> list[ClusterTask]:
        """Return every training that has not ended.

        Raises:
            StoreUnavailable, UpstreamError: those of other replicas could not be read.
        """
        elsewhere: list[ClusterTask] = []
        if not self._membership.is_alone():
            asked_at = time.monotonic()
            stored, owners = self._store.running(self._registry.lease.now_for_others())
            self._membership.saw(owners, asked_at)
            elsewhere = [task for task in stored if task.owner != self._registry.owner]
            self._registry.heed(task for task in stored if task.owner == self._registry.owner)
        here = self._registry.snapshots().values()
        return [task for task in (*here, *elsewhere, *self.played.running()) if not task.completed]

    def get(self, task_id: TaskId) -> ClusterTask | None:
        """Return a training that runs or has ended, None if there is none, or the process that ran it died.

        Raises:
            StoreUnavailable, UpstreamError: it could not be read.
        """
        live = self._registry.find(task_id)
        if live is None and (played := [task for task in self.played.running() if task.id == task_id]):
            return played[0]
        if live is not None and self._membership.is_alone():
            return live.snapshot()
        task = self._store.get(task_id)
        if live is not None:
            if task is not None:
                self._registry.heed([task])
            self._let_others_know(live)
            return live.snapshot()
        if task is None or task.completed or self._store.owner_lives(task.owner, self._registry.lease.now_for_others()):
            return task
        return None

    def wait(self, tasks: Iterable[ClusterTask], until: float) -> list[ClusterTask]:
        """Return those that have not ended once all have, or `time.monotonic()` is past `until`.

        Raises:
            StoreUnavailable, UpstreamError: those of other replicas could not be read.
        """
        left = {str(task.id): task for task in tasks if not task.completed}
        alive_until = 0.0
        while True:
            elsewhere = []
            self._leave_the_played(left)
            for key, task in list(left.items()):
                live = self._registry.find(task.id)
                if task.owner == PLAYED:
                    continue
                if live is None:
                    elsewhere.append(key)
                elif live.ended_event.is_set():
                    self._let_others_know(live)
                    del left[key]
            if elsewhere:
                for key in set(elsewhere) - self._store.unfinished(elsewhere):
                    del left[key]
                if time.monotonic() > alive_until:
                    alive_until = time.monotonic() + ALIVE_S
                    self._leave_the_dead(left)
            rest = until - time.monotonic()
            if not left or rest <= 0:
                return list(left.values())
            self._await_one(next(iter(left.values())), min(rest, LOOK_S))

    def cancel(self, tasks: Iterable[ClusterTask]) -> list[ClusterTask]:
        """Cancel trainings; return those that were, as they are now. One that ended meanwhile stays as it is.

        Raises:
            StoreUnavailable, UpstreamError: OpenSearch did not take it.
        """
        wanted = [task for task in tasks if not task.completed]
        now = self._clock.now_in_millis()
        stored = [task.ml_task_id for task in wanted if task.ml_task_id is not None and task.owner != PLAYED]
        ended = self._tasks.cancel(stored, now) if stored else set()
        cancelled, elsewhere = [], []
        for task in wanted:
            if task.owner == PLAYED:
                ended |= {task.ml_task_id or ""} if self.played.cancel(task.ml_task_id or "") else set()
            if task.ml_task_id is not None and task.ml_task_id not in ended:
                continue
            live = self._registry.find(task.id)
            if task.owner == PLAYED:
                log.info("task %s was played, and is cancelled", task.ml_task_id)
            elif task.owner != self._registry.owner:
                elsewhere.append(str(task.id))
            elif live is None or not live.cancel(now):
                continue
            since = now if task.cancellation_time is None else task.cancellation_time
            cancelled.append(dataclasses.replace(task, cancellation_time=since, state=TaskState.CANCELLED.value))
        if elsewhere:
            self._store.cancel(elsewhere, now)
        return cancelled

    def delete(self, task_id: TaskId) -> bool:
        """Delete the result of a training that has ended; say whether it was there.

        Raises:
            StoreUnavailable, UpstreamError: it could not be deleted.
        """
        live = self._registry.find(task_id)
        if live is not None:
            self._registry.await_written(live)  # or its end would bring it back
        return self._store.delete(task_id)

    def _let_others_know(self, live: LiveTask) -> None:
        """Say of no training that it has ended before the other replicas can see that."""
        if live.ended_event.is_set() and not self._membership.is_alone():
            self._registry.await_written(live)

    def _leave_the_played(self, left: dict[str, ClusterTask]) -> None:
        """Wait no longer for played trainings that are over."""
        if any(task.owner == PLAYED for task in left.values()):
            running = {str(task.id) for task in self.played.running()}
            for key, task in list(left.items()):
                if task.owner == PLAYED and key not in running:
                    del left[key]

    def _leave_the_dead(self, left: dict[str, ClusterTask]) -> None:
        """Wait no longer for trainings whose processes died."""
        now = self._registry.lease.now_for_others()
        owners = {task.owner for task in left.values()} - {self._registry.owner, PLAYED}
        dead = {owner for owner in owners if not self._store.owner_lives(owner, now)}
        for key, task in list(left.items()):
            if task.owner in dead:
                del left[key]

    def _await_one(self, task: ClusterTask, timeout_s: float) -> None:
        live = self._registry.find(task.id)
        if live is not None:
            live.ended_event.wait(timeout_s)
        else:
            time.sleep(timeout_s)
