"""The connection to a Dask cluster: whether it is there, whether it can run our jobs, and a way back when it was away.

Knows no job. `distributed` is imported where it is needed first: that takes a second, and it is an extra.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, cast

from mlcommons_tasks._version import __version__
from mlcommons_tasks.cancellation import Cancellation
from mlcommons_tasks.errors import StartError
from mlcommons_tasks.execution.dask_work import TOPIC, Done, Work, do_work
from mlcommons_tasks.execution.executors import STOPPING, WorkerDied

log = logging.getLogger(__name__)

PACKAGE = "mlcommons_tasks"
CONNECT_S = 5.0  #: how long a connection may take
ANSWER_S = 5.0  #: how long the scheduler may take to say who its workers are
LOOK_S = 1.0  #: how often it is asked
PATIENCE_S = 20.0  #: how long jobs wait for a scheduler that is away or silent
BARREN_S = 60.0  #: how long they wait for the first worker, or for another one
CLOSE_S = 3.0
LARGE_JOB = "1GiB"  #: Dask warns of jobs that are larger than 10 MB

#: What is told of a job: its name, the round, the rounds at most, its CPU time.
Told = tuple[str, int, int, int]


class DaskLink:
    """Keeps a client of one scheduler; a thread sees to that, from `open` on.

    `hear` is called with what jobs report, in the client's thread.
    """

    def __init__(self, address: str, hear: Callable[[Told], None]) -> None:
        self.address = address
        self._hear = hear
        self._client: Any = None
        self._executor: Executor | None = None
        self._changed = threading.Condition()
        self._look = threading.Event()
        self._closed = False
        self._keeper: threading.Thread | None = None
        #: since when the scheduler is away, None while it is there; and why
        self._away_since: float | None = None
        self._why = "it was not asked yet"
        self._barren_since: float | None = None  #: since when there is no worker

    def check(self) -> None:
        """Find out whether the cluster is there, and can run what this service sends.

        Raises:
            StartError: it cannot, or the extra is not installed.
        """
        try:
            importlib.import_module("distributed")
        except ImportError as error:
            raise StartError("Dask is not installed", hint="pip install 'mlcommons-tasks[dask]'") from error
        try:
            client = self._new_client()
            with contextlib.closing(client):
                problem = self._misfit(client)
        except Exception as error:  # OSError for most of it, whatever a server says that is no scheduler
            raise StartError(
                f"there is no Dask scheduler at {self.address} that answers: {_words(error)}",
                hint="Start it (`dask scheduler`), or correct the address; without --dask trainings run here.",
            ) from error
        if problem is not None:
            raise StartError(
                problem, hint=f"Install mlcommons-tasks=={__version__} where Dask's scheduler and workers run."
            )

    def open(self) -> None:
        """Begin to connect; returns at once, and may be called twice."""
        with self._changed:
            if self._keeper is None and not self._closed:
                self._away_since = time.monotonic()
                self._keeper = threading.Thread(target=self._keep, name="dask", daemon=True)
                self._keeper.start()

    def executor(self, cancellation: Cancellation | None) -> Executor:
        """Return what runs jobs, once the scheduler is there.

        Raises:
            Cancelled: that was wanted meanwhile.
            WorkerDied: it is away for too long, or this is closed.
        """
        self.open()
        with self._changed:
            while True:
                if self._closed:
                    raise WorkerDied(STOPPING)
                if cancellation is not None:
                    cancellation.check()
                if self._executor is not None and self._away_since is None:
                    return self._executor
                if (problem := self._problem()) is not None:
                    raise WorkerDied(problem)
                self._changed.wait(0.2)

    def send(self, executor: Executor, work: Work, priority: int) -> Future[Done]:
        """Have a worker do a job, and hear of it; one of a higher priority goes before others that wait."""
        with self._changed:
            if self._executor is executor:  # each time: a scheduler that was away has forgotten who listens
                self._client.subscribe_topic(TOPIC, self._told)
        return cast(Any, executor).submit(do_work, work, priority=priority)  # type: ignore[no-any-return]

    def forget(self, future: Future[Done]) -> None:
        """Have the cluster forget a job; returns at once, for its client may be ending."""
        client = self._client
        if not self._closed and client is not None and client.status in ("running", "connecting"):
            threading.Thread(target=future.cancel, name="dask-cancel", daemon=True).start()

    def is_over(self, executor: Executor) -> bool:
        """Say whether what it was given is lost with it."""
        return self._executor is not executor

    def problem(self) -> str | None:
        """Return why jobs that were sent need not be waited for any more, None if they are."""
        with self._changed:
            return STOPPING if self._closed else self._problem()

    def suspect(self) -> None:
        """Take it for away until it answers again: it has let go of a job that somebody wants."""
        with self._changed:
            self._away(ConnectionError("the connection was lost"))
        self._look.set()

    def misfit(self) -> str | None:
        """Return which part of the cluster cannot run our jobs, None if all can or it does not say."""
        with contextlib.suppress(Exception):
            return self._misfit(self._client)
        return None

    def close(self) -> None:
        """Let go of the cluster, and have it forget our jobs."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._look.set()
        if self._keeper is not None:
            self._keeper.join()
        self._drop()

    def _problem(self) -> str | None:
        now = time.monotonic()
        if self._away_since is not None and now - self._away_since > PATIENCE_S:
            return f"the Dask scheduler at {self.address} is away: {self._why}"
        if self._barren_since is not None and now - self._barren_since > BARREN_S:
            return f"the Dask cluster at {self.address} has no workers"
        return None

    def _keep(self) -> None:
        """Ask the scheduler from time to time, and connect anew where that is of no use any more."""
        while not self._closed:
            self._look.clear()
            try:
                if self._client is None or self._client.status in ("closing", "closed"):
                    self._drop()
                    self._connect()
                self._note(self._client.sync(self._client.nthreads, callback_timeout=ANSWER_S))
            except Exception as error:  # distributed raises its own, asyncio's and tornado's
                with self._changed:
                    self._away(error)
                    hopeless = self._problem() is not None
                if hopeless:  # jobs that it has are given up
                    self._drop()
            self._look.wait(LOOK_S)

    def _note(self, workers: dict[str, int]) -> None:
        with self._changed:
            if self._client.status != "running":
                raise ConnectionError("the connection was lost")
            if self._away_since is not None:
                log.info("the Dask scheduler at %s is there, with %d workers", self.address, len(workers))
            self._away_since = None
            if workers:
                self._barren_since = None
            elif self._barren_since is None:
                log.warning("the Dask cluster at %s has no workers", self.address)
                self._barren_since = time.monotonic()
            self._changed.notify_all()

    def _away(self, error: Exception) -> None:
        self._why = _words(error)
        if self._away_since is None:
            log.warning("the Dask scheduler at %s is away: %s", self.address, self._why)
            self._away_since = time.monotonic()
        self._changed.notify_all()

    def _connect(self) -> None:
        client = self._new_client()
        with self._changed:
            self._client, self._executor = client, client.get_executor(pure=False)

    def _new_client(self) -> Any:
        import dask
        from distributed import Client

        dask.config.set({"distributed.admin.large-graph-warning-threshold": LARGE_JOB})
        return cast(Any, Client)(self.address, timeout=CONNECT_S, set_as_default=False, name="mlcommons-tasks")

    def _told(self, event: tuple[float, Any]) -> None:
        _, told = event
        self._hear(tuple(told))

    def _drop(self) -> None:
        with self._changed:
            client, self._client, self._executor = self._client, None, None
        if client is not None:
            with contextlib.suppress(Exception):  # it is not there: nothing is lost with it
                client.close(timeout=CLOSE_S)

    @staticmethod
    def _misfit(client: Any) -> str | None:
        found = client.sync(client.get_versions, packages=[PACKAGE], callback_timeout=ANSWER_S)
        places = {"the Dask scheduler": found["scheduler"]}
        places |= {f"the Dask worker {address}": said for address, said in found["workers"].items()}
        for place, said in places.items():
            version = said["packages"].get(PACKAGE)
            if version != __version__:
                has = f"mlcommons-tasks {version}" if version else "no mlcommons-tasks"
                return f"{place} has {has}, and this is {__version__}"
        return None


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
