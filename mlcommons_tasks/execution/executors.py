"""Where trainings run: a pool of processes that outlives the death of one of them, and never its own parent.

Knows no task and no store.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from typing import Any, TypeVar

log = logging.getLogger(__name__)

Result = TypeVar("Result")
STOPPING = "the service is stopping"
ATTEMPTS = 2  #: a job whose process died is tried once more


class WorkerDied(Exception):
    """The process that ran a job ended before the job did, more than once."""


def _start_worker(warm_up: Callable[[], None] | None) -> None:
    """Prepare a process of the pool: it leaves signals to its parent, and ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    if parent is not None:
        sentinel = parent.sentinel

        def end_with_parent() -> None:
            connection.wait([sentinel])
            os._exit(1)

        threading.Thread(target=end_with_parent, name="end-with-parent", daemon=True).start()
    if warm_up is not None:
        warm_up()


class TrainingPool:
    """Processes that run one job each at a time.

    `warm_up` is called once in each process, to import what jobs need.
    """

    def __init__(self, processes: int, warm_up: Callable[[], None] | None = None) -> None:
        self._processes = processes
        self._warm_up = warm_up
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None
        self._closed = False

    def start(self) -> None:
        """Start a process now, rather than with the first job."""
        self._submit(os.getpid)

    def run(self, job: Callable[..., Result], *arguments: Any) -> Result:
        """Return what `job(*arguments)` gives in one of the processes; both must be picklable.

        Raises:
            WorkerDied: its process ended, and that of the second attempt too.
            Exception: whatever the job raises.
        """
        for attempt in range(1, ATTEMPTS + 1):
            pool, future = self._submit(job, *arguments)
            try:
                return future.result()
            except (BrokenProcessPool, CancelledError) as error:
                if self._closed:
                    raise WorkerDied(STOPPING) from error
                log.warning("a training process died (attempt %d of %d)", attempt, ATTEMPTS)
                self._forget(pool)
        raise WorkerDied("the process that ran the training died")

    def close(self) -> None:
        """End the processes, without waiting for jobs that have not begun."""
        with self._lock:
            self._closed = True
            pool, self._pool = self._pool, None
        if pool is not None:
            for process in list((pool._processes or {}).values()):
                process.terminate()
            pool.shutdown(wait=True, cancel_futures=True)

    def _submit(self, job: Callable[..., Result], *arguments: Any) -> tuple[ProcessPoolExecutor, Future[Result]]:
        with self._lock:
            if self._closed:
                raise WorkerDied(STOPPING)
            if self._pool is None:
                self._pool = ProcessPoolExecutor(
                    self._processes,
                    mp_context=multiprocessing.get_context("spawn"),
                    initializer=_start_worker,
                    initargs=(self._warm_up,),
                )
            pool = self._pool
        try:
            return pool, pool.submit(job, *arguments)
        except (BrokenProcessPool, RuntimeError):
            self._forget(pool)
            return self._submit(job, *arguments)

    def _forget(self, pool: ProcessPoolExecutor) -> None:
        with self._lock:
            if self._pool is pool:
                self._pool = None
        pool.shutdown(wait=False, cancel_futures=False)
