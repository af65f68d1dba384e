"""A service dies, sleeps past its lease, or is cut off: others end its trainings, once each, and it cannot object."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests import crashes, crowds
from tests.clients import FINAL, Client
from tests.fault_proxy import FaultProxy, fault_proxy
from tests.histories import WRITES, stored_tasks
from tests.services import Service, wait_until
from tests.stages import Crowd, Stage, hold, proxied_stage

pytestmark = pytest.mark.embedded

LEASE_S = 4.0  #: with less a machine that is busy lets services die that live
#: How long after a death all must be over: the lease, as long again until somebody notices, the trainings themselves.
OVER_S = 2 * LEASE_S + 20
MANY = 40
ITERATIONS = 1000  #: a twentieth of a second
TAKEN_OVER = WRITES + 2  #: who takes over writes once, so that nobody else can; it may be slow, and lose it again
OWNER = re.compile(re.escape(socket.gethostname()) + r"-(\d+)-[0-9a-f]+")
TRAININGS = "/_tasks?actions=*ml/train*&group_by=none"


@pytest.fixture(scope="module")
def played() -> Iterator[tuple[Stage, FaultProxy]]:
    """Two services that live through all of it; the victim is each test's own."""
    with proxied_stage() as (made, proxy):
        for _ in range(2):
            made.serve("--lease", f"{LEASE_S:g}")
        yield made, proxy


@pytest.fixture
def victim(played: tuple[Stage, FaultProxy]) -> Iterator[Service]:
    running = played[0].serve("--lease", f"{LEASE_S:g}")
    yield running
    if running.process.poll() is None:
        running.stop()


def check(stage: Stage, crowd: Crowd, pids: set[int], *, deadline_s: float = OVER_S) -> None:
    """Check that all are over soon: those that read an index COMPLETED, the others FAILED, naming who died."""
    ends = stage.ended(crowd, deadline_s=deadline_s, most=TAKEN_OVER)
    assert ends == {"COMPLETED": MANY / 2, "FAILED": MANY / 2}
    wait_until(lambda: stage.states(crowd.plugs) == {"FAILED"}, what="the end of those that were busy")
    stored = stored_tasks(stage.direct, crowd.task_ids + crowd.plugs)
    failed = [task.source for task in stored.values() if task.state == "FAILED"]
    assert {source["input_type"] for source in failed} == {"DATA_FRAME"}, failed[:2]
    for source in failed:
        named = OWNER.search(source["error"])
        assert named, source["error"]
        assert int(named[1]) in pids, source["error"]
    wait_until(lambda: not stage.client().ok("GET", TRAININGS)["tasks"], what="no training in _tasks")


def test_killed_with_many_in_flight(played: tuple[Stage, FaultProxy], victim: Service) -> None:
    """Two others race for what it leaves: each task ends once, within the time promised, and no model is left over."""
    stage, _ = played
    crowd = stage.accepted(crowds.mixed(MANY, ITERATIONS), Client(victim.url))
    check(stage, crowd, crashes.kill(victim))


def test_killed_while_it_accepts(played: tuple[Stage, FaultProxy], victim: Service) -> None:
    """Whether or not callers were told of a task, it ends."""
    stage, _ = played
    before = set(stored_tasks(stage.direct))
    client = Client(victim.url)

    def go_on(kind: int) -> int:
        for accepted in range(10_000):
            try:
                client.train_async((crowds.query, crowds.inline)[kind](20 * ITERATIONS))
            except OSError:
                return accepted
        raise AssertionError("it never died")

    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(go_on, number % 2) for number in range(8)]
        wait_until(lambda: len(stored_tasks(stage.direct)) > len(before) + 16, what="some tasks")
        crashes.kill(victim)
        accepted = sum(job.result() for job in jobs)
    made = [task_id for task_id in stored_tasks(stage.direct) if task_id not in before]
    assert len(made) >= accepted > 0
    ends = stage.ended(Crowd(made), deadline_s=OVER_S, most=TAKEN_OVER)
    assert set(ends) <= {"COMPLETED", "FAILED"}


def test_a_worker_dies_and_the_next_one_goes_on(played: tuple[Stage, FaultProxy]) -> None:
    """Where there is one service only, its master starts a worker, and that one takes over."""
    with proxied_stage() as (stage, _):
        running = stage.serve("--lease", f"{LEASE_S:g}")
        crowd = stage.accepted(crowds.mixed(MANY, ITERATIONS))
        pids = set()
        for worker in crashes.workers(running):
            pids.add(worker.pid)
            worker.send_signal(signal.SIGKILL)
        check(stage, crowd, pids)


def test_asleep_past_its_lease(played: tuple[Stage, FaultProxy], victim: Service) -> None:
    """What others ended while it slept stays as it is when it wakes; it takes new trainings at once."""
    stage, _ = played
    client = Client(victim.url)
    crowd = stage.accepted(crowds.mixed(MANY, ITERATIONS), client)
    with crashes.asleep(victim):
        check(stage, crowd, {process.pid for process in crashes.processes(victim)})
        before = stored_tasks(stage.direct, crowd.task_ids)
    again = client.train_async(crowds.query(10))
    assert client.ended(again)["state"] == "COMPLETED"
    wait_until(lambda: not client.ok("GET", TRAININGS)["tasks"], what="the end of its own trainings")
    assert stored_tasks(stage.direct, crowd.task_ids) == before
    stage.ended(crowd, most=TAKEN_OVER)


def test_asleep_for_less_than_its_lease(played: tuple[Stage, FaultProxy], victim: Service) -> None:
    """A short sleep costs nothing but the time, and nobody takes anything over."""
    stage, _ = played
    crowd = stage.accepted(crowds.mixed(MANY, ITERATIONS), Client(victim.url))
    with crashes.asleep(victim):
        hold(LEASE_S / 4)
    stage.release(crowd)
    assert stage.ended(crowd) == {"COMPLETED": MANY}


def test_cut_off_past_its_lease(played: tuple[Stage, FaultProxy]) -> None:
    """It trains on without OpenSearch; what it has to say arrives when its tasks are ended, and is refused."""
    stage, proxy = played
    with fault_proxy(stage.direct.url, watchers=proxy.watchers) as its_own:
        running = stage.serve("--lease", f"{LEASE_S:g}", opensearch=its_own.url)
        client = Client(running.url)
        crowd = stage.accepted(crowds.mixed(MANY, ITERATIONS), client)
        with its_own.broken(partition=True):
            check(stage, crowd, {process.pid for process in crashes.processes(running)})
            before = stored_tasks(stage.direct, crowd.task_ids)
        assert client.ended(client.train_async(crowds.query(10)))["state"] == "COMPLETED"
        wait_until(lambda: not client.ok("GET", TRAININGS)["tasks"], what="the end of its own trainings")
        assert stored_tasks(stage.direct, crowd.task_ids) == before
        stage.ended(crowd, most=TAKEN_OVER)
        assert running.stop() == 0


def test_late_writes_are_refused(played: tuple[Stage, FaultProxy]) -> None:
    """Ends that were sent in time and arrive too late change nothing: OpenSearch compares what they were based on."""
    stage, proxy = played
    with fault_proxy(stage.direct.url, watchers=proxy.watchers) as its_own:
        running = stage.serve("--lease", f"{LEASE_S:g}", opensearch=its_own.url)
        crowd = stage.started([crowds.inline(100_000)] * 4, Client(running.url))
        wait_until(lambda: "RUNNING" in stage.states(crowd.task_ids), what="RUNNING")
        with its_own.broken(late_s=OVER_S / 2, saying=b'"COMPLETED"'):
            wait_until(lambda: its_own.struck, deadline_s=60, what="an end")
            sleeping = crashes.freeze(running)
            conflicts = _conflicts(stage)
            crowds.await_ends(stage.direct, crowd.task_ids, deadline_s=OVER_S, log=stage.log)
            wait_until(lambda: _conflicts(stage) > conflicts, what="a write that is refused")
        crashes.thaw(sleeping)
        stage.ended(crowd, most=TAKEN_OVER)
        assert running.stop() == 0


def _conflicts(stage: Stage) -> int:
    assert stage.history is not None
    return sum(stage.history.conflicts.values())


def test_all_die_and_one_starts(played: tuple[Stage, FaultProxy]) -> None:
    """Tasks of services that are all dead wait for one that lives."""
    with proxied_stage() as (stage, _):
        for _ in range(2):
            stage.serve("--lease", f"{LEASE_S:g}")
        crowd = stage.accepted(crowds.mixed(MANY, ITERATIONS), stage.client(0), stage.client(1))
        pids = crashes.kill(stage.services[0]) | crashes.kill(stage.services[1])
        assert any(task.state not in FINAL for task in stored_tasks(stage.direct, crowd.task_ids).values())
        stage.services[:] = [stage.serve("--lease", f"{LEASE_S:g}")]
        check(stage, crowd, pids)
