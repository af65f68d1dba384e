"""Trainings cancelled by `_tasks`, alone and with the cluster's own tasks: how fast, what is left, what is unharmed."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

import pytest

from tests.clients import MODELS, NOBODY, TASKS, TRAIN, Answer, Client, long_body, rows_body
from tests.native_tasks import (
    MANY_ITERATIONS,
    busy_index,
    flat,
    is_running,
    long_training,
    reading_body,
    slow_reindex,
    slow_update_by_query,
    training,
    trainings,
    waiting_training,
)
from tests.services import service, wait_until

pytestmark = pytest.mark.embedded

ACTION = "cluster:admin/opensearch/ml/train"
STOPS_S = 2.0  #: a cancelled training has so long to end
AT_ONCE = 36


@pytest.fixture(scope="module")
def slow() -> Any:
    """A service that trains one at a time, over a node of its own."""
    with service("--trainings", "1") as running:
        yield Client(running.url)


def models(client: Client) -> set[str]:
    """Return the ids of all models."""
    client.send("POST", "/.plugins-ml-model/_refresh")
    answer = client.send("POST", f"{MODELS}/_search", {**NOBODY, "size": 1000, "_source": ["algorithm"]})
    return set() if answer.status == 404 else {hit["_id"] for hit in answer.body["hits"]["hits"]}


def ended_cancelled(client: Client, task_id: str, ml_task: str, began: float) -> None:
    """Hold that a training ends in time, as cancelled, and shows nothing else meanwhile."""
    while task := flat(client.ok("GET", "/_tasks?actions=*ml/train")).get(task_id):
        assert task["cancelled"] is True, "a cancelled training that says it is none"
        assert time.monotonic() - began < STOPS_S, task
    assert time.monotonic() - began < STOPS_S
    found = client.task(ml_task)
    assert found["state"] == "CANCELLED"
    assert "model_id" not in found
    assert "error" not in found
    body = client.ok("GET", f"/_tasks/{task_id}")
    assert list(body) == ["completed", "task", "error"]
    assert body["completed"] is True
    assert (body["task"]["cancelled"], body["task"]["status"]["state"]) == (True, "CANCELLED")
    assert body["error"]["type"] == "task_cancelled_exception"


@pytest.mark.parametrize("grouping", ["", "?group_by=parents", "?group_by=none", "?wait_for_completion=true"])
def test_a_training_is_cancelled_by_its_id(ours: Client, grouping: str) -> None:
    """It ends within two seconds, CANCELLED and without a model, and the answer is shaped as a native one's."""
    before = models(ours)
    with long_training(ours) as ml_task, slow_reindex(ours) as reindex:
        task_id = training(ours, ml_task)
        began = time.monotonic()
        answer = ours.ok("POST", f"/_tasks/{task_id}/_cancel{grouping}")
        if "wait" in grouping:
            assert not is_running(ours, task_id)
        task = flat(answer)[task_id]
        ended_cancelled(ours, task_id, ml_task, began)
        native = flat(ours.ok("POST", f"/_tasks/{reindex}/_cancel{grouping}"))[reindex]
        assert list(task) == list(native)
        assert (task["action"], task["cancellable"], task["cancelled"]) == (ACTION, True, True)
        assert abs(task["cancellation_time_millis"] - time.time() * 1000) < 20_000
    assert models(ours) == before


def test_both_kinds_are_cancelled_in_one_call(ours: Client) -> None:
    """`actions` chooses trainings and native tasks, and all of them end."""
    with (
        long_training(ours) as first,
        waiting_training(ours) as second,
        slow_reindex(ours) as reindex,
        slow_update_by_query(ours) as update,
    ):
        wait_until(lambda: len(trainings(ours)) == 2, what="two trainings")
        ids = {training(ours, ml_task): ml_task for ml_task in (first, second)}
        began = time.monotonic()
        cancelled = flat(ours.ok("POST", "/_tasks/_cancel?actions=*ml/train,*reindex"))
        assert set(cancelled) == {*ids, reindex}
        assert all(task["cancelled"] for task in cancelled.values())
        for task_id, ml_task in ids.items():
            ended_cancelled(ours, task_id, ml_task, began)
        wait_until(lambda: not is_running(ours, reindex), deadline_s=5, what="the end of the reindex")
        assert is_running(ours, update)


def test_waiting_until_all_that_were_cancelled_are_over(ours: Client) -> None:
    """With `wait_for_completion` nothing of either kind runs any more when the answer comes."""
    with long_training(ours) as ml_task, slow_reindex(ours) as reindex:
        task_id = training(ours, ml_task)
        ours.ok("POST", "/_tasks/_cancel?actions=*ml/train*,*reindex&wait_for_completion=true")
        assert not is_running(ours, task_id)
        assert not is_running(ours, reindex)
        assert ours.task(ml_task)["state"] == "CANCELLED"


@pytest.mark.parametrize("query", ["actions=*nope", "nodes=nope", "parent_task_id=nope:1", "actions=*reindex"])
def test_who_is_not_asked_for_runs_on(ours: Client, query: str) -> None:
    """A cancellation of others leaves a training alone."""
    with long_training(ours) as ml_task:
        task_id = training(ours, ml_task)
        assert ours.ok("POST", f"/_tasks/_cancel?{query}") == {"nodes": {}}
        assert flat(ours.ok("GET", "/_tasks"))[task_id]["cancelled"] is False


def test_a_cancelled_stage_ends_its_training(ours: Client) -> None:
    """There is nothing else that it could mean: a training without one of its stages has no model."""
    with long_training(ours) as ml_task:
        task_id = training(ours, ml_task)
        began = time.monotonic()
        (cancelled,) = flat(ours.ok("POST", f"/_tasks/_cancel?parent_task_id={task_id}")).values()
        assert cancelled["parent_task_id"] == task_id
        ended_cancelled(ours, task_id, ml_task, began)


def test_too_late(ours: Client) -> None:
    """A cancellation of what is over says that there is no such task, and changes nothing."""
    with contextlib.closing(ThenDeleted(ours)) as made:
        ml_task = made.train(long_body(50_000))
        task_id = wait_until(lambda: trainings(ours, ml_task), what="the training")[0]
        assert ours.ended(ml_task)["state"] == "COMPLETED"
        wait_until(lambda: ours.ok("GET", f"/_tasks/{task_id}")["completed"], deadline_s=5, what="its result")
        before, result = ours.task(ml_task), ours.ok("GET", f"/_tasks/{task_id}")
        for _ in range(2):
            answer = ours.ok("POST", f"/_tasks/{task_id}/_cancel")
            assert list(answer) == ["node_failures", "nodes"]
            (failure,) = answer["node_failures"]
            node = task_id.partition(":")[0]
            assert failure == {
                "type": "failed_node_exception",
                "reason": f"Failed node [{node}]",
                "node_id": node,
                "caused_by": {"type": "resource_not_found_exception", "reason": f"task [{task_id}] is not found"},
            }
        assert ours.ok("POST", "/_tasks/_cancel?actions=*ml/train") == {"nodes": {}}
        assert (ours.task(ml_task), ours.ok("GET", f"/_tasks/{task_id}")) == (before, result)
        assert ours.ok("GET", f"{MODELS}/{before['model_id']}")["algorithm"] == "KMEANS"


class ThenDeleted:
    """Trainings whose ML tasks are deleted at the end."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._made: list[str] = []

    def train(self, body: dict[str, Any]) -> str:
        self._made.append(self._client.train_async(body))
        return self._made[-1]

    def close(self) -> None:
        for task_id in self._made:
            self._client.send("DELETE", f"{TASKS}/{task_id}")


def test_a_training_that_reads_is_cancelled(ours: Client) -> None:
    """While its rows are still searched for, which goes on without it no longer than a search takes to notice."""
    with busy_index(ours) as index, waiting_training(ours, body=reading_body(index)) as ml_task:
        task_id = wait_until(lambda: trainings(ours, ml_task), what="the training")[0]
        wait_until(lambda: flat(ours.ok("GET", f"/_tasks?parent_task_id={task_id}")), what="its stage")
        began = time.monotonic()
        ours.ok("POST", f"/_tasks/{task_id}/_cancel")
        ended_cancelled(ours, task_id, ml_task, began)


def test_a_training_that_waits_is_cancelled(slow: Client) -> None:
    """One that is CREATED and has not begun ends as well, and those before it go on."""
    with contextlib.ExitStack() as stack:
        tasks = [stack.enter_context(waiting_training(slow)) for _ in range(AT_ONCE)]
        wait_until(lambda: len(trainings(slow)) == AT_ONCE, what="all trainings")
        waiting = [each for each in tasks if slow.task(each)["state"] == "CREATED"]
        assert waiting, "all of them run"
        task_id = training(slow, waiting[-1])
        detailed = flat(slow.ok("GET", "/_tasks?detailed"))
        assert (detailed[task_id]["status"]["state"], "stage" in detailed[task_id]["status"]) == ("CREATED", False)
        assert [task for task in detailed.values() if task.get("parent_task_id") == task_id] == []
        began = time.monotonic()
        slow.ok("POST", f"/_tasks/{task_id}/_cancel")
        ended_cancelled(slow, task_id, waiting[-1], began)
        assert len(trainings(slow)) == AT_ONCE - 1
        running = {training(slow, each): each for each in tasks if each != waiting[-1]}
        began = time.monotonic()
        assert set(flat(slow.ok("POST", "/_tasks/_cancel?actions=*ml/train"))) == set(running)
        wait_until(lambda: not trainings(slow), deadline_s=STOPS_S, what="the end of them all")
        for task_id, each in running.items():
            ended_cancelled(slow, task_id, each, time.monotonic())
        assert models(slow) == set()
    assert slow.ended(slow.train_async(rows_body()))["state"] == "COMPLETED", "the process that trains was harmed"


def test_others_are_not_harmed(ours: Client) -> None:
    """While one is cancelled the other trains on, and what comes after it is trained as ever."""
    with long_training(ours) as other, long_training(ours) as ml_task:
        task_id = training(ours, ml_task)
        began = time.monotonic()
        ours.ok("POST", f"/_tasks/{task_id}/_cancel")
        ended_cancelled(ours, task_id, ml_task, began)
        assert ours.ended(ours.train_async(rows_body()), deadline_s=20)["state"] == "COMPLETED"
        assert ours.task(other)["state"] == "RUNNING"
        wait_until(lambda: trainings(ours) == [training(ours, other)], what="the end of the one that came after")


def test_a_training_whose_caller_waits_is_cancelled(ours: Client) -> None:
    """A synchronous training is a task as well; who waits for it gets the cancellation as an error, in time."""
    answers: list[Answer] = []
    thread = threading.Thread(target=lambda: answers.append(ours.send("POST", TRAIN, long_body(MANY_ITERATIONS))))
    before = models(ours)
    thread.start()
    try:
        (task_id,) = wait_until(lambda: trainings(ours), what="the training")
        wait_until(lambda: flat(ours.ok("GET", f"/_tasks?parent_task_id={task_id}")), what="its stage")
    finally:
        ours.ok("POST", "/_tasks/_cancel?actions=*ml/train")
        thread.join(STOPS_S)
    assert answers, "who waits gets no answer"
    assert answers[0].status >= 400
    assert answers[0].body["error"]["type"] == "task_cancelled_exception"
    assert trainings(ours) == []
    assert models(ours) == before


def test_many_cancellations_at_once(ours: Client) -> None:
    """Several callers cancel the same training: it ends once, and nobody is told nonsense."""
    with long_training(ours) as ml_task:
        task_id = training(ours, ml_task)
        answers: list[Answer] = []
        threads = [
            threading.Thread(target=lambda: answers.append(ours.send("POST", f"/_tasks/{task_id}/_cancel")))
            for _ in range(8)
        ]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [answer.status for answer in answers] == [200] * 8
        assert all(bool(answer.body["nodes"]) != ("node_failures" in answer.body) for answer in answers)
        assert any(answer.body["nodes"] for answer in answers)
        ended_cancelled(ours, task_id, ml_task, began)
