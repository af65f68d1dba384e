"""`_tasks` over the in-memory server, which has none: the service answers alone, in OpenSearch's words."""

from __future__ import annotations

import pytest

from mlcommons_tasks.server import RunningService
from tests.clients import Client, as_envelope, long_body
from tests.native_tasks import OPAQUE, flat, long_training, training
from tests.services import wait_until

ACTION = "cluster:admin/opensearch/ml/train"


@pytest.fixture(scope="module")
def memory(memory_service: RunningService) -> Client:
    return Client(memory_service.url)


@pytest.mark.parametrize("grouping", ["nodes", "parents", "none"])
def test_the_service_answers_alone(memory: Client, grouping: str) -> None:
    """Over a server without `_tasks` ours are listed alone, with their stages, in every grouping."""
    path = f"/_tasks?group_by={grouping}"
    nothing = {"nodes": {"nodes": {}}, "parents": {"tasks": {}}, "none": {"tasks": []}}
    assert memory.ok("GET", path) == nothing[grouping]
    with long_training(memory, headers={OPAQUE: "me"}) as ml_task_id:
        task_id = training(memory, ml_task_id)
        body = memory.ok("GET", path)
        listed = flat(body)
        assert {task["action"] for task in listed.values()} == {ACTION, f"{ACTION}[fit]"}
        assert listed[task_id]["headers"] == {OPAQUE: "me"}
        if grouping == "nodes":
            (node,) = body["nodes"].values()
            assert list(node)[:2] == ["name", "transport_address"]
        rows = memory.ok("GET", "/_cat/tasks?format=json&actions=*ml/train")
        assert [row["task_id"] for row in rows] == [task_id]


def test_the_service_alone_awaits_and_cancels(memory: Client) -> None:
    """The life of a training, without a cluster's help."""
    with long_training(memory) as ml_task_id:
        task_id = training(memory, ml_task_id)
        assert memory.ok("GET", f"/_tasks/{task_id}")["completed"] is False
        late = memory.send("GET", f"/_tasks/{task_id}?wait_for_completion=true&timeout=300ms")
        assert (late.status, late.body["error"]["type"]) == (500, "timeout_exception")
        late = memory.send("GET", "/_tasks?wait_for_completion=true&timeout=300ms")
        assert (late.status, len(late.body["node_failures"])) == (200, 1)
        assert memory.send("DELETE", f"/_tasks/{task_id}").status == 409
        cancelled = flat(memory.ok("POST", f"/_tasks/{task_id}/_cancel"))
        assert cancelled[task_id]["cancelled"] is True
        assert memory.ended(ml_task_id, deadline_s=2)["state"] == "CANCELLED"
        body = memory.ok("GET", f"/_tasks/{task_id}?wait_for_completion=true&timeout=5s")
        assert (body["completed"], body["error"]["type"]) == (True, "task_cancelled_exception")
    assert memory.ok("DELETE", f"/_tasks/{task_id}") == {"acknowledged": True}
    assert memory.send("GET", f"/_tasks/{task_id}").status == 404
    with long_training(memory, body=long_body(60_000)) as ml_task_id:
        task_id = training(memory, ml_task_id)
        assert memory.ok("GET", "/_tasks?wait_for_completion=true&timeout=30s")
        assert wait_until(lambda: memory.ok("GET", f"/_tasks/{task_id}")["completed"], deadline_s=5)
    assert memory.ok("POST", "/_tasks/_cancel?actions=*") == {"nodes": {}}


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/_tasks/nope", 400, "malformed task id nope"),
        ("GET", "/_tasks?group_by=x", 400, "[group_by] must be one of [nodes], [parents] or [none] but was [x]"),
        ("GET", "/_tasks?detailed=x", 400, "Failed to parse value [x] as only [true] or [false] are allowed."),
        ("GET", "/_tasks?foo=1", 400, "request [/_tasks] contains unrecognized parameter: [foo]"),
        ("GET", "/_tasks?parent_task_id=x", 400, "malformed task id x"),
    ],
)
def test_what_the_service_alone_refuses(memory: Client, method: str, path: str, status: int, reason: str) -> None:
    """It refuses what a cluster would, in its words."""
    answer = memory.send(method, path)
    assert (answer.status, as_envelope(answer)["reason"]) == (status, reason)


def test_the_service_alone_knows_no_other_task(memory: Client) -> None:
    """A task that is not there is 404, whatever its number."""
    for task_id in ("nope:1", "osmem-node:4503599627370500"):
        answer = memory.send("GET", f"/_tasks/{task_id}")
        assert (answer.status, as_envelope(answer)["type"]) == (404, "resource_not_found_exception")
        assert "node_failures" in memory.ok("POST", f"/_tasks/{task_id}/_cancel")
