"""Played trainings in the cluster's `_tasks`: seen while they are not over, awaited, and cancelled."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import opensearchpy
import pytest

from mlcommons_tasks.server import RunningService

TRAIN = "/_plugins/_ml/_train/kmeans?async=true"
ROWS = {
    "parameters": {"centroids": 2},
    "input_data": {
        "column_metas": [{"name": "x", "column_type": "DOUBLE"}],
        "rows": [{"values": [{"column_type": "DOUBLE", "value": value}]} for value in (1.0, 1.1, 9.0, 9.2)],
    },
}
ACTION = "cluster:admin/opensearch/ml/train"


class Caller:
    """The official client, in a namespace of the test's own."""

    def __init__(self, url: str) -> None:
        self.namespace = f"tasks-{uuid.uuid4().hex[:8]}"
        self.client = opensearchpy.OpenSearch(f"{url}/_emulator/in/{self.namespace}")

    def tell(self, **scenario: Any) -> None:
        """Have a scenario."""
        self.client.transport.perform_request("POST", "/_emulator/scenarios", body={"name": "told", **scenario})

    def train(self) -> str:
        """Create a task."""
        return str(self.client.transport.perform_request("POST", TRAIN, body=ROWS)["task_id"])

    def state(self, task_id: str) -> str:
        """Poll a task."""
        return str(self.client.transport.perform_request("GET", f"/_plugins/_ml/tasks/{task_id}")["state"])

    def entries(self) -> dict[str, Any]:
        """Return the entries of trainings, by their ids."""
        found = self.client.tasks.list(actions=ACTION, detailed=True, group_by="none")
        return {f"{task['node']}:{task['id']}": task for task in found["tasks"]}


@pytest.fixture
def caller(memory_service: RunningService) -> Iterator[Caller]:
    """A caller of a namespace that is deleted afterwards."""
    found = Caller(memory_service.url)
    yield found
    found.client.transport.perform_request("DELETE", f"/_emulator/namespaces/{found.namespace}")
    found.client.close()


def test_a_played_training_is_seen_until_it_is_over(caller: Caller) -> None:
    """It has an entry of its own while it is CREATED and RUNNING, with the same id each time."""
    caller.tell(steps=[{"state": "RUNNING", "lasts": {"seconds": 60}}, {"state": "FAILED", "error": "no"}])
    caller.client.transport.perform_request("POST", "/_emulator/clock/_stop")
    task_id = caller.train()

    (entry_id, entry), *others = caller.entries().items()
    caller.client.transport.perform_request("POST", "/_emulator/clock/_advance", body={"by": "59s"})
    later = caller.entries()[entry_id]
    caller.client.transport.perform_request("POST", "/_emulator/clock/_advance", body={"by": "1s"})

    assert others == []
    assert task_id in entry["description"]
    assert entry["running_time_in_nanos"] < later["running_time_in_nanos"]
    assert later["running_time_in_nanos"] == 59_000_000_000
    assert caller.entries() == {}
    assert caller.state(task_id) == "FAILED"


@pytest.mark.parametrize(("preset", "state"), [("stuck_created", "CREATED"), ("stuck_running", "RUNNING")])
def test_a_training_that_hangs_stays(caller: Caller, preset: str, state: str) -> None:
    """However often it is read and searched, it has its entry, can be looked up by it, and cancelled at last."""
    caller.tell(preset=preset)
    task_id = caller.train()

    assert [caller.state(task_id) for _ in range(3)] == [state] * 3
    caller.client.transport.perform_request("POST", "/_plugins/_ml/tasks/_search", body={})
    (entry_id,) = caller.entries()
    assert not caller.client.tasks.get(task_id=entry_id)["completed"]
    caller.client.tasks.cancel(task_id=entry_id)
    assert caller.state(task_id) == "CANCELLED"
    assert caller.entries() == {}


def test_a_played_training_can_be_cancelled(caller: Caller) -> None:
    """Its task is CANCELLED with the next read, and its entry is gone."""
    caller.tell(preset="stuck_running")
    task_id = caller.train()
    (entry_id,) = caller.entries()

    answer = caller.client.tasks.cancel(task_id=entry_id)

    assert next(iter(answer["nodes"].values()))["tasks"][entry_id]["cancelled"]
    assert caller.state(task_id) == "CANCELLED"
    assert caller.entries() == {}


def test_cancelling_goes_on_where_the_scenario_says(caller: Caller) -> None:
    """`cancel_lag` shows CANCELLING for its reads from the moment in which somebody cancels."""
    caller.tell(preset="cancel_lag", **{"with": {"reads": 2}})
    task_id = caller.train()
    (entry_id,) = caller.entries()

    caller.client.tasks.cancel(task_id=entry_id)

    assert [caller.state(task_id) for _ in range(4)] == ["CANCELLING", "CANCELLING", "CANCELLED", "CANCELLED"]


def test_one_that_waits_for_a_played_training_is_answered_in_time(caller: Caller) -> None:
    """Waiting ends with the time that was given, and at once when the task is over."""
    caller.tell(preset="stuck_running")
    caller.train()
    (entry_id,) = caller.entries()

    with pytest.raises(opensearchpy.exceptions.TransportError, match="timeout_exception"):
        caller.client.tasks.get(task_id=entry_id, wait_for_completion="true", timeout="100ms", request_timeout=10)
    caller.client.tasks.cancel(task_id=entry_id)

    assert caller.entries() == {}
