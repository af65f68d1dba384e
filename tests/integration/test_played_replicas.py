"""Played tasks over replicas: what one is told the other knows, and every read is counted once, however many ask."""

from __future__ import annotations

import contextlib
import itertools
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from mlcommons_tasks import running_service
from mlcommons_tasks.backend import MemoryBackend, Running
from tests.clients import TASKS, TRAIN, long_body
from tests.emulators import CONTROL, SMALL, Stand, by_id, fresh, step
from tests.services import Service, service, start_service, stopping, wait_until

TOKEN = "sesame"  # of services that live as long as the test
POLLERS = 20
ORDER = ["CREATED", "RUNNING", "COMPLETED"]
LONG = long_body(2_000_000)  #: some minutes of work


@pytest.fixture(scope="module")
def memory_pair() -> Iterator[tuple[str, str]]:
    """Two services over one in-memory server."""
    with contextlib.ExitStack() as stack:
        node = stack.enter_context(Running(MemoryBackend()))
        yield tuple(
            stack.enter_context(running_service(opensearch=node.url, emulator_token=TOKEN)).url for _ in range(2)
        )  # type: ignore[misc]


@pytest.fixture(scope="module")
def embedded_pair(opensearch_url: str) -> Iterator[tuple[str, str]]:
    """Two services over one real node, in processes of their own."""
    flags = ("--opensearch", opensearch_url, "--emulator-token", TOKEN)
    with service(*flags) as one, service(*flags) as other:
        yield one.url, other.url


@pytest.fixture(scope="module")
def two_workers() -> Iterator[tuple[str, str]]:
    """One service of two processes, with a node of its own; each connection may get to either."""
    with service("--workers", "2") as running:
        yield running.url, running.url


@pytest.fixture(params=["memory_pair", "embedded_pair", "two_workers"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[Stand, Stand]]:
    """One namespace on two replicas."""
    one, other = request.getfixturevalue(request.param)
    token = None if request.param == "two_workers" else TOKEN
    first = fresh(one, token)
    yield first, Stand(other, first.namespace, token)
    assert first.send("DELETE", f"{CONTROL}/namespaces/{first.namespace}").status == 200


def at_once(work: Callable[[int], list[str]], threads: int = POLLERS) -> list[list[str]]:
    """Return what `work` gave in each of so many threads that began together."""
    gate = threading.Barrier(threads)

    def begun(number: int) -> list[str]:
        gate.wait()
        return work(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(begun, range(threads)))


def test_what_one_is_told_the_other_does_at_once(pair: tuple[Stand, Stand]) -> None:
    """The very next request: a scenario told, one deleted, the clock stopped and moved."""
    one, other = pair
    for _ in range(5):
        one.tell(step("RUNNING", 1), step("EXPIRED"))
        task_id = other.train()
        assert [one.state(task_id), other.state(task_id)] == ["RUNNING", "EXPIRED"]
        other.ok("DELETE", f"{CONTROL}/scenarios/s")
        assert one.ended(one.train())["state"] == "COMPLETED"

    stopped = one.clock("_stop")["now"]
    one.preset("slow", seconds=30)
    task_id = other.train()
    one.advance("29999ms")
    assert other.state(task_id) == "RUNNING"
    assert other.searched(task_id) == "RUNNING"
    one.advance("1ms")
    assert other.ended(task_id)["last_update_time"] == stopped + 30_000
    assert other.clock()["now"] == stopped + 30_000


def test_reads_on_both_are_counted_together(pair: tuple[Stand, Stand]) -> None:
    """By turns, by both ways of reading: each state is seen exactly as often as told."""
    one, other = pair
    one.tell(step("CREATED", 3), step("RUNNING", 4), step("COMPLETED", model="played"))
    task_id = one.train()

    ways = itertools.cycle([one.state, other.state, one.searched, other.searched])
    assert [next(ways)(task_id) for _ in range(9)] == ["CREATED"] * 3 + ["RUNNING"] * 4 + ["COMPLETED"] * 2


@pytest.mark.parametrize("ways", [("state",), ("searched",), ("state", "searched")], ids="-".join)
def test_many_who_poll_at_once_see_each_state_as_often_as_told(
    ways: tuple[str, ...], pair: tuple[Stand, Stand]
) -> None:
    """Over both replicas; nobody sees a task go back."""
    pair[0].tell(step("CREATED", 30), step("RUNNING", 50), step("COMPLETED", model="played"))
    task_id = pair[0].train()

    def poll(number: int) -> list[str]:
        read = getattr(pair[number % 2], ways[number // 2 % len(ways)])
        return [read(task_id) for _ in range(10)]

    polled = at_once(poll)

    for states in polled:
        assert states == sorted(states, key=ORDER.index)
    seen = Counter(itertools.chain.from_iterable(polled))
    assert (seen["CREATED"], seen["RUNNING"]) == (30, 50)
    assert {read(task_id) for stand in pair for read in (stand.state, stand.searched)} == {"COMPLETED"}


def test_many_tasks_at_once(pair: tuple[Stand, Stand]) -> None:
    """Each poller follows a task of its own to its end by the documented order."""
    pair[0].tell(step("CREATED", 1), step("RUNNING", 2), step("COMPLETED"))

    def follow(number: int) -> list[str]:
        task_id = pair[number % 2].train()
        seen = [pair[(number + read) % 2].state(task_id) for read in range(3)]
        pair[number % 2].ended(task_id)
        return seen

    assert at_once(follow, 10) == [["CREATED", "RUNNING", "RUNNING"]] * 10


def test_times_holds_however_many_create_at_once(pair: tuple[Stand, Stand]) -> None:
    """Exactly three of thirty are taken, on both replicas together."""
    pair[0].tell(refuse={"status": 429, "type": "rejected_execution_exception", "reason": "busy"}, times=3)
    pair[0].tell(step("EXPIRED"), name="rest")

    def create(number: int) -> list[str]:
        return [str(pair[number % 2].send("POST", f"{TRAIN}?async=true", SMALL).status)]

    assert Counter(itertools.chain.from_iterable(at_once(create, 30))) == {"429": 3, "200": 27}
    assert [it["matched"] for it in pair[1].ok("GET", f"{CONTROL}/scenarios")["scenarios"]] == [3, 27]


def test_a_task_that_was_deleted_on_one_is_gone_on_the_other(pair: tuple[Stand, Stand]) -> None:
    """While others poll it; it never comes back."""
    one, other = pair
    one.tell(step("CREATED", 1000), step("COMPLETED"))
    task_id = one.create("s")

    def poll(number: int) -> list[str]:
        if number == 0:
            one.ok("DELETE", f"{TASKS}/{task_id}")
        return [pair[number % 2].state(task_id) for _ in range(10)]

    for states in at_once(poll, 6):
        assert states == sorted(states, key=["CREATED", "404"].index)
    assert [stand.send("POST", f"{TASKS}/_search", by_id(task_id)).body["hits"]["hits"] for stand in pair] == [[], []]
    assert [one.state(task_id), other.state(task_id)] == ["404", "404"]


def test_a_scenario_is_reset_on_both(pair: tuple[Stand, Stand]) -> None:
    """Its tasks are deleted, those that ended too, and its times are there again; another's tasks stay."""
    one, other = pair
    one.tell(step("EXPIRED"), times=1)
    one.tell(step("RUNNING", 5), step("COMPLETED"), name="rest")
    gone, stays = one.train(), one.train()
    assert [other.state(gone), other.state(stays)] == ["EXPIRED", "RUNNING"]

    assert other.ok("POST", f"{CONTROL}/scenarios/s/_reset")["deleted_tasks"] == [gone]
    assert [one.state(gone), one.state(stays)] == ["404", "RUNNING"]
    assert one.state(one.train()) == "EXPIRED"


def test_a_namespace_that_one_deletes_is_gone_on_the_other(pair: tuple[Stand, Stand]) -> None:
    """With what that one trained and polled there; it may be used anew at once, by both."""
    one, other = pair
    for _ in range(3):
        other.tell(step("RUNNING", 1), step("COMPLETED"), times=1)
        played, real = other.train(), other.train()
        assert [other.ended(task_id)["state"] for task_id in (played, real)] == ["COMPLETED", "COMPLETED"]
        other.train(body=long_body(30_000))
        one.ok("DELETE", f"{CONTROL}/namespaces/{one.namespace}")
        for stand in pair:
            assert [stand.state(task_id) for task_id in (played, real)] == ["404", "404"]
            assert stand.ok("GET", f"{CONTROL}/scenarios")["scenarios"] == []
            assert stand.states() == {}


def test_a_task_ends_whose_replica_is_killed(opensearch_url: str) -> None:
    """FAILED with a reason, soon, whoever reads it and even if nobody does."""
    flags = ("--opensearch", opensearch_url, "--emulator-token", TOKEN)
    with service(*flags) as lives, stopping(start_service(*flags)) as dies:
        stand = fresh(lives.url, TOKEN)
        stand.tell(step("CREATED", 1), step("RUNNING", 1), step("COMPLETED"))
        victim = Stand(dies.url, stand.namespace, TOKEN)
        task_id = victim.train(body=LONG)
        unread = victim.train(body=LONG)
        assert stand.state(task_id) == "CREATED"
        killed(dies)

        task = wait_until(lambda: stand.task(task_id)["state"] == "FAILED" and stand.task(task_id), deadline_s=40.0)
        assert "stopped before the training ended" in task["error"]
        for _ in range(3):
            last = stand.state(unread)
        assert last == "FAILED"
        assert stand.searched(unread) == "FAILED"
        stand.ok("DELETE", f"{CONTROL}/namespaces/{stand.namespace}")


def killed(running: Service) -> None:
    """End every process of a service at once."""
    running.process.send_signal(signal.SIGKILL)
    running.process.wait()


def test_a_service_that_stops_ends_the_tasks_it_works_on(opensearch_url: str) -> None:
    """Another replica shows them as FAILED at once, with the reason, once its scenario says that they end."""
    flags = ("--opensearch", opensearch_url, "--emulator-token", TOKEN)
    with service(*flags) as lives, stopping(start_service(*flags)) as stops:
        stand = fresh(lives.url, TOKEN)
        stand.tell(step("RUNNING", 1), step("COMPLETED"))
        task_id = Stand(stops.url, stand.namespace, TOKEN).train(body=LONG)
        assert stops.stop() == 0

        assert stand.state(task_id) == "RUNNING"
        task = stand.task(task_id)
        assert (task["state"], task["error"]) == ("FAILED", "the service stopped before the training ended")
        stand.ok("DELETE", f"{CONTROL}/namespaces/{stand.namespace}")
