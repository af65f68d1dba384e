"""Takes over the trainings of processes that are gone, so that each of their tasks ends.

A process says for as long as it has trainings that it lives. One that has stopped saying so is taken for dead, by a
look at its own silence as well as at the clock, for the clocks of two machines differ. It may still come back: its
task is written once by who takes it over, and what the other writes after that is refused.

Where the clock is one that is moved, nobody is silent while it stands, and a move ends no lease by itself: who lives
answers it (`lease`), and only a process that does not is dead.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import monotonic
from typing import Any, TypeVar

from mlcommons_tasks.clock import Clock
from mlcommons_tasks.cluster_task import Outcome
from mlcommons_tasks.errors import TaskPluginError
from mlcommons_tasks.execution.lease import LEASE_S, answer_within_s
from mlcommons_tasks.execution.live import LiveTask
from mlcommons_tasks.execution.registry import Registry
from mlcommons_tasks.execution.rounds import Rounds, noted
from mlcommons_tasks.execution.runner import TaskRunner
from mlcommons_tasks.execution.silence import Listener
from mlcommons_tasks.execution.states import OPEN_STATES, Stored
from mlcommons_tasks.store.cluster_tasks import MOST_RUNNING, NOBODY, ClusterTaskStore, Unfinished, owner_document
from mlcommons_tasks.store.connection import SPREAD, until_it_counts
from mlcommons_tasks.store.models import ModelStore
from mlcommons_tasks.store.tasks import TaskStore
from mlcommons_tasks.task import FunctionName, InputType, MLTask, TaskState
from mlcommons_tasks.wire.ml_input import parse_ml_input

log = logging.getLogger(__name__)

Result = TypeVar("Result")
LOOKS = 5  #: how often in the time of a lease a process looks for trainings of the dead
LOOK_S = 1.0  #: how often it looks where others may hand over theirs
AT_A_TIME = 100  #: trainings taken over with one request: other processes want some too
CLOSE_S = 2.0  #: how long the end waits for a takeover: the trainings of this process have to be ended as well
THREADS = 32  #: that do so: their writes go together
UNKNOWN = "what it trained is not known"
UNREADABLE = "what was written down of it cannot be read"


class Recovery:
    """Looks for trainings that nobody works on any more."""

    def __init__(
        self,
        store: ClusterTaskStore,
        registry: Registry,
        tasks: TaskStore,
        models: ModelStore,
        runner: TaskRunner,
        clock: Clock,
        lease_s: float = LEASE_S,
    ) -> None:
        self._store = store
        self._registry = registry
        self._tasks = tasks
        self._models = models
        self._runner = runner
        self._clock = clock
        self._lease_s = lease_s
        failures = partial(
            noted,
            log,
            "whether trainings were left behind could not be found out",
            level=logging.INFO,
            defect="trainings that were left behind could not be taken over",
        )
        self._rounds = Rounds("recovery", self.look, self._pause, failures, clock)
        self._closing = self._rounds.closing
        self._listener = Listener(clock, lease_s, answer_within_s(lease_s), monotonic())
        self._pause_s = min(LOOK_S, lease_s / LOOKS)

    def start(self) -> None:
        """Begin to look, in a thread."""
        self._rounds.start()

    def close(self) -> None:
        """Take over no more."""
        self._rounds.close(min(CLOSE_S, self._lease_s))

    def _pause(self) -> float:
        return self._pause_s * SPREAD.uniform(0.8, 1.0)  # no two at once

    def look(self) -> None:
        """Take over what is left behind, if anything.

        Raises:
            StoreUnavailable, UpstreamError: OpenSearch does not say.
        """
        self._take_what_was_left()
        leases, busy = self._store.leases()
        others = (leases.keys() | busy) - {self._registry.owner}
        self._pause_s = min(LOOK_S, self._lease_s / LOOKS) if others else self._lease_s / LOOKS
        dead = self._listener.dead(leases, busy - {NOBODY, self._registry.owner}, monotonic()) | (busy & {NOBODY})
        while dead and not self._closing.is_set() and self._take_some(dead):
            pass

    def _take_some(self, dead: set[str]) -> bool:
        """Take over some trainings; say whether there may be more."""
        found = self._store.unfinished_of(dead, AT_A_TIME * 4)
        if not found:
            return False
        self._take(SPREAD.sample(found, min(AT_A_TIME, len(found))))  # others look at the same time
        return True

    def _take_what_was_left(self) -> None:
        """Go on with what this process took over, or could not end, when OpenSearch failed it."""
        left = self._registry.left()
        try:
            while left and not self._closing.is_set():
                found = self._store.unfinished_of([self._registry.owner], MOST_RUNNING)
                some = [each for each in found if each.document_id in left][:AT_A_TIME]
                left = left & {each.document_id for each in found} - {each.document_id for each in some}
                self._take(some)
        except BaseException:
            self._registry.leave_all(left)
            raise

    def _take(self, chosen: list[Unfinished]) -> None:
        owners = {each.document_id: each.task.owner for each in chosen}
        lease_until = self._clock.now_in_millis() + int(self._lease_s * 1000)
        name = self._registry.owner
        self._store.write({name: owner_document(name, lease_until)}, {}, ())  # or others may take it for dead as well
        try:
            taken = self._store.claim(chosen, self._registry.owner)
        except BaseException:
            self._registry.leave_all(owners)  # some may be ours now: an answer is lost more easily than a write
            raise
        if taken:
            log.warning("%d trainings of %s are taken over", len(taken), ", ".join(sorted(set(owners.values()))))
            with ThreadPoolExecutor(min(THREADS, len(taken)), thread_name_prefix="take-over") as threads:
                list(threads.map(lambda each: self._take_over(each, owners[each.document_id]), taken))

    def _take_over(self, training: Unfinished, owner: str) -> None:
        live = self._registry.adopt(training.task, training.recipe)
        try:
            if training.task.ml_task_id is None:
                self._registry.end(live, TaskState.FAILED, Outcome())  # its caller went with its process
            else:
                self._go_on(live, training.task.ml_task_id, owner)
        except TaskPluginError as error:
            log.warning("training %s is left to whoever comes next: %s", live.key, error)
            self._registry.leave(live)
        except Exception:
            log.exception("training %s could not be taken over", live.key)
            self._registry.leave(live)

    def _go_on(self, live: LiveTask, task_id: str, owner: str) -> None:
        """Do what is left to do for a task.

        Raises:
            TaskPluginError: the service stops, and OpenSearch is away.
        """
        found = self._patiently(lambda: self._tasks.find(task_id))
        recipe = live.recipe
        if found is None or found[0].get("state") not in OPEN_STATES:
            self._note_end(live, found[0] if found is not None else None)
            return
        task = _task_of(found[0], self._clock.now_in_millis())
        stored = Stored(task_id, task, found[1], live, recipe.model_id if recipe else "", has_model=recipe is not None)
        if not self._runner.fence(stored):
            return
        if recipe is not None and self._patiently(lambda: self._models.exists(recipe.model_id)):
            self._runner.finish(stored)
        elif recipe is not None and recipe.body is not None:
            try:
                ml_input = parse_ml_input(recipe.algorithm, recipe.body.encode())
            except Exception as error:
                log.exception("task %s was written down as nobody can read it", task_id)
                self._runner.give_up(
                    stored, f"replica {owner} stopped before the training ended, and {UNREADABLE}: {error}"
                )
            else:
                self._runner.resume(stored, ml_input)
        else:
            obstacle = (recipe.obstacle if recipe else None) or UNKNOWN
            self._runner.give_up(stored, f"replica {owner} stopped before the training ended, and {obstacle}")

    def _note_end(self, live: LiveTask, source: dict[str, Any] | None) -> None:
        """Write down what became of a training whose task was ended, and leave no model that it does not name.

        Of a task that is gone nobody knows whether it named one: it may have been deleted once it was COMPLETED.
        """
        ended = source or {}
        if source is not None and live.recipe is not None and ended.get("model_id") != live.recipe.model_id:
            model_id = live.recipe.model_id
            with contextlib.suppress(TaskPluginError):
                self._models.discard(model_id)
        self._registry.end(live, *_end_of(live, ended))

    def _patiently(self, action: Callable[[], Result]) -> Result:
        return until_it_counts(action, deadline_s=None, closing=self._closing)


def _task_of(source: Mapping[str, Any], now: int) -> MLTask:
    """Return a task for the writes to come, in which only what changes counts: its time does with each."""
    task = MLTask.training(FunctionName.KMEANS, InputType.SEARCH_QUERY, "", 0)
    created = source.get("create_time")
    create_time = created if isinstance(created, int) else now
    return dataclasses.replace(task, state=TaskState(source["state"]), create_time=create_time)


def _end_of(live: LiveTask, source: dict[str, Any]) -> tuple[TaskState, Outcome]:
    task_id = live.snapshot().ml_task_id
    state = source.get("state")
    if state == TaskState.COMPLETED.value:
        response = {"model_id": source.get("model_id"), "task_id": task_id, "status": state}
        return TaskState.COMPLETED, Outcome(response=response)
    if state is None:
        return TaskState.CANCELLED, Outcome(
            error={"type": "resource_not_found_exception", "reason": "the ML task was deleted while it ran"}
        )
    reason = source.get("error") or f"the ML task was ended as {state}"
    return TaskState.FAILED, Outcome(error={"type": "exception", "reason": reason})
