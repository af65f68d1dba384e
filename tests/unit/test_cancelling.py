"""How trainings stop: the wish, the processes, the life of a task, and a wait for OpenSearch."""

from __future__ import annotations

import contextlib
import os
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import trustme

from mlcommons_tasks.cancellation import Cancellation, Cancelled
from mlcommons_tasks.cluster_task import FIRST_NUMBER, ClusterTask, Outcome, Stage, TaskId
from mlcommons_tasks.errors import StoreUnavailable, TaskPluginError
from mlcommons_tasks.execution.executors import OBEY_S, TrainingPool, WorkerDied
from mlcommons_tasks.execution.live import LiveTask
from mlcommons_tasks.execution.progress import ProgressPage
from mlcommons_tasks.execution.runner import TaskCancelled
from mlcommons_tasks.execution.training import Trainer
from mlcommons_tasks.pipeline.data_frame import frame_from_sources
from mlcommons_tasks.store.upstream import Endpoint, Upstream
from mlcommons_tasks.task import TaskState
from mlcommons_tasks.wire.ml_input import DataFrameDataset, MLInput
from tests.services import wait_until
from tests.unit.doubles import ASKED, PATIENCE_S, House, refusal
from tests.upstreams import Request, answering

OBEYED_S = 1.0  #: a job that looks at its flag has stopped by then


def a_watch() -> LiveTask:
    """Return what a training is watched by."""
    return LiveTask(ClusterTask(TaskId("node", FIRST_NUMBER), "a training", {}, 0, "me", "ml-1", "RUNNING"))


# --- the wish ---------------------------------------------------------------------------------------------------------


def test_a_wish_does_what_stops_the_work_once() -> None:
    """It is asked for before or within the block; two wishes are one for whoever comes later."""
    cancellation, calls = Cancellation(), []
    with cancellation.stopped_by(lambda: calls.append("within")):
        assert not cancellation.wanted
        cancellation.check()
        cancellation.cancel()
    with cancellation.stopped_by(lambda: calls.append("before")):
        pass
    cancellation.cancel()
    assert calls == ["within", "before"]
    with pytest.raises(Cancelled):
        cancellation.check()


def test_what_stops_a_work_is_not_done_once_the_work_is_over() -> None:
    """What it would stop by then is somebody else's: a block ends after an action that is under way."""
    cancellation, go, ends = Cancellation(), threading.Event(), []
    entered = threading.Semaphore(0)

    def stop_slowly() -> None:
        entered.release()
        assert go.wait(PATIENCE_S)
        ends.append("stopped")

    def work() -> None:
        with cancellation.stopped_by(stop_slowly):
            entered.release()
            assert cancellation.event.wait(PATIENCE_S)
        ends.append("over")

    working = threading.Thread(target=work)
    working.start()
    assert entered.acquire(timeout=PATIENCE_S)
    cancelling = threading.Thread(target=cancellation.cancel)
    cancelling.start()
    assert entered.acquire(timeout=PATIENCE_S)
    working.join(0.1)
    go.set()
    working.join(PATIENCE_S)
    cancelling.join(PATIENCE_S)
    assert ends == ["stopped", "over"]


# --- processes --------------------------------------------------------------------------------------------------------


def obey(rounds: int, path: str) -> int:
    """Report a round, and stop when the flag says so; without rounds at once."""
    page = ProgressPage(path)
    page.report(rounds, 1000)
    wait_until(page.cancelled, deadline_s=PATIENCE_S, what="the flag")
    page.close()
    raise Cancelled


def ignore(path: str) -> None:
    """Report, and look at nothing."""
    ProgressPage(path).report(1, 2)
    threading.Event().wait(60)


def die(path: str) -> None:
    """Report, and end the process once the flag says so."""
    page = ProgressPage(path)
    page.report(1, 2)
    wait_until(page.cancelled, deadline_s=PATIENCE_S, what="the flag")
    os._exit(9)


def flag(path: str) -> bool:
    """Return what the flag says."""
    return ProgressPage(path).cancelled()


def pages() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("mlcommons-tasks-progress-*"))


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have pages made where nobody else makes any."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def pool() -> Iterator[TrainingPool]:
    found = TrainingPool(2)
    yield found
    found.close()
    wait_until(lambda: not pages(), deadline_s=5, what="a folder without pages")


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as found:
        yield found


def started(live: LiveTask) -> None:
    """Wait until a job has reported."""
    wait_until(lambda: live.snapshot().iteration, deadline_s=PATIENCE_S, what="a report")


def cancelled_in(live: LiveTask, job: Future[Any]) -> float:
    """Cancel a job and return how long it took to stop."""
    began = time.monotonic()
    live.cancel(1)
    with pytest.raises(Cancelled):
        job.result(PATIENCE_S)
    return time.monotonic() - began


def test_a_job_reports_while_it_runs_and_stops_when_it_is_told(pool: TrainingPool, threads: ThreadPoolExecutor) -> None:
    """What it said last stays when its page is gone."""
    live = a_watch()
    job = threads.submit(pool.run, obey, 7, watch=live)
    started(live)
    assert (live.snapshot().iteration, live.snapshot().iterations) == (7, 1000)
    assert cancelled_in(live, job) < OBEYED_S
    assert not pages()
    assert (live.snapshot().iteration, live.snapshot().iterations) == (7, 1000)
    assert live.snapshot().cpu_time_in_nanos > 0


def test_the_process_of_a_job_that_stopped_stays(pool: TrainingPool, threads: ThreadPoolExecutor) -> None:
    """The next job begins at once, and its flag is its own."""
    process = pool.run(os.getpid)
    live = a_watch()
    job = threads.submit(pool.run, obey, 1, watch=live)
    started(live)
    cancelled_in(live, job)
    assert pool.run(os.getpid) == process
    assert pool.run(flag, watch=a_watch()) is False


def test_a_job_that_does_not_look_is_ended_with_its_process(pool: TrainingPool, threads: ThreadPoolExecutor) -> None:
    """It has a second to look; the next job runs in another process."""
    process = pool.run(os.getpid)
    live = a_watch()
    job = threads.submit(pool.run, ignore, watch=live)
    started(live)
    assert OBEY_S <= cancelled_in(live, job) < OBEY_S + 0.9
    assert pool.run(os.getpid) != process


def test_two_jobs_do_not_disturb_each_other(pool: TrainingPool, threads: ThreadPoolExecutor) -> None:
    """Each has its own progress, and one goes on while the other's process is ended."""
    first, second = a_watch(), a_watch()
    deaf = threads.submit(pool.run, ignore, watch=first)
    good = threads.submit(pool.run, obey, 5, watch=second)
    started(first)
    started(second)
    assert [live.snapshot().iteration for live in (first, second)] == [1, 5]
    cancelled_in(first, deaf)
    assert not good.done()
    assert cancelled_in(second, good) < OBEYED_S


def test_a_job_that_is_cancelled_before_it_starts_never_does(pool: TrainingPool) -> None:
    """Whether a process is free or not."""
    live = a_watch()
    live.cancel(1)
    with pytest.raises(Cancelled):
        pool.run(ignore, watch=live)
    assert live.snapshot().iteration == 0


def test_a_job_that_waits_for_a_process_is_cancelled_without_one(threads: ThreadPoolExecutor) -> None:
    """It leaves the line, and the one that runs goes on."""
    pool = TrainingPool(1)
    first, second = a_watch(), a_watch()
    running = threads.submit(pool.run, obey, 1, watch=first)
    started(first)
    waiting = threads.submit(pool.run, obey, 1, watch=second)
    assert cancelled_in(second, waiting) < OBEYED_S
    assert not running.done()
    cancelled_in(first, running)
    pool.close()


def test_a_cancelled_job_whose_process_died_is_not_tried_again(
    pool: TrainingPool, threads: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody wants it."""
    live = a_watch()
    job = threads.submit(pool.run, die, watch=live)
    started(live)
    cancelled_in(live, job)
    assert len([record for record in caplog.records if "attempt" in record.message]) == 1


def test_the_close_leaves_no_page(pool: TrainingPool, threads: ThreadPoolExecutor) -> None:
    """Whatever runs is over, and its page is gone."""
    lives = [a_watch(), a_watch()]
    jobs = [threads.submit(pool.run, ignore, watch=live) for live in lives]
    for live in lives:
        started(live)
    assert len(pages()) == 2
    pool.close()
    for job in jobs:
        with pytest.raises(WorkerDied, match="the service is stopping"):
            job.result(PATIENCE_S)
    assert not pages()
    with pytest.raises(WorkerDied, match="the service is stopping"):
        pool.run(ignore, watch=a_watch())
    assert not pages()


def test_a_page_that_somebody_cleaned_away_hurts_one_job_at_most(
    pool: TrainingPool, threads: ThreadPoolExecutor
) -> None:
    """Folders for temporary files are swept; the next job has a page of its own."""
    live = a_watch()
    job = threads.submit(pool.run, obey, 1, watch=live)
    started(live)
    for page in pages():
        page.unlink()
    assert cancelled_in(live, job) < OBEYED_S
    assert pool.run(flag, watch=a_watch()) is False


def test_kmeans_reports_its_rounds(pool: TrainingPool) -> None:
    """Which one it is in, of how many at most, and the time it took."""
    frame = frame_from_sources([{"a": 1.0}, {"a": 2.0}, {"a": 9.0}])
    asked = MLInput("KMEANS", None, DataFrameDataset(frame))
    live = a_watch()
    Trainer(lambda *_: (0, []), pool, seed=1).fit(asked, frame, live)
    assert 1 <= live.snapshot().iteration <= 10
    assert live.snapshot().iterations == 10
    assert live.snapshot().cpu_time_in_nanos > 0


# --- the life of a task -----------------------------------------------------------------------------------------------


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
        answer = caller.submit(house.runner.train, ASKED, {}, {})
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


# --- a wait for OpenSearch --------------------------------------------------------------------------------------------


@pytest.fixture(params=["http", "https"])
def silent(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Endpoint, threading.Semaphore]]:
    """A server that takes requests and does not answer."""
    asked, go = threading.Semaphore(0), threading.Event()

    def wait(_: Request) -> None:
        asked.release()
        go.wait(PATIENCE_S)

    context, ca_file = None, None
    if request.param == "https":
        authority = trustme.CA()
        context, ca_file = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), tmp_path / "ca.pem"
        authority.issue_cert("127.0.0.1").configure_cert(context)
        authority.cert_pem.write_to_path(str(ca_file))
    with answering(wait, tls=context) as url:
        yield Endpoint.at(url, ca_file=ca_file), asked
        go.set()


def in_background(action: Callable[[], Any]) -> Future[Any]:
    threads = ThreadPoolExecutor(1)
    try:
        return threads.submit(action)
    finally:
        threads.shutdown(wait=False)


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_wait_for_an_answer_is_cut(silent: tuple[Endpoint, threading.Semaphore], method: str) -> None:
    """Over http and https, and a read is not sent once more for good."""
    endpoint, asked = silent
    upstream, cancellation = Upstream(endpoint), Cancellation()
    answer = in_background(lambda: upstream.request(method, "/_search", (), b"{}", cancellation))
    assert asked.acquire(timeout=PATIENCE_S)
    began = time.monotonic()
    cancellation.cancel()
    with pytest.raises(StoreUnavailable):
        answer.result(PATIENCE_S)
    assert time.monotonic() - began < OBEYED_S
    upstream.close()


def test_a_request_of_a_cancelled_work_is_not_waited_for(silent: tuple[Endpoint, threading.Semaphore]) -> None:
    """It was cancelled on the way."""
    endpoint, _ = silent
    upstream, cancellation = Upstream(endpoint), Cancellation()
    cancellation.cancel()
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        upstream.request("POST", "/_search", (), b"{}", cancellation)
    assert time.monotonic() - began < OBEYED_S
    upstream.close()


def test_a_cancellation_after_the_answer_cuts_nobody_elses_wait() -> None:
    """Connections are used again."""
    with answering(lambda request: request.reply(200, b"{}")) as url:
        upstream, cancellation = Upstream(Endpoint.at(url)), Cancellation()
        assert upstream.request("POST", "/", (), b"", cancellation).status == 200
        cancellation.cancel()
        assert upstream.request("POST", "/", (), b"").payload == b"{}"
        upstream.close()


class Late(Cancellation):
    """A wish that comes at the end of every block."""

    @contextlib.contextmanager
    def stopped_by(self, action: Callable[[], None]) -> Iterator[None]:
        """Cancel when the work of the block is done."""
        with super().stopped_by(action):
            yield
            self.cancel()


def test_a_cut_of_an_answer_that_ends_its_connection_breaks_no_cancellation() -> None:
    """Such a connection has forgotten its socket by then; what else the cancellation stops is stopped too."""
    with answering(lambda request: request.reply(200, b"{}", Connection="close")) as url:
        upstream, cancellation, others = Upstream(Endpoint.at(url)), Late(), threading.Event()
        with contextlib.suppress(StoreUnavailable):
            upstream.request("POST", "/", (), b"", cancellation)
        cancellation.on_cancel(others.set)
        assert others.is_set()
        upstream.close()
