"""Where trainings run: a pool of processes that outlives the death of one of them, and never its own parent.

Knows no task and no store. The pool is loky's: unlike the standard library's it starts its processes without
running the main module again, so a script needs no guard, and it says which of them died.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as TookTooLong  # the built-in one only since Python 3.11
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol, TypeVar

from loky import ProcessPoolExecutor
from loky.process_executor import ShutdownExecutorError

from mlcommons_tasks.cancellation import Cancellation, Cancelled
from mlcommons_tasks.execution.progress import ProgressPage, Reported

log = logging.getLogger(__name__)

Result = TypeVar("Result")
STOPPING = "the service is stopping"
ATTEMPTS = 2  #: a job whose process died is tried once more
CHECK_S = 0.5  #: how often a process looks for its parent, and a job that waits for the pool's end
OBEY_S = 1.0  #: how long a job may take to see that it was cancelled; its process is ended then
NICENESS = 5  #: requests come first where trainings take every core


class WorkerDied(Exception):
    """What ran a job ended before the job did, more than once, or there is nothing to run it."""


class Watch(Protocol):
    """Who looks at a job: may cancel it, and is shown where it reports."""

    cancellation: Cancellation

    def began(self, reported: Reported) -> None:
        """Take note of where the job reports."""

    def ended(self) -> None:
        """Take note that nothing more is reported there."""


class Pool(Protocol):
    """Where jobs run, several at a time and none in this process."""

    def start(self) -> None:
        """Do now what the first job would have to wait for."""

    def run(self, job: Callable[..., Result], *arguments: Any, watch: Watch | None = None) -> Result:
        """Return what `job(*arguments)` gives, all of it picklable.

        With `watch` it may be cancelled, and is given a `Report` as its last argument.

        Raises:
            Cancelled: the watch wanted it, before the job was done.
            WorkerDied: what ran it ended, and in a second attempt too; or the pool was closed.
            Exception: whatever the job raises.
        """

    def close(self) -> None:
        """End the jobs; those that run or wait end as WorkerDied."""


def _start_worker(warm_up: Callable[[], None] | None, parent: int) -> None:
    """Prepare a process of the pool: it leaves signals to its parent, and ends with it, be that dead already."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.nice(NICENESS)

    def end_with_parent() -> None:
        while os.getppid() == parent:
            time.sleep(CHECK_S)
        os._exit(1)

    threading.Thread(target=end_with_parent, name="end-with-parent", daemon=True).start()
    if warm_up is not None:
        warm_up()


class _Slot:
    """One process, started with its first job and again after its death."""

    def __init__(self, warm_up: Callable[[], None] | None) -> None:
        self._warm_up = warm_up
        self._lock = threading.Lock()
        self._executor: ProcessPoolExecutor | None = None
        self._closed = False

    def submit(self, job: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Hand a job to the process, which is started where there is none."""
        with self._lock:
            if self._closed:
                raise WorkerDied(STOPPING)
            if self._executor is None:
                self._executor = ProcessPoolExecutor(
                    1, initializer=_start_worker, initargs=(self._warm_up, os.getpid())
                )
            return self._executor.submit(job, *arguments)  # type: ignore[no-any-return]

    def run(self, job: Callable[..., Result], *arguments: Any, watch: Watch | None) -> Result:
        """Return what the job gives; it is tried once more if its process died.

        A job that is watched gets a report, behind its other arguments.
        """
        if watch is None:
            return self._attempt(job, arguments, None)
        page = ProgressPage()  # of this job alone: nothing said of one job reaches the next
        watch.began(page)
        try:
            with watch.cancellation.stopped_by(page.cancel):
                return self._attempt(job, (*arguments, page.report()), watch.cancellation)
        finally:
            watch.ended()
            page.remove()

    def _attempt(
        self, job: Callable[..., Result], arguments: tuple[Any, ...], cancellation: Cancellation | None
    ) -> Result:
        for attempt in range(1, ATTEMPTS + 1):
            if cancellation is not None:
                cancellation.check()
            try:
                return self._result(self.submit(job, *arguments), cancellation)
            except (BrokenProcessPool, CancelledError, ShutdownExecutorError) as error:
                if self._closed:
                    raise WorkerDied(STOPPING) from error
                log.warning("a training process died (attempt %d of %d)", attempt, ATTEMPTS)
                self._forget()
        raise WorkerDied("the process that ran the training died")

    def _result(self, future: Future[Result], cancellation: Cancellation | None) -> Result:
        """Wait for a job; one that was cancelled and does not stop is stopped with its process."""
        if cancellation is None:
            return future.result()
        over = threading.Event()
        future.add_done_callback(lambda _: over.set())
        with cancellation.stopped_by(over.set):
            over.wait()
        if cancellation.wanted:
            try:
                return future.result(OBEY_S)
            except TookTooLong as error:
                log.info("a cancelled training did not stop by itself; its process is ended")
                self._forget()
                raise Cancelled from error
        return future.result()

    def close(self) -> None:
        """End the process, whatever it is doing."""
        with self._lock:
            self._closed = True
        self._forget()

    def _forget(self) -> None:
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=True, kill_workers=True)


class TrainingPool:
    """Processes that run one job each at a time; the death of one does no harm to the others.

    `warm_up` is called once in each process, to import what jobs need.
    """

    def __init__(self, processes: int, warm_up: Callable[[], None] | None = None) -> None:
        self._slots = [_Slot(warm_up) for _ in range(processes)]
        self._free: queue.LifoQueue[_Slot] = queue.LifoQueue()  # the one used last is warm
        for slot in reversed(self._slots):
            self._free.put(slot)
        self._closed = threading.Event()

    def start(self) -> None:
        """Start the first process now, rather than with the first job."""
        self._slots[0].submit(os.getpid)

    def run(self, job: Callable[..., Result], *arguments: Any, watch: Watch | None = None) -> Result:
        """Return what a job gives in one of the processes; see `Pool`."""
        slot = self._next_free(watch)
        try:
            return slot.run(job, *arguments, watch=watch)
        finally:
            self._free.put(slot)

    def close(self) -> None:
        """End the processes; jobs that run or wait end as WorkerDied."""
        self._closed.set()
        for slot in self._slots:
            slot.close()

    def _next_free(self, watch: Watch | None) -> _Slot:
        while not self._closed.is_set():
            if watch is not None:
                watch.cancellation.check()
            with contextlib.suppress(queue.Empty):
                return self._free.get(timeout=CHECK_S)
        raise WorkerDied(STOPPING)
