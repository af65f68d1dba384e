"""The life of a task as the runner writes it, over stores that fail in every way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytest

from mlcommons_tasks.errors import IllegalArgument, IndexNotFound, StatusError, StoreUnavailable, TaskPluginError
from mlcommons_tasks.execution.executors import WorkerDied
from mlcommons_tasks.execution.runner import STOPPED
from tests.services import wait_until
from tests.unit.doubles import ASKED, PATIENCE_S, House, refusal


@pytest.fixture
def house() -> Iterator[House]:
    with House() as found:
        yield found


def raising(error: Exception) -> Callable[[], NoReturn]:
    def fail() -> NoReturn:
        raise error

    return fail


def test_a_training_is_written_three_times(house: House) -> None:
    """CREATED, RUNNING, COMPLETED with the model's id."""
    assert house.run() == ["CREATED", "RUNNING", "COMPLETED"]
    assert house.tasks.sources["task-0"]["model_id"] == "model-0"
    assert "error" not in house.tasks.sources["task-0"]
    assert house.models.stored[0].content == b"content"


def test_a_synchronous_training_writes_no_task(house: House) -> None:
    """The model's id is the answer."""
    assert house.calls.train(ASKED, {}, {}) == "model-0"
    assert house.tasks.sources == {}


def test_data_that_cannot_be_read_fails_a_task_that_never_ran(house: House) -> None:
    """Such a task goes from CREATED to FAILED, with the sentence."""
    house.trainer.reading = raising(IllegalArgument("No document found"))
    assert house.run() == ["CREATED", "FAILED"]
    assert house.tasks.sources["task-0"]["error"] == "No document found"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (IllegalArgument("Unsupported algorithm: KMEANS"), "Unsupported algorithm: KMEANS"),
        (WorkerDied("the process that ran the training died"), "the process that ran the training died"),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
    ],
)
def test_whatever_breaks_a_training_ends_its_task(house: House, error: Exception, said: str) -> None:
    """The plugin's errors, dead processes and bugs of ours all end as FAILED with a reason."""
    house.trainer.fitting = raising(error)
    assert house.run() == ["CREATED", "RUNNING", "FAILED"]
    assert house.tasks.sources["task-0"]["error"] == said


def test_a_dead_process_is_a_503_for_who_waits(house: House) -> None:
    """The synchronous caller may ask again."""
    house.trainer.fitting = raising(WorkerDied("it died"))
    with pytest.raises(StatusError, match="it died") as caught:
        house.calls.train(ASKED, {}, {})
    assert caught.value.status == 503


def test_a_model_that_cannot_be_stored_fails_the_task(house: House) -> None:
    """The store's own sentence is the reason."""
    house.models.error = StoreUnavailable("OpenSearch cannot be reached")
    assert house.run() == ["CREATED", "RUNNING", "FAILED"]
    assert house.tasks.sources["task-0"]["error"] == "OpenSearch cannot be reached"


def once_running(house: House, **changes: Any) -> None:
    """Meddle with the task as soon as it is RUNNING; the fit does not wait for that write."""
    wait_until(lambda: house.tasks.sources["task-0"]["state"] == "RUNNING", deadline_s=5, what="RUNNING")
    house.tasks.meddle("task-0", **changes)


def test_somebody_elses_write_to_a_live_task_is_written_over(house: House) -> None:
    """A conflict with a write that left the task alive is compared anew, and what was written stays."""
    house.trainer.fitting = lambda: once_running(house, note="mine")
    assert house.run() == ["CREATED", "RUNNING", "RUNNING", "COMPLETED"]
    assert house.tasks.sources["task-0"]["note"] == "mine"


def test_a_task_that_somebody_ended_stays_as_it_is(house: House) -> None:
    """A CANCELLED task is not made COMPLETED."""
    house.trainer.fitting = lambda: once_running(house, state="CANCELLED")
    assert house.run() == ["CREATED", "RUNNING", "CANCELLED"]


@pytest.mark.parametrize("gone", ["task", "index"])
def test_a_deleted_task_does_not_come_back(house: House, gone: str) -> None:
    """The training of a deleted task, or of one whose index is gone, is dropped without a word to the store."""

    def delete() -> None:
        wait_until(lambda: house.tasks.sources, what="the task, which is stored meanwhile")
        house.tasks.sources.clear()
        if gone == "index":
            house.tasks.fail_next.append(IndexNotFound(".plugins-ml-task"))

    house.trainer.reading = delete
    house.run()
    assert house.tasks.sources == {}
    assert house.models.stored == [], "nothing is trained for nobody"


def test_a_state_that_cannot_be_written_does_not_stop_the_next_task(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """When not even FAILED can be written it is logged, and the runner goes on."""
    house.tasks.fail_next += [refusal(400), refusal(400)]
    first = house.begin()
    second = house.begin()
    house.end(second)
    assert sorted([house.tasks.states[first], house.tasks.states[second]], key=len)[-1][-1] in ("COMPLETED", "FAILED")
    assert len(house.tasks.fail_next) == 0
    assert [record for record in caplog.records if record.exc_info] == []


def test_the_close_ends_what_waits_at_once_and_what_runs_after_its_grace(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """Tasks in line are FAILED at once, tasks at work when their grace is over; the late end of one changes nothing."""
    house.hold()
    ids = [house.begin() for _ in range(5)]
    for _ in range(2):
        assert house.at_work.acquire(timeout=PATIENCE_S)
    house.runner.close(0.05)
    assert house.tasks.closed
    assert [house.tasks.sources[one]["state"] for one in ids] == ["FAILED"] * 5
    assert {house.tasks.sources[one]["error"] for one in ids} == {STOPPED}
    house.go.set()
    house.end(ids[0])
    assert [house.tasks.sources[one]["state"] for one in ids] == ["FAILED"] * 5
    assert caplog.records == []


def test_the_close_waits_for_what_ends_within_its_grace(house: House) -> None:
    """A training that ends in time is COMPLETED."""
    house.hold()
    task_id = house.begin()
    assert house.at_work.acquire(timeout=PATIENCE_S)
    threading.Timer(0.05, house.go.set).start()
    house.runner.close(PATIENCE_S)
    assert house.tasks.states[task_id] == ["CREATED", "RUNNING", "COMPLETED"]


def test_a_closed_runner_takes_no_task(house: House) -> None:
    """What comes after the close is refused with a 503; a second close does nothing."""
    house.runner.close(0)
    house.runner.close(0)
    with pytest.raises(StatusError, match="the service is stopping") as caught:
        house.begin()
    assert caught.value.status == 503
    assert house.tasks.sources == {}


def test_a_task_that_is_stored_while_the_runner_closes_is_ended(house: House) -> None:
    """Between the first write and the start of the work the close may come; the task is not left CREATED."""
    house.tasks.on_create = lambda: house.runner.close(0)
    task_id = house.begin()
    assert house.tasks.states[task_id] == ["CREATED", "FAILED"]
    assert house.tasks.sources[task_id]["error"] == STOPPED


def test_data_is_read_while_the_task_is_stored(house: House) -> None:
    """Who polls waits for the longer of the two, not for both."""
    read = threading.Event()
    house.trainer.reading = read.set
    house.tasks.before_create = lambda: assert_(read.wait(PATIENCE_S))
    assert house.run() == ["CREATED", "RUNNING", "COMPLETED"]


def test_data_of_a_task_that_is_not_stored_is_not_read_on(house: House) -> None:
    """Its caller has an error; the search is told to stop."""
    stopped = threading.Event()

    def read() -> None:
        wait_until(lambda: house.registry.snapshots() == {}, deadline_s=PATIENCE_S, what="the end of its record")
        stopped.set()

    house.trainer.reading = read
    house.tasks.before_create = raising(refusal(400))
    with pytest.raises(TaskPluginError):
        house.begin()
    assert stopped.wait(PATIENCE_S)
    house.runner._fits.shutdown(wait=True)
    assert house.models.stored == []


def assert_(condition: bool) -> None:
    """Be a statement where only an expression may stand."""
    assert condition
