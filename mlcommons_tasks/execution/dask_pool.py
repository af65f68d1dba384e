"""Jobs on a Dask cluster that is there already, behind the same face as the processes of this machine.

What is another there: a worker that dies has its jobs done by another one, which is the scheduler's doing; and a job
that was cancelled and does not look goes on, beside what its worker does next, for nobody can end a thread.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from mlcommons_tasks.cancellation import Cancellation, Cancelled
from mlcommons_tasks.execution.dask_link import DaskLink, Told
from mlcommons_tasks.execution.dask_work import Done, Work
from mlcommons_tasks.execution.executors import ATTEMPTS, CHECK_S, STOPPING, Watch, WorkerDied
from mlcommons_tasks.execution.progress import Progress

log = logging.getLogger(__name__)

Result = TypeVar("Result")


class _Heard:
    """What one job has said of itself."""

    def __init__(self) -> None:
        self.progress = Progress()

    def read(self) -> Progress:
        """Return what was reported last."""
        return self.progress


class DaskCluster:
    """The cluster that several pools share, and who listens to its jobs."""

    def __init__(self, address: str) -> None:
        self._heard: dict[str, _Heard] = {}
        self.link = DaskLink(address, self._hear)

    def check(self) -> None:
        """Raise StartError if the cluster is not there, or cannot run our jobs."""
        self.link.check()

    @contextmanager
    def heard(self, name: str, watch: Watch | None) -> Iterator[None]:
        """Have `watch` read what the job of this name reports, within the block."""
        if watch is None:
            yield
            return
        found = self._heard[name] = _Heard()
        watch.began(found)
        try:
            yield
        finally:
            watch.ended()
            del self._heard[name]

    def _hear(self, told: Told) -> None:
        name, iteration, iterations, cpu = told
        if (found := self._heard.get(name)) is not None:  # else it is another service's, or over
            found.progress = Progress(iteration, iterations, cpu)


class DaskPool:
    """Runs so many jobs at a time on a cluster; more wait here.

    `priority` is Dask's: jobs with a higher one go first where workers are short.
    """

    def __init__(self, cluster: DaskCluster, at_once: int, priority: int = 0) -> None:
        self._link = cluster.link
        self._cluster = cluster
        self._places = threading.BoundedSemaphore(at_once)
        self._priority = priority
        self._closed = threading.Event()

    def start(self) -> None:
        """Begin to connect."""
        self._link.open()

    def run(self, job: Callable[..., Result], *arguments: Any, watch: Watch | None = None) -> Result:
        """Return what a job gives on the cluster; see `Pool`."""
        cancellation = watch.cancellation if watch is not None else None
        with self._place(cancellation):
            for attempt in range(1, ATTEMPTS + 1):
                work = Work(uuid.uuid4().hex, job, arguments, watch is not None)
                with self._cluster.heard(work.name, watch):
                    executor = self._link.executor(cancellation)
                    try:
                        return cast(Result, self._done(executor, work, cancellation))
                    except CancelledError as error:  # not by us: Dask has lost it
                        if self._closed.is_set():
                            raise WorkerDied(STOPPING) from error
                        log.warning("the Dask cluster has let go of a job (attempt %d of %d)", attempt, ATTEMPTS)
                        self._link.suspect()
            raise WorkerDied(f"the Dask cluster at {self._link.address} let go of the training twice")

    def close(self) -> None:
        """Have the cluster forget what runs; that and what waits ends as WorkerDied."""
        self._closed.set()
        self._link.close()

    def _done(self, executor: Executor, work: Work, cancellation: Cancellation | None) -> Any:
        """Return what a job gives.

        Raises:
            CancelledError: the cluster has let go of it, or was lost.
            Cancelled, WorkerDied, Exception: as `Pool.run` does.
        """
        future = self._link.send(executor, work, self._priority)
        over = threading.Event()
        future.add_done_callback(lambda _: over.set())
        if cancellation is None:
            self._wait(executor, future, over)
        else:
            with cancellation.stopped_by(over.set):
                self._wait(executor, future, over)
            if not future.done():
                self._link.forget(future)
                raise Cancelled
        done = self._result(future)
        if done.error is not None:
            raise done.error
        return done.value

    def _wait(self, executor: Executor, future: Future[Done], over: threading.Event) -> None:
        while not over.wait(CHECK_S):
            if (problem := self._link.problem()) is not None:
                self._link.forget(future)
                raise WorkerDied(problem)
            if self._link.is_over(executor):
                raise CancelledError

    def _result(self, future: Future[Done]) -> Done:
        from distributed import KilledWorker

        try:
            return future.result()
        except KilledWorker as error:
            raise WorkerDied("the Dask workers that ran the training died, one after another") from error
        except CancelledError:
            raise
        except Exception as error:
            if (misfit := self._link.misfit()) is not None:
                raise WorkerDied(misfit) from error
            raise

    @contextmanager
    def _place(self, cancellation: Cancellation | None) -> Iterator[None]:
        while not self._places.acquire(timeout=CHECK_S):
            if self._closed.is_set():
                raise WorkerDied(STOPPING)
            if cancellation is not None:
                cancellation.check()
        try:
            yield
        finally:
            self._places.release()
