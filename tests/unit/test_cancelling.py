"""The wish to stop, and training processes that obey it."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mlcommons_tasks.cancellation import Cancellation, Cancelled
from mlcommons_tasks.execution.executors import OBEY_S, TrainingPool, WorkerDied
from mlcommons_tasks.execution.live import LiveTask
from mlcommons_tasks.execution.progress import Report
from mlcommons_tasks.execution.training import Trainer
from mlcommons_tasks.pipeline.data_frame import frame_from_sources
from mlcommons_tasks.wire.ml_input import DataFrameDataset, MLInput
from tests.services import wait_until
from tests.unit.doubles import OBEYED_S, PATIENCE_S, a_watch


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


def obey(rounds: int, report: Report) -> int:
    """Report a round, and stop when the flag says so; without rounds at once."""
    report.progress(rounds, 1000)
    wait_until(report.cancelled, deadline_s=PATIENCE_S, what="the flag")
    raise Cancelled


def ignore(report: Report) -> None:
    """Report, and look at nothing."""
    report.progress(1, 2)
    threading.Event().wait(60)


def die(report: Report) -> None:
    """Report, and end the process once the flag says so."""
    report.progress(1, 2)
    wait_until(report.cancelled, deadline_s=PATIENCE_S, what="the flag")
    os._exit(9)


def flag(report: Report) -> bool:
    """Return what the flag says."""
    return report.cancelled()


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
