"""What the emulator remembers of a namespace in a process: versions, and what a namespace was told."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from mlcommons_tasks.clock import ClockState
from mlcommons_tasks.emulation.memory import ProcessMemory
from mlcommons_tasks.emulation.scenarios import Scenario
from mlcommons_tasks.emulation.state import KIND, NAME, KnownScenario, State, States
from mlcommons_tasks.emulation.steps import Step
from mlcommons_tasks.store.emulation import Conflict, Remembered


class RivalMemory(ProcessMemory):
    """One in which somebody else writes first, so many times."""

    def __init__(self, rivals: int) -> None:
        super().__init__()
        self.rivals = rivals

    def put(self, kind: str, namespace: str, name: str, text: str, before: Remembered | None) -> Remembered:
        """Write after the rival."""
        if self.rivals:
            self.rivals -= 1
            state = State() if before is None else msgspec.json.decode(before.text, type=State)
            theirs = msgspec.structs.replace(state, drawn=state.drawn + 100)
            super().put(kind, namespace, name, msgspec.json.encode(theirs).decode(), before)
        return super().put(kind, namespace, name, text, before)


def drawn(state: State) -> tuple[State, int]:
    """Draw an id; return how many there were."""
    return msgspec.structs.replace(state, drawn=state.drawn + 1), state.drawn


def test_a_namespace_that_was_told_nothing_is_quiet() -> None:
    """And remembers nothing."""
    memory = ProcessMemory()
    assert States(memory).get("n") == State()
    assert States(memory).get("n").is_quiet
    assert memory.namespaces() == set()


@pytest.mark.parametrize(
    "state",
    [
        State(scenarios=(KnownScenario(Scenario(name="s", steps=(Step(state="EXPIRED"),))),)),
        State(clock=ClockState(1, None)),
        State(clock=ClockState(0, 5)),
        State(has_plays=True),
    ],
)
def test_one_that_was_told_something_is_not(state: State) -> None:
    """A request of it is answered otherwise than without an emulator."""
    assert not state.is_quiet


def test_a_state_is_the_same_after_it_was_written() -> None:
    """All of it, as another replica reads it."""
    memory = ProcessMemory()
    scenario = Scenario(name="s", steps=(Step(state="EXPIRED"),), times=3)
    told = State(scenarios=(KnownScenario(scenario, 2),), clock=ClockState(-5, 7), seed=9, drawn=4, has_plays=True)
    States(memory).change("n", lambda _: (told, None))

    assert States(memory).get("n") == told
    assert States(memory).get("m") == State()


def test_a_change_is_made_again_where_somebody_was_faster() -> None:
    """On what that one wrote, and what it returns is of the last time."""
    memory = RivalMemory(3)
    assert States(memory).change("n", drawn) == 300
    assert States(memory).get("n").drawn == 301


def test_what_does_not_change_is_not_written() -> None:
    """Many requests ask and change nothing."""
    memory = ProcessMemory()
    states = States(memory)
    states.change("n", drawn)
    before = memory.get(KIND, "n", NAME)
    assert states.change("n", lambda state: (state, state.drawn)) == 1
    assert memory.get(KIND, "n", NAME) is before


def test_a_state_that_was_forgotten_is_that_of_a_new_namespace() -> None:
    """Though it was read before."""
    memory = ProcessMemory()
    states = States(memory)
    states.change("n", drawn)
    assert states.get("n").drawn == 1
    memory.forget("n")
    assert states.get("n") == State()
    states.change("n", drawn)
    assert states.get("n").drawn == 1


def test_ids_look_like_opensearchs() -> None:
    """15 bytes in URL-safe base64, seeded or not; those of a seed are of the namespace."""
    states = States(ProcessMemory())
    seeded = [states.new_id("n") for _ in range(2)]
    for namespace in ("n", "m"):
        states.change(namespace, lambda state: (msgspec.structs.replace(state, seed=7, drawn=0), None))
        seeded += [states.new_id(namespace) for _ in range(2)]

    assert all(len(base64.urlsafe_b64decode(each)) == 15 and len(each) == 20 for each in seeded)
    assert len(set(seeded)) == len(seeded)


def test_ids_of_a_seed_are_drawn_once_each() -> None:
    """However many draw at once."""
    states = States(ProcessMemory())
    states.change("n", lambda state: (msgspec.structs.replace(state, seed=7), None))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: states.new_id("n"), range(100)))

    assert len(set(found)) == 100
    assert states.get("n").drawn == 100


def test_a_version_is_not_used_twice() -> None:
    """One that was deleted and made again, with the same text, is another."""
    memory = ProcessMemory()
    first = memory.put("k", "n", "a", "1", None)
    memory.delete("k", "n", ["a"])
    second = memory.put("k", "n", "a", "1", None)

    assert first != second
    with pytest.raises(Conflict):
        memory.put("k", "n", "a", "2", first)
