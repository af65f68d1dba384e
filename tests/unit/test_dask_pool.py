"""What is sent to a Dask cluster and what comes back, without one; starts that cannot succeed."""

from __future__ import annotations

import sys
import threading
import time
from types import SimpleNamespace
from typing import Any

import cloudpickle
import pytest

from mlcommons_tasks._version import __version__
from mlcommons_tasks.cancellation import Cancelled
from mlcommons_tasks.config import Settings, SettingsError
from mlcommons_tasks.errors import IllegalArgument, StartError
from mlcommons_tasks.execution import dask_work
from mlcommons_tasks.execution.dask_link import DaskLink
from mlcommons_tasks.execution.dask_work import Done, OtherVersion, Work, WorkerReport, do_work
from mlcommons_tasks.execution.progress import Report
from tests.upstreams import free_port


class Worker:
    """A worker with one job, as much of it as a job sees."""

    def __init__(self, state: str = "executing", status: str = "running") -> None:
        self.state = SimpleNamespace(tasks={"key": SimpleNamespace(state=state)})
        self.status = SimpleNamespace(name=status)
        self.said: list[tuple[str, list[Any]]] = []

    def get_current_task(self) -> str:
        return "key"

    def log_event(self, topic: str, told: list[Any]) -> None:
        self.said.append((topic, told))


def on(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> Worker:
    """Have jobs run on this worker."""
    monkeypatch.setitem(sys.modules, "distributed", SimpleNamespace(get_worker=lambda: worker))  # type: ignore[arg-type]
    return worker


def count(rounds: int, report: Report) -> str:
    for number in range(1, rounds + 1):
        report.progress(number, rounds)
    return "done"


def refuse(*_: object) -> None:
    raise IllegalArgument("not these numbers")


def break_down(*_: object) -> None:
    raise ValueError("broken")


def ignore(_: Report) -> None:
    threading.Event().wait(60)


def test_a_job_tells_its_first_and_its_last_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """And none in between that comes too soon."""
    worker = on(Worker(), monkeypatch)
    monkeypatch.setattr(dask_work, "TELL_S", 60)
    assert do_work(Work("w", count, (1000,), reports=True)) == Done("done")
    assert [told[:3] for _, told in worker.said] == [["w", 1, 1000], ["w", 1000, 1000]]
    assert all(topic == dask_work.TOPIC and told[3] >= 0 for topic, told in worker.said)


@pytest.mark.parametrize("reports", [True, False])
def test_errors_of_ours_come_back_as_a_result(monkeypatch: pytest.MonkeyPatch, reports: bool) -> None:
    """Dask logs each error that a job raises with what it was given; others are raised."""
    on(Worker(), monkeypatch)
    done = cloudpickle.loads(cloudpickle.dumps(do_work(Work("w", refuse, (), reports))))
    assert isinstance(done.error, IllegalArgument)
    assert done.error.reason == "not these numbers"
    with pytest.raises(ValueError, match="broken"):
        do_work(Work("w", break_down, (), reports))


@pytest.mark.parametrize(
    "worker", [Worker("cancelled"), Worker(status="closing"), Worker(status="closed")], ids=["job", "worker", "dead"]
)
def test_a_job_that_nobody_waits_for_gives_its_place_back(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though it does not look."""
    on(worker, monkeypatch)
    began = time.monotonic()
    assert isinstance(do_work(Work("w", ignore, (), reports=True)).error, Cancelled)
    assert time.monotonic() - began < dask_work.OBEY_S + 5


def test_a_report_knows_when_to_stop() -> None:
    """Once the job was let go of, or is not known any more."""
    worker = Worker()
    report = WorkerReport(worker, "w")
    assert not report.cancelled()
    worker.status.name = "closing_gracefully"
    assert not report.cancelled()
    worker.state.tasks["key"].state = "cancelled"
    assert report.cancelled()
    worker.state.tasks.clear()
    assert report.cancelled()


def test_a_job_of_another_version_is_not_begun() -> None:
    """What it is given may not mean the same there."""
    with pytest.raises(OtherVersion, match=f"the worker has mlcommons-tasks {__version__}, the service 0.0"):
        do_work(Work("w", break_down, (), False, version="0.0"))


def test_a_job_says_nothing_of_its_data() -> None:
    """Its text goes into logs."""
    assert repr(Work("w", count, ("secret",), True)) == "Work(w)"
    assert "secret" not in repr(Done("secret"))


def test_an_address_that_is_none_is_refused() -> None:
    """With an example of one."""
    for address in ("localhost:8786", "tcp://localhost", "tcp://a b:1", "http://me@host:1", ""):
        with pytest.raises(SettingsError, match=r"dask must be a scheduler's address, such as tcp://10.0.0.5:8786"):
            Settings(dask=address)
    assert Settings.resolve({}, {"MLCOMMONS_TASKS_DASK": "tls://dask.local:8786"}).dask == "tls://dask.local:8786"


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to install."""
    monkeypatch.setitem(sys.modules, "distributed", None)  # type: ignore[arg-type]
    with pytest.raises(StartError, match="Dask is not installed") as caught:
        DaskLink("tcp://127.0.0.1:1", lambda _: None).check()
    assert "mlcommons-tasks[dask]" in str(caught.value.hint)


def test_a_missing_scheduler_is_named_within_seconds() -> None:
    """With what to do."""
    address = f"tcp://127.0.0.1:{free_port()}"
    began = time.monotonic()
    with pytest.raises(StartError, match=f"there is no Dask scheduler at {address} that answers"):
        DaskLink(address, lambda _: None).check()
    assert time.monotonic() - began < 15


@pytest.mark.parametrize(
    ("scheduler", "worker", "said"),
    [
        (__version__, __version__, None),
        (None, __version__, f"the Dask scheduler has no mlcommons-tasks, and this is {__version__}"),
        (__version__, "0.0", f"the Dask worker tcp://w:1 has mlcommons-tasks 0.0, and this is {__version__}"),
    ],
)
def test_a_cluster_that_cannot_run_our_jobs_is_told(
    scheduler: str | None, worker: str | None, said: str | None
) -> None:
    """Which part of it, and why."""
    found = {
        "scheduler": {"packages": {"mlcommons_tasks": scheduler}},
        "workers": {"tcp://w:1": {"packages": {"mlcommons_tasks": worker}}},
    }
    client = SimpleNamespace(get_versions=None, sync=lambda *_, **__: found)
    assert DaskLink._misfit(client) == said
