"""More trainings than there are places for: what one too many is told, and what those do who have a place."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests import crowds
from tests.clients import TRAIN, Client, as_envelope, long_body, rows_body
from tests.native_tasks import MANY_ITERATIONS
from tests.services import service, wait_until

pytestmark = pytest.mark.embedded

RECORDED = json.loads(
    (Path(__file__).parents[2] / "fixtures" / "recordings" / "overload-3.6.0.json").read_text(encoding="utf-8")
)["synchronous"]
#: What differs from one refusal to the next: addresses, counts, the name of the node.
CHANGES = re.compile(r"(?<=name = )[^/]+|0x[0-9a-f]+|@[0-9a-f]+|\d+")  # a node's name may begin with digits
QUEUE = 3
AT_WORK = 32  #: tasks that have left the queue, whether a training process is free for them or not
POLLS = 100
POLL_LIMIT_S = 0.5  #: on a machine that others use too; `make bench` holds 50 ms


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """A service that trains one at a time, with few places for those that wait."""
    with service("--queue", str(QUEUE), "--trainings", "1") as running:
        yield Client(running.url)


@pytest.fixture
def accepted(client: Client) -> Iterator[list[str]]:
    """As many trainings as there are places for, none of which ends by itself."""
    task_ids = fill(client, long_body(MANY_ITERATIONS))
    try:
        yield task_ids
    finally:
        cancel_all(client)
        for task_id in task_ids:
            client.ended(task_id)


def fill(client: Client, body: dict[str, Any]) -> list[str]:
    """Start as many trainings as there are places for; a place comes free a moment after the end of who had it."""

    def taken() -> str | None:
        task_id = client.train_async(body)
        return None if client.task(task_id)["state"] == "FAILED" else task_id

    with ThreadPoolExecutor(crowds.CLIENTS) as starters:
        jobs = [starters.submit(wait_until, taken, what="a place") for _ in range(AT_WORK + QUEUE)]
        return [job.result() for job in jobs]


def cancel_all(client: Client) -> None:
    client.ok("POST", "/_tasks/_cancel?actions=*ml/train&wait_for_completion=true")


def cancel(client: Client, task_id: str) -> None:
    shown = client.ok("GET", "/_tasks?actions=*ml/train&group_by=none&detailed=true")["tasks"]
    [found] = [each for each in shown if task_id in each["description"]]
    client.ok("POST", f"/_tasks/{found['node']}:{found['id']}/_cancel?wait_for_completion=true")


def fixed(reason: str) -> str:
    """Return the words of a refusal, without what changes."""
    return CHANGES.sub("_", reason)


def test_a_task_too_many_has_failed_in_the_plugin_s_words(client: Client, accepted: list[str]) -> None:
    """It has an id, and is over by the time that its caller knows it."""
    assert "FAILED" not in {client.task(task_id)["state"] for task_id in accepted}
    refused = client.task(client.train_async(long_body(MANY_ITERATIONS)))
    assert refused["state"] == "FAILED"
    assert fixed(refused["error"]) == fixed(RECORDED["error"]["reason"])
    assert f"queue capacity = {QUEUE}," in refused["error"]
    assert refused["worker_node"]
    assert "model_id" not in refused
    shown = client.ok("GET", "/_tasks?actions=*ml/train&group_by=none")["tasks"]
    assert len(shown) == AT_WORK + QUEUE


def test_a_caller_who_waits_has_the_plugin_s_429(client: Client, accepted: list[str]) -> None:
    """In OpenSearch's envelope, with the fields of the recording in their order."""
    answer = client.send("POST", TRAIN, rows_body())
    assert len(accepted) == AT_WORK + QUEUE
    assert answer.status == RECORDED["status"] == 429
    error, recorded = as_envelope(answer), RECORDED["error"]
    assert list(error) == list(recorded)
    assert error["type"] == recorded["type"]
    assert error["root_cause"] == [{"type": error["type"], "reason": error["reason"]}]
    assert fixed(error["reason"]) == fixed(recorded["reason"])


def test_polls_go_on_meanwhile(client: Client, accepted: list[str]) -> None:
    """Nobody who polls waits for a place."""

    def poll_s(number: int) -> float:
        began = time.perf_counter()
        assert client.task(accepted[number % len(accepted)])["state"] in ("CREATED", "RUNNING")
        return time.perf_counter() - began

    with ThreadPoolExecutor(4) as pollers:
        found = sorted(pollers.map(poll_s, range(POLLS)))
    assert found[POLLS * 95 // 100] < POLL_LIMIT_S, found[-10:]


def test_places_come_free_again(client: Client, accepted: list[str]) -> None:
    """With each training that ends, for those who wait and for tasks; with all of them, for as many as before."""
    assert client.send("POST", TRAIN, rows_body()).status == 429
    cancel(client, accepted[-1])
    wait_until(lambda: client.task(accepted[-1])["state"] == "CANCELLED", what="the last is CANCELLED")
    again = client.train_async(long_body(MANY_ITERATIONS))
    assert client.task(again)["state"] != "FAILED"
    assert client.task(client.train_async(rows_body()))["state"] == "FAILED"
    cancel_all(client)
    wait_until(lambda: client.send("POST", TRAIN, rows_body()).status == 200, what="a place for who waits")
    task_ids = fill(client, rows_body())
    assert {client.ended(task_id)["state"] for task_id in task_ids} == {"COMPLETED"}
