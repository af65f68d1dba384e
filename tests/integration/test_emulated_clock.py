"""A service whose clock is stopped and moved: what it writes, measures and ends then, and what it leaves alone."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from mlcommons_tasks.app import create_app
from mlcommons_tasks.backend import Backend
from mlcommons_tasks.clock import EmulatedClock
from mlcommons_tasks.config import Settings
from tests.clients import TASKS, Client, long_body, rows_body
from tests.crashes import asleep, kill
from tests.native_tasks import MANY_ITERATIONS, long_training
from tests.served import served
from tests.services import Service, service, wait_until

AT = 1_800_000_000_000
QUICKLY_S = 3.0
LEASE_S = 15.0
ANSWERED_S = 5.0
TOKEN = "of-the-test"
AUTHORISED = {"X-Emulator-Token": TOKEN}
TRAININGS = "/_tasks?actions=*ml/train&group_by=none&detailed"


@contextlib.contextmanager
def running(backend: Backend, clock: EmulatedClock, retain: str | None = None) -> Iterator[Client]:
    """Run a service in a thread, with a clock of the test's."""
    settings = Settings(opensearch=backend.url, retain=retain, trainings=1)
    with served(create_app(settings, clock=clock)) as client:
        yield client


@dataclass(frozen=True)
class Replicas:
    """Two services over one OpenSearch: one trains a task, which the other sees running."""

    process: Service
    owner: Client
    other: Client
    task_id: str

    def move(self) -> None:
        """Have the other one move the clock by two leases."""
        self.other.ok("POST", "/_emulator/clock/_advance", {"by": f"{2 * LEASE_S:g}s"}, AUTHORISED)


@contextlib.contextmanager
def replicas(backend: Backend) -> Iterator[Replicas]:
    """Run both; `process` is the owner's."""
    flags = ("--opensearch", backend.url, "--emulator-token", TOKEN, "--lease", f"{LEASE_S:g}", "--trainings", "1")
    with service(*flags) as one, service(*flags) as two:
        owner, other = Client(one.url), Client(two.url)
        task_id = owner.train_async(long_body(MANY_ITERATIONS))
        wait_until(lambda: other.task(task_id)["state"] == "RUNNING", what="RUNNING")
        yield Replicas(one, owner, other, task_id)


@pytest.fixture
def clock() -> EmulatedClock:
    clock = EmulatedClock()
    clock.stop(AT)
    return clock


def test_while_it_stands_everything_happens_at_once(memory_server: Backend, clock: EmulatedClock) -> None:
    """A task is created, runs and ends at the one time there is; the next one when it was moved to."""
    with running(memory_server, clock) as client:
        for moved in (0, 30_000):
            clock.advance(moved)
            task = client.ended(client.train_async(rows_body()))
            assert task["state"] == "COMPLETED"
            assert task["create_time"] == task["last_update_time"] == AT + moved


def test_a_training_runs_for_as_long_as_the_clock_says(memory_server: Backend, clock: EmulatedClock) -> None:
    """In `_tasks`, while it runs and in its result."""
    with running(memory_server, clock) as client:
        with long_training(client):
            (before,) = client.ok("GET", TRAININGS)["tasks"]
            clock.advance(90_000)
            (after,) = client.ok("GET", TRAININGS)["tasks"]
            assert before["start_time_in_millis"] == after["start_time_in_millis"] == AT
            assert after["running_time_in_nanos"] == 90_000_000_000
            clock.advance(5_000)
        result = client.ok("GET", f"/_tasks/{after['node']}:{after['id']}")
        assert result["completed"]
        assert result["task"]["running_time_in_nanos"] == 95_000_000_000


def test_a_task_that_takes_too_long_fails_as_soon_as_the_clock_says_so(
    memory_server: Backend, clock: EmulatedClock
) -> None:
    """By default after ten minutes; its last update is at the time it was moved to."""
    with running(memory_server, clock) as client:
        client.ended(client.train_async(rows_body()))  # nothing is timed out before there is a model
        with long_training(client) as task_id:
            clock.advance(599_000)
            began = time.monotonic()
            clock.advance(101_000)
            task = client.ended(task_id, deadline_s=QUICKLY_S)
            assert time.monotonic() - began < QUICKLY_S
            assert (task["state"], task["error"]) == ("FAILED", "timeout after 600 seconds")
            assert (task["create_time"], task["last_update_time"]) == (AT, AT + 700_000)


def test_what_is_not_retained_goes_when_the_clock_is_moved(memory_server: Backend, clock: EmulatedClock) -> None:
    """Its week passes in no time."""
    with running(memory_server, clock, retain="7d") as client:
        old = client.train_async(rows_body())
        client.ended(old)
        clock.advance(7 * 86_400_000)
        young = client.train_async(rows_body())
        client.ended(young)
        clock.advance(1_000)
        wait_until(lambda: set(client.states()) == {young}, deadline_s=QUICKLY_S, what="the deletion")
        assert client.send("GET", f"{TASKS}/{old}").status == 404


@pytest.mark.parametrize("stands", [False, True], ids=["runs", "stands"])
def test_a_move_takes_a_training_from_the_dead_alone(memory_server: Backend, *, stands: bool) -> None:
    """Another replica moves the clock by leases and sees it run all the while, and ends it once its owner is dead."""
    with replicas(memory_server) as both:
        other, task_id = both.other, both.task_id
        wait_until(lambda: other.ok("GET", TRAININGS)["tasks"], what="a training that others know of")
        if stands:
            other.ok("POST", "/_emulator/clock/_stop", None, AUTHORISED)
        until = time.monotonic() + ANSWERED_S + 3
        moved_at = 0.0
        while time.monotonic() < until:
            if time.monotonic() - moved_at > 2:
                both.move()
                moved_at = time.monotonic()
            assert len(other.ok("GET", TRAININGS)["tasks"]) == 1, "it was not seen for a moment"
            assert other.task(task_id)["state"] == "RUNNING"
        kill(both.process)
        both.move()
        task = other.ended(task_id, deadline_s=ANSWERED_S + 4)
        assert task["state"] == "FAILED"
        assert "stopped before the training ended" in task["error"]


def test_who_sleeps_through_a_move_has_nothing_to_say(memory_server: Backend) -> None:
    """Its training ended elsewhere, whatever time it believes it is; it gives that up and trains what comes next."""
    with replicas(memory_server) as both:
        owner, other, task_id = both.owner, both.other, both.task_id
        with asleep(both.process):
            both.move()
            ended = other.ended(task_id, deadline_s=ANSWERED_S + 4)
            assert ended["state"] == "FAILED"
        assert owner.ended(owner.train_async(rows_body()))["state"] == "COMPLETED"
        assert owner.task(task_id) == ended
        assert owner.ok("GET", TRAININGS)["tasks"] == []
