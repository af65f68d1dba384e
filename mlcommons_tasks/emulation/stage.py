"""One namespace as it is directed: what its scenarios and faults are, its time, its ids, and its end.

Everything that `/_emulator/` can be told of a namespace; knows nothing of HTTP.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from mlcommons_tasks.clock import ClockState, EmulatedClock, SystemClock
from mlcommons_tasks.cluster_task import FIRST_NUMBER, NUMBERS_OF_A_TASK, PLAYED, ClusterTask, TaskId
from mlcommons_tasks.emulation.director import Director
from mlcommons_tasks.emulation.faults import Asked, Fault, choose
from mlcommons_tasks.emulation.matching import Created
from mlcommons_tasks.emulation.play import UNDER_WAY, Play
from mlcommons_tasks.emulation.played_tasks import PlayedTasks
from mlcommons_tasks.emulation.plays import Plays
from mlcommons_tasks.emulation.scenarios import Scenario
from mlcommons_tasks.emulation.shelf import Shelf
from mlcommons_tasks.emulation.state import KnownFault, KnownScenario, State, States
from mlcommons_tasks.emulation.work import Work
from mlcommons_tasks.errors import IllegalArgument
from mlcommons_tasks.task import TaskType


class Stage:
    """What one namespace was told, and how it is told more."""

    def __init__(
        self,
        namespace: str,
        states: States,
        clock: EmulatedClock,
        plays: Plays,
        work: Work,
        director: Director,
        tasks: PlayedTasks,
    ) -> None:
        self.namespace = namespace
        self.clock = clock
        self.director = director
        self.tasks = tasks
        self.scenarios: Shelf[KnownScenario] = Shelf(states, namespace, "scenarios", "scenario")
        self.faults: Shelf[KnownFault] = Shelf(states, namespace, "faults", "fault")
        self._states = states
        self._moving = threading.Lock()
        self._plays = plays
        self._work = work

    @property
    def state(self) -> State:
        """What the namespace was told.

        Raises:
            StoreUnavailable, UpstreamError: OpenSearch does not say.
        """
        return self._states.get(self.namespace)

    def follow(self) -> State:
        """Take over the time that another replica may have set; return what the namespace was told."""
        state = self.state
        if state.clock != self.clock.state:
            with self._moving:  # or what was read would be loaded over a move that came meanwhile
                state = self.state
                self.clock.load(state.clock)
        return state

    def add(self, scenarios: Iterable[Scenario], faults: Iterable[Fault]) -> None:
        """Have scenarios and faults; one of a name that is known replaces that one, in its place, and counts anew."""
        self.scenarios.add(KnownScenario(scenario) for scenario in scenarios)
        self.faults.add(KnownFault(fault) for fault in faults)

    def add_new(self, scenarios: Iterable[Scenario], faults: Iterable[Fault]) -> None:
        """Have scenarios and faults; those that are known as they are go on counting: another replica had them."""
        known_scenarios = [known.scenario for known in self.scenarios.all()]
        known_faults = [known.fault for known in self.faults.all()]
        self.add(
            [scenario for scenario in scenarios if scenario not in known_scenarios],
            [fault for fault in faults if fault not in known_faults],
        )

    def reset_scenario(self, name: str) -> list[str]:
        """Have a scenario begin anew: its tasks and their models are deleted. Return the tasks' ids."""
        self.scenarios.get(name)
        task_ids = self._plays.of_scenario(name)
        self._plays.delete(task_ids)
        self.scenarios.reset(name)
        return task_ids

    def scenario_of(self, task_id: str) -> str | None:
        """Return the name of the scenario that a task plays, None if its work is real."""
        play = self._plays.seen(task_id) if self.state.has_plays else None
        return None if play is None else play.scenario

    def running(self) -> list[ClusterTask]:
        """Return the played trainings that are not over, as `_tasks` shows them."""
        if not self.state.has_plays:
            return []
        found = [(play, play.source()) for play in self._plays.moving() if play.state in UNDER_WAY]
        return [_entry_of(play) for play, source in found if source and source["task_type"] == TaskType.TRAINING.value]

    def cancel(self, ml_task_id: str) -> bool:
        """Cancel a played training; False if it is over."""
        return self._plays.cancel(ml_task_id)

    def struck(self, asked: Asked, state: State) -> tuple[Fault, int] | None:
        """Return the fault that a request gets, and the running number of it there; count who was asked about it.

        `state` is what the namespace was told when the request came.
        """
        if not any(known.fault.matches(asked) for known in state.faults):
            return None

        def count(state: State) -> tuple[State, tuple[Fault, int] | None]:
            before = {known.fault.name: known.counts for known in state.faults}
            fault, changed = choose([known.fault for known in state.faults], before, asked)
            after = tuple(
                msgspec.structs.replace(known, counts=changed.get(known.fault.name, known.counts))
                for known in state.faults
            )
            struck = None if fault is None else (fault, changed[fault.name].seen)
            return msgspec.structs.replace(state, faults=after), struck

        return self._states.change(self.namespace, count)

    def move_clock(self, move: Callable[[ClockState, int], ClockState]) -> None:
        """Stop, start or move the time, on every replica; played tasks go where it takes them.

        `move` is told how the time stands, and what the machine's is in milliseconds.
        """

        def change(state: State) -> tuple[State, ClockState]:
            moved = move(state.clock, SystemClock().now_in_millis())
            return msgspec.structs.replace(state, clock=moved), moved

        with self._moving:
            self.clock.load(self._states.change(self.namespace, change))
        if self.state.has_plays:
            self._plays.move_all()

    def move_plays(self) -> None:
        """Have every played task go on whose time has come; nobody waits for real work."""
        self._plays.move_all(wait_s=0.0)

    def seed_ids(self, seed: int | None) -> None:
        """Have ids follow from a seed from now on, or be random again."""
        self._change(lambda _: {"seed": seed, "drawn": 0})

    def create_task(self, base: Mapping[str, Any], scenario: Scenario | None, opaque_id: str | None) -> str:
        """Create a task of whichever type that plays this scenario, or the one that matches; return its id.

        Raises:
            IllegalArgument: none does.
            TaskPluginError: the scenario refuses it, or it could not be stored.
        """
        if scenario is None:
            created = Created(
                base["task_type"], base["function_name"], model_id=base.get("model_id"), opaque_id=opaque_id
            )
            scenario = self.director.taken(created)
        if scenario is None:
            raise IllegalArgument("no scenario matches: give one as `scenario`")
        return self.director.play(scenario, base)

    def play_if_told(self, created: Created) -> str | None:
        """Create a task with no data of its own if a scenario is for it, and return its id; None if none is.

        Raises:
            TaskPluginError: the scenario refuses it, or it could not be stored.
        """
        scenario = self.director.taken(created)
        if scenario is None:
            return None
        base = {
            "task_type": created.task_type,
            "function_name": created.function_name,
            "model_id": created.model_id,
            "is_async": True,
        }
        return self.director.play(scenario, base)

    def delete_played(self) -> None:
        """Delete every task that was played here, with its model."""
        self._plays.delete(self._plays.of_scenario(None))

    def forget_played(self) -> None:
        """Have no task play on: its document goes with its index."""
        for play in self._plays.moving():
            self._plays.forget(play.task_id)

    def close(self, grace_s: float) -> None:
        """End the real work of played tasks."""
        self._work.close(grace_s)

    def _change(self, changes: Callable[[State], dict[str, Any]]) -> None:
        def change(state: State) -> tuple[State, None]:
            return msgspec.structs.replace(state, **changes(state)), None

        self._states.change(self.namespace, change)


def _entry_of(play: Play) -> ClusterTask:
    """Return a played training as an entry of `_tasks`; its number is always the same for the same task."""
    digest = hashlib.sha256(play.task_id.encode()).digest()
    number = FIRST_NUMBER + int.from_bytes(digest[:6], "big") * NUMBERS_OF_A_TASK
    return ClusterTask(
        id=TaskId(play.base["worker_node"][0], number),
        description=f"ml_task[{play.task_id}], algorithm[{play.base['function_name']}], scenario[{play.scenario}]",
        headers={},
        start_time=play.base["create_time"],
        owner=PLAYED,
        ml_task_id=play.task_id,
        state=play.state,
    )
