"""Every example of the page about the task management API, over the cluster's own tasks and a training at once.

What the page shows must be in what is answered: the same keys in the same order, of the same types.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from opensearchpy import NotFoundError, OpenSearch, RequestError

from tests.clients import Client, long_body
from tests.native_tasks import (
    OPAQUE,
    busy_search,
    flat,
    is_running,
    long_training,
    slow_reindex,
    training,
)
from tests.services import Service, wait_until

pytestmark = pytest.mark.embedded

TRAIN = "cluster:admin/opensearch/ml/train"
SHORT_ITERATIONS = 60_000  #: of `long_body`: seconds
MARK = "123456"
#: With a `request_timeout` the client sends the `timeout`; without one it takes it for its own.
TEN_SECONDS = {"timeout": "10s", "request_timeout": 20}

#: The page's answer to `_tasks?nodes=nodeId1,nodeId2&actions=cluster:*`.
NODE = {"name": "H5dfFeA", "transport_address": "127.0.0.1:9300", "host": "127.0.0.1", "ip": "127.0.0.1:9300"}
CHILD = {
    "node": "oTUltX4IQMOUUVeiohTt8A",
    "id": 124,
    "type": "direct",
    "action": "cluster:monitor/tasks/lists[n]",
    "start_time_in_millis": 1458585884904,
    "running_time_in_nanos": 47402,
    "cancellable": False,
    "parent_task_id": "oTUltX4IQMOUUVeiohTt8A:123",
}
PARENT = {
    "node": "oTUltX4IQMOUUVeiohTt8A",
    "id": 123,
    "type": "transport",
    "action": "cluster:monitor/tasks/lists",
    "start_time_in_millis": 1458585884904,
    "running_time_in_nanos": 236042,
    "cancellable": False,
}
#: The page's answer to `_tasks?actions=*search&detailed`.
SEARCH = {
    "node": "oTUltX4IQMOUUVeiohTt8A",
    "id": 464,
    "type": "transport",
    "action": "indices:data/read/search",
    "description": 'indices[test], types[test], search_type[QUERY_THEN_FETCH], source[{"query":...}]',
    "start_time_in_millis": 1483478610008,
    "running_time_in_nanos": 13991383,
    "cancellable": True,
    "cancelled": False,
}
#: The page's answer to `_tasks?group_by=parents` with `X-Opaque-Id: 123456`.
MARKED = {**PARENT, "headers": {OPAQUE: MARK}, "children": [{**CHILD, "headers": {OPAQUE: MARK}}]}


def shown(sample: Mapping[str, Any], ours: Mapping[str, Any], **same: Any) -> None:
    """Hold what the page shows: its keys in its order, with values of its types; those of `same` to the letter."""
    assert [key for key in ours if key in sample] == list(sample), ours
    for key, value in sample.items():
        assert type(ours[key]) is type(value), f"{key}: {ours[key]!r}"
    assert {key: ours[key] for key in same} == same


@dataclass
class Page:
    """A service over a cluster with a reindex and a training, and the official client of it."""

    raw: Client
    api: OpenSearch
    node: str
    reindex: str
    ml_task: str
    training: str

    @property
    def nodes(self) -> str:
        """The page's `nodeId1,nodeId2`; of the second there is nothing."""
        return f"{self.node},nodeId2"


@pytest.fixture(scope="module")
def raw(embedded_service: Service) -> Client:
    return Client(embedded_service.url)


@pytest.fixture(scope="module")
def api(embedded_service: Service) -> Iterator[OpenSearch]:
    with OpenSearch(hosts=[embedded_service.url], timeout=60) as client:
        yield client


@pytest.fixture
def page(raw: Client, api: OpenSearch) -> Iterator[Page]:
    with slow_reindex(raw) as reindex, long_training(raw, headers={OPAQUE: MARK}) as ml_task:
        yield Page(raw, api, reindex.partition(":")[0], reindex, ml_task, training(raw, ml_task))


def its_stage(page: Page, tasks: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the one child that the training has."""
    (child,) = [task for task in tasks.values() if task.get("parent_task_id") == page.training]
    return child


def test_all_tasks_on_all_nodes(page: Page) -> None:
    """`GET _tasks`: the cluster's, ours, and the request itself."""
    tasks = flat(page.api.tasks.list())
    assert tasks[page.reindex]["action"] == "indices:data/write/reindex"
    shown({**PARENT, "cancelled": False}, tasks[page.training], action=TRAIN, type="transport", cancellable=True)
    shown(CHILD, its_stage(page, tasks), action=f"{TRAIN}[fit]", type="direct", cancellable=True)
    assert "cluster:monitor/tasks/lists" in {task["action"] for task in tasks.values()}


def test_all_tasks_on_two_nodes(page: Page) -> None:
    """`GET _tasks?nodes=nodeId1,nodeId2`: by ids and by names; on a node that is not there, there is nothing."""
    body = page.api.tasks.list(nodes=page.nodes)
    assert list(body["nodes"]) == [page.node]
    assert {page.reindex, page.training} <= set(flat(body))
    name = body["nodes"][page.node]["name"]
    assert {page.reindex, page.training} <= set(flat(page.api.tasks.list(nodes=f"{name},other")))
    assert page.api.tasks.list(nodes="nodeId1,nodeId2") == {"nodes": {}}


def test_cluster_tasks_on_two_nodes(page: Page) -> None:
    """`GET _tasks?nodes=nodeId1,nodeId2&actions=cluster:*`: the answer that the page prints is in ours."""
    body = page.api.tasks.list(nodes=page.nodes, actions="cluster:*")
    ((node, found),) = body["nodes"].items()
    assert node == page.node
    shown({**NODE, "tasks": {}}, found)
    assert found["ip"] == found["transport_address"]
    for key, task in found["tasks"].items():
        assert key == f"{task['node']}:{task['id']}"
        assert task["action"].startswith("cluster:")
        shown(PARENT, task, node=node)
    by_action = {task["action"]: task for task in found["tasks"].values()}
    theirs = by_action["cluster:monitor/tasks/lists"]
    shown(PARENT, theirs, type="transport", cancellable=False)
    child = by_action["cluster:monitor/tasks/lists[n]"]
    shown(CHILD, child, type="direct", cancellable=False, parent_task_id=f"{node}:{theirs['id']}")
    assert page.reindex not in found["tasks"]
    shown(PARENT, found["tasks"][page.training], type="transport", action=TRAIN)
    shown(CHILD, its_stage(page, found["tasks"]), type="direct", parent_task_id=page.training)


def test_one_task(page: Page) -> None:
    """`GET _tasks/<id>`: theirs and ours, as they run; a stage too, while the training is in it."""
    for task_id, action in ((page.reindex, "indices:data/write/reindex"), (page.training, TRAIN)):
        body = page.api.tasks.get(task_id=task_id)
        assert list(body) == ["completed", "task"]
        assert body["completed"] is False
        expected = {**SEARCH, "id": int(task_id.partition(":")[2]), "node": page.node, "action": action}
        same = {key: expected[key] for key in ("node", "id", "type", "action", "cancellable", "cancelled")}
        shown(expected, body["task"], **same)
    stage = its_stage(page, flat(page.api.tasks.list()))
    body = page.api.tasks.get(task_id=f"{stage['node']}:{stage['id']}")
    shown(CHILD, body["task"], parent_task_id=page.training)


@pytest.mark.parametrize("task_id", ["oTUltX4IQMOUUVeiohTt8A:124", "{node}:999999999", "{node}:4503599627999996"])
def test_a_task_that_is_not_there(page: Page, task_id: str) -> None:
    """The page: "If the task is not found, the API returns a 404", by whatever number."""
    with pytest.raises(NotFoundError) as caught:
        page.api.tasks.get(task_id=task_id.format(node=page.node))
    assert (caught.value.status_code, caught.value.error) == (404, "resource_not_found_exception")


def test_the_children_of_a_task(page: Page) -> None:
    """`GET _tasks?parent_task_id=<id>`: those of a training; a parent that is not there is no 404."""
    (child,) = flat(page.api.tasks.list(parent_task_id=page.training)).values()
    shown(CHILD, child, type="direct", action=f"{TRAIN}[fit]", parent_task_id=page.training)
    assert page.api.tasks.list(parent_task_id="oTUltX4IQMOUUVeiohTt8A:123") == {"nodes": {}}
    assert page.api.tasks.list(parent_task_id=f"{page.node}:4503599627999996") == {"nodes": {}}


def test_searches_in_detail(page: Page) -> None:
    """`GET _tasks?actions=*search&detailed`: a description of each search, and none of ours among them."""
    with busy_search(page.raw) as search:
        answer = page.raw.ok("GET", "/_tasks?actions=*search&detailed")
        by_client = page.api.tasks.list(actions="*search", detailed=True)
        for body in (answer, by_client):
            ((node, found),) = body["nodes"].items()
            shown({**NODE, "tasks": {}}, found)
            assert {task["action"] for task in found["tasks"].values()} == {"indices:data/read/search"}
            task = found["tasks"][search.task_id]
            shown(SEARCH, task, node=node, type="transport", cancellable=True, cancelled=False)
            assert task["description"].startswith("indices[busy-")


def test_trainings_in_detail(page: Page) -> None:
    """`detailed` adds a description and a status to ours as well, which are not there without it."""
    plain = flat(page.api.tasks.list(actions="*ml/train"))[page.training]
    assert {"description", "status"} & set(plain) == set()
    task = flat(page.api.tasks.list(actions="*ml/train", detailed=True))[page.training]
    shown(SEARCH, task, action=TRAIN, type="transport", cancellable=True, cancelled=False)
    assert page.ml_task in task["description"]
    assert "KMEANS" in task["description"].upper()
    status = task["status"]
    assert (status["state"], status["stage"], status["rows_read"]) == ("RUNNING", "fit", 24)
    assert 0 <= status["iteration"] <= status["iterations"]


def test_waiting_for_one_task(raw: Client, api: OpenSearch) -> None:
    """`GET _tasks/<id>?wait_for_completion=true&timeout=10s`: it blocks until the task is over."""
    with pytest.raises(NotFoundError):
        api.tasks.get(task_id="oTUltX4IQMOUUVeiohTt8A:12345", wait_for_completion=True, **TEN_SECONDS)
    with slow_reindex(raw, seconds=2) as reindex:
        body = api.tasks.get(task_id=reindex, wait_for_completion=True, **TEN_SECONDS)
        assert (body["completed"], body["response"]["created"]) == (True, 2)
    with long_training(raw, body=long_body(SHORT_ITERATIONS)) as ml_task:
        ours = training(raw, ml_task)
        body = api.tasks.get(task_id=ours, wait_for_completion=True, **TEN_SECONDS)
        assert list(body) == ["completed", "task", "response"]
        assert body["completed"] is True
        shown(SEARCH, body["task"], action=TRAIN, cancelled=False)
        model_id = raw.task(ml_task)["model_id"]
        assert body["response"] == {"model_id": model_id, "task_id": ml_task, "status": "COMPLETED"}


def test_waiting_for_all_of_a_kind(page: Page) -> None:
    """`GET _tasks?actions=*reindex&wait_for_completion=true&timeout=10s`: nobody waits for the training."""
    page.raw.ok("POST", f"/_tasks/{page.reindex}/_cancel?wait_for_completion=true")
    with slow_reindex(page.raw, seconds=2) as reindex:
        began = time.monotonic()
        body = page.api.tasks.list(actions="*reindex", wait_for_completion=True, **TEN_SECONDS)
        assert time.monotonic() - began < 10
        assert set(flat(body)) == {reindex}
        assert "node_failures" not in body
        wait_until(
            lambda: page.api.tasks.get(task_id=reindex)["completed"], deadline_s=5, what="a reindex that is over"
        )
    assert is_running(page.raw, page.training)


def test_what_does_not_end_in_time(page: Page) -> None:
    """The page: "If no response is received before the timeout expires, the request fails and returns an error"."""
    for task_id in (page.reindex, page.training):
        answer = page.raw.send("GET", f"/_tasks/{task_id}?wait_for_completion=true&timeout=300ms")
        assert (answer.status, answer.body["error"]["type"]) == (500, "timeout_exception")
        assert answer.body["error"]["reason"].startswith("Timed out waiting for completion of [")
    for actions in ("*reindex", "*ml/train", "*reindex,*ml/train"):
        answer = page.raw.send("GET", f"/_tasks?actions={actions}&wait_for_completion=true&timeout=300ms")
        assert answer.status == 200
        (failure,) = answer.body["node_failures"]
        assert (failure["type"], failure["node_id"]) == ("failed_node_exception", page.node)


def test_cancelling_one_task(page: Page) -> None:
    """`POST _tasks/<id>/_cancel`: theirs and ours, each the only one."""
    for task_id in (page.reindex, page.training):
        body = page.api.tasks.cancel(task_id=task_id)
        ((node, found),) = body["nodes"].items()
        shown({**NODE, "tasks": {}}, found)
        assert task_id in found["tasks"]
        shown({**PARENT, "cancelled": True}, found["tasks"][task_id], node=node, cancellable=True, cancelled=True)
        wait_until(lambda: not is_running(page.raw, task_id), deadline_s=2, what=f"the end of {task_id}")  # noqa: B023
    assert page.raw.ended(page.ml_task)["state"] == "CANCELLED"
    assert "node_failures" in page.api.tasks.cancel(task_id="oTUltX4IQMOUUVeiohTt8A:12345")


def test_cancelling_all_of_a_kind(page: Page) -> None:
    """`POST _tasks/_cancel?nodes=nodeId1,nodeId2&actions=*reindex`: every reindex there, and no training."""
    assert page.api.tasks.cancel(nodes="nodeId1,nodeId2", actions="*reindex") == {"nodes": {}}
    with slow_reindex(page.raw) as another:
        cancelled = flat(page.api.tasks.cancel(nodes=page.nodes, actions="*reindex"))
        assert set(cancelled) == {page.reindex, another}
        assert all(task["cancelled"] for task in cancelled.values())
    assert is_running(page.raw, page.training)
    cancelled = flat(page.api.tasks.cancel(nodes=page.nodes, actions="*ml/train"))
    assert set(cancelled) == {page.training}
    wait_until(lambda: not is_running(page.raw, page.training), deadline_s=2, what="the end of the training")


def test_grouped_by_parents(page: Page) -> None:
    """`GET _tasks?group_by=parents`: each task with its children in it."""
    body = page.api.tasks.list(group_by="parents")
    assert list(body) == ["tasks"]
    assert body["tasks"][page.reindex]["action"] == "indices:data/write/reindex"
    ours = body["tasks"][page.training]
    shown(MARKED, ours, action=TRAIN)
    (child,) = ours["children"]
    shown(MARKED["children"][0], child, action=f"{TRAIN}[fit]", parent_task_id=page.training)
    assert f"{child['node']}:{child['id']}" not in body["tasks"]


def test_not_grouped(page: Page) -> None:
    """`GET _tasks?group_by=none`: one list of all, children too."""
    body = page.api.tasks.list(group_by="none")
    assert list(body) == ["tasks"]
    assert isinstance(body["tasks"], list)
    tasks = flat(body)
    assert {page.reindex, page.training} <= set(tasks)
    shown(CHILD, its_stage(page, tasks), parent_task_id=page.training)


def test_who_started_a_task(page: Page) -> None:
    """`X-Opaque-Id` comes back as a header, and is in the headers of a task and of its children, theirs and ours."""
    answer = page.raw.send("GET", "/_tasks?group_by=parents", headers={OPAQUE: MARK})
    assert answer.status == 200
    assert answer.headers[OPAQUE] == MARK
    assert answer.headers["content-type"] == "application/json; charset=UTF-8"
    assert answer.headers["content-length"] == str(len(answer.payload))
    tasks = answer.body["tasks"].values()
    (lists,) = [task for task in tasks if task["action"] == "cluster:monitor/tasks/lists"]
    shown(MARKED, lists, headers={OPAQUE: MARK})
    shown(MARKED["children"][0], lists["children"][0], headers={OPAQUE: MARK})
    ours = answer.body["tasks"][page.training]
    shown(MARKED, ours, headers={OPAQUE: MARK})
    shown(MARKED["children"][0], ours["children"][0], headers={OPAQUE: MARK})
    assert answer.body["tasks"][page.reindex]["headers"] == {}
    refused = page.raw.send("GET", "/_tasks?group_by=nonsense", headers={OPAQUE: MARK})
    assert (refused.status, refused.headers[OPAQUE]) == (400, MARK)


@pytest.mark.parametrize("name", ["master_timeout", "cluster_manager_timeout"])
def test_a_wait_for_the_manager(page: Page, name: str) -> None:
    """The page's `master_timeout`, which OpenSearch refuses here, is taken by each of the three, and read."""
    promised = {name: "30s"}
    assert {page.reindex, page.training} <= set(flat(page.api.tasks.list(params=promised)))
    assert page.api.tasks.list(params={**promised, "actions": "*nope"}) == {"nodes": {}}
    for task_id in (page.reindex, page.training):
        assert page.api.tasks.get(task_id=task_id, params=promised)["completed"] is False
    assert page.api.tasks.cancel(params={**promised, "actions": "*nope"}) == {"nodes": {}}
    assert set(flat(page.api.tasks.cancel(task_id=page.training, params=promised))) >= {page.training}
    with pytest.raises(RequestError, match=rf"failed to parse setting \[{name}\] with value \[soon\] as a time value"):
        page.api.tasks.list(params={name: "soon"})


def test_every_parent(page: Page) -> None:
    """The page: "to return all tasks, leave out this parameter or use -1", which OpenSearch refuses."""
    tasks = flat(page.api.tasks.list(parent_task_id="-1"))
    assert {page.reindex, page.training} <= set(tasks)
    assert its_stage(page, tasks)
    assert page.api.tasks.list(parent_task_id="-1", actions="*nope") == {"nodes": {}}
    for refused in ("-2", "-1:", "abc"):
        with pytest.raises(RequestError, match=f"malformed task id {refused}"):
            page.api.tasks.list(parent_task_id=refused)
