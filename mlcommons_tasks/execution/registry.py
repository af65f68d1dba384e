"""The trainings of this process, and how the other replicas hear of them.

Two threads, started with the first training: one writes what changed, all of it in one request; one looks twice a
second whether another replica cancelled something, writes how far trainings are, and says that this process lives.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

from mlcommons_tasks.clock import Clock, SystemClock
from mlcommons_tasks.cluster_task import TRAIN_ACTION, ClusterTask, Outcome, Recipe, TaskId
from mlcommons_tasks.errors import TaskPluginError
from mlcommons_tasks.execution.lease import LEASE_S, Lease, new_owner
from mlcommons_tasks.execution.live import LiveTask
from mlcommons_tasks.execution.numbers import Numbers
from mlcommons_tasks.execution.rounds import noted
from mlcommons_tasks.store.batches import LINGER_S
from mlcommons_tasks.store.cluster_tasks import ClusterTaskStore, task_changes, task_document
from mlcommons_tasks.store.connection import until_it_counts
from mlcommons_tasks.store.documents import CREATE_DEADLINE_S, WRITE_DEADLINE_S
from mlcommons_tasks.task import TaskState

log = logging.getLogger(__name__)

LOOK_S = 0.5  #: how often this process looks for cancellations
CLOSE_S = 5.0  #: how long the end waits for an OpenSearch that hangs
AGAIN_S = 4.0  #: when what OpenSearch did not take is written once more


class Registry:
    """Every training of this process, from its request to its end."""

    def __init__(self, store: ClusterTaskStore, clock: Clock, lease_s: float = LEASE_S) -> None:
        self.owner = new_owner()
        self.lease = Lease(self.owner, clock, lease_s)
        self._store = store
        self._clock = clock
        self._numbers = Numbers()
        self._machine = SystemClock()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._live: dict[str, LiveTask] = {}
        self._announced: dict[str, ClusterTask] = {}  #: what others know, or will with the next write
        self._whole: dict[str, dict[str, Any]] = {}
        self._part: dict[str, dict[str, Any]] = {}
        self._gone: set[str] = set()
        self._writing: set[str] = set()
        self._failed: set[str] = set()  #: what OpenSearch did not take
        self._again_at = 0.0  #: when that is written once more
        self._threads: list[threading.Thread] = []
        self._left: set[str] = set()  #: what is this process's by its documents, and nobody works on
        self._closing = threading.Event()
        self._idle = threading.Condition(self._lock)

    def open(
        self,
        node: str,
        description: str,
        headers: Mapping[str, str],
        ml_task_id: str | None = None,
        recipe: Recipe | None = None,
        action: str = TRAIN_ACTION,
    ) -> LiveTask:
        """Take up a training that waits, or with no `ml_task_id` runs at once while its caller waits."""
        now = self._clock.now_in_millis()
        state = TaskState.CREATED if ml_task_id else TaskState.RUNNING
        live = LiveTask(
            ClusterTask(
                id=TaskId(node, self._numbers.next(self._machine.now_in_millis())),  # whatever the clock was set to
                description=description,
                headers=dict(headers),
                start_time=now,
                owner=self.owner,
                ml_task_id=ml_task_id,
                state=state.value,
                action=action,
            ),
            recipe,
        )
        self._take_up(live)
        return live

    def adopt(self, task: ClusterTask, recipe: Recipe | None) -> LiveTask:
        """Take up a training of another process, as its document says already."""
        live = LiveTask(task, recipe)
        with self._lock:
            self._announced[live.key] = task
        self._take_up(live)
        return live

    def _take_up(self, live: LiveTask) -> None:
        with self._lock:
            self._live[live.key] = live
            self._start_threads()
            self._changed.notify_all()

    def owns(self, live: LiveTask) -> bool:
        """Say whether a training is still of this process; one that is not is given up.

        Raises:
            StoreUnavailable, UpstreamError: OpenSearch does not say.
        """
        if not live.is_lost and self._store.owners_of([live.key]).get(live.key, self.owner) != self.owner:
            self.lose(live)
        return not live.is_lost

    def lose(self, live: LiveTask) -> None:
        """Give up a training that another process has taken over, or shall: no more is written of it here."""
        with self._lock:
            live.is_lost = True
            if self._live.get(live.key) in (live, None):  # it may have come back to this process, as another record
                for known in (self._live, self._announced, self._whole, self._part):
                    known.pop(live.key, None)
                self._failed.discard(live.key)
                self._idle.notify_all()
        log.info("training %s is another process's now", live.key)
        live.lose()

    def leave(self, live: LiveTask) -> None:
        """Give up a training that is still this process's: whoever looks for what is left behind goes on with it."""
        self.lose(live)
        self.leave_all([live.key])

    def leave_all(self, keys: Iterable[str]) -> None:
        """Take note of trainings that may be this process's by their documents, and that nobody works on."""
        with self._lock:
            self._left.update(keys)

    def left(self) -> set[str]:
        """Return those, and forget them."""
        with self._lock:
            left, self._left = self._left - self._live.keys(), set()
        return left

    def announce(self, live: LiveTask) -> None:
        """Let the other replicas know of a training; `await_written` waits until they do."""
        with self._lock:
            self._announce(live)
            self._changed.notify_all()

    def await_written(self, live: LiveTask, timeout_s: float = CREATE_DEADLINE_S) -> bool:
        """Return once what is to be said of a training is written, False if that failed or took too long."""
        with self._lock:
            tried = self._idle.wait_for(
                lambda: not any(live.key in unwritten for unwritten in (self._whole, self._part, self._writing)),
                timeout=timeout_s,
            )
            return tried and live.key not in self._failed

    def forget(self, live: LiveTask) -> None:
        """Drop a training that never was."""
        with self._lock:
            self._drop(live.key)
            self._changed.notify_all()
        live.ended_event.set()

    def changed(self, live: LiveTask) -> None:
        """Let the other replicas know how far a training is."""
        with self._lock:
            if self._note_changes(live):
                self._changed.notify_all()

    def end(self, live: LiveTask, state: TaskState, outcome: Outcome) -> None:
        """Say what became of a training. One that has an ML task keeps its result, the others leave nothing."""
        with self._lock:  # which the writer needs to leave it to its document
            if live.is_lost or not live.end(state, outcome, self._clock.now_in_millis()):
                return
            if live.snapshot().ml_task_id is None:
                self._drop(live.key)
            else:
                self._note_changes(live)
            self._changed.notify_all()

    def find(self, task_id: TaskId) -> LiveTask | None:
        """Return a training of this process that runs, or whose end is not written yet."""
        with self._lock:
            return self._live.get(str(task_id))

    @property
    def has_running(self) -> bool:
        """Whether there is a training whose end is not written."""
        return bool(self._live)

    def snapshots(self) -> dict[str, ClusterTask]:
        """Return the trainings of this process as they are, by their ids; some may have ended just now."""
        with self._lock:
            found = list(self._live.values())
        return {live.key: live.snapshot() for live in found}

    def heed(self, tasks: Iterable[ClusterTask]) -> None:
        """Obey the cancellations of trainings of this process, as OpenSearch has them."""
        for task in tasks:
            if task.cancellation_time is not None:
                self._cancel_if_here(str(task.id), task.cancellation_time)

    def close(self) -> None:
        """Write what is left, and say no more that this process lives."""
        with self._lock:
            self._closing.set()
            self._write_failed()
            self._changed.notify_all()
            threads = list(self._threads)
        for thread in threads:
            thread.join(CLOSE_S)
        if self.lease.was_taken:
            with self._lock:  # callers of some may wait still
                left = [key for key, task in self._announced.items() if task.ml_task_id is None]
            with contextlib.suppress(TaskPluginError):
                self._store.write({}, {}, [self.owner, *left])

    def _announce(self, live: LiveTask) -> None:
        task = live.snapshot()
        self._announced[live.key] = task
        self._whole[live.key] = task_document(task, live.recipe)

    def _drop(self, key: str) -> None:
        self._live.pop(key, None)
        if self._announced.pop(key, None) is not None:
            self._whole.pop(key, None)
            self._part.pop(key, None)
            self._gone.add(key)

    def _note_changes(self, live: LiveTask) -> bool:
        """Note for the next write in what a training differs from what others know; say whether it does."""
        if live.is_lost:
            return False
        before, after = self._announced.get(live.key), live.snapshot()
        if before is None:
            if after.completed:
                self._announce(live)
            return after.completed
        if after == before:
            return False
        self._announced[live.key] = after
        # an update would lose the order of keys in a result
        if after.completed or live.key in self._whole or live.key in self._failed:
            self._part.pop(live.key, None)
            self._whole[live.key] = task_document(after, live.recipe)
            return True
        self._part.setdefault(live.key, {"task": {}})["task"].update(task_changes(before, after))
        return True

    def _start_threads(self) -> None:
        if self._threads or self._closing.is_set():
            return
        for name, work in (("registry-writer", self._write), ("registry-watcher", self._watch)):
            thread = threading.Thread(target=work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def _write(self) -> None:
        is_crowded = False
        while True:
            with self._lock:
                self._changed.wait_for(lambda: self._whole or self._part or self._gone or self._closing.is_set())
            if is_crowded:
                self._closing.wait(LINGER_S)
            with self._lock:
                if not (self._whole or self._part or self._gone):
                    return
                whole, part, gone = self._whole, self._part, self._gone
                self._whole, self._part, self._gone = {}, {}, set()
                self._writing = set(whole) | set(part)
                if self.lease.is_short:
                    whole[self.owner] = self.lease.renewed()
                is_crowded = len(whole) + len(part) + len(gone) > 1
            written = False
            with noted(log, "what runs here could not be written for the other replicas"):
                until_it_counts(
                    lambda whole=whole, part=part, gone=gone: self._attempt(whole, part, gone),  # type: ignore[misc]
                    deadline_s=WRITE_DEADLINE_S,
                    closing=self._closing,
                )
                written = True
            with self._lock:
                if written:
                    self._failed -= self._writing
                else:
                    self._failed |= self._writing | gone
                    self._again_at = time.monotonic() + AGAIN_S
                    self._changed.notify_all()
                self._writing = set()
                self._forget_ended()
                self._idle.notify_all()

    def _attempt(self, whole: dict[str, Any], part: dict[str, Any], gone: set[str]) -> None:
        """Write what is still ours: attempts may lie further apart than a lease is long."""
        began = time.monotonic()
        for key in self._let_go_of_lost():
            whole.pop(key, None)
            part.pop(key, None)
        if renews := self.owner in whole:
            whole[self.owner] = self.lease.renewed()
        self._store.write(whole, part, gone)
        if renews:
            self.lease.told_at = began

    def _let_go_of_lost(self) -> set[str]:
        """Give up the trainings that others took over while this process could not say that it lives; return them.

        Raises:
            StoreUnavailable, UpstreamError: OpenSearch does not say whose they are.
        """
        if not self.lease.may_be_over:
            return set()
        with self._lock:
            known = {key: self._live[key] for key in self._announced.keys() & self._live.keys()}
        owners = self._store.owners_of(known) if known else {}
        lost = {key for key, owner in owners.items() if owner != self.owner}
        for key in lost:
            self.lose(known[key])
        return lost

    def _forget_ended(self) -> None:
        """Leave those to their documents whose end is written."""
        for key, live in list(self._live.items()):
            pending = key in self._whole or key in self._part or key in self._failed
            if not pending and live.snapshot().completed:
                self._live.pop(key)
                self._announced.pop(key, None)

    def _write_failed(self) -> None:
        """Have what OpenSearch did not take written once more, as it is by now."""
        for key in self._failed:
            live = self._live.get(key)
            if live is None:
                self._gone.add(key)
            else:
                self._announce(live)
        self._failed.clear()

    def _watch(self) -> None:
        while True:
            with self._lock:
                self._changed.wait_for(lambda: self._live or self._failed or self._closing.is_set())
            if self._closing.wait(min(LOOK_S, self.lease.renew_s / 2)):  # what is over by then is never announced
                return
            with self._lock:
                running = [live for live in self._live.values() if not live.snapshot().completed]
                late = bool(self._failed) and time.monotonic() >= self._again_at
                if late:
                    self._write_failed()
                for live in running:
                    if live.key not in self._announced:
                        self._announce(live)
                        late = True
                    else:
                        late |= self._note_changes(live)
                if running and self.lease.is_due:
                    self._whole[self.owner] = self.lease.renewed()
                    late = True
                if late:
                    self._changed.notify_all()
            if running:
                with noted(log, "cancellations of other replicas could not be read"):
                    for key, moment in self._store.cancelled_of(self.owner).items():
                        self._cancel_if_here(key, moment)

    def _cancel_if_here(self, key: str, moment: int) -> None:
        with self._lock:
            live = self._live.get(key)
        if live is not None:
            live.cancel(moment)
