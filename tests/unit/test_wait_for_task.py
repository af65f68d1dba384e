"""wait_for_task against a server that plays answers: ends, deadlines, and troubles on the way."""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Iterator
from typing import Any

import pytest

import mlcommons_tasks
from mlcommons_tasks.task import TaskState
from mlcommons_tasks.waiting import (
    FINAL,
    TaskFailed,
    TaskNotFound,
    TaskTimeout,
    TaskUnreadable,
    WaitError,
    readable_error,
    wait_for_task,
)
from tests.answers_in_order import (
    BUSY,
    CUT,
    DROP,
    NOT_FOUND,
    AnswersInOrder,
    Sleeps,
    answers_in_order,
    task,
    time_by_sleeping,
)


@pytest.fixture
def stage() -> Iterator[AnswersInOrder]:
    """A server of the test's own."""
    with answers_in_order() as stage:
        yield stage


@pytest.fixture(autouse=True)
def sleeps(monkeypatch: pytest.MonkeyPatch) -> Sleeps:
    """Time passes by sleeping only."""
    return time_by_sleeping(monkeypatch)


def test_a_completed_task_is_returned(stage: AnswersInOrder, sleeps: Sleeps) -> None:
    """All states on the way are waited for, one interval each."""
    stage.answers = [task("CREATED"), task("RUNNING"), task("CANCELLING"), task("COMPLETED", model_id="m1")]

    assert wait_for_task(stage.url, "t/1", interval=2)["model_id"] == "m1"
    assert sleeps == [2, 2, 2]
    assert {path for path, _ in stage.requests} == {"/_plugins/_ml/tasks/t%2F1"}


def test_it_is_a_public_name() -> None:
    """The function and its errors are reached from the package."""
    assert mlcommons_tasks.wait_for_task is wait_for_task
    assert mlcommons_tasks.TaskFailed is TaskFailed


@pytest.mark.parametrize("state", sorted(FINAL - {TaskState.COMPLETED}))
def test_every_other_end_is_an_error(stage: AnswersInOrder, state: TaskState) -> None:
    """The error has the state, the text and the task."""
    stage.answers = [task("RUNNING"), task(state.value, error="no luck")]

    with pytest.raises(TaskFailed, match=f"task t1 ended {state.value}: no luck") as caught:
        wait_for_task(stage.url, "t1")

    assert (caught.value.state, caught.value.error, caught.value.task_id) == (state.value, "no luck", "t1")


def test_all_nine_states_are_known() -> None:
    """Three are not over; a tenth state would have to be placed here."""
    assert set(TaskState) - FINAL == {TaskState.CREATED, TaskState.RUNNING, TaskState.CANCELLING}


def test_an_end_without_a_reason_is_said(stage: AnswersInOrder) -> None:
    """A cancelled task has no error text."""
    stage.answers = [task("CANCELLED")]

    with pytest.raises(TaskFailed, match="ended CANCELLED, and does not say why"):
        wait_for_task(stage.url, "t1")


def test_partial_success_can_be_accepted(stage: AnswersInOrder) -> None:
    """COMPLETED_WITH_ERROR is returned if that is wanted; FAILED never is."""
    stage.answers = [task("COMPLETED_WITH_ERROR", error="{}"), task("FAILED")]

    assert wait_for_task(stage.url, "t1", accept_errors=True)["state"] == "COMPLETED_WITH_ERROR"
    with pytest.raises(TaskFailed):
        wait_for_task(stage.url, "t1", accept_errors=True)


def test_a_node_error_is_shown_in_lines(stage: AnswersInOrder) -> None:
    """The JSON in the string is undone, a line a node."""
    stage.answers = [task("FAILED", error='{"n1":"out of memory","n2":"{\\"reason\\":\\"gone\\"}"}')]

    with pytest.raises(TaskFailed) as caught:
        wait_for_task(stage.url, "t1")

    assert str(caught.value) == "task t1 ended FAILED:\n  n1: out of memory\n  n2: reason: gone"


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        ("plain", "plain"),
        (" two\nlines ", "two\nlines"),
        ("{no json", "{no json"),
        ("{}", "{}"),
        ('["a", 1, null]', "a\n1\nnull"),
        ('{"n1": {"type": "x", "reason": "y"}}', "n1:\n  type: x\n  reason: y"),
    ],
)
def test_an_error_text_becomes_readable(error: str, wanted: str) -> None:
    """Objects, arrays and plain texts, also those that only look like JSON."""
    assert readable_error(error) == wanted


def test_json_nested_without_end_is_left() -> None:
    """Only so many layers are undone."""
    text = "deep"
    for _ in range(9):
        text = json.dumps({"a": text})

    assert readable_error(text).startswith('a: a: a: a: a: {"a": ')


def test_a_timeout_says_the_state_and_since_when(stage: AnswersInOrder, sleeps: Sleeps) -> None:
    """The task is read at the deadline a last time."""
    stage.answers = [task("CREATED"), task("CREATED"), task("RUNNING")]

    with pytest.raises(TaskTimeout, match=r"task t1 is RUNNING after 10 s, for the last 4 s") as caught:
        wait_for_task(stage.url, "t1", timeout=10, interval=3)

    assert sleeps == [3, 3, 3, 1]
    assert caught.value.state == "RUNNING"


def test_a_state_of_the_future_is_waited_for(stage: AnswersInOrder) -> None:
    """A state that nobody knows, and a task without one, are not over."""
    stage.answers = [task("PAUSED"), (200, {"is_async": True}), task("COMPLETED")]

    assert wait_for_task(stage.url, "t1")["state"] == "COMPLETED"


def test_a_task_may_appear_late(stage: AnswersInOrder) -> None:
    """A 404 is tolerated for a while."""
    stage.answers = [NOT_FOUND, NOT_FOUND, task("COMPLETED")]

    assert wait_for_task(stage.url, "t1")["state"] == "COMPLETED"


def test_a_task_that_is_not_there_is_an_error(stage: AnswersInOrder, sleeps: Sleeps) -> None:
    """After the time it is given to appear."""
    stage.answers = [NOT_FOUND]

    with pytest.raises(TaskNotFound, match="task t1 is not there: 404 Failed to find task"):
        wait_for_task(stage.url, "t1", absent_for=3)

    assert sum(sleeps) == 3


def test_a_task_that_vanishes_is_an_error(stage: AnswersInOrder) -> None:
    """What it was before is said."""
    stage.answers = [task("RUNNING"), NOT_FOUND]

    with pytest.raises(TaskNotFound, match="and was RUNNING before"):
        wait_for_task(stage.url, "t1")


def test_a_missing_task_ends_the_wait_at_the_timeout(stage: AnswersInOrder) -> None:
    """A timeout that is shorter than the grace does not hide that the task is missing."""
    stage.answers = [NOT_FOUND]

    with pytest.raises(TaskNotFound):
        wait_for_task(stage.url, "t1", timeout=2)


def test_old_versions_say_not_found_with_500(stage: AnswersInOrder) -> None:
    """ML Commons up to 2.8 has a status of its own for it; another 500 is not waited out."""
    old = {"error": {"type": "m_l_resource_not_found_exception", "reason": "Fail to find task"}, "status": 500}
    stage.answers = [(500, old), (500, {"error": {"type": "exception", "reason": "broken"}})]

    with pytest.raises(TaskUnreadable, match="500 broken") as caught:
        wait_for_task(stage.url, "t1")

    assert caught.value.status == 500
    assert len(stage.requests) == 2


@pytest.mark.parametrize("trouble", [(429, {}), (502, b"<html>"), BUSY, (504, {}), DROP, CUT, (200, b"{no json")])
def test_passing_troubles_are_waited_out(stage: AnswersInOrder, sleeps: Sleeps, trouble: tuple[int, Any]) -> None:
    """Each time twice as long, and from the start again after a good answer."""
    good = task("RUNNING")
    stage.answers = [trouble, trouble, trouble, good, trouble, task("COMPLETED")]

    assert wait_for_task(stage.url, "t1")["state"] == "COMPLETED"
    assert sleeps == [1, 2, 4, 1, 1]


def test_the_pause_has_an_upper_bound(stage: AnswersInOrder, sleeps: Sleeps) -> None:
    """Half a minute at most, and the timeout is kept."""
    stage.answers = [BUSY]

    with pytest.raises(TaskTimeout, match="could not be read for 240 s: 503 not now"):
        wait_for_task(stage.url, "t1")

    assert max(sleeps) == 30
    assert sum(sleeps) == 240


def test_a_server_may_say_how_long_to_wait(stage: AnswersInOrder, sleeps: Sleeps) -> None:
    """Retry-After in seconds is obeyed."""
    stage.headers = {"Retry-After": "7"}
    stage.answers = [BUSY, task("COMPLETED")]

    wait_for_task(stage.url, "t1")

    assert sleeps == [7]


def test_the_last_trouble_is_in_the_timeout(stage: AnswersInOrder) -> None:
    """State and trouble are both said."""
    stage.answers = [task("RUNNING"), BUSY]

    with pytest.raises(TaskTimeout, match=r"is RUNNING after 5 s.*the last read failed: 503 not now"):
        wait_for_task(stage.url, "t1", timeout=5)


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_refusal_is_not_waited_out(stage: AnswersInOrder, sleeps: Sleeps, status: int) -> None:
    """It would be the same the next time."""
    stage.answers = [(status, {"error": {"reason": "no"}})]

    with pytest.raises(TaskUnreadable, match=f"{status} no"):
        wait_for_task(stage.url, "t1")

    assert sleeps == []


def test_nobody_there_is_waited_out(sleeps: Sleeps) -> None:
    """A refused connection may be a restart."""
    with pytest.raises(TaskTimeout, match="could not be read for 3 s"):
        wait_for_task("http://127.0.0.1:9", "t1", timeout=3)

    assert sum(sleeps) == 3


def test_no_task_id_is_no_wait() -> None:
    """An empty id would read another route."""
    with pytest.raises(ValueError, match="task_id is empty"):
        wait_for_task("http://127.0.0.1:9", "")


@pytest.mark.parametrize("error", [TaskFailed("m", "t", {"state": "FAILED"}), TaskUnreadable("m", "t", None, 403)])
def test_an_error_can_travel_between_processes(error: WaitError) -> None:
    """Test runners and pools pickle exceptions."""
    again = pickle.loads(pickle.dumps(error))

    assert (str(again), again.task_id, again.task) == (str(error), error.task_id, error.task)
    assert getattr(again, "status", None) == getattr(error, "status", None)


def test_real_time_is_used(stage: AnswersInOrder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without doubles the timeout is kept as well."""
    monkeypatch.setattr("mlcommons_tasks.waiting.time", time)
    stage.answers = [task("RUNNING")]
    began = time.monotonic()

    with pytest.raises(TaskTimeout):
        wait_for_task(stage.url, "t1", timeout=0.2, interval=0.05)

    assert 0.2 <= time.monotonic() - began < 5
