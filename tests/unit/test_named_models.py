"""A model that a COMPLETED task named stays, whoever wakes up late; and a task that is stored late ends."""

from __future__ import annotations

import time

import pytest

from mlcommons_tasks.errors import StoreUnavailable
from mlcommons_tasks.execution.runner import SLEPT
from tests.services import wait_until
from tests.unit.doubles import PATIENCE_S, House
from tests.unit.heirs import LEASE_S, Heir, ended, left_behind


def test_a_late_riser_leaves_the_model_of_a_task_that_was_deleted_since(dead: House, heir: Heir) -> None:
    """Its owner saw that the task was COMPLETED, kept the model's id, and deleted the task."""
    task_id = left_behind(dead)
    heir.look_for(LEASE_S)
    assert ended(heir, task_id)[-1] == "COMPLETED"
    model_id = heir.tasks.sources.pop(task_id)["model_id"]
    dead.go.set()
    wait_until(lambda: not dead.runner.has_open, deadline_s=PATIENCE_S, what="the late riser's end")
    assert list(heir.models.by_id) == [model_id]


def test_an_heir_leaves_the_model_of_a_task_that_was_deleted(dead: House, heir: Heir) -> None:
    """Its process died once the task was COMPLETED, and before its trace said so."""
    task_id = left_behind(dead)
    dead.index.errors += [StoreUnavailable("away")] * 9
    dead.go.set()
    assert ended(dead, task_id)[-1] == "COMPLETED"
    model_id = dead.tasks.sources.pop(task_id)["model_id"]
    (training,) = heir.index.unfinished_of([dead.registry.owner], 9)
    dead.index.errors.clear()
    heir.recovery._take([training])
    assert list(heir.models.by_id) == [model_id]


@pytest.mark.parametrize("seen", [False, True])
def test_a_process_that_sleeps_while_it_stores_a_task(
    dead: House, heir: Heir, monkeypatch: pytest.MonkeyPatch, *, seen: bool
) -> None:
    """Its training is taken over before there is a task, or just after; the task ends, and only once."""
    dead.go.set()

    def sleep() -> None:
        assert heir.recovery._take_some({dead.registry.owner})
        monkeypatch.setattr(dead.registry.lease, "length_s", 0.001)
        began = time.monotonic()
        wait_until(lambda: time.monotonic() - began > 0.01, deadline_s=PATIENCE_S, what="a lease's end")

    setattr(dead.tasks, "on_create" if seen else "before_create", sleep)
    task_id = dead.begin()
    states = ended(heir, task_id)
    wait_until(lambda: not (dead.runner.has_open or heir.runner.has_open), deadline_s=PATIENCE_S, what="the end")
    assert heir.tasks.states[task_id] == states
    assert states[-1] == ("COMPLETED" if seen else "FAILED")
    assert seen or heir.tasks.sources[task_id]["error"] == SLEPT
