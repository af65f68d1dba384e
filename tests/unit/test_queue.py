"""How many trainings may wait, and what is said to one too many."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mlcommons_tasks.errors import TooManyRequests
from mlcommons_tasks.execution.queue import Queue
from tests.unit.doubles import ASKED, House

RECORDED = Path(__file__).parents[2] / "fixtures" / "recordings" / "overload-3.6.0.json"
NUMBERS = re.compile(r"0x[0-9a-f]+|@[0-9a-f]+|\d+|(?<=name = )[^/]+")


def full() -> Queue:
    queue = Queue(1, 2)
    for _ in range(3):
        queue.enter(lambda: "node")
    return queue


def test_one_too_many_is_refused_in_the_plugin_s_words() -> None:
    """But for names and numbers they are those of the real plugin's thread pool."""
    with pytest.raises(TooManyRequests) as caught:
        full().enter(lambda: "node-1")
    recorded = json.loads(RECORDED.read_text())["synchronous"]
    assert (caught.value.status, caught.value.type) == (recorded["status"], recorded["error"]["type"])
    assert NUMBERS.sub("_", caught.value.reason or "") == NUMBERS.sub("_", recorded["error"]["reason"])
    assert "queue capacity = 2" in (caught.value.reason or "")


def test_a_place_that_is_given_back_is_free() -> None:
    """However the training ended."""
    queue = full()
    queue.leave()
    with pytest.raises(ZeroDivisionError), queue.place(lambda: "node"):
        _ = 1 / 0
    with queue.place(lambda: "node"), pytest.raises(TooManyRequests):
        queue.enter(lambda: "node")


def test_what_is_taken_over_always_has_a_place() -> None:
    """It was accepted once."""
    queue = full()
    queue.enter(None)
    queue.leave()
    with pytest.raises(TooManyRequests):
        queue.enter(lambda: "node")


def test_a_task_too_many_is_stored_as_failed() -> None:
    """Its caller has an id, and the reason; a caller who waits has the 429."""
    with House(queue=Queue(1, 0)) as house:
        house.hold()
        first = house.begin()
        task_id = house.begin()
        assert house.tasks.states[task_id] == ["FAILED"]
        assert house.tasks.sources[task_id]["error"].startswith("rejected execution of org.opensearch.ml.task")
        with pytest.raises(TooManyRequests):
            house.calls.train(ASKED, {}, {})
        house.go.set()
        assert house.end(first)[-1] == "COMPLETED"
        assert house.queue._taken == 0
