"""The links to OpenSearch that are open, each address in its turn. One that cannot be opened is tried again later."""

from __future__ import annotations

import itertools
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from mlcommons_tasks.lane.link import Link
from mlcommons_tasks.store.endpoint import Endpoint
from mlcommons_tasks.store.http1 import CONNECT_S, Address

PAUSE_S = 1.0  #: after an address could not be reached


class Loop(Protocol):
    """What the loop that watches connections does for others."""

    now: float  #: monotonic seconds when its turn began

    def watch(self, connection: socket.socket, then: Callable[[socket.socket], None], *, write: bool = False) -> None:
        """Call `then` in each turn in which there is something to read, or with `write` room to send instead."""

    def unwatch(self, connection: socket.socket) -> None:
        """Call nobody for a connection any more."""

    def aside(self, work: Callable[[], object], then: Callable[[object], None]) -> None:
        """Do `work` in a thread, and call `then` in the loop with what it returned, None if it failed."""


@dataclass(frozen=True)
class Place:
    """One address of OpenSearch: where it is, and what stands before every path there."""

    address: Address
    prefix: str


def places_of(endpoint: Endpoint) -> list[Place]:
    """Return the addresses that links can be opened to: those of plain http, which is all of them or none."""
    if not endpoint.urls[0].startswith("http:"):
        return []
    parts = [urlsplit(url) for url in endpoint.urls]
    return [Place(Address(part.hostname or "", part.port or 80, None), part.path) for part in parts]


class Links:
    """At most so many links, opened when they are missed."""

    def __init__(
        self,
        loop: Loop,
        places: list[Place],
        headers: dict[str, str],
        most: int,
        heard: Callable[[Link], None],
    ) -> None:
        """Open none yet; `heard` is called with a link that has something to say."""
        self._loop = loop
        self._heard = heard
        self._turn = itertools.cycle(places)
        self._headers = headers
        self._most = most
        self._all: set[Link] = set()
        self._opening = 0
        self.paused_until = 0.0
        self._idle: deque[tuple[Link, str]] = deque()
        self._closed = False

    def take(self) -> tuple[Link, str] | None:
        """Return a link that is idle, with what stands before each path; None if there is none, now."""
        if self._loop.now < self.paused_until:
            return None
        if self._idle:
            return self._idle.popleft()
        self.open_another()
        return None

    def give_back(self, link: Link, prefix: str) -> None:
        """Keep a link for the next request."""
        self._idle.append((link, prefix))

    def lose(self, link: Link) -> None:
        """Close a link for good; one of others is left alone."""
        if link not in self._all:
            return
        self._all.remove(link)
        self._idle = deque(each for each in self._idle if each[0] is not link)
        self._loop.unwatch(link.socket)
        link.close()

    def pause(self, seconds: float) -> None:
        """Let nobody take a link for a while."""
        self.paused_until = self._loop.now + seconds

    def close(self) -> None:
        """Close all of them, and open no more."""
        self._closed = True
        for link in list(self._all):
            self.lose(link)

    def open_another(self) -> None:
        """Begin to open a link, if there may be one more."""
        if self._closed or len(self._all) + self._opening >= self._most or self._loop.now < self.paused_until:
            return
        self._opening += 1
        place = next(self._turn)
        self._loop.aside(lambda: _connected(place), lambda found: self._opened(place, found))

    def _opened(self, place: Place, found: object) -> None:
        self._opening -= 1
        if not isinstance(found, socket.socket):
            self.pause(PAUSE_S)
            return
        if self._closed:
            found.close()
            return
        link = Link(found, place.address.authority, self._headers)
        self._all.add(link)
        self._loop.watch(link.socket, lambda _: self._heard(link))
        self.give_back(link, place.prefix)


def _connected(place: Place) -> socket.socket:
    connection = socket.create_connection((place.address.host, place.address.port), CONNECT_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return connection
