"""Trainings of one service seen, awaited, cancelled and deleted through another, and through every worker of one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.clients import Answer, Client, long_body
from tests.native_tasks import flat, long_training, slow_reindex, training, trainings, waiting_training
from tests.services import service, wait_until

pytestmark = pytest.mark.embedded

ACTION = "cluster:admin/opensearch/ml/train"
STOPS_S = 2.0
ITERATIONS = 100_000  #: of `long_body`: seconds
REQUESTS = 24  #: so many that each of two workers gets some, nearly always


@dataclass
class Replicas:
    """Two services over one cluster."""

    one: Client
    other: Client


@pytest.fixture(scope="module")
def replicas(opensearch_url: str) -> Iterator[Replicas]:
    with service("--opensearch", opensearch_url) as one, service("--opensearch", opensearch_url) as other:
        yield Replicas(Client(one.url), Client(other.url))


@pytest.fixture(scope="module")
def workers(opensearch_url: str) -> Iterator[Client]:
    """One service of two processes."""
    with service("--opensearch", opensearch_url, "--workers", "2") as running:
        yield Client(running.url)


@pytest.mark.parametrize("grouping", ["nodes", "parents", "none"])
def test_a_training_is_listed_by_the_other(replicas: Replicas, grouping: str) -> None:
    """It is there with its stage as soon as it was answered, once, and says the same but for the time."""
    with long_training(replicas.one) as ml_task_id:
        task_id = training(replicas.other, ml_task_id)
        assert training(replicas.one, ml_task_id) == task_id
        path = f"/_tasks?actions=*ml/train*&group_by={grouping}"

        def both() -> bool:
            here, there = (flat(client.ok("GET", path)) for client in (replicas.one, replicas.other))
            for task in (*here.values(), *there.values()):
                assert task.pop("running_time_in_nanos") > 0
            return here == there and len(there) == 2

        wait_until(both, deadline_s=5, what="the same list from both")


def test_a_training_is_listed_at_once(replicas: Replicas) -> None:
    """There is no moment after the answer to `_train` in which the other does not know of it."""
    for _ in range(5):
        with waiting_training(replicas.one) as ml_task_id:
            assert len(trainings(replicas.other, ml_task_id)) == 1
        wait_until(lambda: not trainings(replicas.other, ml_task_id), deadline_s=STOPS_S, what="its end")


def test_progress_is_seen_by_the_other(replicas: Replicas) -> None:
    """The iteration and the time go on."""
    with long_training(replicas.one) as ml_task_id:
        task_id = training(replicas.other, ml_task_id)
        first = replicas.other.ok("GET", f"/_tasks/{task_id}")["task"]

        def further() -> bool:
            task = replicas.other.ok("GET", f"/_tasks/{task_id}")["task"]
            return bool(task["status"]["iteration"] > first["status"]["iteration"])

        wait_until(further, deadline_s=15, what="progress")
        rows = replicas.other.ok("GET", "/_cat/tasks?format=json&actions=*ml/train")
        assert [row["task_id"] for row in rows] == [task_id]


def test_a_training_is_awaited_through_the_other(replicas: Replicas) -> None:
    """By its id and by its action, until it is over or the time is up."""
    with long_training(replicas.one) as ml_task_id:
        task_id = training(replicas.other, ml_task_id)
        late = replicas.other.send("GET", f"/_tasks/{task_id}?wait_for_completion=true&timeout=500ms")
        assert (late.status, late.body["error"]["type"]) == (500, "timeout_exception")
        late = replicas.other.send("GET", "/_tasks?actions=*ml/train&wait_for_completion=true&timeout=500ms")
        assert (late.status, len(late.body["node_failures"])) == (200, 1)
    with long_training(replicas.one, body=long_body(ITERATIONS)) as ml_task_id:
        task_id = training(replicas.other, ml_task_id)
        answers: list[Answer] = []
        listing = "/_tasks?actions=*ml/train&wait_for_completion=true&timeout=30s"
        thread = threading.Thread(target=lambda: answers.append(replicas.other.send("GET", listing)))
        thread.start()
        body = replicas.other.ok("GET", f"/_tasks/{task_id}?wait_for_completion=true&timeout=30s")
        thread.join(5)
        assert (body["completed"], body["response"]["task_id"]) == (True, ml_task_id)
        assert replicas.one.task(ml_task_id)["state"] == "COMPLETED"
        assert answers, "a list that waits does not see the end"
        assert "node_failures" not in answers[0].body


@pytest.mark.parametrize("by", ["id", "action"])
def test_a_training_is_cancelled_through_the_other(replicas: Replicas, by: str) -> None:
    """It ends as fast as if it were the other's own, with the cluster's own tasks in one call."""
    with long_training(replicas.one) as ml_task_id, slow_reindex(replicas.one) as reindex:
        task_id = training(replicas.other, ml_task_id)
        path = f"/_tasks/{task_id}/_cancel" if by == "id" else "/_tasks/_cancel?actions=*ml/train,*reindex"
        began = time.monotonic()
        cancelled = flat(replicas.other.ok("POST", path))
        assert set(cancelled) == ({task_id} if by == "id" else {task_id, reindex})
        assert cancelled[task_id]["cancelled"] is True
        seen = flat(replicas.other.ok("GET", "/_tasks?actions=*ml/train"))
        assert all(task["cancelled"] for task in seen.values())
        for client in (replicas.one, replicas.other):
            wait_until(lambda: not trainings(client), deadline_s=STOPS_S, what="the end")  # noqa: B023
        assert time.monotonic() - began < STOPS_S
        assert replicas.other.task(ml_task_id)["state"] == "CANCELLED"
        for client in (replicas.one, replicas.other):
            body = client.ok("GET", f"/_tasks/{task_id}")
            assert (body["completed"], body["error"]["type"]) == (True, "task_cancelled_exception")
        too_late = replicas.other.ok("POST", f"/_tasks/{task_id}/_cancel")
        assert too_late["node_failures"][0]["caused_by"]["reason"] == f"task [{task_id}] is not found"


def test_a_result_is_read_and_deleted_through_the_other(replicas: Replicas) -> None:
    """What is over in one is known to both, until either deletes it."""
    with long_training(replicas.one) as ml_task_id:
        task_id = training(replicas.one, ml_task_id)
        answer = replicas.other.send("DELETE", f"/_tasks/{task_id}")
        assert (answer.status, answer.body["error"]["type"]) == (409, "status_exception")
        replicas.one.ok("POST", f"/_tasks/{task_id}/_cancel?wait_for_completion=true")
    before = replicas.one.ok("GET", f"/_tasks/{task_id}")
    assert replicas.other.ok("GET", f"/_tasks/{task_id}") == before
    assert replicas.other.ok("DELETE", f"/_tasks/{task_id}") == {"acknowledged": True}
    assert replicas.one.send("GET", f"/_tasks/{task_id}").status == 404


def test_the_trainings_of_both_have_numbers_of_their_own(replicas: Replicas) -> None:
    """Whoever asks, no two tasks have one number, and each is once in the list."""
    with long_training(replicas.one) as first, long_training(replicas.other) as second:
        for client in (replicas.one, replicas.other):
            listed = client.ok("GET", "/_tasks?group_by=none&actions=*ml/train*")["tasks"]
            wait_until(lambda: len(trainings(client)) == 2, deadline_s=5, what="both")  # noqa: B023
            ids = [task["id"] for task in listed]
            assert len(ids) == len(set(ids))
            assert {training(client, first), training(client, second)} <= {f"{t['node']}:{t['id']}" for t in listed}


def test_a_replica_that_stops_leaves_its_trainings_to_the_others(opensearch_url: str, replicas: Replicas) -> None:
    """The entry keeps its id, and what is asked of it counts wherever it is at work by now."""
    with service("--opensearch", opensearch_url) as third:
        client = Client(third.url)
        ml_task_id = client.train_async(long_body(20_000_000))
        task_id = wait_until(lambda: trainings(replicas.one, ml_task_id), what="the training")[0]
        third.stop()
    assert trainings(replicas.one, ml_task_id) == [task_id]
    assert replicas.one.task(ml_task_id)["state"] in ("CREATED", "RUNNING")
    replicas.one.ok("POST", f"/_tasks/{task_id}/_cancel")
    wait_until(lambda: not trainings(replicas.other, ml_task_id), deadline_s=STOPS_S, what="its end")
    body = replicas.other.ok("GET", f"/_tasks/{task_id}")
    assert (body["completed"], "error" in body) == (True, True)
    assert replicas.other.task(ml_task_id)["state"] == "CANCELLED"


def test_every_worker_knows_the_trainings_of_all(workers: Client) -> None:
    """With `--workers 2` each request may meet the other process: soon the answer is the same from both."""

    def always(condition: Callable[[], bool]) -> bool:
        return all(condition() for _ in range(REQUESTS))

    with long_training(workers) as ml_task_id:
        task_id = training(workers, ml_task_id)
        for _ in range(REQUESTS):
            assert task_id in flat(workers.ok("GET", "/_tasks?actions=*ml/train*"))
            assert workers.ok("GET", f"/_tasks/{task_id}")["completed"] is False
        listing = "/_tasks?actions=*ml/train*"
        wait_until(
            lambda: always(lambda: len(flat(workers.ok("GET", listing))) == 2), deadline_s=5, what="the stage from both"
        )
        workers.ok("POST", f"/_tasks/{task_id}/_cancel")
        wait_until(lambda: always(lambda: not trainings(workers)), deadline_s=STOPS_S, what="its end from both")
        for _ in range(REQUESTS):
            body = workers.ok("GET", f"/_tasks/{task_id}")
            assert (body["completed"], body["error"]["type"]) == (True, "task_cancelled_exception")
        assert workers.task(ml_task_id)["state"] == "CANCELLED"


def test_trainings_in_every_worker_are_cancelled_in_one_call(workers: Client) -> None:
    """However they are spread, one call ends them all, in time."""
    made = [workers.train_async(long_body(20_000_000)) for _ in range(6)]
    assert len(trainings(workers)) == 6
    began = time.monotonic()
    assert len(flat(workers.ok("POST", "/_tasks/_cancel?actions=*ml/train"))) == 6
    wait_until(lambda: not trainings(workers), deadline_s=STOPS_S, what="the end of them all")
    assert time.monotonic() - began < STOPS_S + 0.5
    assert {workers.ended(each)["state"] for each in made} == {"CANCELLED"}
