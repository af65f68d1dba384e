"""Faults between two requests of one step: the step is taken all the same, and once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mlcommons_tasks.errors import StoreUnavailable
from mlcommons_tasks.store.batches import Written
from mlcommons_tasks.task import MLTask
from tests.services import wait_until
from tests.unit.doubles import PATIENCE_S, House, refusal


@pytest.fixture
def house() -> Iterator[House]:
    with House() as found:
        yield found


@pytest.mark.parametrize("error", [StoreUnavailable("cut off"), refusal(503), refusal(429)])
def test_a_look_that_fails_for_a_moment_ends_no_task(house: House, error: Any) -> None:
    """After a conflict it is looked what came before; OpenSearch may be away just then."""
    house.tasks.fail_reads += [error, error]
    house.trainer.fitting = lambda: once_running(house)
    assert house.run()[-1] == "COMPLETED"
    assert house.tasks.fail_reads == []


def once_running(house: House) -> None:
    wait_until(lambda: house.tasks.sources["task-0"]["state"] == "RUNNING", deadline_s=5, what="RUNNING")
    house.tasks.meddle("task-0", note="mine")


def test_two_threads_end_a_task_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """One times it out while the other is about to write that it is COMPLETED."""
    house.hold()
    task_id = house.begin()
    assert house.at_work.acquire(timeout=PATIENCE_S)
    wait_until(lambda: house.tasks.sources[task_id]["state"] == "RUNNING", deadline_s=5, what="RUNNING")
    stored = house.runner._open[task_id][0]
    states = house.runner._states
    completed = MLTask.completed

    def late(task: MLTask, model_id: str, now: int) -> MLTask:
        after = completed(task, model_id, now)
        monkeypatch.setattr(MLTask, "completed", completed)
        states.write(stored, lambda task, now: task.failed("too late", now))
        return after

    monkeypatch.setattr(MLTask, "completed", late)
    house.go.set()
    assert house.end(task_id) == ["CREATED", "RUNNING", "FAILED"]
    assert house.models.by_id == {}
    assert isinstance(stored.written, Written)


@pytest.mark.parametrize("stored", [True, False])
def test_a_task_whose_caller_was_told_that_it_could_not_be_stored(house: House, *, stored: bool) -> None:
    """It may have been, for only the answer was lost; it does not stay CREATED."""

    def cut() -> None:
        raise StoreUnavailable("cut in mid reply")

    setattr(house.tasks, "on_create" if stored else "before_create", cut)
    with pytest.raises(StoreUnavailable):
        house.begin()
    wait_until(lambda: not house.registry.has_running, deadline_s=PATIENCE_S, what="the end of its trace")
    assert house.tasks.states == ({"task-0": ["CREATED", "FAILED"]} if stored else {})
