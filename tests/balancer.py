"""A plain load balancer: each new connection goes to the next service that lets itself be reached."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.fault_proxy import event_loop

PIECE = 64 * 1024


@dataclass
class Balancer:
    """One that runs; it knows nothing of what passes."""

    targets: list[str]
    url: str = ""
    passed: Counter[str] = field(default_factory=Counter)  #: connections, by target
    _flows: set[asyncio.Future[None]] = field(default_factory=set)
    _turn: itertools.count[int] = field(default_factory=itertools.count)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Join a connection to one to a service."""
        at = next(self._turn)
        for number in range(len(self.targets)):
            target = self.targets[(at + number) % len(self.targets)]
            parts = urlsplit(target)
            try:
                upstream = await asyncio.open_connection(parts.hostname, parts.port)
            except OSError:
                continue
            self.passed[target] += 1
            flows = {
                asyncio.ensure_future(_flow(reader, upstream[1])),
                asyncio.ensure_future(_flow(upstream[0], writer)),
            }
            self._flows |= flows  # the loop itself lets go of who waits
            try:
                await asyncio.wait(flows, return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                pass  # all is over, and the streams of Python 3.11 would call it an error
            finally:
                self._flows -= flows
                for flow in flows:
                    flow.cancel()
                upstream[1].close()
                writer.close()
            return
        writer.transport.abort()


async def _flow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(PIECE):
            writer.write(piece)
            await writer.drain()
    except OSError:
        writer.transport.abort()  # who asks comes to know that the service died


@contextlib.contextmanager
def balancer(targets: Sequence[str]) -> Iterator[Balancer]:
    """Run a balancer over the services at these URLs for the length of a block."""
    made = Balancer(list(targets))
    with event_loop() as loop:
        starting = asyncio.start_server(made.serve, "127.0.0.1", 0, backlog=1000)
        server = asyncio.run_coroutine_threadsafe(starting, loop).result(10)
        made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield made
        finally:
            loop.call_soon_threadsafe(server.close)
