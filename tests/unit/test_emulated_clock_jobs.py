"""What is done from time to time, by a clock that is moved: at once after a move, and never while it stands."""

from __future__ import annotations

import logging
import threading
import time
from functools import partial

from mlcommons_tasks.clock import EmulatedClock
from mlcommons_tasks.execution.current_settings import CurrentSettings
from mlcommons_tasks.execution.retention import Retention
from mlcommons_tasks.execution.rounds import Rounds, noted
from mlcommons_tasks.execution.sync_up import SyncUp
from tests.services import wait_until
from tests.unit.doubles import PATIENCE_S
from tests.unit.machines import Machine

log = logging.getLogger(__name__)


def test_a_move_calls_for_a_look() -> None:
    """However long the pause is; after the end for none."""
    clock = EmulatedClock()
    looked = threading.Semaphore(0)
    rounds = Rounds("moved", looked.release, lambda: 3600.0, partial(noted, log, "it is not known"), clock)
    rounds.start()
    assert not looked.acquire(blocking=False)
    for _ in range(2):
        clock.advance(1)
        assert looked.acquire(timeout=PATIENCE_S)
    rounds.close(PATIENCE_S)
    clock.advance(1)
    assert not looked.acquire(blocking=False)
    assert clock._callbacks == []


def test_a_call_during_a_look_is_another_look() -> None:
    """What was moved meanwhile may not have been seen."""
    began, go = threading.Semaphore(0), threading.Semaphore(0)

    def look() -> None:
        began.release()
        assert go.acquire(timeout=PATIENCE_S)

    rounds = Rounds("called", look, lambda: 3600.0, partial(noted, log, "it is not known"))
    rounds.start()
    rounds.wake()
    assert began.acquire(timeout=PATIENCE_S)
    rounds.wake()
    go.release(2)
    assert began.acquire(timeout=PATIENCE_S)
    rounds.close(PATIENCE_S)


def test_the_end_cuts_a_pause_short() -> None:
    """Nobody waits for it."""
    rounds = Rounds("pausing", lambda: None, lambda: 3600.0, partial(noted, log, "it is not known"))
    rounds.start()
    began = time.monotonic()
    rounds.close(PATIENCE_S)
    assert time.monotonic() - began < PATIENCE_S / 2


class Tasks:
    """What runs, and what was said to it."""

    has_open = True

    def __init__(self) -> None:
        self.timed_out: list[int] = []

    def time_out(self, timeout_s: int) -> None:
        self.timed_out.append(timeout_s)


def test_tasks_are_looked_at_after_an_interval_of_the_clock() -> None:
    """While it stands they are not; the interval is 10 s by default, the time-out 600."""
    machine = Machine()
    clock, tasks = EmulatedClock(machine), Tasks()
    job = SyncUp(CurrentSettings(dict), tasks, lambda: True, clock)
    clock.stop()
    machine.pass_s(3600)
    job.look(clock.elapsed_s())
    assert tasks.timed_out == []
    clock.advance(10_000)
    job.look(clock.elapsed_s())
    assert tasks.timed_out == [600]


def test_the_job_hears_of_a_move() -> None:
    """In its own thread."""
    clock, tasks = EmulatedClock(), Tasks()
    job = SyncUp(CurrentSettings(dict), tasks, lambda: True, clock)
    clock.stop()
    job.start()
    clock.advance(700_000)
    wait_until(lambda: tasks.timed_out == [600], deadline_s=PATIENCE_S, what="the job")
    job.close()


class Remains:
    """When what is left ended."""

    def __init__(self, ended: int) -> None:
        self.ended = [ended]

    def prune_tasks(self, before: int) -> int:
        gone = [ended for ended in self.ended if ended < before]
        self.ended = [ended for ended in self.ended if ended >= before]
        return len(gone)

    def prune_results(self, before: int) -> int:
        _ = before
        return 0


def test_what_is_over_goes_when_the_clock_is_moved() -> None:
    """Not before, though the job's pause is a minute."""
    clock = EmulatedClock()
    clock.stop()
    remains = Remains(clock.now_in_millis())
    retention = Retention(remains, clock, 7 * 86_400_000)
    retention.start()
    clock.advance(7 * 86_400_000)
    clock.advance(1)
    wait_until(lambda: not remains.ended, deadline_s=PATIENCE_S, what="the deletion")
    retention.close()
