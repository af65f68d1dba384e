"""A training that is cancelled, at every point of its life as the runner writes it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from mlcommons_tasks.cluster_task import FIRST_NUMBER, ClusterTask, Outcome, Stage, TaskId
from mlcommons_tasks.errors import TaskPluginError
from mlcommons_tasks.execution.live import LiveTask
from mlcommons_tasks.execution.states import TaskCancelled
from mlcommons_tasks.task import TaskState
from tests.services import wait_until
from tests.unit.doubles import ASKED, PATIENCE_S, House, a_watch, refusal


@pytest.fixture
def house() -> Iterator[House]:
    with House() as found:
        yield found


def live_of(house: House, task_id: str) -> LiveTask:
    found = [key for key, task in house.registry.snapshots().items() if task.ml_task_id == task_id]
    live = house.registry.find(TaskId.parse(found[0]) or TaskId("", 0))
    assert live is not None
    return live


def cancel(house: House, task_id: str | None) -> bool:
    """Cancel a training as a caller does; say whether it was."""
    return bool(house.cluster.cancel([task for task in house.cluster.running() if task.ml_task_id == task_id]))


def is_stopped(house: House, task_id: str) -> None:
    """Check that a training stopped, that its task and its entry say so, and that no model is left."""
    key = next(key for key, each in house.index.documents.items() if each.get("task", {}).get("ml_task_id") == task_id)
    wait_until(lambda: house.index.documents[key]["completed"], deadline_s=PATIENCE_S, what="the end")
    entry = ClusterTask.from_source(house.index.documents[key]["task"])
    assert entry.state == house.tasks.sources[task_id]["state"] == "CANCELLED"
    assert entry.cancellation_time is not None
    assert entry.outcome == Outcome(
        error={"type": "task_cancelled_exception", "reason": "task cancelled: by user request"}
    )
    assert len(house.models.stored) == len(house.models.discarded)


def test_a_task_that_waits_ends_at_once_and_never_runs(house: House) -> None:
    """Those before it go on."""
    house.hold()
    busy = [house.begin() for _ in range(2)]
    waiting = house.begin()
    for _ in busy:
        assert house.at_work.acquire(timeout=PATIENCE_S)
    live = live_of(house, waiting)
    assert cancel(house, waiting)
    assert live.ended_event.is_set()
    is_stopped(house, waiting)
    house.go.set()
    house.end(waiting)
    assert house.tasks.states[waiting] == ["CREATED", "CANCELLED"]
    assert [house.tasks.states[one][-1] for one in busy] == ["COMPLETED"] * 2


def at_work(house: House) -> str:
    """Begin a training and wait until it is held."""
    task_id = house.begin()
    assert house.at_work.acquire(timeout=PATIENCE_S)
    return task_id


def test_a_cancellation_while_data_is_read_is_the_end(house: House) -> None:
    """The task never was RUNNING, and nothing is fitted."""
    house.trainer.reading = house.wait
    house.trainer.fitting = lambda: pytest.fail("it was fitted")
    task_id = at_work(house)
    assert cancel(house, task_id)
    house.go.set()
    is_stopped(house, task_id)
    assert house.tasks.states[task_id] == ["CREATED", "CANCELLED"]


def test_a_cancellation_while_it_fits_is_the_end(house: House) -> None:
    """The cancelled task is shown while it winds down."""
    house.hold()
    task_id = at_work(house)
    wait_until(lambda: house.tasks.sources[task_id]["state"] == "RUNNING", deadline_s=5, what="RUNNING")
    assert cancel(house, task_id)
    winding_down = live_of(house, task_id).snapshot()
    assert winding_down.cancellation_time is not None
    assert not winding_down.completed
    assert winding_down.stage is Stage.FIT
    house.go.set()
    is_stopped(house, task_id)
    assert house.tasks.states[task_id] == ["CREATED", "RUNNING", "CANCELLED"]
    assert house.models.stored == []


def test_a_model_that_is_stored_during_the_cancellation_is_discarded(house: House) -> None:
    """Whoever writes first, CANCELLED or COMPLETED, has it."""
    house.models.storing = house.wait
    task_id = at_work(house)
    assert cancel(house, task_id)
    house.go.set()
    is_stopped(house, task_id)
    assert house.models.discarded == ["model-0"]


def test_a_cancellation_after_the_end_changes_nothing(house: House) -> None:
    """The task is COMPLETED, and its model stays."""
    house.hold()
    task_id = at_work(house)
    listed = list(house.registry.snapshots().values())
    house.go.set()
    house.end(task_id)
    assert house.cluster.cancel(listed) == []
    assert house.tasks.states[task_id] == ["CREATED", "RUNNING", "COMPLETED"]
    assert house.models.discarded == []


def test_two_cancellations_are_one(house: House) -> None:
    """Both succeed."""
    house.hold()
    task_id = at_work(house)
    assert cancel(house, task_id)
    assert cancel(house, task_id)
    house.go.set()
    is_stopped(house, task_id)
    assert house.tasks.states[task_id].count("CANCELLED") == 1


@pytest.mark.parametrize("busy", [0, 2])
def test_a_task_that_is_cancelled_while_it_is_stored_ends(house: House, busy: int) -> None:
    """It is listed before its document is there; whether its turn comes at once or later, it is not left CREATED."""
    house.hold()
    for _ in range(busy):
        at_work(house)

    def cancel_the_last() -> None:
        assert house.cluster.cancel(house.cluster.running()[-1:])

    house.tasks.before_create = cancel_the_last
    task_id = house.begin()
    wait_until(lambda: house.tasks.sources[task_id]["state"] == "CANCELLED", deadline_s=5, what="CANCELLED")
    is_stopped(house, task_id)
    assert house.tasks.states[task_id] == ["CREATED", "CANCELLED"]


def test_a_fit_that_nobody_waits_for_is_stopped(house: House) -> None:
    """A task that failed, for RUNNING could not be written, leaves no process at work."""
    seen = threading.Event()

    def fit() -> None:
        wait_until(lambda: live.cancellation.wanted, deadline_s=5, what="the stop")
        seen.set()

    house.trainer.reading = house.wait
    house.trainer.fitting = fit
    task_id = at_work(house)
    live = live_of(house, task_id)
    house.tasks.fail_next.append(refusal(400))
    house.go.set()
    assert seen.wait(PATIENCE_S)
    assert house.end(task_id) == ["CREATED", "FAILED"]


def test_a_closed_runner_lets_go_of_what_it_gave_up(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """A search that lasts longer than the grace is cut, and the task is FAILED."""
    stopped = threading.Event()

    def read() -> None:
        house.at_work.release()
        wait_until(lambda: live.cancellation.wanted, deadline_s=5, what="the stop")
        stopped.set()

    house.trainer.reading = read
    live = a_watch()
    task_id = house.begin()
    live = live_of(house, task_id)
    assert house.at_work.acquire(timeout=PATIENCE_S)
    house.runner.close(0)
    assert stopped.wait(PATIENCE_S)
    assert house.end(task_id) == ["CREATED", "FAILED"]
    assert caplog.records == []


def refused(house: House) -> TaskPluginError:
    """Train while a caller waits, cancel it at work, and return what the caller is told."""
    with ThreadPoolExecutor(1) as caller:
        answer = caller.submit(house.calls.train, ASKED, {}, {})
        assert house.at_work.acquire(timeout=PATIENCE_S)
        assert cancel(house, None)
        house.go.set()
        with pytest.raises(TaskCancelled) as caught:
            answer.result(PATIENCE_S)
    return caught.value


@pytest.mark.parametrize("stage", ["reading", "fitting", "storing"])
def test_who_waits_for_a_cancelled_training_is_told(house: House, stage: str) -> None:
    """Nothing came of it, and nothing is left of it."""
    holder = house.models if stage == "storing" else house.trainer
    setattr(holder, stage, house.wait)
    error = refused(house)
    assert (error.status, error.type) == (500, "task_cancelled_exception")
    assert error.reason == "task cancelled: by user request"
    assert len(house.models.stored) == len(house.models.discarded)
    assert house.registry.snapshots() == {}
    assert house.tasks.sources == {}


def test_a_cancelled_task_is_not_shown_as_running_again() -> None:
    """RUNNING was written before the cancellation, and is noted after it."""
    live = LiveTask(ClusterTask(TaskId("node", FIRST_NUMBER), "a training", {}, 0, "me", "ml-1"))
    live.cancel(1)
    live.running()
    assert live.snapshot().state == "CANCELLED"
    live.end(TaskState.CANCELLED, Outcome(error={}), 2)
    live.enter(Stage.STORE, 3)
    assert live.snapshot().stage is None
    assert not live.cancel(4)
