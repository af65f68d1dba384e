"""What `--retain` deletes and when: a clock that is moved, and a store in memory."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from mlcommons_tasks.clock import SystemClock
from mlcommons_tasks.config import Settings, SettingsError
from mlcommons_tasks.errors import StoreUnavailable
from mlcommons_tasks.execution.retention import LONGEST_PAUSE_S, Retention
from tests.services import wait_until

DAY = 86_400_000


class Clock(SystemClock):
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000 * DAY

    def now_in_millis(self) -> int:
        return self.now


class Remains:
    """Tasks and results by when they ended; deletes two at a call."""

    def __init__(self, *ended: int) -> None:
        self.tasks = list(ended)
        self.results = list(ended)
        self.away = False
        self.calls = 0
        self.on_call: Callable[[], None] = lambda: None

    def prune_tasks(self, before: int) -> int:
        return self._prune(self.tasks, before)

    def prune_results(self, before: int) -> int:
        return self._prune(self.results, before)

    def _prune(self, kept: list[int], before: int) -> int:
        self.calls += 1
        self.on_call()
        if self.away:
            raise StoreUnavailable("away")
        old = [ended for ended in kept if ended < before][:2]
        for ended in old:
            kept.remove(ended)
        return len(old)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_nothing_goes_before_its_time(clock: Clock) -> None:
    """A task that ended a week ago to the millisecond is kept, a millisecond later it is not."""
    remains = Remains(clock.now - 7 * DAY)
    retention = Retention(remains, clock, 7 * DAY)

    assert retention.look() == 0
    clock.now += 1
    assert retention.look() == 2
    assert (remains.tasks, remains.results) == ([], [])


def test_one_look_deletes_all_that_is_over(clock: Clock) -> None:
    """However many requests it takes; what is younger stays."""
    old, young = range(11), [clock.now - 1, clock.now]
    remains = Remains(*old, *young)

    assert Retention(remains, clock, DAY).look() == 2 * len(old)
    assert (remains.tasks, remains.results) == (young, young)


def test_two_replicas_do_no_harm(clock: Clock) -> None:
    """Who comes second finds nothing to do."""
    remains = Remains(1, 2, 3)

    assert [Retention(remains, clock, DAY).look() for _ in range(2)] == [6, 0]


def test_the_end_is_not_kept_waiting(clock: Clock) -> None:
    """A look at a long backlog stops where it is."""
    remains = Remains(*range(1_000))
    retention = Retention(remains, clock, DAY)
    remains.on_call = retention.close

    assert retention.look() == 2
    assert remains.calls == 1


def test_an_opensearch_that_is_away_is_asked_again(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """It is said in the log, and the next look does the work."""
    remains = Remains(1, 2, 3)
    remains.away = True
    retention = Retention(remains, clock, 1)
    with caplog.at_level(logging.WARNING):
        retention.start()
        wait_until(lambda: remains.calls > 1, what="another look")
    assert "could not be deleted: away" in caplog.text
    assert remains.tasks
    remains.away = False

    wait_until(lambda: not remains.tasks and not remains.results, what="the deletion")
    retention.close()


def test_it_looks_often_enough(clock: Clock) -> None:
    """Every minute, and for short times more often."""
    pauses = {retain: Retention(Remains(), clock, retain).pause_s for retain in (1, 20_000, 7 * DAY)}

    assert pauses == {1: 0.25, 20_000: 5.0, 7 * DAY: LONGEST_PAUSE_S}


@pytest.mark.parametrize(
    ("text", "millis"), [("7d", 7 * DAY), ("12h", DAY // 2), ("30m", 1_800_000), ("90s", 90_000), ("1ms", 1)]
)
def test_a_time_is_in_units_of_opensearch(text: str, millis: int) -> None:
    """As in its own settings."""
    assert Settings(retain=text).retain_in_millis == millis
    assert Settings.resolve({}, {"MLCOMMONS_TASKS_RETAIN": text}).retain_in_millis == millis


def test_by_default_everything_is_kept() -> None:
    """Nobody asked."""
    assert Settings().retain_in_millis is None


@pytest.mark.parametrize(
    "text", ["7", "0d", "-1", "-1d", "1.5d", "d", "7 d", "7D", "7w", "1M", "", "7d 12h", "٧d", "7d\n"]
)
def test_anything_else_is_refused(text: str) -> None:
    """With a sentence that says what can be said."""
    with pytest.raises(SettingsError, match="retain must be a whole number above 0 with d, h, m, s or ms, such as 7d"):
        Settings(retain=text)
