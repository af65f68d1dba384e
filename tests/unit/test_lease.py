"""When a process has to say again that it lives, by a clock that is moved; and the numbers of its trainings."""

from __future__ import annotations

import pytest

from mlcommons_tasks.clock import SystemClock
from mlcommons_tasks.cluster_task import FIRST_NUMBER, NUMBERS_OF_A_TASK
from mlcommons_tasks.execution.lease import Lease, new_owner
from mlcommons_tasks.execution.numbers import EPOCH_IN_MILLIS, SALT_BITS, Numbers

LENGTH_S = 15.0
RENEW_MS = 4_000


class Clock(SystemClock):
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000_000

    def now_in_millis(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lease(clock: Clock) -> Lease:
    return Lease("me", clock, LENGTH_S)


def test_a_process_that_never_said_that_it_lives_has_to(lease: Lease) -> None:
    """Nothing is to be taken back until it did."""
    assert not lease.was_taken
    assert lease.is_due
    assert lease.is_short


def test_what_others_are_told(lease: Lease, clock: Clock) -> None:
    """Whose it is and until when, in milliseconds."""
    assert lease.renewed() == {"kind": "owner", "owner": "me", "completed": False, "lease_until": clock.now + 15_000}
    assert lease.was_taken


@pytest.mark.parametrize(
    ("passed_ms", "is_due", "is_short"),
    [
        (0, False, False),
        (RENEW_MS, False, False),
        (RENEW_MS + 1, True, False),
        (15_000 - RENEW_MS, True, False),
        (15_001 - RENEW_MS, True, True),
    ],
)
def test_when_it_has_to_be_said_again(
    lease: Lease, clock: Clock, passed_ms: int, *, is_due: bool, is_short: bool
) -> None:
    """Soon after it was said, for its own sake; later, with whatever is written."""
    assert lease.renew_s * 1000 == RENEW_MS
    lease.renewed()
    clock.now += passed_ms
    assert (lease.is_due, lease.is_short) == (is_due, is_short)


def test_others_may_have_taken_over_once_it_was_told_long_ago(lease: Lease) -> None:
    """That OpenSearch took it counts, not that it was to be said."""
    assert not lease.may_be_over
    lease.told_at -= LENGTH_S
    lease.renewed()
    assert lease.may_be_over


def test_each_process_has_a_name() -> None:
    """Also one that has the id of one before it."""
    assert new_owner() != new_owner()


def test_a_number_is_a_time_and_the_salt_of_a_process() -> None:
    """Trainings of one millisecond have different ones, and so have those of two processes."""
    numbers = Numbers()
    first, second, late = (numbers.next(EPOCH_IN_MILLIS + moment) for moment in (5, 5, 9))
    step = NUMBERS_OF_A_TASK << SALT_BITS
    assert FIRST_NUMBER + 5 * step <= first < FIRST_NUMBER + 6 * step
    assert (second - first, late - first) == (step, 4 * step)
    assert first % NUMBERS_OF_A_TASK == 0
