"""The addresses of one OpenSearch: kept connections, whose turn it is, and which are left alone for a while."""

from __future__ import annotations

import itertools
import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from mlcommons_tasks.store.endpoint import Endpoint
from mlcommons_tasks.store.http1 import Address, Connection

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
#: A connection that was idle for longer carries no write: who closes idle ones may be about to.
WRITES_WITHIN_S = 4.0

log = logging.getLogger(__name__)


class Host:
    """One address, its idle connections, and whether it is worth a try."""

    def __init__(self, url: str, address: Address, most_idle: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.url = url
        self.address = address
        self._idle: deque[Connection] = deque()
        weakref.finalize(self, _close_all, self._idle)
        self._most_idle = most_idle
        self._clock = clock
        self._lock = threading.Lock()
        self._pause = 0.0
        self._away_until = 0.0

    @property
    def is_away(self) -> bool:
        """Whether it could not be reached, and the pause after that is not over."""
        return self._clock() < self._away_until

    @property
    def away_until(self) -> float:
        """When the pause is over."""
        return self._away_until

    def try_again(self) -> bool:
        """Say whether the caller may try it: once a pause is over one may, the others wait for what becomes of it."""
        with self._lock:
            now = self._clock()
            if now < self._away_until:
                return False
            self._away_until = now + self._pause
            return True

    def reached(self) -> None:
        """Note that it is there."""
        if self._pause:
            with self._lock:
                self._pause = self._away_until = 0.0
            log.warning("OpenSearch at %s is back", self.url)

    def missed(self, error: OSError, *, alone: bool) -> None:
        """Note that it could not be reached."""
        self.forget()
        if alone:
            return
        with self._lock:
            first = not self._pause
            self._pause = min(self._pause * 2, LONGEST_PAUSE_S) or FIRST_PAUSE_S
            self._away_until = self._clock() + self._pause
        if first:
            log.warning("OpenSearch at %s is left alone for a while: %s", self.url, error)

    def kept(self, *, write: bool) -> Connection | None:
        """Return an idle connection that the other side has kept, None if there is none."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            fresh = not write or time.monotonic() - connection.idle_since < WRITES_WITHIN_S
            if fresh and connection.is_usable():
                return connection
            connection.close()

    def connect(self) -> Connection:
        """Return a new connection.

        Raises:
            OSError: nobody is there, or none who can be trusted.
        """
        connection = Connection(self.address)
        self.reached()
        return connection

    def keep(self, connection: Connection) -> None:
        """Keep a connection for the next request."""
        if len(self._idle) < self._most_idle:
            self._idle.append(connection)
        else:
            connection.close()

    def forget(self) -> None:
        """Close the connections that nobody uses."""
        _close_all(self._idle)


def _close_all(connections: deque[Connection]) -> None:
    while connections:
        try:
            connections.pop().close()
        except IndexError:
            return


class Hosts:
    """All addresses, each in its turn."""

    def __init__(self, endpoint: Endpoint, connections: int) -> None:
        tls = endpoint.ssl_context()
        self._hosts = []
        for url in endpoint.urls:
            parts = urlsplit(url)
            port = parts.port or (443 if tls else 80)
            self._hosts.append(Host(url, Address(parts.hostname or "", port, tls), connections))
        self._turn = itertools.count()

    @property
    def is_one(self) -> bool:
        """Whether there is no other to turn to."""
        return len(self._hosts) == 1

    def in_turn(self) -> Iterator[Host]:
        """Yield those that are worth a try, each once; when none is, all, the one that has waited longest first."""
        if self.is_one:
            yield self._hosts[0]
            return
        at = next(self._turn) % len(self._hosts)
        tried = []
        for host in self._hosts[at:] + self._hosts[:at]:
            if host.try_again():
                tried.append(host)
                yield host
        for host in sorted(self._hosts, key=lambda host: host.away_until):
            if host not in tried:
                yield host

    def close(self) -> None:
        """Close the connections that nobody uses."""
        for host in self._hosts:
            host.forget()
