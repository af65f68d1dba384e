"""The training pool: its jobs, the death of its processes, its end."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from mlcommons_tasks.execution.executors import TrainingPool, WorkerDied


@pytest.fixture
def pool() -> Iterator[TrainingPool]:
    found = TrainingPool(1)
    yield found
    found.close()


def die_once(marker: str) -> str:
    """End the process at the first call, answer at the second."""
    path = Path(marker)
    if not path.exists():
        path.touch()
        os._exit(9)
    return "done"


def die() -> None:
    """End the process."""
    os._exit(9)


def refuse() -> None:
    """Raise what the caller must see."""
    raise ValueError("not these numbers")


def test_a_job_runs_in_a_process_of_its_own_which_stays(pool: TrainingPool) -> None:
    """Jobs share the process, and it is not ours."""
    first = pool.run(os.getpid)
    assert first == pool.run(os.getpid)
    assert first != os.getpid()


def test_what_a_job_raises_is_raised(pool: TrainingPool) -> None:
    """An error is the job's, and the process lives on."""
    process = pool.run(os.getpid)
    with pytest.raises(ValueError, match="not these numbers"):
        pool.run(refuse)
    assert pool.run(os.getpid) == process


def test_a_job_outlives_the_death_of_its_process(pool: TrainingPool, tmp_path: Path) -> None:
    """It is tried once more in the next one."""
    assert pool.run(die_once, str(tmp_path / "marker")) == "done"


def test_a_job_that_kills_its_process_twice_is_given_up(pool: TrainingPool) -> None:
    """The caller is told, and the next job runs."""
    with pytest.raises(WorkerDied, match="the process that ran the training died"):
        pool.run(die)
    assert pool.run(os.getpid)


def test_the_close_ends_a_job_at_work() -> None:
    """Neither the job nor its process outlives the close, and nothing runs after it."""
    pool = TrainingPool(1)
    process = psutil.Process(pool.run(os.getpid))
    ends: list[str] = []

    def work() -> None:
        try:
            pool.run(time.sleep, 60)
        except WorkerDied as error:
            ends.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    pool.close()
    thread.join(10)
    assert ends == ["the service is stopping"]
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    with pytest.raises(WorkerDied, match="the service is stopping"):
        pool.run(os.getpid)
    pool.close()
