"""Which scenario a new task plays, if any. Without one the work is real, and somebody else's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from mlcommons_tasks.clock import Clock
from mlcommons_tasks.emulation.matching import Created, differences
from mlcommons_tasks.emulation.play import Play
from mlcommons_tasks.emulation.plays import Plays
from mlcommons_tasks.emulation.scenarios import Plot, Scenario, resolve
from mlcommons_tasks.emulation.state import State, States
from mlcommons_tasks.emulation.work import Train, Work
from mlcommons_tasks.errors import TaskPluginError
from mlcommons_tasks.store.tasks import TaskStore
from mlcommons_tasks.task import TaskType
from mlcommons_tasks.wire.ml_input import MLInput, SearchQueryDataset

OPAQUE_ID = "X-Opaque-Id"


class Trainer(Protocol):
    """Who trains as a task where no scenario says otherwise."""

    def train_async(self, ml_input: MLInput, caller: dict[str, str], task_headers: Mapping[str, str]) -> str:
        """Store a task that is CREATED and return its id; the training follows."""


#: Trains while its caller waits, and returns the id of the model.
TrainNow = Callable[[MLInput, dict[str, str], Mapping[str, str]], str]


class Director:
    """Creates the tasks of one namespace."""

    def __init__(
        self,
        namespace: str,
        states: States,
        plays: Plays,
        work: Work,
        tasks: TaskStore,
        real: Trainer,
        train_now: TrainNow,
        worker_node: Callable[[], str],
        node_ids: Callable[[], list[str]],
        clock: Clock,
    ) -> None:
        self._namespace = namespace
        self._states = states
        self._plays = plays
        self._work = work
        self._tasks = tasks
        self._real = real
        self._train_now = train_now
        self._worker_node = worker_node
        self._node_ids = node_ids
        self._clock = clock

    def train_async(self, ml_input: MLInput, caller: dict[str, str], task_headers: Mapping[str, str]) -> str:
        """Create a training's task and return its id; a scenario that matches plays it.

        Raises:
            TaskPluginError: the scenario wants that, or the task could not be stored.
        """
        dataset = ml_input.dataset
        created = Created(
            task_type=TaskType.TRAINING.value,
            function_name=ml_input.function_name,
            indices=dataset.indices if isinstance(dataset, SearchQueryDataset) else (),
            opaque_id=task_headers.get(OPAQUE_ID),
        )
        scenario = self.taken(created)
        if scenario is None:
            return self._real.train_async(ml_input, caller, task_headers)
        base = {
            "task_type": TaskType.TRAINING.value,
            "function_name": ml_input.function_name,
            "input_type": ml_input.input_type,
            "is_async": True,
        }
        return self.play(scenario, base, lambda: self._train_now(ml_input, caller, task_headers))

    def taken(self, created: Created) -> Scenario | None:
        """Return the first scenario that matches and has times left, and count that; None if there is none."""
        if not self.is_told(created):
            return None

        def take(state: State) -> tuple[State, Scenario | None]:
            place = _place_of(created, state)
            if place is None:
                return state, None
            known = state.scenarios[place]
            counted = msgspec.structs.replace(known, matched=known.matched + 1)
            scenarios = (*state.scenarios[:place], counted, *state.scenarios[place + 1 :])
            return msgspec.structs.replace(state, scenarios=scenarios), known.scenario

        return self._states.change(self._namespace, take)

    def is_told(self, created: Created) -> bool:
        """Say whether a scenario matches and has times left."""
        return _place_of(created, self._states.get(self._namespace)) is not None

    def play(self, scenario: Scenario, base: Mapping[str, Any], train: Train | None = None) -> str:
        """Create a task that plays a scenario and return its id; `train` does its real work, if it has any.

        Raises:
            TaskPluginError: the scenario refuses it, or it could not be stored.
        """
        plot = resolve(scenario)
        if plot.refuse is not None:
            raise TaskPluginError(plot.refuse.reason, type=plot.refuse.type, status=plot.refuse.status)
        play = self._begun(scenario.name, plot, base, has_work=train is not None)
        self._states.change(self._namespace, _with_plays)
        if train is None or not play.needs_work:
            self._plays.begin(play)
            return play.task_id
        self._work.expect(play.task_id)
        try:
            self._plays.begin(play)
        except BaseException:
            self._work.give_up(play.task_id)
            raise
        self._work.start(play.task_id, train)
        return play.task_id

    def _begun(self, name: str, plot: Plot, base: Mapping[str, Any], *, has_work: bool) -> Play:
        return Play.begin(
            self._tasks.new_id(),
            name,
            plot.steps,
            plot.search_lag,
            {**base, "worker_node": [self._worker_node()]},
            self._clock.now_in_millis(),
            node_ids=self._node_ids(),
            has_work=has_work,
        )


def _place_of(created: Created, state: State) -> int | None:
    """Return which of the scenarios is the first that matches and has times left."""
    for place, known in enumerate(state.scenarios):
        left = known.scenario.times is None or known.matched < known.scenario.times
        if left and not differences(known.scenario.match, created):
            return place
    return None


def _with_plays(state: State) -> tuple[State, None]:
    return msgspec.structs.replace(state, has_plays=True), None
