"""A proxy between a service and OpenSearch that can be told to misbehave while it runs.

It knows HTTP/1.1 as far as it must, to tell where a message ends: a fault strikes whole requests, and `Exchange`s are
shown to who wants to know what was written. Toxiproxy, the known tool for this, is a program in Go that knows TCP only:
it has neither answers of 429 nor single requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

REASONS = {
    429: ("opensearch_rejected_execution_exception", "rejected execution: the proxy says so"),
    503: ("cluster_manager_not_discovered_exception", "the proxy says so"),
}
PHRASES = {429: "Too Many Requests", 503: "Service Unavailable"}
TURNS = 5  #: of a loop, in which connections that were closed go
_HEAD_LIMIT = 1024 * 1024
_LENGTH = re.compile(rb"^content-length:[ \t]*(\d+)", re.IGNORECASE | re.MULTILINE)
_CHUNKED = re.compile(rb"^transfer-encoding:[^\n]*chunked", re.IGNORECASE | re.MULTILINE)
_CLOSE = re.compile(rb"^connection:[ \t]*close", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Fault:
    """What happens to a request. Without any of it, it passes."""

    refuse: bool = False  #: nobody listens, and connections that are open are reset
    partition: bool = False  #: nothing passes in either direction, and nobody is told
    status: int | None = None  #: answered with this, and not passed on
    items: bool = False  #: a `status` is given to single items of `_bulk` requests, which are passed on without them
    late_s: float = 0.0  #: the request is passed on so much later, whatever becomes of its caller
    delay_s: float = 0.0  #: the answer comes so much later
    cut_after: int | None = None  #: the connection is reset after so many bytes of the answer
    share: float = 1.0  #: of the requests
    only: str = ""  #: a regular expression for "METHOD target"
    saying: bytes = b""  #: what the body must have in it


@dataclass(frozen=True)
class Exchange:
    """A request and what OpenSearch said to it, whether or not the caller got that; `status` 0 is no answer."""

    method: str
    target: str
    body: bytes
    status: int
    answer: bytes


@dataclass
class FaultProxy:
    """One that runs. What is asked of it may be asked from any thread."""

    url: str
    loop: asyncio.AbstractEventLoop
    to: tuple[str, int]
    watchers: list[Callable[[Exchange], None]] = field(default_factory=list)
    requests: int = 0  #: that came
    struck: int = 0  #: of them, that the faults hit since the last one was set
    _fault: Fault = field(default_factory=Fault)
    _healed: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _serving: set[asyncio.Task[Any] | None] = field(default_factory=set)
    _dice: random.Random = field(default_factory=lambda: random.Random(7))

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0

    def set(self, fault: Fault) -> None:
        """Misbehave like that from now on."""
        self._do(self._set(fault))

    def heal(self) -> None:
        """Let all pass again."""
        self.set(Fault())

    @contextlib.contextmanager
    def broken(self, **fault: Any) -> Iterator[None]:
        """Misbehave for the length of a block; fail if nothing was hit."""
        self.set(Fault(**fault))
        try:
            yield
        finally:
            struck = self.struck
            self.heal()
        assert struck, f"{fault} hit no request"

    def reset_all(self) -> None:
        """End all connections as a process that dies does."""
        self._do(self._reset_all())

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    async def _set(self, fault: Fault) -> None:
        was, self._fault, self.struck = self._fault, fault, 0
        self._healed.set()  # who waits looks again
        self._healed = asyncio.Event()
        if fault.refuse and self._server is not None:
            server, self._server = self._server, None
            server.close()
            await self._reset_all()
            self.struck = 1
        if not fault.refuse and self._server is None:
            await self._listen(self.port)
        if was.partition and not fault.partition:
            await self._reset_all()  # what was sent meanwhile is lost, and both sides come to know it

    async def _listen(self, port: int) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, backlog=1000, limit=_HEAD_LIMIT)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _reset_all(self) -> None:
        for writer in list(self._writers):
            _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        line = _Line(reader, writer, self.to)
        task = asyncio.current_task()
        self._serving.add(task)  # the loop itself lets go of who waits while the caller is gone
        try:
            while await self._one(line):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            _reset(writer)
        except asyncio.CancelledError:
            pass  # all is over, and the streams of Python 3.11 would call it an error
        finally:
            self._writers.discard(writer)
            self._serving.discard(task)
            line.close()

    async def _one(self, line: _Line) -> bool:
        """Pass a request on and its answer back; say whether the connection stays."""
        head = await line.reader.readuntil(b"\r\n\r\n")
        body, raw = await _read_body(line.reader, head)
        method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        self.requests += 1
        fault = self._hits(method, target, body)
        if fault.late_s:
            await asyncio.sleep(fault.late_s)
        await self._while_partitioned()
        if fault.status is not None and not fault.items:
            return await line.answer(_refusal(fault.status))
        kept, refused = self._without_some(body, fault) if fault.items else (body, {})
        if refused:
            raw, head = kept, _LENGTH.sub(b"content-length: %d" % len(kept), head)
        asked = await line.ask(head, raw, method) if kept or not refused else _NOTHING_LEFT
        for watcher in self.watchers:
            watcher(Exchange(method, target, kept, asked.status, asked.body))
        asked = asked.with_items(refused)
        if not asked.status:
            return line.reset()
        if fault.delay_s:
            await asyncio.sleep(fault.delay_s)
        await self._while_partitioned()
        if fault.cut_after is not None and len(asked.whole) > fault.cut_after:
            await line.answer(asked.whole[: fault.cut_after])
            return line.reset()
        await line.answer(asked.whole)
        return asked.stays and not _CLOSE.search(head)

    def _hits(self, method: str, target: str, body: bytes) -> Fault:
        fault = self._fault
        hit = (not fault.only or re.search(fault.only, f"{method} {target}")) and fault.saying in body
        if fault.items:
            hit = hit and target.partition("?")[0].endswith("/_bulk")
        if fault == Fault() or not hit or (not fault.items and self._dice.random() >= fault.share):
            return Fault()
        self.struck += 1
        return fault

    async def _while_partitioned(self) -> None:
        while self._fault.partition:
            await self._healed.wait()

    def _without_some(self, body: bytes, fault: Fault) -> tuple[bytes, dict[int, dict[str, Any]]]:
        """Return a bulk body without the items that are refused, and those by their place."""
        kept, refused, lines = [], {}, iter(body.splitlines())
        for place, line in enumerate(_actions(lines)):
            if self._dice.random() >= fault.share:
                kept.extend(line)
                continue
            kind, where = next(iter(json.loads(line[0]).items()))
            error = dict(zip(("type", "reason"), REASONS[fault.status or 429], strict=True))
            refused[place] = {kind: {**where, "status": fault.status, "error": error}}
        return b"".join(line + b"\n" for line in kept), refused


class _Line:
    """A caller's connection, and one to OpenSearch that is its alone."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, to: tuple[str, int]) -> None:
        self.reader = reader
        self._writer = writer
        self._to = to
        self._upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._asking = False

    async def ask(self, head: bytes, raw: bytes, method: str) -> _Asked:
        """Return what OpenSearch answers."""
        self._asking = True
        try:
            if self._upstream is None:
                self._upstream = await self._connect()
            reader, writer = self._upstream
            writer.write(head + raw)
            await writer.drain()
            start = await reader.readuntil(b"\r\n\r\n")
            status = int(start.split(b" ", 2)[1])
            bare = method == "HEAD" or status in (204, 304)
            body, sent = (b"", b"") if bare else await _read_body(reader, start)
        except (OSError, asyncio.IncompleteReadError):
            return _Asked(0)
        finally:
            self._asking = False
        return _Asked(status, start + sent, body, not _CLOSE.search(start))

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(_HEAD_LIMIT, loop)
        protocol = _Upstream(reader, self._hung_up)
        transport, _ = await loop.create_connection(lambda: protocol, *self._to)
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    def _hung_up(self) -> None:
        if not self._asking:
            self._writer.close()  # who keeps the connection comes to know it, as without a proxy

    async def answer(self, whole: bytes) -> bool:
        """Send it."""
        self._writer.write(whole)
        await self._writer.drain()
        return True

    def reset(self) -> bool:
        """End it as a process that dies does."""
        _reset(self._writer)
        return False

    def close(self) -> None:
        """End both."""
        self._writer.close()
        if self._upstream is not None:
            self._upstream[1].close()


class _Upstream(asyncio.StreamReaderProtocol):
    """Says that OpenSearch hung up, also while nobody reads."""

    def __init__(self, reader: asyncio.StreamReader, hung_up: Callable[[], None]) -> None:
        super().__init__(reader)
        self._hung_up = hung_up

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._hung_up()

    def eof_received(self) -> bool:
        super().eof_received()
        self._hung_up()
        return False


@dataclass(frozen=True)
class _Asked:
    """OpenSearch's answer; without one the status is 0."""

    status: int
    whole: bytes = b""
    body: bytes = b""
    stays: bool = False

    def with_items(self, refused: dict[int, dict[str, Any]]) -> _Asked:
        """Put the items that were refused back into the answer to a bulk request."""
        if not refused or self.status != 200:
            return self
        told = json.loads(self.body)
        for place, item in sorted(refused.items()):
            told["items"].insert(place, item)
        body = json.dumps({**told, "errors": True}).encode()
        return _Asked(200, _message(200, body), body, self.stays)


#: What OpenSearch would say to a bulk request of which every item was refused before it.
_NOTHING_LEFT = _Asked(200, body=b'{"took":0,"errors":false,"items":[]}', stays=True)


def _actions(lines: Iterator[bytes]) -> Iterator[Sequence[bytes]]:
    """Yield the lines of each action of a bulk body."""
    for line in lines:
        if line:
            yield (line,) if b'"delete"' in line.partition(b":")[0] else (line, next(lines))


def _refusal(status: int) -> bytes:
    kind, reason = REASONS[status]
    error = {"type": kind, "reason": reason}
    return _message(status, json.dumps({"error": {"root_cause": [error], **error}, "status": status}).encode())


def _message(status: int, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} {PHRASES.get(status, 'OK')}\r\ncontent-type: application/json; charset=UTF-8\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


async def _read_body(reader: asyncio.StreamReader, head: bytes) -> tuple[bytes, bytes]:
    """Return the body that follows a head, and as it stood on the wire."""
    if not _CHUNKED.search(head):
        length = _LENGTH.search(head)
        body = await reader.readexactly(int(length[1])) if length else b""
        return body, body
    parts, raw = [], []
    while True:
        line = await reader.readuntil(b"\r\n")
        piece = await reader.readexactly(int(line.split(b";")[0], 16) + 2)
        raw += [line, piece]
        if len(piece) == len(b"\r\n"):
            return b"".join(parts), b"".join(raw)
        parts.append(piece[:-2])


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection as a process that dies does."""
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextlib.contextmanager
def event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Run an event loop in a thread for the length of a block; what runs in it then is cancelled."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="event-loop")
    thread.start()

    async def cancel_all() -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(TURNS):
            await asyncio.sleep(0)

    try:
        yield loop
    finally:
        asyncio.run_coroutine_threadsafe(cancel_all(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextlib.contextmanager
def fault_proxy(to: str, *, watchers: Sequence[Callable[[Exchange], None]] = ()) -> Iterator[FaultProxy]:
    """Run a proxy to the OpenSearch at a URL for the length of a block."""
    parts = urlsplit(to)
    with event_loop() as loop:

        async def start() -> FaultProxy:
            made = FaultProxy("", loop, (parts.hostname or "", parts.port or 80), list(watchers))
            await made._listen(0)
            return made

        proxy = asyncio.run_coroutine_threadsafe(start(), loop).result(10)

        async def stop() -> None:
            if proxy._server is not None:
                proxy._server.close()
            await proxy._reset_all()

        try:
            yield proxy
        finally:
            asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
