"""A load generator: raw sockets, requests made beforehand, one at a time on each connection, a single thread.

It costs some 15 µs a request, a few hundredths of a core at the rates that are measured here; `Load.busy` tells.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Load:
    """What came of it: seconds in all, those of each request, and how much of a core the generator took."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    busy: float = 0.0

    @property
    def rate(self) -> float:
        """Requests in a second."""
        return len(self.latencies) / self.seconds

    def percentile_ms(self, percent: int) -> float:
        """How long so many of a hundred requests took at most."""
        found = sorted(self.latencies)
        return found[min(len(found) - 1, len(found) * percent // 100)] * 1000


class _Caller:
    def __init__(self, netloc: tuple[str, int], sent: bytes) -> None:
        self._sent = sent
        self.socket = socket.create_connection(netloc)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.began = 0.0
        self._wanted = 0
        self._pieces: list[bytes] = []
        self._length = 0

    def ask(self) -> None:
        self.began = time.perf_counter()
        self._wanted, self._length, self._pieces = 0, 0, []
        self.socket.sendall(self._sent)

    def is_answered(self) -> bool:
        """Read what is there; say whether it is a whole answer that is no error."""
        data = self.socket.recv(1024 * 1024)
        if not data:
            raise SystemExit("bench: a connection was closed")
        self._pieces.append(data)
        self._length += len(data)
        if not self._wanted:
            head, separator, body = b"".join(self._pieces).partition(b"\r\n\r\n")
            if not separator:
                return False
            if head[9:10] != b"2" or b'"errors":true' in body[:100]:
                raise SystemExit(f"bench: {head!r} {body[:500]!r}")
            lowered = head.lower()
            at = lowered.index(b"content-length:") + 15
            self._wanted = len(head) + 4 + int(lowered[at:].partition(b"\r\n")[0])
        return self._length >= self._wanted


def request(method: str, path: str, body: bytes = b"", kind: str = "application/json") -> bytes:
    """Return a request as it is sent."""
    head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\n"
    if body:
        head += f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n".encode() + body


def hammer(url: str, sent: bytes | Sequence[bytes], *, connections: int, requests: int) -> Load:
    """Send so many requests, by so many connections at once: all the same one, or each its own of several."""
    parts = urlsplit(url)
    several = [sent] if isinstance(sent, bytes) else sent
    netloc = (parts.hostname or "", parts.port or 80)
    callers = [_Caller(netloc, several[number % len(several)]) for number in range(connections)]
    load = Load()
    selector = selectors.DefaultSelector()
    for caller in callers:
        selector.register(caller.socket, selectors.EVENT_READ, caller)
    cpu, began = time.process_time(), time.perf_counter()
    for caller in callers:
        caller.ask()
    started, open_ones = len(callers), len(callers)
    while open_ones:
        for key, _ in selector.select():
            caller = key.data
            if not caller.is_answered():
                continue
            load.latencies.append(time.perf_counter() - caller.began)
            if started < requests:
                started += 1
                caller.ask()
            else:
                open_ones -= 1
                selector.unregister(caller.socket)
    load.seconds = time.perf_counter() - began
    load.busy = (time.process_time() - cpu) / load.seconds
    for caller in callers:
        caller.socket.close()
    selector.close()
    return load
