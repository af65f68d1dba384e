"""What a worker of a Dask cluster does of ours: one job, with a report that says how far it is.

Imported on workers. Knows the worker it runs in, and nothing of the service that waits.
Sources: distributed's documents `events` (`Worker.log_event`), `worker-state` (a task whose future was released while
it ran is `cancelled`; its thread goes on), and `api` (`get_worker`, `Worker.get_current_task`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TookTooLong  # the built-in one only since Python 3.11
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from mlcommons_tasks._version import __version__
from mlcommons_tasks.cancellation import Cancelled
from mlcommons_tasks.errors import TaskPluginError

TOPIC = "mlcommons-tasks-progress"  #: one for all jobs: the scheduler keeps each topic it has heard of
TELL_S = 0.2  #: how often a job says how far it is, at most
LOOK_S = 0.2  #: how often is looked whether a job shall stop
OBEY_S = 1.0  #: how long it may take to see that itself; its thread is left alone then, and the worker goes on
WORKING = frozenset({"running", "paused", "closing_gracefully"})  #: a worker's states in which its jobs count


class OtherVersion(Exception):
    """A worker has another version of this package than the service."""


@dataclass(frozen=True, repr=False)
class Work:
    """A job on its way to a worker. Has a short text: workers write what failed into their logs."""

    name: str  #: by which its progress is told, no other has it
    job: Callable[..., Any]
    arguments: tuple[Any, ...]
    reports: bool
    version: str = __version__

    def __repr__(self) -> str:
        return f"Work({self.name})"

    def __dask_tokenize__(self) -> str:
        return self.name


@dataclass(frozen=True, repr=False)
class Done:
    """What became of a job: what it gave, or the error of ours that it raised."""

    value: Any = None
    error: Cancelled | TaskPluginError | None = None


class WorkerReport:
    """A job's report on a Dask worker; `begin` is called in the thread that runs the job."""

    def __init__(self, worker: Any, name: str) -> None:
        self._worker = worker
        self._name = name
        self._key = worker.get_current_task()
        self._cpu_before = 0
        self._latest: tuple[int, int] | None = None
        self._told = 0.0

    def begin(self) -> None:
        """Measure the CPU time of this thread from now on."""
        self._cpu_before = time.thread_time_ns()

    def cancelled(self) -> bool:
        """Say whether nobody waits any more: it was cancelled, the service has ended, or the worker does."""
        task = self._worker.state.tasks.get(self._key)
        return task is None or task.state == "cancelled" or self._worker.status.name not in WORKING

    def progress(self, iteration: int, iterations: int) -> None:
        """Say in which round the job is, and how many there will be at most; told now and then, and at the end."""
        self._latest = iteration, iterations
        if time.monotonic() - self._told >= TELL_S:
            self.tell()

    def tell(self) -> None:
        """Send what was said last, if it was not yet."""
        if self._latest is not None:
            iteration, iterations = self._latest
            cpu = time.thread_time_ns() - self._cpu_before
            self._worker.log_event(TOPIC, [self._name, iteration, iterations, cpu])
            self._latest, self._told = None, time.monotonic()


def do_work(work: Work) -> Done:
    """Do a job on a worker.

    One that reports gets a thread of its own: nobody can end a thread, and one that is stuck would keep its place in
    the worker for itself, where the scheduler, which takes the job for gone, sends others.

    Raises:
        OtherVersion: it came from a service of another version.
        Exception: whatever the job raises that is none of our errors.
    """

    if work.version != __version__:
        raise OtherVersion(f"the worker has mlcommons-tasks {__version__}, the service {work.version}")
    if not work.reports:
        return _done(work.job, work.arguments)
    from distributed import get_worker

    report = WorkerReport(get_worker(), work.name)
    ended: Future[Done] = Future()
    threading.Thread(target=_do_reporting, args=(work, report, ended), name="job", daemon=True).start()
    left_s = OBEY_S
    while left_s > 0:
        with suppress(TookTooLong):
            return ended.result(LOOK_S)
        left_s = left_s - LOOK_S if report.cancelled() else OBEY_S
    return Done(error=Cancelled())


def _do_reporting(work: Work, report: WorkerReport, ended: Future[Done]) -> None:
    report.begin()
    try:
        done = _done(work.job, (*work.arguments, report))
        report.tell()
    except BaseException as error:  # it is raised where it is waited for
        ended.set_exception(error)
    else:
        ended.set_result(done)


def _done(job: Callable[..., Any], arguments: tuple[Any, ...]) -> Done:
    try:
        return Done(job(*arguments))
    except (Cancelled, TaskPluginError) as error:
        return Done(error=error)
