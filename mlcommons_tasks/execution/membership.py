"""Which processes share this cluster: so that one that is alone need not ask OpenSearch what the others run.

A process writes down its name before its first training. Where others are, it then waits `KNOWN_S`, in which each of
them looks at the names anew or stops relying on what it saw: a training that was answered is never overlooked.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time

from mlcommons_tasks.clock import Clock
from mlcommons_tasks.errors import TaskPluginError
from mlcommons_tasks.execution.lease import ANSWER_S, LEASE_S
from mlcommons_tasks.store.cluster_tasks import ClusterTaskStore, owner_document
from mlcommons_tasks.store.connection import until_it_counts
from mlcommons_tasks.store.documents import CREATE_DEADLINE_S, WRITE_DEADLINE_S

log = logging.getLogger(__name__)

KNOWN_S = 1.0  #: how long a look at the names is good for
LOOK_S = 0.4  #: how often they are looked at while somebody asks
ASKED_S = 10.0  #: how long after the last question
FORGOTTEN_MS = 24 * 3_600_000  #: names of processes that did nothing for so long are deleted
RENEW_MS = FORGOTTEN_MS // 2


class Membership:
    """The name of this process among those of the others."""

    def __init__(self, owner: str, store: ClusterTaskStore, clock: Clock, lease_s: float = LEASE_S) -> None:
        self._owner = owner
        self._store = store
        self._clock = clock
        self._lease_in_millis = int(lease_s * 1000)
        self._joining = threading.Lock()
        self._starting = threading.Lock()
        self._closing = threading.Event()
        self._joined_at: int | None = None  #: by the clock, in milliseconds
        #: By `time.monotonic()`: since when the name is there, and from when on the others know of it.
        self._named_from = float("inf")
        self._known_from = float("inf")
        self._alone_until = 0.0
        self._asked_at = 0.0
        self._looking = False

    def join(self) -> None:
        """Write the name down; may be called again.

        Raises:
            StoreUnavailable, UpstreamError: OpenSearch did not take it.
        """
        with self._joining:
            now = self._clock.now_in_millis()
            if self._joined_at is not None and abs(now - self._joined_at) < RENEW_MS:  # it may have been set back
                return
            # just after a move everybody seems to have done nothing since
            has_moved = time.monotonic() - self._clock.moved_at < ANSWER_S
            forgotten = set() if has_moved else self._store.owners(before=now - FORGOTTEN_MS)
            self._store.write({self._owner: owner_document(self._owner, now + self._lease_in_millis)}, {}, forgotten)
            self._named_from = time.monotonic()
            others = self._look()
            self._known_from = time.monotonic() + (KNOWN_S if others else 0.0)
            self._joined_at = now

    def join_in_background(self) -> None:
        """Write the name down as soon as OpenSearch takes it, and return at once."""

        def join() -> None:
            try:
                until_it_counts(self.join, deadline_s=WRITE_DEADLINE_S, closing=self._closing)
            except TaskPluginError as error:
                log.warning("this process could not tell the others of itself yet: %s", error)

        threading.Thread(target=join, name="join", daemon=True).start()

    def await_known(self) -> None:
        """Return once the others know of this process.

        Raises:
            StoreUnavailable, UpstreamError: OpenSearch did not take its name.
        """
        until_it_counts(self.join, deadline_s=CREATE_DEADLINE_S, closing=self._closing)
        if (rest := self._known_from - time.monotonic()) > 0:
            self._closing.wait(rest)

    def is_alone(self) -> bool:
        """Say whether no other process can have a training that was answered; not knowing is False."""
        now = time.monotonic()
        self._asked_at = now
        alone = now < self._alone_until
        if alone and not self._looking:
            with self._starting:
                if not self._looking:
                    self._looking = True
                    threading.Thread(target=self._keep_looking, name="look", daemon=True).start()
        return alone

    def saw(self, owners: set[str], asked_at: float) -> None:
        """Take note of the names that OpenSearch gave when it was asked at a `time.monotonic()`."""
        alone = not owners - {self._owner} and asked_at >= self._named_from  # or who came with us may not know of us
        self._alone_until = asked_at + KNOWN_S if alone else 0.0

    def close(self) -> None:
        """Stop looking, and take the name away: nothing runs here any more."""
        self._closing.set()
        if self._joined_at is not None:
            with contextlib.suppress(TaskPluginError):
                self._store.write({}, {}, [self._owner])

    def _look(self) -> set[str]:
        asked_at = time.monotonic()
        owners = self._store.owners()
        self.saw(owners, asked_at)
        return owners - {self._owner}

    def _keep_looking(self) -> None:
        """Look at the names for as long as somebody asks and nobody else is there."""
        while not self._closing.wait(LOOK_S) and time.monotonic() - self._asked_at < ASKED_S:
            try:
                if self._look():
                    break
            except TaskPluginError as error:
                log.info("who else is there could not be read: %s", error)
                break
        self._looking = False
