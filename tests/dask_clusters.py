"""A Dask cluster for tests: a scheduler and workers, processes that a test may end by their ids; and jobs for them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlcommons_tasks.cancellation import Cancelled
from mlcommons_tasks.execution.progress import Report
from tests.services import clean_environment, wait_until
from tests.upstreams import free_port

START_S = 120.0
ROOT = Path(__file__).parents[1]


@dataclass
class DaskCluster:
    """Its scheduler on a free port, and workers of one thread each, in the order of their start."""

    folder: Path
    port: int = field(default_factory=free_port)
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    scheduler: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def start_scheduler(self) -> None:
        """Start one where the last one was, which is dead."""
        if self.scheduler is not None:
            self.scheduler.wait(START_S)
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-show")

    def start_worker(self) -> subprocess.Popen[bytes]:
        """Start one more; nobody starts it again when it dies."""
        where = ("--host", "127.0.0.1", "--local-directory", str(self.folder))
        started = self._start("worker", self.address, *where, "--nthreads", "1", "--no-nanny")
        self.workers.append(started)
        return started

    def await_workers(self, count: int) -> None:
        """Wait until so many workers are there."""
        wait_until(lambda: len(self.asked("nthreads")) == count, deadline_s=START_S, what=f"{count} workers")

    def asked(self, question: str) -> Any:
        """Return what a client of its own is told: `nthreads`, `processing`; nothing where nobody answers."""
        from distributed import Client

        try:
            with Client(self.address, timeout=5, set_as_default=False) as client:
                return getattr(client, question)()
        except OSError:
            return {}

    def jobs(self) -> int:
        """Return how many jobs workers have."""
        return sum(len(keys) for keys in self.asked("processing").values())

    def log(self) -> str:
        """Return the end of what all of them said."""
        return (self.folder / "log").read_text()[-4000:]

    def end(self) -> None:
        """End all of them."""
        for process in [*self.workers, self.scheduler]:
            if process is not None:
                process.kill()
                process.wait()

    def _start(self, what: str, *flags: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "distributed.cli.dask_" + what, *flags, "--no-dashboard"]
        environment = clean_environment(PYTHONPATH=os.fspath(ROOT))
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)


@contextlib.contextmanager
def dask_cluster(workers: int = 2) -> Iterator[DaskCluster]:
    """Run a cluster for the length of a block."""
    with tempfile.TemporaryDirectory(prefix="dask-") as folder:
        cluster = DaskCluster(Path(folder))
        try:
            cluster.start_scheduler()
            for _ in range(workers):
                cluster.start_worker()
            cluster.await_workers(workers)
            yield cluster
        finally:
            cluster.end()


def obey(report: Report) -> int:
    """Report where it runs, and stop when told to."""
    report.progress(os.getpid(), 2**62)
    while not report.cancelled():
        time.sleep(0.01)
    raise Cancelled


def ignore(report: Report) -> None:
    """Report, and look at nothing, as code that is stuck does."""
    report.progress(os.getpid(), 2**62)
    threading.Event().wait(60)


def die() -> None:
    """End the worker."""
    os._exit(9)


def where() -> int:
    """Return the worker's process."""
    time.sleep(0.1)
    return os.getpid()
