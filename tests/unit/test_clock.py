"""The clocks: the machine's, and one that is stopped and moved over it."""

from __future__ import annotations

import json
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcommons_tasks.clock import NEVER, ClockState, EmulatedClock, SystemClock
from tests.unit.machines import Machine


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def clock(machine: Machine) -> EmulatedClock:
    return EmulatedClock(machine)


def shown(clock: EmulatedClock) -> tuple[int, float]:
    return clock.now_in_millis(), clock.elapsed_s()


def test_the_machine_s_clock_is_the_machine_s() -> None:
    """Its seconds are those of `time.monotonic`, and it tells nobody of moves that there are not."""
    clock = SystemClock()
    before = time.monotonic()
    assert before <= clock.elapsed_s() <= time.monotonic()
    assert abs(clock.now_in_millis() - time.time() * 1000) < 1000
    assert clock.moved_at == NEVER
    clock.on_move(pytest.fail)()


def test_until_it_is_touched_it_is_the_clock_below(clock: EmulatedClock, machine: Machine) -> None:
    """Also once it was told to be what it is."""
    clock.load(ClockState())
    clock.load(None)
    clock.start()
    clock.reset()
    clock.advance(0)
    assert shown(clock) == (machine.now, machine.seconds)
    assert (clock.moved_at, clock.state) == (NEVER, ClockState())


def test_without_another_it_is_over_the_machine_s() -> None:
    """As a service has it."""
    assert abs(EmulatedClock().now_in_millis() - time.time() * 1000) < 1000


def test_an_advance_moves_both(clock: EmulatedClock, machine: Machine) -> None:
    """And time goes on from there."""
    clock.advance(700_000)
    machine.pass_s(5)
    assert shown(clock) == (1_800_000_705_000, 805.0)
    assert clock.state == ClockState(700_000)
    assert clock.moved_at == 100.0


def test_a_clock_that_stands_shows_the_same_until_it_is_moved(clock: EmulatedClock, machine: Machine) -> None:
    """It goes on from where it stood."""
    clock.stop()
    machine.pass_s(60)
    assert shown(clock) == (1_800_000_000_000, 100.0)
    clock.advance(30_000)
    assert shown(clock) == (1_800_000_030_000, 130.0)
    assert clock.state == ClockState(30_000, 1_800_000_030_000)
    clock.start()
    machine.pass_s(1)
    assert shown(clock) == (1_800_000_031_000, 131.0)
    assert clock.state == ClockState(-30_000)


def test_to_stop_a_clock_that_stands_changes_nothing(clock: EmulatedClock, machine: Machine) -> None:
    """Unless it is told another time."""
    clock.stop()
    machine.pass_s(60)
    moved_at = clock.moved_at
    clock.stop()
    assert (clock.moved_at, shown(clock)) == (moved_at, (1_800_000_000_000, 100.0))
    clock.stop(1_800_000_001_000)
    assert shown(clock) == (1_800_000_001_000, 101.0)


def test_a_clock_that_is_set_back_measures_on(clock: EmulatedClock, machine: Machine) -> None:
    """What it shows goes back, what has passed does not."""
    clock.stop(1_700_000_000_000)
    assert shown(clock) == (1_700_000_000_000, 100.0)
    clock.start()
    machine.pass_s(2)
    assert shown(clock) == (1_700_000_002_000, 102.0)


def test_a_reset_shows_the_machine_s_time_again(clock: EmulatedClock, machine: Machine) -> None:
    """What was passed while it stood has passed then."""
    clock.stop()
    machine.pass_s(60)
    clock.reset()
    assert shown(clock) == (machine.now, 160.0)
    assert clock.state == ClockState()


def test_nobody_advances_it_back(clock: EmulatedClock) -> None:
    """That would be an error of the caller's."""
    with pytest.raises(ValueError, match="-1"):
        clock.advance(-1)


def test_another_replica_takes_a_state_over(clock: EmulatedClock, machine: Machine) -> None:
    """As JSON; it shows the same, and hears of the same state only once."""
    clock.stop(1_900_000_000_000)
    other = EmulatedClock(machine)
    calls: list[int] = []
    other.on_move(lambda: calls.append(other.now_in_millis()))
    for _ in range(2):
        other.load(ClockState.from_document(json.loads(json.dumps(clock.state.to_document()))))
    assert shown(other) == (1_900_000_000_000, 100_000_100.0)
    assert calls == [1_900_000_000_000]


@pytest.mark.parametrize("document", [{}, {"offset_in_millis": "x", "stopped_at": None}, {"offset_in_millis": 1}])
def test_what_is_no_state_is_refused(document: dict[str, object]) -> None:
    """Somebody wrote over it."""
    with pytest.raises((KeyError, ValueError)):
        ClockState.from_document(document)


def test_each_move_is_told_until_that_is_ended(clock: EmulatedClock) -> None:
    """Whoever is told may look at the clock, and may end it twice."""
    calls: list[int] = []
    end = clock.on_move(lambda: calls.append(clock.now_in_millis()))
    clock.stop()
    clock.advance(5)
    end()
    end()
    clock.advance(5)
    assert calls == [1_800_000_000_000, 1_800_000_000_005]


MOVES = st.one_of(
    st.tuples(st.just("stop"), st.none() | st.integers(1, 2_000_000_000_000)),
    st.tuples(st.just("advance"), st.integers(0, 10**9)),
    st.tuples(st.just("pass"), st.integers(0, 10**6)),
    st.tuples(st.sampled_from(["start", "reset"]), st.none()),
)


@given(st.lists(MOVES, max_size=20))
def test_what_has_passed_never_goes_back(moves: list[tuple[str, int | None]]) -> None:
    """Whatever is done to the clock; and it goes on by as much as the time does that it shows."""
    machine = Machine()
    clock = EmulatedClock(machine)
    for name, value in moves:
        before = shown(clock)
        if name == "pass":
            machine.pass_s((value or 0) / 1000)
        elif name in ("start", "reset"):
            getattr(clock, name)()
        else:
            getattr(clock, name)(value)
        after = shown(clock)
        assert after[1] >= before[1] - 1e-4
        assert after[1] - before[1] == pytest.approx(max(0, after[0] - before[0]) / 1000, abs=1e-2)
        assert EmulatedClock(machine).load(clock.state).now(machine.now) == after[0]


def test_moves_of_several_threads_all_count(clock: EmulatedClock) -> None:
    """None is lost."""
    threads = [threading.Thread(target=lambda: [clock.advance(1) for _ in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock.state.offset_in_millis == 2_000
