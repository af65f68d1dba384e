"""`_tasks` with `wait_for_completion`: for trainings, for the cluster's own tasks, for both by one deadline."""

from __future__ import annotations

import threading
import time

import pytest

from tests.clients import Answer, Client, long_body
from tests.native_tasks import (
    MANY_ITERATIONS,
    flat,
    long_training,
    slow_reindex,
    slow_update_by_query,
    training,
    trainings,
    waiting_training,
)
from tests.services import wait_until

pytestmark = pytest.mark.embedded

SHORT_ITERATIONS = 60_000  #: of `long_body`: seconds


def test_waiting_for_both_kinds(ours: Client) -> None:
    """A list that waits comes back when the last of either kind is over."""
    with (
        slow_update_by_query(ours, seconds=2) as update,
        long_training(ours, body=long_body(SHORT_ITERATIONS)) as ml_task,
    ):
        mine = training(ours, ml_task)
        body = ours.ok("GET", "/_tasks?actions=*byquery,*ml/train&wait_for_completion=true&timeout=30s")
        assert "node_failures" not in body
        assert set(flat(body)) == {update, mine}
        assert ours.task(ml_task)["state"] == "COMPLETED"
        assert ours.ok("GET", f"/_tasks/{mine}")["completed"] is True
        wait_until(
            lambda: ours.ok("GET", f"/_tasks/{update}")["completed"], deadline_s=5, what="an update that is over"
        )


@pytest.mark.parametrize(
    ("reindex_s", "iterations"),
    [(60, MANY_ITERATIONS), (1, MANY_ITERATIONS), (60, 1000)],
    ids=["both", "ours", "theirs"],
)
def test_one_deadline_for_both_kinds(ours: Client, reindex_s: int, iterations: int) -> None:
    """Whichever is late, the time that was given is not given twice, and the node's failure is said once."""
    with slow_reindex(ours, seconds=reindex_s), waiting_training(ours, body=long_body(iterations)):
        began = time.monotonic()
        body = ours.ok("GET", "/_tasks?actions=*reindex,*ml/train&wait_for_completion=true&timeout=2s")
        assert 1.5 < time.monotonic() - began < 3.5
        (failure,) = body["node_failures"]
        assert list(failure) == ["type", "reason", "node_id", "caused_by"]
        assert failure["type"] == "failed_node_exception"
        assert failure["reason"] == f"Failed node [{failure['node_id']}]"
        assert failure["caused_by"]["type"] in ("timeout_exception", "receive_timeout_transport_exception")
        assert body["nodes"] == {}


def test_waiting_for_one_training(ours: Client) -> None:
    """A GET that waits comes back within the time with the result, or after it as the cluster's own does."""
    with long_training(ours) as ml_task, slow_reindex(ours) as reindex:
        task_id = training(ours, ml_task)
        for each in (task_id, reindex):
            began = time.monotonic()
            late = ours.send("GET", f"/_tasks/{each}?wait_for_completion=true&timeout=1s")
            assert 0.8 < time.monotonic() - began < 2
            assert (late.status, list(late.body)) == (500, ["error", "status"])
            assert late.body["error"]["type"] == "timeout_exception"
            assert late.body["error"]["reason"].startswith("Timed out waiting for completion of [org.opensearch.")
        at_once = ours.ok("GET", f"/_tasks/{task_id}?wait_for_completion=false&timeout=1s")
        assert at_once["completed"] is False
        answers: list[Answer] = []
        waiting = threading.Thread(
            target=lambda: answers.append(ours.send("GET", f"/_tasks/{task_id}?wait_for_completion=true&timeout=50s"))
        )
        waiting.start()
        ours.ok("POST", f"/_tasks/{task_id}/_cancel")
        waiting.join(5)
        assert answers, "a GET that waits does not see the end of a training"
        assert answers[0].body["completed"] is True
        assert answers[0].body["error"]["type"] == "task_cancelled_exception"


def test_waiting_for_a_stage(ours: Client) -> None:
    """A stage can be waited for by its action; it is over with its training at the latest."""
    with long_training(ours, body=long_body(SHORT_ITERATIONS)) as ml_task:
        body = ours.ok("GET", "/_tasks?actions=*[fit]&wait_for_completion=true&timeout=30s")
        assert "node_failures" not in body
        wait_until(lambda: ours.task(ml_task)["state"] == "COMPLETED", deadline_s=5, what="a training that is over")


def test_nobody_waits_without_a_reason(ours: Client) -> None:
    """A list that waits for none of what runs comes back at once."""
    with long_training(ours):
        began = time.monotonic()
        assert ours.ok("GET", "/_tasks?actions=*nope&wait_for_completion=true&timeout=20s") == {"nodes": {}}
        assert ours.ok("GET", "/_tasks?nodes=nope&wait_for_completion=true&timeout=20s") == {"nodes": {}}
        assert time.monotonic() - began < 2
        assert trainings(ours)
