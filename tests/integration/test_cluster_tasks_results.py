"""What `GET /_tasks/<id>` says of a training that is over, for how long, and how it is deleted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.clients import MODELS, Client, as_envelope, long_body
from tests.native_tasks import (
    OPAQUE,
    busy_index,
    flat,
    long_training,
    reading_body,
    slow_reindex,
    training,
    trainings,
    waiting_training,
)
from tests.services import service, wait_until

pytestmark = pytest.mark.embedded

ACTION = "cluster:admin/opensearch/ml/train"
ENDS = ("COMPLETED", "FAILED", "CANCELLED")
ITERATIONS = 60_000  #: of `long_body`: seconds


@dataclass
class Over:
    """A training that is over."""

    state: str
    task_id: str
    ml_task_id: str
    ml_task: dict[str, Any]


def ended(client: Client, state: str) -> Over:
    """Train to an end of a kind. One that fails does so because somebody cancels the search that it reads by."""
    if state == "FAILED":
        with busy_index(client) as index, waiting_training(client, body=reading_body(index)) as ml_task_id:
            task_id = wait_until(lambda: trainings(client, ml_task_id), what="the training")[0]
            search = "/_tasks/_cancel?actions=indices:data/read/search"
            wait_until(lambda: flat(client.ok("POST", search)), what="a search to cancel")
            return over(client, state, task_id, ml_task_id)
    body = long_body(ITERATIONS) if state == "COMPLETED" else None
    with long_training(client, body=body, headers={OPAQUE: "me"}) as ml_task_id:
        task_id = training(client, ml_task_id)
        if state == "CANCELLED":
            client.ok("POST", f"/_tasks/{task_id}/_cancel")
        return over(client, state, task_id, ml_task_id)


def over(client: Client, state: str, task_id: str, ml_task_id: str) -> Over:
    """Return a training once it is over and its result is there."""
    body = client.ok("GET", f"/_tasks/{task_id}?wait_for_completion=true&timeout=30s")
    assert body["completed"] is True
    ml_task = client.ended(ml_task_id)
    assert ml_task["state"] == state
    return Over(state, task_id, ml_task_id, ml_task)


@pytest.fixture(scope="module", params=ENDS)
def done(request: pytest.FixtureRequest, ours: Client) -> Iterator[Over]:
    """A training that is over, each way; what was kept of it is deleted at the end."""
    found = ended(ours, request.param)
    yield found
    ours.send("DELETE", f"/_tasks/{found.task_id}")


def test_the_result_is_shaped_as_the_clusters_own(ours: Client, done: Over) -> None:
    """`completed`, `task` as `detailed` shows it, and what became of it."""
    body = ours.ok("GET", f"/_tasks/{done.task_id}")
    assert list(body) == ["completed", "task", "response" if done.state == "COMPLETED" else "error"]
    assert body["completed"] is True
    task = body["task"]
    with slow_reindex(ours, seconds=1) as reindex:
        native = ours.ok("GET", f"/_tasks/{reindex}?wait_for_completion=true&timeout=20s")
    keys = [*native["task"], *(["cancellation_time_millis"] if done.state == "CANCELLED" else [])]
    assert list(task) == keys
    assert f"{task['node']}:{task['id']}" == done.task_id
    assert (task["type"], task["action"], task["cancellable"]) == ("transport", ACTION, True)
    assert task["cancelled"] is (done.state == "CANCELLED")
    assert task["headers"] == ({} if done.state == "FAILED" else {OPAQUE: "me"})
    assert task["running_time_in_nanos"] > 0
    assert done.ml_task_id in task["description"]
    assert task["status"]["state"] == done.state
    if done.state == "COMPLETED":
        assert task["status"]["rows_read"] == 24
        expected = {"model_id": done.ml_task["model_id"], "task_id": done.ml_task_id, "status": "COMPLETED"}
        assert body["response"] == expected
        assert list(body["response"]) == list(expected)
        assert ours.ok("GET", f"{MODELS}/{expected['model_id']}")["algorithm"] == "KMEANS"
    else:
        assert list(body["error"])[:2] == ["type", "reason"]
        assert (body["error"]["type"] == "task_cancelled_exception") is (done.state == "CANCELLED")
    if done.state == "FAILED":
        assert body["error"]["reason"] == done.ml_task["error"]


def test_a_result_stays_as_it_is(ours: Client, done: Over) -> None:
    """It is the same each time, at once for who waits, and it is no task that runs."""
    first = ours.ok("GET", f"/_tasks/{done.task_id}")
    assert ours.ok("GET", f"/_tasks/{done.task_id}?wait_for_completion=true&timeout=10s") == first
    assert done.task_id not in flat(ours.ok("GET", "/_tasks"))
    assert done.task_id not in ours.send("GET", "/_cat/tasks?h=task_id").payload.decode()
    stage = f"{first['task']['node']}:{first['task']['id'] + 2}"
    answer = ours.send("GET", f"/_tasks/{stage}")
    assert (answer.status, as_envelope(answer)["type"]) == (404, "resource_not_found_exception")


def test_a_result_is_written_in_every_form(ours: Client, done: Over) -> None:
    """`pretty`, `filter_path` and `format` shape it as any answer."""
    path = f"/_tasks/{done.task_id}?filter_path=completed,task.action"
    assert ours.ok("GET", path) == {"completed": True, "task": {"action": ACTION}}
    yaml = ours.send("GET", f"{path}&format=yaml").payload.decode()
    assert yaml == f'---\ncompleted: true\ntask:\n  action: "{ACTION}"\n'
    pretty = ours.send("GET", f"{path}&pretty").payload.decode()
    assert pretty.startswith('{\n  "completed" : true,\n  "task" : {\n')
    assert {"start_time", "running_time"} <= set(ours.ok("GET", f"/_tasks/{done.task_id}?human")["task"])
    answer = ours.send("GET", f"/_tasks/{done.task_id}", headers={OPAQUE: "you"})
    assert (answer.headers[OPAQUE], answer.body["task"]["headers"].get(OPAQUE)) in (("you", "me"), ("you", None))


@pytest.mark.parametrize("query", ["wait_for_completion=x", "timeout=x", "foo=1", "detailed", "group_by=none"])
def test_bad_parameters_of_a_result(ours: Client, done: Over, query: str) -> None:
    """They are refused for a training as for any task, in the cluster's words."""
    mine = ours.send("GET", f"/_tasks/{done.task_id}?{query}")
    theirs = ours.send("GET", f"/_tasks/nope:1?{query}")
    assert mine.status == theirs.status == 400
    assert mine.payload.replace(done.task_id.encode(), b"nope:1") == theirs.payload


@pytest.mark.parametrize("state", ENDS)
def test_a_result_survives_a_restart(opensearch_url: str, state: str) -> None:
    """Another service over the same cluster, after the first is gone, says the same."""
    with service("--opensearch", opensearch_url) as first:
        client = Client(first.url)
        found = ended(client, state)
        before = client.ok("GET", f"/_tasks/{found.task_id}")
        first.stop()
    with service("--opensearch", opensearch_url) as second:
        client = Client(second.url)
        assert client.ok("GET", f"/_tasks/{found.task_id}") == before
        assert client.ok("DELETE", f"/_tasks/{found.task_id}") == {"acknowledged": True}
        assert client.send("GET", f"/_tasks/{found.task_id}").status == 404


def test_a_training_that_a_stop_ended_has_failed(tmp_path: Path) -> None:
    """What runs when the only service stops is FAILED, and its result says so afterwards."""
    flags = ("--data-dir", str(tmp_path))
    with service(*flags) as first:
        client = Client(first.url)
        ml_task_id = client.train_async(long_body(20_000_000))
        task_id = wait_until(lambda: trainings(client, ml_task_id), what="the training")[0]
        wait_until(lambda: client.task(ml_task_id)["state"] == "RUNNING", what="RUNNING")
        first.stop()
    with service(*flags) as second:
        client = Client(second.url)
        ml_task = client.task(ml_task_id)
        assert ml_task["state"] == "FAILED"
        assert trainings(client) == []
        body = client.ok("GET", f"/_tasks/{task_id}")
        assert (body["completed"], body["error"]["reason"]) == (True, ml_task["error"])


@pytest.mark.parametrize("state", ENDS)
def test_a_result_is_deleted(ours: Client, state: str) -> None:
    """`DELETE /_tasks/<id>` takes it away; then there is no such task, and what was made of it stays."""
    found = ended(ours, state)
    assert ours.ok("DELETE", f"/_tasks/{found.task_id}") == {"acknowledged": True}
    for method in ("GET", "DELETE"):
        answer = ours.send(method, f"/_tasks/{found.task_id}")
        assert answer.status == 404
        error = as_envelope(answer)
        assert error["type"] == "resource_not_found_exception"
        assert error["reason"] == f"task [{found.task_id}] isn't running and hasn't stored its results"
    if state == "COMPLETED":
        assert ours.send("GET", f"{MODELS}/{found.ml_task['model_id']}").status == 200


def test_a_training_that_runs_is_not_deleted(ours: Client) -> None:
    """It is refused with a hint, and runs on."""
    with long_training(ours) as ml_task_id:
        task_id = training(ours, ml_task_id)
        answer = ours.send("DELETE", f"/_tasks/{task_id}")
        assert answer.status == 409
        error = as_envelope(answer)
        assert error["type"] == "status_exception"
        assert error["reason"] == (
            f"task [{task_id}] is still running and cannot be deleted; use the cancel tasks API to cancel running tasks"
        )
        assert training(ours, ml_task_id) == task_id
        assert ours.ok("GET", f"/_tasks/{task_id}")["task"]["cancelled"] is False


def test_results_of_the_cluster_are_its_own_to_delete(ours: Client, opensearch_url: str) -> None:
    """A DELETE of a native task is the cluster's business: before 3.9 it knows none."""
    with slow_reindex(ours, seconds=1) as reindex:
        ours.ok("GET", f"/_tasks/{reindex}?wait_for_completion=true&timeout=20s")
        mine = ours.send("DELETE", f"/_tasks/{reindex}")
        theirs = Client(opensearch_url).send("DELETE", f"/_tasks/{reindex}")
        assert (mine.status, mine.payload) == (theirs.status, theirs.payload)
