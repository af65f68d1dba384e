"""Trainings of processes that are gone: taken over once, ended once, whatever the one that had them still writes."""

from __future__ import annotations

import threading

import pytest

from mlcommons_tasks.errors import StoreUnavailable
from mlcommons_tasks.execution.states import TaskGone
from mlcommons_tasks.model import MLModel
from mlcommons_tasks.store.cluster_tasks import NOBODY
from mlcommons_tasks.task import FunctionName
from tests.services import wait_until
from tests.unit.doubles import PATIENCE_S, House, inline
from tests.unit.heirs import LEASE_S, Heir, ended, left_behind


def test_a_training_that_can_be_read_again_ends_completed(dead: House, heir: Heir) -> None:
    """Its task keeps its id; the write between is that of the takeover."""
    task_id = left_behind(dead)
    heir.look_for(LEASE_S)
    assert ended(heir, task_id) == ["CREATED", "RUNNING", "RUNNING", "COMPLETED"]
    assert list(heir.models.by_id) == [heir.tasks.sources[task_id]["model_id"]]


def test_rows_that_came_with_the_request_are_gone(dead: House, heir: Heir) -> None:
    """The reason names the process that had them."""
    task_id = left_behind(dead, inline())
    heir.look_for(LEASE_S)
    assert ended(heir, task_id)[-1] == "FAILED"
    assert dead.registry.owner in heir.tasks.sources[task_id]["error"]
    assert heir.models.by_id == {}


def test_a_model_that_was_stored_is_the_end(dead: House, heir: Heir) -> None:
    """Nothing is trained again, and rows are not needed."""
    task_id = left_behind(dead, inline())
    (training,) = heir.index.unfinished_of([dead.registry.owner], 10)
    assert training.recipe is not None
    heir.models.create(training.recipe.model_id, MLModel(FunctionName.KMEANS, b"content"))
    heir.look_for(LEASE_S)
    assert ended(heir, task_id)[-1] == "COMPLETED"
    assert heir.tasks.sources[task_id]["model_id"] == training.recipe.model_id


def test_what_the_late_riser_writes_does_not_count(dead: House, heir: Heir) -> None:
    """Its model is that of the heir, which stays."""
    task_id = left_behind(dead)
    heir.look_for(LEASE_S)
    states = list(ended(heir, task_id))
    dead.go.set()
    wait_until(lambda: not dead.runner.has_open, deadline_s=PATIENCE_S, what="the late riser's end")
    assert heir.tasks.states[task_id] == states
    assert list(heir.models.by_id) == [heir.tasks.sources[task_id]["model_id"]]
    assert heir.index.unfinished_of([dead.registry.owner, heir.registry.owner], 10) == []


def test_a_late_riser_leaves_no_model_of_a_task_that_failed(dead: House, heir: Heir) -> None:
    """It stored one after the heir had given the task up."""
    task_id = left_behind(dead, inline())
    heir.look_for(LEASE_S)
    assert ended(heir, task_id)[-1] == "FAILED"
    dead.go.set()
    wait_until(lambda: not dead.runner.has_open, deadline_s=PATIENCE_S, what="the late riser's end")
    assert heir.models.by_id == {}
    assert heir.tasks.states[task_id][-1] == "FAILED"


def test_who_says_that_it_lives_is_left_alone(dead: House, heir: Heir) -> None:
    """However wrong the clocks are."""
    task_id = left_behind(dead)
    for n in range(10):
        dead.index.documents[dead.registry.owner]["lease_until"] = n  # long ago by our clock, but it moves
        heir.look_for(1)
    assert heir.tasks.states[task_id] == ["CREATED", "RUNNING"]


def test_a_clock_that_is_late_delays_and_does_not_prevent(dead: House, heir: Heir) -> None:
    """A lease that seems to last for hours is over after its length of silence."""
    task_id = left_behind(dead)
    dead.index.documents[dead.registry.owner]["lease_until"] = heir.now_in_millis() + 3_600_000
    heir.look_for(LEASE_S - 1)
    assert heir.tasks.states[task_id] == ["CREATED", "RUNNING"]
    heir.look_for(3)
    assert ended(heir, task_id)[-1] == "COMPLETED"


def test_while_opensearch_is_away_nobody_is_silent(dead: House, heir: Heir) -> None:
    """Nobody could say anything."""
    task_id = left_behind(dead)
    heir.look_for(1)
    heir.now += 100
    heir.index.errors.append(StoreUnavailable("away"))
    with pytest.raises(StoreUnavailable):
        heir.recovery.look()
    heir.now += 100
    heir.recovery.look()
    assert heir.tasks.states[task_id] == ["CREATED", "RUNNING"]


def test_a_task_that_was_deleted_is_forgotten(dead: House, heir: Heir) -> None:
    """Neither the task nor a model comes back."""
    task_id = left_behind(dead)
    del heir.tasks.sources[task_id]
    heir.look_for(LEASE_S)
    assert task_id not in heir.tasks.sources
    wait_until(lambda: not heir.registry.has_running, deadline_s=PATIENCE_S, what="the end of its trace")
    assert heir.models.by_id == {}


def test_the_trace_of_a_caller_who_waited_goes(dead: House, heir: Heir) -> None:
    """Its caller lost the connection."""
    live = dead.replica.open()
    dead.registry.announce(live)
    assert dead.registry.await_written(live)
    dead.index.documents[dead.registry.owner]["lease_until"] = 0
    heir.look_for(LEASE_S)
    wait_until(lambda: live.key not in heir.index.documents, deadline_s=PATIENCE_S, what="its trace to go")


def test_one_of_two_heirs_gets_it(dead: House, heir: Heir, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both look at the same moment."""
    task_ids = [left_behind(dead) for _ in range(2)]
    with Heir(dead, monkeypatch) as other:
        threads = [threading.Thread(target=each.look_for, args=(LEASE_S + 2,)) for each in (heir, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        for task_id in task_ids:
            assert ended(heir, task_id) == ["CREATED", "RUNNING", "RUNNING", "COMPLETED"]


def test_a_write_of_another_process_s_task_is_refused(dead: House, heir: Heir) -> None:
    """Whoever had it looks whose it is before it writes over somebody else's write."""
    task_id = left_behind(dead)
    stored = dead.runner._open[task_id][0]
    heir.look_for(LEASE_S)
    ended(heir, task_id)
    with pytest.raises(TaskGone):
        dead.runner._states.write(stored, lambda task, now: task.failed("late", now))
    assert stored.live.is_lost


def test_a_user_s_write_is_no_takeover(dead: House) -> None:
    """The state that follows is written all the same."""
    task_id = left_behind(dead)
    dead.tasks.meddle(task_id, error="a note")
    dead.go.set()
    assert ended(dead, task_id)[-1] == "COMPLETED"


def test_what_is_offered_is_taken_at_once(dead: House, heir: Heir) -> None:
    """No lease is waited for; rows are written down with the offer."""
    task_id = left_behind(dead, inline())
    heir.replica.announced("ml-other")  # so that it has a name

    def is_taken() -> bool:
        heir.recovery.look()
        found = [each for each in heir.index.documents.values() if each.get("task", {}).get("ml_task_id") == task_id]
        return found[0]["owner"] != dead.registry.owner and found[0]["owner"] != NOBODY

    looking = threading.Thread(target=lambda: wait_until(is_taken, deadline_s=PATIENCE_S, what="the taking"))
    looking.start()
    dead.runner.close(0)
    looking.join(PATIENCE_S)
    assert ended(heir, task_id)[-1] == "COMPLETED"
    assert list(heir.models.by_id) == [heir.tasks.sources[task_id]["model_id"]]


def test_what_nobody_takes_is_failed(dead: House, heir: Heir, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is another process by its name, which does not look."""
    monkeypatch.setattr("mlcommons_tasks.execution.handover.PATIENCE_S", 0.2)
    task_id = left_behind(dead)
    heir.replica.announced("ml-other")  # so that it has a name
    dead.runner.close(0)
    assert ended(dead, task_id)[-1] == "FAILED"
    assert dead.tasks.sources[task_id]["error"] == "the service stopped before the training ended"
    assert NOBODY not in {each["owner"] for each in dead.index.documents.values()}


def test_a_broken_record_is_no_hindrance(heir: Heir) -> None:
    """A task of which somebody took everything but its state ends too."""
    heir.tasks.meddle("odd", state="RUNNING")
    live = heir.replica.announced("odd")
    heir.registry.lose(live)
    document = heir.index.documents[live.key]
    document["owner"] = document["task"]["owner"] = "gone-1"
    heir.look_for(LEASE_S)
    assert ended(heir, "odd")[-1] == "FAILED"
    assert "gone-1" in heir.tasks.sources["odd"]["error"]
