"""Trainings of two processes over one index, seen, awaited, cancelled and deleted from either."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from mlcommons_tasks.cluster_task import Outcome, TaskId
from mlcommons_tasks.execution import registry as registry_module
from mlcommons_tasks.execution.live import LiveTask
from mlcommons_tasks.task import TaskState
from tests.services import wait_until
from tests.unit.doubles import PATIENCE_S, ClusterTaskIndex, Replica, Tasks

DONE = Outcome(response={"model_id": "m"})


@pytest.fixture
def two() -> Iterator[tuple[Replica, Replica]]:
    tasks, index = Tasks(), ClusterTaskIndex()
    with Replica(tasks, index) as here, Replica(tasks, index) as there:
        yield here, there


def finish(replica: Replica, live: LiveTask) -> None:
    """End a training well, and wait until that is written."""
    assert live.snapshot().ml_task_id is not None
    replica.tasks.meddle(live.snapshot().ml_task_id or "", state="COMPLETED")
    replica.registry.end(live, TaskState.COMPLETED, DONE)
    wait_until(lambda: replica.registry.find(live.snapshot().id) is None, deadline_s=5, what="the end")


def lasting(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> LiveTask:
    """Begin a synchronous training and wait until the others know of it."""
    monkeypatch.setattr(registry_module, "LOOK_S", 0.05)
    live = replica.open()
    wait_until(lambda: replica.document(live), deadline_s=5, what="its document")
    return live


def test_a_training_is_listed_by_both(two: tuple[Replica, Replica]) -> None:
    """Once, with the same facts, for as long as it runs."""
    here, there = two
    live = there.announced("ml-1")
    assert here.cluster.running() == there.cluster.running() == [live.snapshot()]
    assert here.cluster.get(live.snapshot().id) == live.snapshot()
    finish(there, live)
    assert here.cluster.running() == there.cluster.running() == []
    for replica in two:
        found = replica.cluster.get(live.snapshot().id)
        assert found is not None
        assert found.outcome == DONE


def test_nobody_waits_for_the_training_of_a_dead_process(two: tuple[Replica, Replica]) -> None:
    """It does not end, and its process is not there to end it."""
    here, there = two
    task = there.announced("ml-1").snapshot()
    with here.index.lock:
        here.index.documents[there.registry.owner]["lease_until"] = 0
    began = time.monotonic()
    assert here.cluster.wait([task], began + PATIENCE_S) == []
    assert time.monotonic() - began < PATIENCE_S / 2


def test_the_trainings_of_a_dead_process_do_not_run(two: tuple[Replica, Replica]) -> None:
    """Its lease is over; results that it left are there still."""
    here, there = two
    live, ended = there.announced("ml-1"), there.announced("ml-2")
    finish(there, ended)
    here.index.documents[there.registry.owner]["lease_until"] = 1
    assert here.cluster.running() == []
    assert here.cluster.get(live.snapshot().id) is None
    assert here.cluster.get(ended.snapshot().id) == ended.snapshot()


def test_an_unknown_one_is_none(two: tuple[Replica, Replica]) -> None:
    """Neither here nor there."""
    assert two[0].cluster.get(TaskId("node", 2**52)) is None
    assert not two[0].cluster.delete(TaskId("node", 2**52))


def test_trainings_are_awaited_wherever_they_run(two: tuple[Replica, Replica]) -> None:
    """The wait ends when the last of them has."""
    here, there = two
    lives = [here.announced("ml-1"), there.announced("ml-2")]
    late: list[object] = [None]

    def wait() -> None:
        late[:] = here.cluster.wait([live.snapshot() for live in lives], time.monotonic() + PATIENCE_S)

    waiting = threading.Thread(target=wait)
    waiting.start()
    finish(here, lives[0])
    waiting.join(0.3)
    assert waiting.is_alive()
    finish(there, lives[1])
    waiting.join(2)
    assert not waiting.is_alive()
    assert late == []


def test_a_wait_has_one_deadline(two: tuple[Replica, Replica]) -> None:
    """What has not ended by then is said; what has ended before is not waited for."""
    here, there = two
    lives = [here.announced("ml-1"), there.announced("ml-2"), there.announced("ml-3")]
    tasks = [live.snapshot() for live in lives]
    finish(there, lives[2])
    began = time.monotonic()
    late = here.cluster.wait([*tasks, lives[2].snapshot()], began + 0.25)
    assert [task.id for task in late] == [lives[0].snapshot().id, lives[1].snapshot().id]
    assert 0.2 < time.monotonic() - began < 2


def test_a_wait_without_time_looks_once(two: tuple[Replica, Replica]) -> None:
    """It answers at once."""
    here, there = two
    live = there.announced("ml-1")
    assert here.cluster.wait([live.snapshot()], time.monotonic() - 1) == [live.snapshot()]


def test_a_training_is_cancelled_through_the_other(two: tuple[Replica, Replica]) -> None:
    """Its ML task is CANCELLED when the call returns, and it is told within a second."""
    here, there = two
    live = there.announced("ml-1")
    cancelled = here.cluster.cancel(here.cluster.running())
    assert [task.id for task in cancelled] == [live.snapshot().id]
    assert cancelled[0].cancellation_time is not None
    assert here.tasks.sources["ml-1"]["state"] == "CANCELLED"
    assert live.cancellation.event.wait(1.0)
    assert [task.cancellation_time for task in here.cluster.running()] == [cancelled[0].cancellation_time]


def test_a_training_is_cancelled_here_at_once(two: tuple[Replica, Replica]) -> None:
    """No other process needs to look."""
    here, _ = two
    live = here.announced("ml-1")
    assert here.cluster.cancel(here.cluster.running()) == [live.snapshot()]
    assert live.cancellation.wanted
    assert here.tasks.sources["ml-1"]["state"] == "CANCELLED"


def test_many_are_cancelled_in_one_call(two: tuple[Replica, Replica]) -> None:
    """Those of both processes, and nothing is said of the others."""
    here, there = two
    lives = [(here, there)[n % 2].announced(f"ml-{n}") for n in range(40)]
    kept = there.announced("ml-kept")
    wanted = [task for task in here.cluster.running() if task.ml_task_id != "ml-kept"]
    assert len(here.cluster.cancel(wanted)) == 40
    for live in lives:
        assert live.cancellation.event.wait(2.0)
    assert not kept.cancellation.wanted


@pytest.mark.parametrize("state", ["COMPLETED", "FAILED"])
def test_a_cancellation_that_comes_too_late_changes_nothing(two: tuple[Replica, Replica], state: str) -> None:
    """The ML task has ended, though the list had it still: it is not cancelled, by neither of two processes."""
    here, there = two
    live = there.announced("ml-1")
    listed = here.cluster.running()
    here.tasks.meddle("ml-1", state=state)
    document = dict(here.index.documents[live.key])
    for replica in two:
        assert replica.cluster.cancel(listed) == []
    assert not live.cancellation.wanted
    assert here.index.documents[live.key] == document
    assert here.tasks.sources["ml-1"]["state"] == state


def test_the_first_of_two_cancellations_counts(two: tuple[Replica, Replica]) -> None:
    """The second succeeds, and the time stays."""
    here, there = two
    live = there.announced("ml-1")
    first = there.cluster.cancel(there.cluster.running())
    wait_until(lambda: here.cluster.running()[0].cancellation_time, deadline_s=5, what="the first")
    second = here.cluster.cancel(here.cluster.running())
    assert first[0].cancellation_time == second[0].cancellation_time == live.snapshot().cancellation_time
    assert here.tasks.states["ml-1"].count("CANCELLED") == 1


def test_a_synchronous_training_is_cancelled_through_the_other(
    two: tuple[Replica, Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its document is all there is of it."""
    here, there = two
    live = lasting(there, monkeypatch)
    assert [task.id for task in here.cluster.cancel(here.cluster.running())] == [live.snapshot().id]
    assert live.cancellation.event.wait(1.0)


def test_a_synchronous_training_that_ended_meanwhile_is_not_cancelled(two: tuple[Replica, Replica]) -> None:
    """The list had it still."""
    here, _ = two
    live = here.open()
    listed = here.cluster.running()
    here.registry.end(live, TaskState.COMPLETED, Outcome())
    assert here.cluster.cancel(listed) == []
    assert not live.cancellation.wanted


def test_a_result_is_deleted_from_either(two: tuple[Replica, Replica]) -> None:
    """Once."""
    here, there = two
    live = there.announced("ml-1")
    finish(there, live)
    assert here.cluster.delete(live.snapshot().id)
    assert not there.cluster.delete(live.snapshot().id)
    assert there.cluster.get(live.snapshot().id) is None


def test_a_deleted_result_does_not_come_back(two: tuple[Replica, Replica]) -> None:
    """An end that is still to be written is awaited first."""
    here, _ = two
    live = here.announced("ml-1")
    began, go = threading.Event(), threading.Event()

    def wait() -> None:
        began.set()
        assert go.wait(PATIENCE_S)

    here.index.writing = wait
    here.registry.end(live, TaskState.COMPLETED, DONE)
    assert began.wait(PATIENCE_S)
    threading.Timer(0.2, go.set).start()
    assert here.cluster.delete(live.snapshot().id)
    wait_until(lambda: here.registry.find(live.snapshot().id) is None, deadline_s=5, what="the end")
    assert here.document(live) is None
