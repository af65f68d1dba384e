"""The life cycle of tasks under everything that can happen to replicas, as rules for hypothesis.

Replicas run in this process, each with a line of its own to stores that all share: a line can be held (a partition, or
a process that is stopped) or cut for good (a process that is killed). `World` says what the stores are: doubles, or
those of a real node.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Protocol, cast

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mlcommons_tasks.clock import SystemClock
from mlcommons_tasks.errors import StatusError
from mlcommons_tasks.execution import handover
from mlcommons_tasks.execution.cluster_tasks import ClusterTasks
from mlcommons_tasks.execution.handover import Handover
from mlcommons_tasks.execution.queue import Queue
from mlcommons_tasks.execution.recovery import Recovery
from mlcommons_tasks.execution.registry import Registry
from mlcommons_tasks.execution.runner import TaskRunner
from mlcommons_tasks.model import MLModel
from mlcommons_tasks.wire.ml_input import MLInput, SearchQueryDataset
from tests.services import wait_until
from tests.unit.doubles import Membership, Trainer, inline

LEASE_S = 0.4
SETTLED_S = 30.0
RANKS = {"CREATED": 0, "RUNNING": 1, "COMPLETED": 2, "FAILED": 2, "CANCELLED": 2}
BY_QUERY = MLInput("KMEANS", None, SearchQueryDataset(("rows",), {"query": {"match_all": {}}}))


class World(Protocol):
    """The stores, and what is in them."""

    tasks: Any
    models: Any
    index: Any

    def stored_tasks(self) -> dict[str, dict[str, Any]]:
        """Return the sources of all tasks by their ids."""

    def stored_models(self) -> set[str]:
        """Return the ids of all models."""

    def delete_task(self, task_id: str) -> dict[str, Any]:
        """Delete a task as a user does; return what it was like at that moment, nothing if it was gone."""

    def unfinished(self) -> int:
        """Return how many traces of trainings say that these have not ended."""

    def close(self) -> None:
        """Leave nothing."""


class Line:
    """A replica's way to one store."""

    def __init__(self, store: Any, replica: Replica) -> None:
        self._store = store
        self._replica = replica

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not callable(found) or name in ("close", "new_id"):
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            with self._replica.on_line():
                answer = found(*arguments, **named)
            if name == "claim":
                self._replica.taken += [(time.monotonic(), each.recipe.model_id) for each in answer if each.recipe]
            elif name == "create" and isinstance(arguments[1], MLModel):
                self._replica.stored += [(time.monotonic(), arguments[0])]
            return answer

        return call


class Replica:
    """One process of the service, as far as it has to do with tasks."""

    def __init__(self, world: World) -> None:
        self.is_open = threading.Event()
        self.is_open.set()
        self.is_dead = False
        self.calls = 0
        self.call_ended = threading.Condition()
        self.taken: list[tuple[float, str]] = []  #: when it took over trainings, by the ids of their models
        self.stored: list[tuple[float, str]] = []  #: when it stored models
        self.work = threading.Event()
        self.work.set()
        tasks, models, index = (cast(Any, Line(each, self)) for each in (world.tasks, world.models, world.index))
        self.registry = Registry(index, SystemClock(), LEASE_S)
        membership = cast(Any, Membership())
        self.cluster = ClusterTasks(self.registry, membership, index, tasks, SystemClock())
        trainer = cast(Any, Trainer(fitting=self.fit))
        self.runner = TaskRunner(
            tasks,
            models,
            trainer,
            self.registry,
            membership,
            lambda: "node",
            SystemClock(),
            queue=Queue(3),
            handover=Handover(index, self.registry),
        )
        self.recovery = Recovery(index, self.registry, tasks, models, self.runner, SystemClock(), LEASE_S)
        self.recovery.start()

    @contextmanager
    def on_line(self) -> Iterator[None]:
        """Make a call: it waits while the line is held, and fails once that is cut."""
        self.is_open.wait(SETTLED_S)
        with self.call_ended:
            if self.is_dead:
                raise StatusError("this replica is dead", 500)
            self.calls += 1
        try:
            yield
        finally:
            with self.call_ended:
                self.calls -= 1
                self.call_ended.notify_all()

    def fit(self) -> None:
        """Be at work until that is let go, or the replica dies."""
        self.work.wait(SETTLED_S)

    def kill(self) -> None:
        """Write nothing more than the calls that are under way.

        These are waited for. What a dead process had sent takes no longer than a lease, but a call here is of several
        requests, and a lease short.
        """
        with self.call_ended:
            self.is_dead = True
        self.registry._closing.set()
        self.recovery._closing.set()
        self.runner._closing = True
        self.runner._threads.shutdown(wait=False, cancel_futures=True)
        self.is_open.set()
        self.work.set()
        with self.registry._lock:
            self.registry._changed.notify_all()
        with self.call_ended:
            assert self.call_ended.wait_for(lambda: not self.calls, SETTLED_S), "a call does not end"

    def stop(self) -> None:
        """End as SIGTERM ends a service, at once."""
        self.is_open.set()
        self.recovery.close()
        self.runner.close(0)
        self.registry.close()
        self.is_dead = True
        self.work.set()


class LifeCycle(RuleBasedStateMachine):
    """What can happen, in any order; what must hold at the end whatever it was."""

    world_of: ClassVar[Callable[[], World]]
    accepted = Bundle("accepted")

    @initialize()
    def begin(self) -> None:
        """Have two replicas over empty indices."""
        self.patience_s, handover.PATIENCE_S = handover.PATIENCE_S, LEASE_S  # as one is waited for, all are
        self.world = type(self).world_of()
        self.replicas = [Replica(self.world), Replica(self.world)]
        self.seen: dict[str, str] = {}
        self.completed: dict[str, str] = {}
        self.deleted: set[str] = set()

    @property
    def living(self) -> list[Replica]:
        """Those that answer at the moment."""
        return [each for each in self.replicas if not each.is_dead and each.is_open.is_set()]

    def one(self, number: int) -> Replica:
        """Choose one of those that answer."""
        return self.living[number % len(self.living)]

    @precondition(lambda self: self.living)
    @rule(target=accepted, number=st.integers(0, 2), is_inline=st.booleans(), count=st.integers(1, 4))
    def train(self, number: int, is_inline: bool, count: int) -> Any:
        """Start trainings at one replica."""
        replica = self.one(number)
        ml_input = inline() if is_inline else BY_QUERY
        return multiple(*[replica.runner.train_async(ml_input, {}, {}) for _ in range(count)])

    @rule()
    def poll(self) -> None:
        """See where all tasks are: none goes back."""
        self.note(self.world.stored_tasks())

    @precondition(lambda self: self.living)
    @rule(number=st.integers(0, 2), works=st.booleans())
    def let_work(self, number: int, works: bool) -> None:
        """Hold a replica's trainings at their work, or let them go on."""
        replica = self.one(number)
        replica.work.set() if works else replica.work.clear()

    @precondition(lambda self: self.living)
    @rule(number=st.integers(0, 2))
    def hold(self, number: int) -> None:
        """Stop a process, or cut it off for a while."""
        self.one(number).is_open.clear()

    @precondition(lambda self: len(self.living) > 1)
    @rule(
        target=accepted,
        number=st.integers(0, 2),
        is_inline=st.booleans(),
        count=st.integers(1, 4),
        after_ms=st.integers(0, 20),
    )
    def oversleep(self, number: int, is_inline: bool, count: int, after_ms: int) -> Any:
        """Stop a process in the midst of its work, until another has taken that over."""
        replica = self.one(number)
        replica.work.set()
        ml_input = inline() if is_inline else BY_QUERY
        task_ids = [replica.runner.train_async(ml_input, {}, {}) for _ in range(count)]
        time.sleep(after_ms / 1000)
        replica.is_open.clear()
        self.outlast_leases()
        replica.is_open.set()
        return multiple(*task_ids)

    @rule()
    def outlast_leases(self) -> None:
        """Let the leases of those that are held run out."""
        time.sleep(LEASE_S * 2)

    @precondition(lambda self: any(not each.is_open.is_set() for each in self.replicas))
    @rule()
    def release(self) -> None:
        """Let all go on that are held."""
        for replica in self.replicas:
            replica.is_open.set()

    @precondition(lambda self: self.living)
    @rule(number=st.integers(0, 2))
    def kill(self, number: int) -> None:
        """Kill a process."""
        self.one(number).kill()

    @precondition(lambda self: self.living)
    @rule(number=st.integers(0, 2))
    def stop(self, number: int) -> None:
        """Stop a service."""
        self.one(number).stop()

    @precondition(lambda self: len(self.living) < 3)
    @rule()
    def start(self) -> None:
        """Start one more."""
        self.replicas.append(Replica(self.world))

    @precondition(lambda self: self.living)
    @rule(number=st.integers(0, 2))
    def cancel(self, number: int) -> None:
        """Cancel whatever runs, at one replica."""
        cluster = self.one(number).cluster
        cluster.cancel(cluster.running())

    @rule(task_id=consumes(accepted))
    def delete(self, task_id: str) -> None:
        """Delete a task, wherever it is."""
        self.note({task_id: self.world.delete_task(task_id)})
        self.deleted.add(task_id)

    def note(self, tasks: dict[str, dict[str, Any]]) -> None:
        """Take down states, each of which must follow from the one before."""
        for task_id, source in tasks.items():
            if not source:
                continue
            state, before = source["state"], self.seen.get(task_id, "CREATED")
            assert state == before or RANKS[state] > RANKS[before], f"{task_id} went from {before} to {state}"
            self.seen[task_id] = state
            if state == "COMPLETED":
                self.completed[task_id] = source["model_id"]

    def teardown(self) -> None:
        """Let everything go on: then every task ends, with its model or with a reason, and nothing else is left."""
        if not hasattr(self, "world"):
            return
        try:
            self.settle()
        finally:
            for replica in self.replicas:
                if not replica.is_dead:
                    replica.stop()
            handover.PATIENCE_S = self.patience_s
            self.world.close()

    def settle(self) -> None:
        """Wait for the ends, and look at what there is."""
        for replica in self.replicas:
            replica.is_open.set()
            replica.work.set()
        if not self.living:
            self.replicas.append(Replica(self.world))

        def is_over() -> bool:
            tasks = self.world.stored_tasks()
            self.note(tasks)
            return all(RANKS[each["state"]] == 2 for each in tasks.values()) and not self.world.unfinished()

        wait_until(is_over, deadline_s=SETTLED_S, what="the end of all tasks")
        wait_until(
            lambda: not any(each.runner.has_open for each in self.living),
            deadline_s=SETTLED_S,
            what="the end of all work",
        )
        tasks = self.world.stored_tasks()
        self.note(tasks)
        assert not self.deleted & tasks.keys()
        assert all(each.get("error") for each in tasks.values() if each["state"] == "FAILED")
        models, named = self.world.stored_models(), set(self.completed.values())
        assert named <= models
        assert models - named <= self.left_by_the_late()

    def left_by_the_late(self) -> set[str]:
        """Return the models that were stored by who had lost their training, and ended before it saw that.

        Nobody looks for them: whoever took the training over did, before.
        """
        taken = {model_id: at for each in self.replicas for at, model_id in reversed(each.taken)}
        gone = [each for each in self.replicas if each.is_dead]
        return {model_id for each in gone for at, model_id in each.stored if at > taken.get(model_id, math.inf)}


def play(rules: type[LifeCycle], examples: int) -> None:
    """Play the rules so many times, the same ones each time."""
    run_state_machine_as_test(
        rules,
        settings=settings(
            max_examples=examples,
            stateful_step_count=14,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
            phases=[Phase.generate],  # time decides as well: what failed may not fail again, and smaller
        ),
    )
