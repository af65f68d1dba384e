"""What a worker of a Dask cluster does of ours: one job, with a report that says how far it is.

Imported on workers. Knows the worker it runs in, and nothing of the service that waits.
Sources: distributed's documents `events` (`Worker.log_event`), `worker-state` (a task whose future was released while
it ran is `cancelled`; its thread goes on), and `api` (`get_worker`, `Worker.get_current_task`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mlcommons_tasks._version import __version__
from mlcommons_tasks.cancellation import Cancelled
from mlcommons_tasks.errors import TaskPluginError

TOPIC = "mlcommons-tasks-progress"  #: one for all jobs: the scheduler keeps each topic it has heard of
TELL_S = 0.2  #: how often a job says how far it is, at most
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
    """A job's report on a Dask worker; for the thread that runs the job."""

    def __init__(self, worker: Any, name: str) -> None:
        self._worker = worker
        self._name = name
        self._key = worker.get_current_task()
        self._cpu_before = time.thread_time_ns()
        self._latest: tuple[int, int] | None = None
        self._told = 0.0

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
    """Do a job in a worker's thread.

    Raises:
        OtherVersion: it came from a service of another version.
        Exception: whatever the job raises that is none of our errors.
    """
    from distributed import get_worker

    if work.version != __version__:
        raise OtherVersion(f"the worker has mlcommons-tasks {__version__}, the service {work.version}")
    report = WorkerReport(get_worker(), work.name) if work.reports else None
    try:
        return Done(work.job(*work.arguments, *([report] if report is not None else [])))
    except (Cancelled, TaskPluginError) as error:
        return Done(error=error)
    finally:
        if report is not None:
            report.tell()
