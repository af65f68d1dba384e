"""Leases by a clock that is moved: who lives answers and keeps its trainings, who is dead loses them."""

from __future__ import annotations

import time
from typing import Any

import pytest

from mlcommons_tasks.clock import EmulatedClock
from mlcommons_tasks.execution.lease import ANSWER_S, Lease, answer_within_s
from mlcommons_tasks.execution.membership import FORGOTTEN_MS, Membership
from mlcommons_tasks.execution.silence import Listener
from tests.unit.machines import Machine

LENGTH_S = 15.0
ANSWERED_S = answer_within_s(LENGTH_S)


class Others:
    """A process that listens to another, whose lease it is; both see the same clock."""

    def __init__(self) -> None:
        self.machine = Machine()
        self.clock = EmulatedClock(self.machine)
        self.listener = Listener(self.clock, LENGTH_S, ANSWERED_S, self.machine.seconds)
        self.told = 0
        self.say()

    def say(self) -> None:
        """Have the other say that it lives."""
        self.told = self.clock.now_in_millis() + int(LENGTH_S * 1000)

    def look(self) -> bool:
        """Say whether the other is dead."""
        return bool(self.listener.dead({"it": self.told}, {"it"}, self.machine.seconds))

    def dead_after(self, seconds: int) -> int | None:
        """Look once a second; return after how many it was dead, None if it was not."""
        for second in range(1, seconds + 1):
            self.machine.pass_s(1)
            if self.look():
                return second
        return None


@pytest.fixture
def others() -> Others:
    found = Others()
    assert not found.look()
    return found


def test_without_a_move_it_takes_a_lease(others: Others) -> None:
    """As with the machine's clock."""
    assert others.dead_after(30) == 15


@pytest.mark.parametrize("stands", [True, False])
def test_an_advance_by_a_lease_is_answered_or_death(others: Others, *, stands: bool) -> None:
    """Who says nothing is dead after the time of an answer, whether the clock stands or runs; not before."""
    if stands:
        others.clock.stop()
    others.clock.advance(30_000)
    assert not others.look()
    assert others.dead_after(30) == ANSWERED_S


@pytest.mark.parametrize("stands", [True, False])
def test_who_answers_an_advance_lives(others: Others, *, stands: bool) -> None:
    """However often, and however late within its time."""
    if stands:
        others.clock.stop()
    for _ in range(5):
        others.clock.advance(30_000)
        assert others.dead_after(int(ANSWERED_S) - 1) is None
        others.say()
        assert not others.look()


def test_a_death_just_before_an_advance_is_seen(others: Others) -> None:
    """Its last word was not heard yet when the clock was moved."""
    others.clock.stop()
    others.machine.pass_s(0.5)
    others.told += 1
    others.clock.advance(30_000)
    assert not others.look()
    assert others.dead_after(30) == ANSWERED_S


def test_while_the_clock_stands_nobody_dies(others: Others) -> None:
    """For hours."""
    others.clock.stop()
    assert others.dead_after(10_000) is None


def test_small_advances_add_up(others: Others) -> None:
    """To the length of a lease, in which every one of them could have been answered."""
    others.clock.stop()
    for _ in range(14):
        others.clock.advance(1_000)
        assert others.dead_after(1) is None
    others.clock.advance(1_000)
    assert others.dead_after(1) == 1


def test_a_poller_that_moves_the_clock_all_the_time_sees_the_end(others: Others) -> None:
    """Each move gives no new time to answer to who did not answer the first."""
    others.clock.stop()
    others.clock.advance(30_000)
    others.look()
    for _ in range(int(ANSWERED_S)):
        others.clock.advance(30_000)
        found = others.dead_after(1)
    assert found == 1


def test_a_clock_that_is_set_back_is_no_death(others: Others) -> None:
    """Nor that it is set to where it was before: all that was said is the same then."""
    at = others.clock.stop().stopped_at
    others.say()
    assert not others.look()
    others.clock.advance(30_000)
    others.clock.stop(at)
    assert others.dead_after(60) is None


def test_the_dead_of_a_time_to_come_are_dead(others: Others) -> None:
    """Its lease ends after any time that the clock will show; it was silent for its length all the same."""
    others.clock.advance(700_000)
    others.say()
    others.look()
    others.clock.reset()
    others.clock.stop()
    assert others.dead_after(20) is None
    others.clock.advance(30_000)
    assert others.dead_after(20) == ANSWERED_S + 1


def test_who_slept_itself_has_heard_nothing(others: Others) -> None:
    """The other could not be heard meanwhile."""
    others.clock.advance(30_000)
    others.machine.pass_s(100)
    assert not others.look()
    assert others.dead_after(2) is None


def test_a_replica_that_hears_of_no_move_lives(others: Others) -> None:
    """It says so by its own time, as often as it does, and that was long ago by the other's."""
    others.clock.advance(700_000)
    for _ in range(20):
        others.told = others.machine.now + 15_000
        assert not others.look()
        assert others.dead_after(4) is None


@pytest.fixture
def clock() -> EmulatedClock:
    return EmulatedClock()


@pytest.fixture
def lease(clock: EmulatedClock) -> Lease:
    found = Lease("me", clock, LENGTH_S)
    found.renewed()
    found.told_at = time.monotonic()
    return found


def test_a_move_asks_for_an_answer(lease: Lease, clock: EmulatedClock) -> None:
    """However small; until OpenSearch has taken one that was begun after it."""
    began = time.monotonic()
    assert not any((lease.is_due, lease.is_short, lease.may_be_over))
    clock.stop()
    clock.advance(1)
    lease.told_at = began
    assert lease.is_due
    assert lease.is_short
    assert lease.may_be_over, "others may have taken over what did not answer in time"
    lease.told_at = time.monotonic()
    assert not any((lease.is_due, lease.is_short, lease.may_be_over))


def test_a_clock_that_is_set_back_is_answered(lease: Lease, clock: EmulatedClock) -> None:
    """Or nothing would be said for as long as that."""
    clock.advance(700_000)
    lease.renewed()
    clock.reset()
    assert lease.is_due
    assert lease.renewed()["lease_until"] <= time.time() * 1000 + LENGTH_S * 1000


def test_while_the_clock_stands_it_is_said_from_time_to_time(lease: Lease, clock: EmulatedClock) -> None:
    """So that this process knows that it is heard."""
    clock.stop()
    lease.told_at = time.monotonic()
    assert not lease.is_due
    lease.told_at -= lease.renew_s
    assert lease.is_due


def test_nobody_counts_as_dead_while_a_move_is_answered(
    lease: Lease, clock: EmulatedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trainings of others would be gone from `_tasks` for a moment."""
    assert lease.now_for_others() > 0
    clock.advance(30_000)
    assert lease.now_for_others() == 0
    later = time.monotonic() + lease.answer_s + 1
    monkeypatch.setattr("mlcommons_tasks.execution.lease.time.monotonic", lambda: later)
    assert lease.now_for_others() >= clock.now_in_millis() - 1000


def test_an_answer_is_waited_for_longer_than_one_that_knows_nothing_is_silent() -> None:
    """Whatever the length of a lease, and never too short for who hears of the move late."""
    for length_s in (1.0, 3.0, 15.0, 60.0):
        assert answer_within_s(length_s) >= Lease("me", EmulatedClock(), length_s).renew_s + 0.5
        assert answer_within_s(length_s) >= ANSWER_S


class Names:
    """The names of processes, with when they said last that they live."""

    def __init__(self, **told: int) -> None:
        self.told = told

    def write(self, whole: dict[str, Any], _changed: object, gone: Any) -> None:
        self.told |= {name: document["lease_until"] for name, document in whole.items()}
        for name in gone:
            del self.told[name]

    def owners(self, before: int | None = None) -> set[str]:
        return {name for name, until in self.told.items() if before is None or until < before}


def test_a_move_by_days_makes_nobody_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that live have to answer first; what is left a while later is of nobody."""
    machine = Machine()
    clock = EmulatedClock(machine)
    names: Any = Names(idle=machine.now)
    monkeypatch.setattr("mlcommons_tasks.execution.membership.time.monotonic", lambda: machine.seconds)
    clock.advance(2 * FORGOTTEN_MS)
    Membership("one", names, clock).join()
    assert set(names.told) == {"idle", "one"}
    machine.pass_s(ANSWER_S + 1)
    Membership("two", names, clock).join()
    assert set(names.told) == {"one", "two"}


def test_a_name_is_written_anew_once_the_clock_was_moved_far(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forward or back: others may have forgotten it."""
    machine = Machine()
    clock = EmulatedClock(machine)
    names: Any = Names()
    monkeypatch.setattr("mlcommons_tasks.execution.membership.time.monotonic", lambda: machine.seconds)
    one = Membership("one", names, clock)
    one.join()
    for at in (machine.now + FORGOTTEN_MS, machine.now):
        clock.stop(at)
        names.told.clear()
        one.join()
        assert set(names.told) == {"one"}
