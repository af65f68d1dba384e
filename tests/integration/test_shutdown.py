"""SIGTERM: what runs may end, the rest goes to another replica or ends FAILED, and nothing hangs."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from tests import crashes, crowds
from tests.clients import TRAIN, Client, rows_body
from tests.fault_proxy import FaultProxy
from tests.histories import WRITES, stored_tasks
from tests.native_tasks import MANY_ITERATIONS
from tests.services import service, wait_until
from tests.stages import Stage, proxied_stage
from tests.upstreams import osmem

pytestmark = pytest.mark.embedded

LEASE_S = 5.0
GRACE_S = 2.0
GONE_S = GRACE_S + 8  #: how soon a service that was told to stop is gone
MANY = 40
ITERATIONS = 1000  #: a twentieth of a second
TAKEN_OVER = WRITES + 2  #: who takes over writes once, so that nobody else can; it may be slow, and lose it again
STOPPED = "the service stopped before the training ended"
TRAININGS = "/_tasks?actions=*ml/train*&group_by=none"  #: each with its stage
FITS = "/_tasks?actions=*ml/train%5Bfit%5D&group_by=none"


@pytest.fixture(scope="module")
def played() -> Iterator[tuple[Stage, FaultProxy]]:
    """A service that lives on; each test stops one of its own."""
    with proxied_stage() as (made, proxy):
        made.serve("--lease", f"{LEASE_S:g}")
        yield made, proxy


def flags() -> list[str]:
    return ["--lease", f"{LEASE_S:g}", "--grace", f"{GRACE_S:g}"]


def test_another_replica_ends_what_is_left(played: tuple[Stage, FaultProxy]) -> None:
    """Those that bring their data and those that read it, waiting and running: all are COMPLETED by the other."""
    stage, _ = played
    running = stage.serve(*flags())
    crowd = stage.accepted(crowds.mixed(MANY, ITERATIONS), Client(running.url))
    stage.release(crowd)
    began = time.monotonic()
    assert running.stop() == 0
    assert time.monotonic() - began < GONE_S
    assert stage.ended(crowd, most=TAKEN_OVER) == {"COMPLETED": MANY}, running.log.read_text()[-2000:]
    wait_until(lambda: not stage.client().ok("GET", TRAININGS)["tasks"], what="no training in _tasks")


@pytest.mark.parametrize("kind", [crowds.inline, crowds.query], ids=["inline", "query"])
def test_a_long_training_begins_anew_elsewhere(played: tuple[Stage, FaultProxy], kind: object) -> None:
    """One that runs longer than the grace is RUNNING at the other replica; what was done of it is lost."""
    stage, _ = played
    other = stage.client()
    running = stage.serve(*flags())
    crowd = stage.started([kind(MANY_ITERATIONS)], Client(running.url))  # type: ignore[operator]
    try:
        assert running.stop() == 0
        task = stored_tasks(stage.direct, crowd.task_ids)[crowd.task_ids[0]]
        assert task.state == "RUNNING", task
        wait_until(lambda: len(other.ok("GET", FITS)["tasks"]) == 1, what="its training at the other")
        assert len(other.ok("GET", TRAININGS)["tasks"]) == 2
    finally:
        other.ok("POST", "/_tasks/_cancel?actions=*ml/train&wait_for_completion=true")
    assert stage.ended(crowd, most=TAKEN_OVER) == {"CANCELLED": 1}


def test_what_ends_in_the_grace_stays_here(played: tuple[Stage, FaultProxy]) -> None:
    """A training that is nearly done is COMPLETED by who began it: nothing is handed over that need not be."""
    stage, _ = played
    running = stage.serve("--lease", f"{LEASE_S:g}", "--grace", "20")
    crowd = stage.started([crowds.inline(20_000)] * 2, Client(running.url))
    wait_until(lambda: stage.states(crowd.task_ids) == {"RUNNING"}, what="RUNNING")
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(40) == 0
    assert stage.ended(crowd) == {"COMPLETED": 2}


def test_alone_it_ends_its_tasks_itself() -> None:
    """Without another replica what is not over in time is FAILED and says why, before the process is gone."""
    with proxied_stage() as (stage, _):
        running = stage.serve(*flags())
        crowd = stage.accepted(crowds.mixed(MANY, ITERATIONS))
        began = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - began < GONE_S
        assert stage.ended(crowd, deadline_s=0) == {"FAILED": MANY}
        assert stage.states(crowd.plugs) == {"FAILED"}
        for task in stored_tasks(stage.direct, crowd.task_ids + crowd.plugs).values():
            assert task.source["error"].startswith(STOPPED), task


def test_a_replica_that_is_dead_is_none(played: tuple[Stage, FaultProxy]) -> None:
    """Who stops beside one that was killed a moment ago waits for no answer of it for long, and nothing hangs."""

    with proxied_stage() as (stage, _):
        dead, running = stage.serve(*flags()), stage.serve(*flags())
        crowd = stage.accepted(crowds.mixed(MANY, ITERATIONS), Client(dead.url), Client(running.url))
        crashes.kill(dead)
        assert running.stop() == 0
        stage.serve(*flags())
        ends = stage.ended(crowd, most=TAKEN_OVER)
        assert set(ends) <= {"COMPLETED", "FAILED"}
        wait_until(lambda: stage.states(crowd.plugs) == {"FAILED"}, what="the end of those that were busy")


def test_it_goes_while_opensearch_is_away(played: tuple[Stage, FaultProxy]) -> None:
    """With nobody to write to it ends in time all the same; its tasks are taken over after its lease."""
    stage, proxy = played
    running = stage.serve(*flags())
    crowd = stage.started([crowds.query(10 * ITERATIONS)] * MANY, Client(running.url))
    with proxy.broken(refuse=True):
        began = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - began < GONE_S + 4
        assert len(crowds.unfinished(stage.direct, crowd.task_ids)) > 1, "nothing was left to take over"
    assert stage.ended(crowd, most=TAKEN_OVER) == {"COMPLETED": MANY}


def test_requests_are_refused_while_it_stops() -> None:
    """A training that comes during the stop gets 503, or no connection; no task of it stays open."""
    with osmem() as upstream, service("--opensearch", upstream.url, "--grace", "3") as running:
        client = Client(running.url)
        client.train_async(crowds.inline(MANY_ITERATIONS))
        running.process.send_signal(signal.SIGTERM)

        def refused() -> bool:
            try:
                return client.send("POST", f"{TRAIN}?async=true", rows_body()).status == 503
            except OSError:
                return True

        wait_until(refused, deadline_s=3, what="a refusal")
        assert running.process.wait(10) == 0
        hits = Client(upstream.url).ok("GET", "/.plugins-ml-task/_search?size=1000")["hits"]["hits"]
        assert {hit["_source"]["state"] for hit in hits} <= {"FAILED", "COMPLETED"}
