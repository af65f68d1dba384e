"""The task index is made read-only, or deleted, while trainings are in flight; the only node starts anew."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests import crowds
from tests.clients import FINAL, TASKS, TRAIN, Client, as_envelope
from tests.histories import TASK_INDEX, model_ids, stored_tasks
from tests.services import wait_until
from tests.stages import Stage, hold, proxied_stage, restarted_stage

pytestmark = pytest.mark.embedded

MANY = 100
ITERATIONS = 1000  #: a twentieth of a second
BLOCK = "index.blocks.read_only_allow_delete"  #: what OpenSearch sets when a disk is full
BLOCKED_S = 3.0
DELETES = 6
BETWEEN = 8  #: tasks that are accepted between them
WHOLE = {"create_time", "function_name", "input_type", "is_async", "last_update_time", "state", "task_type"}


@pytest.fixture(scope="module")
def played() -> Iterator[Stage]:
    with proxied_stage() as (made, _):
        made.serve()
        yield made


def block(opensearch: Client, value: bool | None) -> None:
    opensearch.ok("PUT", f"/{TASK_INDEX}/_settings", {BLOCK: value})


def test_a_read_only_index_stops_nothing_for_good(played: Stage) -> None:
    """While it lasts a new training gets what OpenSearch says itself; what was accepted is COMPLETED after it."""
    crowd = played.accepted(crowds.mixed(MANY, ITERATIONS))
    played.release(crowd)
    block(played.direct, True)
    try:
        direct = played.direct.send("PUT", f"/{TASK_INDEX}/_doc/none", {})
        refused = played.client().send("POST", f"{TRAIN}?async=true", crowds.query(10))
        assert (refused.status, as_envelope(refused)) == (direct.status, as_envelope(direct))
        assert (direct.status, as_envelope(direct)["type"]) == (429, "cluster_block_exception")
        assert played.client().send("GET", f"{TASKS}/{crowd.task_ids[0]}").status == 200
        hold(BLOCKED_S)
    finally:
        block(played.direct, None)
    assert played.ended(crowd) == {"COMPLETED": MANY}
    assert set(stored_tasks(played.direct)) >= set(crowd.task_ids)


def shape(opensearch: Client) -> dict[str, Any]:
    """Return the mapping of the task index, and those of its settings that are given when it is made."""
    found = opensearch.ok("GET", f"/{TASK_INDEX}")[TASK_INDEX]
    index = found["settings"]["index"]
    kept = {name: index.get(name) for name in ("number_of_shards", "number_of_replicas", "auto_expand_replicas")}
    return {"mappings": found["mappings"], **kept}


def test_a_deleted_index_takes_its_tasks_with_it(played: Stage) -> None:
    """What was in it is gone for good, also what is written meanwhile; new tasks live in an index like the first."""
    opensearch, client = played.direct, played.client()
    client.ended(client.train_async(crowds.query(1)))
    fresh = shape(opensearch)
    assert set(fresh["mappings"]["properties"]) >= WHOLE
    crowd = played.accepted(crowds.mixed(MANY, ITERATIONS))
    opensearch.ok("DELETE", f"/{TASK_INDEX}")
    played.release(crowd)
    new = [client.train_async(crowds.query(1)) for _ in range(4)]
    for task_id in new:
        assert client.ended(task_id)["state"] == "COMPLETED"
    wait_until(lambda: not client.ok("GET", "/_tasks?actions=*ml/train*&group_by=none")["tasks"], what="silence")
    assert set(stored_tasks(opensearch)) == set(new)
    assert [client.send("GET", f"{TASKS}/{task_id}").status for task_id in crowd.task_ids[::10]] == [404] * 10
    assert shape(opensearch) == fresh


def test_an_index_that_is_deleted_again_and_again_is_made_right_each_time(played: Stage) -> None:
    """Whatever write meets the hole first, no fragment of a task comes of it, and no mapping of OpenSearch's own."""
    opensearch, client = played.direct, played.client()
    client.ended(client.train_async(crowds.query(1)))
    fresh = shape(opensearch)
    models = model_ids(opensearch)
    over = threading.Event()
    accepted: list[str] = []

    def go_on() -> None:
        while not over.is_set():
            accepted.append(client.train_async(crowds.query(100)))

    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(go_on) for _ in range(4)]
        try:
            for _ in range(DELETES):
                enough = len(accepted) + BETWEEN
                wait_until(lambda: len(accepted) > enough or any(job.done() for job in jobs), what="more tasks")  # noqa: B023
                opensearch.send("DELETE", f"/{TASK_INDEX}")
        finally:
            over.set()
        for job in jobs:
            job.result()
    last = client.train_async(crowds.query(1))
    assert client.ended(last)["state"] == "COMPLETED"
    wait_until(lambda: not client.ok("GET", "/_tasks?actions=*ml/train*&group_by=none")["tasks"], what="silence")
    stored = stored_tasks(opensearch)
    assert last in stored
    for task_id, task in stored.items():
        assert task_id in accepted or task_id == last
        assert set(task.source) >= WHOLE, task
        assert task.state in FINAL, task
    assert shape(opensearch) == fresh
    assert played.history is not None
    assert model_ids(opensearch) - models <= played.history.models_named, "models of tasks that were never COMPLETED"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_the_only_node_starts_anew(tmp_path: Path, number: int) -> None:
    """Its data is kept: every task is COMPLETED once it is back, none twice, and nothing that was stored is lost."""
    with restarted_stage(tmp_path, crowds.mixed(MANY, ITERATIONS), number) as (made, crowd):
        assert made.ended(crowd) == {"COMPLETED": MANY}
        assert made.client().ended(made.client().train_async(crowds.query(10)))["state"] == "COMPLETED"
