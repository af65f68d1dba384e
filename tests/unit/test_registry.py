"""What other replicas hear of this process's trainings, and when, over an index that fails in every way."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from mlcommons_tasks.cluster_task import ClusterTask, Outcome, Stage
from mlcommons_tasks.errors import StoreUnavailable
from mlcommons_tasks.execution import registry as module
from mlcommons_tasks.execution.live import LiveTask
from mlcommons_tasks.execution.registry import Registry
from mlcommons_tasks.task import TaskState
from tests.services import wait_until
from tests.unit.doubles import PATIENCE_S, ClusterTaskIndex, Replica, Tasks, refusal

DONE = Outcome(response={"model_id": "m", "task_id": "t", "status": "COMPLETED"})


@pytest.fixture
def replica() -> Iterator[Replica]:
    with Replica(Tasks(), ClusterTaskIndex()) as found:
        yield found


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything happen soon."""
    monkeypatch.setattr(module, "LOOK_S", 0.05)
    monkeypatch.setattr(module, "AGAIN_S", 0.1)


class Gate:
    """Holds the writes of an index."""

    def __init__(self, replica: Replica) -> None:
        self.reached = threading.Semaphore(0)
        self.go = threading.Event()
        replica.index.writing = self.wait

    def wait(self) -> None:
        self.reached.release()
        assert self.go.wait(PATIENCE_S)


def soon(replica: Replica, live: LiveTask, what: str = "its document") -> ClusterTask:
    """Wait for what is stored of a training that is announced."""
    wait_until(lambda: replica.document(live) is not None, deadline_s=5, what=what)
    return stored(replica, live)


def stored(replica: Replica, live: LiveTask) -> ClusterTask:
    document = replica.document(live)
    assert document is not None
    return ClusterTask.from_source(document["task"])


def forgotten(replica: Replica, live: LiveTask) -> bool:
    return replica.registry.find(live.snapshot().id) is None


def idle(registry: Registry) -> bool:
    """Say whether both threads have nothing to do."""
    return len(registry._changed._waiters) == 2  # type: ignore[attr-defined]


def test_numbers_are_our_own(replica: Replica) -> None:
    """They rise, by fours, where OpenSearch never counts to, and every JSON reader has them exactly."""
    numbers = [replica.open().snapshot().id.number for _ in range(500)]
    assert numbers == sorted(set(numbers))
    assert {number % 4 for number in numbers} == {0}
    assert numbers[0] >= 2**52
    assert numbers[-1] + 3 < 2**53


def test_numbers_rise_though_the_clock_goes_back() -> None:
    """Nobody sees the same number twice."""

    class Clock:
        times = iter([1_900_000_000_000, 1_800_000_000_000, 1_900_000_000_000])

        def now_in_millis(self) -> int:
            return next(self.times)

    with Replica(Tasks(), ClusterTaskIndex()) as replica:
        replica.registry._start_threads = lambda: None  # type: ignore[method-assign]
        replica.registry._clock = Clock()
        numbers = [replica.open().snapshot().id.number for _ in range(3)]
    assert numbers == sorted(set(numbers))


def test_an_announced_training_is_known_once_that_was_awaited(replica: Replica) -> None:
    """Its document says all there is to say, and whose it is; the owner says that it lives."""
    live = replica.open("ml-1")
    assert replica.document(live) is None
    replica.registry.announce(live)
    assert replica.registry.await_written(live)
    assert stored(replica, live) == live.snapshot()
    assert replica.index.owner_lives(replica.registry.owner, int(time.time() * 1000))


def test_waiting_for_a_slow_index_ends(replica: Replica) -> None:
    """Whoever starts a training goes on when OpenSearch is slow."""
    gate = Gate(replica)
    live = replica.open("ml-1")
    replica.registry.announce(live)
    assert not replica.registry.await_written(live, timeout_s=0.05)
    gate.go.set()
    assert replica.registry.await_written(live)


def test_many_changes_of_many_trainings_go_in_few_writes(replica: Replica) -> None:
    """What happens while one request is under way goes with the next."""
    gate = Gate(replica)
    lives = [replica.open(f"ml-{n}") for n in range(100)]
    for live in lives:
        replica.registry.announce(live)
    assert gate.reached.acquire(timeout=PATIENCE_S)
    for step, stage in enumerate((Stage.READ, Stage.FIT, Stage.STORE)):
        for live in lives:
            live.enter(stage, step, rows=step)
            replica.registry.changed(live)
    gate.go.set()
    assert all(replica.registry.await_written(live) for live in lives)
    assert {stored(replica, live).stage for live in lives} == {Stage.STORE}
    assert replica.index.written <= 3


def test_a_change_goes_into_the_document(replica: Replica) -> None:
    """Stages and rows are written as they come; what others wrote stays."""
    live = replica.announced("ml-1")
    replica.index.documents[live.key]["cancelled"] = "noted"
    live.enter(Stage.FIT, 5, rows=9)
    replica.registry.changed(live)
    wait_until(lambda: stored(replica, live).rows == 9, deadline_s=5, what="the change")
    assert stored(replica, live) == live.snapshot()
    assert replica.index.documents[live.key]["cancelled"] == "noted"


@pytest.mark.usefixtures("hurried")
def test_progress_is_written_without_being_told(replica: Replica) -> None:
    """A running training is looked at again and again."""
    live = replica.announced("ml-1")
    live.enter(Stage.READ, 5)
    wait_until(lambda: stored(replica, live).stage is Stage.READ, deadline_s=5, what="the stage")


def test_a_synchronous_training_that_is_soon_over_is_never_written(replica: Replica) -> None:
    """Nobody can have seen it."""
    live = replica.open()
    replica.registry.end(live, TaskState.COMPLETED, Outcome())
    assert forgotten(replica, live)
    replica.registry.close()
    assert replica.index.written == 0


@pytest.mark.usefixtures("hurried")
def test_a_synchronous_training_that_lasts_is_announced_and_leaves_nothing(replica: Replica) -> None:
    """The first one and, when nothing ran for a while, every other."""
    for _ in range(2):
        live = replica.open()
        soon(replica, live)
        replica.registry.end(live, TaskState.COMPLETED, Outcome())
        wait_until(lambda live=live: replica.document(live) is None, deadline_s=5, what="nothing")
        assert forgotten(replica, live)
        wait_until(lambda: idle(replica.registry), deadline_s=5, what="rest")


def test_an_ended_training_keeps_its_outcome_as_a_whole_document(replica: Replica) -> None:
    """The order of keys is the one in which it was given, and it is its document's business from then on."""
    live = replica.announced("ml-1")
    live.enter(Stage.FIT, 5)
    replica.registry.end(live, TaskState.COMPLETED, DONE)
    wait_until(lambda: forgotten(replica, live), deadline_s=5, what="the end")
    found = stored(replica, live)
    assert (found.completed, found.state, found.stage, found.outcome) == (True, "COMPLETED", None, DONE)
    assert list((found.outcome or Outcome()).response or {}) == ["model_id", "task_id", "status"]
    assert replica.index.documents[live.key]["completed"] is True
    assert live.ended_event.is_set()


def test_an_outcome_is_said_once(replica: Replica) -> None:
    """What comes later changes nothing."""
    live = replica.announced("ml-1")
    replica.registry.end(live, TaskState.COMPLETED, DONE)
    replica.registry.end(live, TaskState.FAILED, Outcome(error={"type": "t", "reason": "r"}))
    live.enter(Stage.STORE, 7)
    live.running()
    replica.registry.changed(live)
    wait_until(lambda: forgotten(replica, live), deadline_s=5, what="the end")
    assert stored(replica, live).outcome == DONE
    assert live.snapshot() == stored(replica, live)


def test_what_ended_is_found_here_until_its_end_is_written(replica: Replica) -> None:
    """Nobody sees it running after its end."""
    live = replica.announced("ml-1")
    gate = Gate(replica)
    replica.registry.end(live, TaskState.COMPLETED, DONE)
    assert gate.reached.acquire(timeout=PATIENCE_S)
    assert replica.registry.find(live.snapshot().id) is live
    assert replica.registry.snapshots()[live.key].completed
    gate.go.set()
    wait_until(lambda: forgotten(replica, live), deadline_s=5, what="the end")
    assert stored(replica, live).completed


def test_an_end_in_the_middle_of_a_write_is_not_lost(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that has ended, and whose end nobody noted yet, is not taken for one whose end is written."""
    live, other = replica.announced("ml-1"), replica.open("ml-2")
    end = live.end

    def end_slowly(state: TaskState, outcome: Outcome, now: int) -> bool:
        ended = end(state, outcome, now)
        threading.Thread(target=replica.registry.announce, args=(other,)).start()
        with pytest.raises(AssertionError):  # who notes an end lets nobody write meanwhile
            wait_until(lambda: replica.document(other), deadline_s=0.2)
        return ended

    monkeypatch.setattr(live, "end", end_slowly)
    replica.registry.end(live, TaskState.COMPLETED, DONE)
    wait_until(lambda: forgotten(replica, live), deadline_s=5, what="the end")
    assert stored(replica, live).completed


def test_nothing_is_held_of_what_is_over(replica: Replica) -> None:
    """Trainings that ended are in their documents alone."""
    for n in range(50):
        live = replica.open(f"ml-{n}" if n % 2 else None)
        replica.registry.announce(live)
        replica.registry.end(live, TaskState.COMPLETED, DONE)
    registry = replica.registry
    wait_until(lambda: not registry._live, deadline_s=5, what="the end of all")
    wait_until(lambda: idle(registry), deadline_s=5, what="rest")
    assert [registry._announced, registry._whole, registry._part] == [{}] * 3
    assert [registry._gone, registry._failed] == [set()] * 2
    assert sum(document["kind"] == "task" for document in replica.index.documents.values()) == 25


def test_a_cancellation_of_another_replica_reaches_the_training_within_a_second(replica: Replica) -> None:
    """It is noted in the document; the time is that of the note."""
    live = replica.announced("ml-1")
    replica.index.cancel([live.key], 1_234)
    assert live.cancellation.event.wait(1.0)
    assert live.snapshot().cancellation_time == 1_234


@pytest.mark.usefixtures("hurried")
def test_cancellations_that_cannot_be_read_are_read_later(
    replica: Replica, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither an error of OpenSearch nor one of ours ends the looking."""
    errors = [refusal(400), StoreUnavailable("away"), ValueError("a bug")]
    read = replica.index.cancelled_of

    def failing(owner: str) -> dict[str, int]:
        if errors:
            raise errors.pop(0)
        return read(owner)

    monkeypatch.setattr(replica.index, "cancelled_of", failing)
    live = replica.announced("ml-1")
    replica.index.cancel([live.key], 1_234)
    assert live.cancellation.event.wait(PATIENCE_S)
    assert len([record for record in caplog.records if record.exc_info]) == 1


def test_an_owner_says_that_it_lives_while_something_runs(replica: Replica) -> None:
    """Its lease is written with its first training, renewed, and taken away at the close."""
    replica.registry.lease.length_s = 0.5
    replica.announced("ml-1")
    owner = replica.registry.owner
    first = replica.index.documents[owner]["lease_until"]
    wait_until(lambda: replica.index.documents[owner]["lease_until"] > first, deadline_s=5, what="the next lease")
    replica.registry.close()
    assert owner not in replica.index.documents


def test_a_write_is_repeated_while_its_error_is_a_passing_one(replica: Replica) -> None:
    """Whoever awaits it does not notice."""
    replica.index.errors += [refusal(429), StoreUnavailable("away"), refusal(503)]
    live = replica.open("ml-1")
    replica.registry.announce(live)
    assert replica.registry.await_written(live)
    assert stored(replica, live) == live.snapshot()


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("error", [refusal(403), ValueError("a bug")])
def test_what_could_not_be_written_is_written_later(replica: Replica, error: Exception) -> None:
    """Who awaits it is told at once; it is written as it is by then."""
    replica.index.errors.append(error)
    live = replica.open("ml-1")
    replica.registry.announce(live)
    assert not replica.registry.await_written(live)
    live.enter(Stage.FIT, 5, rows=9)
    assert soon(replica, live).rows == 9


@pytest.mark.usefixtures("hurried")
def test_a_result_that_could_not_be_written_is_not_lost(replica: Replica) -> None:
    """Until it is there the training is found here; nobody sees it running for ever."""
    live = replica.announced("ml-1")
    replica.index.errors += [refusal(403)] * 2
    replica.registry.end(live, TaskState.COMPLETED, DONE)
    wait_until(lambda: replica.registry._failed or not replica.index.errors, deadline_s=5, what="the failure")
    assert replica.registry.find(live.snapshot().id) is live or stored(replica, live).completed
    wait_until(lambda: forgotten(replica, live), deadline_s=5, what="the end")
    assert stored(replica, live).outcome == DONE


@pytest.mark.usefixtures("hurried")
def test_a_deletion_that_failed_is_done_later(replica: Replica) -> None:
    """A synchronous training leaves nothing even so."""
    live = replica.open()
    soon(replica, live)
    replica.index.errors += [refusal(403)] * 2
    replica.registry.end(live, TaskState.COMPLETED, Outcome())
    wait_until(lambda: replica.document(live) is None, deadline_s=5, what="nothing")


def test_the_close_writes_what_is_left(replica: Replica) -> None:
    """Results that were not written yet are there once it returns, and the threads are gone."""
    gate = Gate(replica)
    lives = [replica.open(f"ml-{n}") for n in range(3)]
    for live in lives:
        replica.registry.announce(live)
    assert gate.reached.acquire(timeout=PATIENCE_S)
    for live in lives:
        replica.registry.end(live, TaskState.COMPLETED, DONE)
    gate.go.set()
    replica.registry.close()
    assert [stored(replica, live).outcome for live in lives] == [DONE] * 3
    assert not any(thread.is_alive() for thread in replica.registry._threads)


def test_the_close_gives_up_on_an_index_that_takes_nothing(replica: Replica) -> None:
    """What could not be written is tried once more, not for minutes."""
    live = replica.announced("ml-1")
    replica.index.errors += [refusal(429)] * 50
    replica.registry.end(live, TaskState.COMPLETED, DONE)
    wait_until(lambda: len(replica.index.errors) < 50, deadline_s=5, what="the first try")
    replica.registry.close()
    assert len(replica.index.errors) > 40


@pytest.mark.usefixtures("hurried")
def test_a_synchronous_training_leaves_nothing_though_the_close_comes_first(replica: Replica) -> None:
    """Its end is not written any more, so its document goes with the close."""
    live = replica.open()
    soon(replica, live)
    replica.registry.close()
    replica.registry.end(live, TaskState.COMPLETED, Outcome())
    assert replica.index.documents == {}


@pytest.mark.parametrize("written", [True, False])
def test_a_training_that_never_was_leaves_nothing(replica: Replica, written: bool) -> None:
    """Whether the others heard of it or not."""
    gate = Gate(replica)
    live = replica.open("ml-1")
    replica.registry.announce(live)
    if written:
        gate.go.set()
        assert replica.registry.await_written(live)
    replica.registry.forget(live)
    gate.go.set()
    assert forgotten(replica, live)
    assert live.ended_event.is_set()
    replica.registry.close()
    assert replica.index.documents == {}
