"""Played tasks as they are remembered and stored: what several readers do to each other, step by step."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import pytest

from mlcommons_tasks.clock import EmulatedClock
from mlcommons_tasks.emulation.memory import ProcessMemory
from mlcommons_tasks.emulation.play import Outcome, Play
from mlcommons_tasks.emulation.plays import Plays
from mlcommons_tasks.emulation.steps import Span, Step
from mlcommons_tasks.emulation.turns import Turns
from mlcommons_tasks.store.batches import Written
from mlcommons_tasks.store.models import ModelStore
from mlcommons_tasks.store.tasks import TaskStore
from tests.unit.doubles import Models, refusal

DEADLINE_S = 5.0


def nothing() -> None:
    """Do nothing."""


class Documents:
    """A task store that compares what it writes over; `after_find` is called once a document was found, once."""

    def __init__(self) -> None:
        self.stored: dict[str, tuple[dict[str, Any], Written]] = {}
        self.numbers = itertools.count()
        self.after_find: Callable[[], None] = nothing
        self.before_create: Callable[[], None] = nothing

    @property
    def documents(self) -> Documents:
        """The index, which is the store here."""
        return self

    def as_stored(self, source: dict[str, Any]) -> dict[str, Any]:
        """Return a document as it is stored."""
        return source

    def ensure(self) -> None:
        """Have the index, which is always there."""

    def find(self, task_id: str) -> tuple[dict[str, Any], Written] | None:
        """Return a document; then let somebody else come first."""
        found = self.stored.get(task_id)
        hook, self.after_find = self.after_find, nothing
        hook()
        return found

    def positions(self, task_ids: Iterable[str]) -> dict[str, Any]:
        """Return several."""
        return {task_id: self.stored.get(task_id) for task_id in task_ids}

    def source(self, task_id: str) -> bytes | None:
        """Return a document as it is rendered."""
        return json.dumps(self.stored[task_id][0]).encode() if task_id in self.stored else None

    def create(self, task_id: str, source: dict[str, Any]) -> Written:
        """Store a new one; before that let somebody else come first."""
        hook, self.before_create = self.before_create, nothing
        hook()
        if task_id in self.stored:
            raise refusal(409)
        self.stored[task_id] = (source, Written(next(self.numbers), 1))
        return self.stored[task_id][1]

    def replace(self, task_id: str, source: dict[str, Any], expected: Written) -> Written:
        """Store one over another."""
        if task_id not in self.stored:
            raise refusal(404)
        if self.stored[task_id][1] != expected:
            raise refusal(409)
        self.stored[task_id] = (source, Written(next(self.numbers), 1))
        return self.stored[task_id][1]

    def delete(self, task_id: str, _query: Mapping[str, str]) -> None:
        """Delete one."""
        self.stored.pop(task_id, None)

    def state(self) -> str | None:
        """Return the state that a search would show."""
        return self.stored["t"][0]["state"] if "t" in self.stored else None


class World:
    """Two replicas' plays over one memory and one index."""

    def __init__(self) -> None:
        self.memory = ProcessMemory()
        self.tasks = Documents()
        self.clock = EmulatedClock()
        self.clock.stop(1_000)
        store, models = cast("TaskStore", self.tasks), cast("ModelStore", Models())
        self.one, self.other = (Plays("n", self.memory, store, models, self.clock) for _ in range(2))

    def begin(self, *steps: Step, has_work: bool = False) -> None:
        """Have a task that plays."""
        base = {"task_type": "TRAINING", "function_name": "KMEANS", "worker_node": ["w"]}
        now = self.clock.now_in_millis()
        self.one.begin(Play.begin("t", "s", steps, 0, base, now, has_work=has_work))


@pytest.fixture
def world() -> World:
    """A new one."""
    return World()


def state_of(source: bytes | None) -> str | None:
    """Return the state that a reader is shown."""
    return None if source is None else json.loads(source)["state"]


def reads(state: Any, number: int) -> Step:
    """Return a step that so many reads show."""
    return Step(state=state, lasts=Span(reads=number))


def test_a_slow_look_does_not_take_a_task_back(world: World) -> None:
    """It is no read, so it has nothing to remember; what it knows is old once it finds the document."""
    world.begin(reads("RUNNING", 1), Step(state="EXPIRED"))
    find = world.tasks.find

    def late(task_id: str) -> Any:
        world.tasks.find = find  # type: ignore[method-assign]
        assert [state_of(world.other.read("t")) for _ in range(2)] == ["RUNNING", "EXPIRED"]
        return find(task_id)

    world.tasks.find = late  # type: ignore[method-assign]
    assert state_of(world.one.look("t")) == "EXPIRED"
    assert world.tasks.state() == "EXPIRED"


def test_a_slow_write_does_not_take_a_task_back(world: World) -> None:
    """It found the document as it was before another reader wrote it."""
    world.begin(reads("RUNNING", 1), reads("CANCELLING", 1), Step(state="EXPIRED"))
    assert state_of(world.one.read("t")) == "RUNNING"

    def meanwhile() -> None:
        for _ in range(2):
            world.other.read("t")

    world.tasks.after_find = meanwhile
    assert state_of(world.one.read("t")) == "EXPIRED"
    assert world.tasks.state() == "EXPIRED"


def test_a_reader_that_finds_nothing_does_not_take_an_absent_task_for_deleted(world: World) -> None:
    """It read that the task is there just before another made it absent; later it is there again."""
    world.begin(reads("RUNNING", 1), reads("ABSENT", 1), Step(state="EXPIRED"))
    find = world.tasks.find

    def late(task_id: str) -> Any:
        world.tasks.find = find  # type: ignore[method-assign]
        assert state_of(world.other.read("t")) == "RUNNING"
        assert state_of(world.other.look("t")) is None
        return find(task_id)

    world.tasks.find = late  # type: ignore[method-assign]
    assert state_of(world.one.read("t")) is None
    assert state_of(world.one.read("t")) == "EXPIRED"


def test_a_task_that_comes_while_it_is_deleted_does_not_stay(world: World) -> None:
    """Its document was written after everything of it had been deleted."""
    world.begin(reads("ABSENT", 1), Step(state="RUNNING"))
    assert world.one.read("t") is None
    world.tasks.before_create = lambda: world.other.delete(["t"])

    assert world.one.read("t") is None
    assert world.tasks.state() is None


def test_a_task_that_was_deleted_by_hand_plays_no_more(world: World) -> None:
    """And does not come back."""
    world.begin(reads("RUNNING", 1), Step(state="EXPIRED"))
    world.tasks.delete("t", {})

    assert [world.one.read("t") for _ in range(3)] == [None] * 3
    assert world.one.seen("t") is None


def test_what_a_dead_replica_did_not_write_the_next_reader_does(world: World) -> None:
    """It had remembered the step and not stored the document."""
    world.begin(reads("RUNNING", 1), Step(state="EXPIRED"))
    before = world.tasks.stored["t"]
    assert state_of(world.one.read("t")) == "RUNNING"
    assert state_of(world.one.read("t")) == "EXPIRED"
    world.tasks.stored["t"] = before
    play = Play.begin("t", "s", [Step(state="EXPIRED")], 0, before[0], 1_000)
    world.memory.put("play", "n", "t", json.dumps(play.to_document()), None)

    world.other.move_all()
    assert world.tasks.state() == "EXPIRED"


def test_work_that_ends_after_its_task_was_deleted_is_told_so(world: World) -> None:
    """Whoever did it throws the model away; nothing of it is remembered."""
    world.begin(Step(state="RUNNING"), Step(state="COMPLETED"), has_work=True)
    world.other.delete(["t"])

    assert world.one.finish("t", Outcome(model_id="m")) is False
    assert (world.memory.all("model", "n"), world.tasks.stored) == ([], {})


def test_reads_are_counted_once_each(world: World) -> None:
    """By as many readers as there are, on two replicas."""
    world.begin(reads("CREATED", 20), reads("RUNNING", 30), Step(state="EXPIRED"))
    shown: list[str | None] = []

    def poll(plays: Plays) -> None:
        for _ in range(10):
            shown.append(state_of(plays.read("t")))

    threads = [threading.Thread(target=poll, args=(plays,)) for plays in (world.one, world.other) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)

    assert [shown.count(state) for state in ("CREATED", "RUNNING", "EXPIRED")] == [20, 30, 30]


def test_a_read_is_not_counted_of_what_was_not_shown(world: World) -> None:
    """The task has moved between the search and the count."""
    world.begin(reads("RUNNING", 2), reads("CANCELLING", 2), Step(state="EXPIRED"))
    shown = world.one.moved_all()
    assert [state_of(world.other.read("t")) for _ in range(2)] == ["RUNNING"] * 2
    assert world.one.count_reads(shown) is False

    assert [state_of(world.one.read("t")) for _ in range(3)] == ["CANCELLING", "CANCELLING", "EXPIRED"]


def test_who_is_alone_waits_for_all_and_all_wait_for_it() -> None:
    """In order of arrival: who comes later than one that waits does not pass it."""
    turns, order = Turns(), []
    first_is_in, first_may_go = threading.Event(), threading.Event()

    def first() -> None:
        with turns.together():
            first_is_in.set()
            assert first_may_go.wait(DEADLINE_S)
            order.append("first")

    def then(name: str, *, alone: bool) -> None:
        with turns.alone() if alone else turns.together():
            order.append(name)

    threads = [threading.Thread(target=first)]
    threads[0].start()
    assert first_is_in.wait(DEADLINE_S)
    for number, (name, alone) in enumerate((("search", True), ("read", False)), start=2):
        threads.append(threading.Thread(target=then, args=(name,), kwargs={"alone": alone}))
        threads[-1].start()
        until = time.monotonic() + DEADLINE_S
        while len(turns._present) < number and time.monotonic() < until:
            threads[-1].join(0.001)
    first_may_go.set()
    for thread in threads:
        thread.join(DEADLINE_S)

    assert order == ["first", "search", "read"]


def test_readers_go_side_by_side() -> None:
    """Two are in at once."""
    turns, both = Turns(), threading.Barrier(2, timeout=DEADLINE_S)

    def read() -> None:
        with turns.together():
            both.wait()

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert not both.broken
