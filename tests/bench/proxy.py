"""What passing through costs: bulk indexing, searches, latency, and memory while a gigabyte goes through."""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import threading
import time
from urllib.parse import urlsplit

import psutil

from tests.bench import loads
from tests.bench.hammer import Load, hammer, request
from tests.bench.report import Row, Section, spread
from tests.bench.servers import MIB, OURS, Side, running
from tests.upstreams import chunks

ROUNDS = 10
DOCUMENTS = 1000  #: of a bulk request
BULKS = 120  #: in a round
BULK_CONNECTIONS = 2
SEARCHES = 6000
SEARCH_CONNECTIONS = 16
SINGLE = 1500
BULK_LIMIT = 0.85
SEARCH_LIMIT = 0.25
UP = [100 * MIB] * 5
DOWN, DOWNS = 16 * MIB, 32
MEMORY_LIMIT_MIB = 32.0


def measure(_: argparse.Namespace) -> Section:
    """Ask OpenSearch through the service and directly, in turn."""
    section = Section(
        "Passing through",
        f"One service over its embedded node, asked through the service and directly in turn, {ROUNDS} rounds after one"
        " that is not counted; who is first changes each round, and a ratio is the median of the ratios of the rounds."
        f" A bulk request has {DOCUMENTS} documents ({len(_bulk()) / 1024:.0f} KiB); a round has {BULKS} of them on"
        f" {BULK_CONNECTIONS} connections, into an index of its own. The load comes from a Python process with raw"
        " sockets (tests/bench/hammer.py) on the same two cores as service and node.",
        "directly",
    )
    with running(OURS) as side:
        section.versions["ours"] = side.line["opensearch"]["version"]
        loads.first_completed_s(side)
        busy: list[float] = []
        section.rows += [_bulks(side, busy), *_searches(side, busy), _memory(side)]
        section.notes.append(f"The load generator took {max(busy):.2f} of a core at most.")
    for row in section.rows:
        print(f"{row.what}: {row.ours}; {row.other}; {row.wanted}", flush=True)
    return section


def _bulk() -> bytes:
    lines = []
    for number in range(DOCUMENTS):
        words = " ".join(f"word{(number * 7919 + at * 104729) % 5000}" for at in range(12))
        lines += ['{"index":{}}', json.dumps({"number": number, "name": f"user {number}", "text": words})]
    return ("\n".join(lines) + "\n").encode()


def _in_turn(side: Side, ask: object, busy: list[float]) -> tuple[list[Load], list[Load]]:
    through: list[Load] = []
    direct: list[Load] = []
    sides = [(side.url, through), (side.line["opensearch"]["url"], direct)]
    for number in range(ROUNDS + 1):
        for url, found in sides if number % 2 else reversed(sides):
            found.append(ask(url))  # type: ignore[operator]
            busy.append(found[-1].busy)
    return through[1:], direct[1:]


def _ratio(through: list[Load], direct: list[Load]) -> float:
    return statistics.median(a.rate / b.rate for a, b in zip(through, direct, strict=True))


def _bulks(side: Side, busy: list[float]) -> Row:
    sent = request("POST", "/bench-bulk/_bulk", _bulk(), "application/x-ndjson")
    once = {"settings": {"number_of_replicas": 0, "refresh_interval": "-1"}}

    def ask(url: str) -> Load:
        side.request("PUT", "/bench-bulk", once)
        load = hammer(url, sent, connections=BULK_CONNECTIONS, requests=BULKS)
        side.request("DELETE", "/bench-bulk")
        return load

    through, direct = _in_turn(side, ask, busy)
    ratio = _ratio(through, direct)
    return Row(
        "bulk indexing, documents a second",
        spread([load.rate * DOCUMENTS for load in through]),
        spread([load.rate * DOCUMENTS for load in direct]),
        f"ratio {ratio:.2f}, at least {BULK_LIMIT:g}",
        ratio >= BULK_LIMIT,
    )


def _searches(side: Side, busy: list[float]) -> list[Row]:
    side.request("POST", "/bench-search/_bulk?refresh=true", _bulk())
    sent = request("POST", "/bench-search/_search", b'{"size":10,"query":{"match":{"text":"word1 word2 word3"}}}')
    through, direct = _in_turn(
        side, lambda url: hammer(url, sent, connections=SEARCH_CONNECTIONS, requests=SEARCHES), busy
    )
    ratio = _ratio(through, direct)
    rows = [
        Row(
            f"searches of 10 hits on {SEARCH_CONNECTIONS} connections, a second",
            spread([load.rate for load in through]),
            spread([load.rate for load in direct]),
            f"ratio {ratio:.2f}, at least {SEARCH_LIMIT:g}",
            ratio >= SEARCH_LIMIT,
        )
    ]
    through, direct = _in_turn(side, lambda url: hammer(url, sent, connections=1, requests=SINGLE), busy)
    for percent in (50, 99):
        pairs = [(a.percentile_ms(percent), b.percentile_ms(percent)) for a, b in zip(through, direct, strict=True)]
        added = statistics.median(a - b for a, b in pairs)
        rows.append(
            Row(
                f"the same search on one connection, p{percent}, ms",
                spread([a for a, _ in pairs]),
                spread([b for _, b in pairs]),
                f"{added:.2f} ms added",
                True,
            )
        )
    return rows


class _Memory:
    """The memory of the service's processes, without the node's, sampled while something goes on."""

    def __init__(self, side: Side) -> None:
        root = psutil.Process(side.process.pid)
        self._processes = [each for each in (root, *root.children(recursive=True)) if "java" not in each.name()]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.before = self.peak = self.now()

    def __enter__(self) -> _Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.after = self.now()

    def now(self) -> float:
        """Return the resident memory of all of them, in MiB."""
        return sum(process.memory_info().rss for process in self._processes) / MIB

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            self.peak = max(self.peak, self.now())


def _memory(side: Side) -> Row:
    """Send half a gigabyte up in bodies of 100 MB, which OpenSearch reads and refuses, and get half a one down."""
    side.request("PUT", "/bench-down/_doc/1?refresh=true", {"text": "x" * DOWN})
    netloc = urlsplit(side.url).netloc
    _up(netloc, MIB)
    _down(netloc)
    with _Memory(side) as memory:
        began = time.monotonic()
        for length in UP:
            _up(netloc, length)
        downs = [threading.Thread(target=_down, args=(netloc, DOWNS // 4)) for _ in range(4)]
        for thread in downs:
            thread.start()
        for thread in downs:
            thread.join()
        seconds = time.monotonic() - began
    total = (sum(UP) + DOWN * DOWNS) / MIB / 1024
    grown = memory.peak - memory.before
    return Row(
        f"memory (RSS) of the service while {total:.1f} GiB pass in {seconds:.0f} s, MiB: before, peak, after",
        f"{memory.before:.0f}, {memory.peak:.0f}, {memory.after:.0f}",
        "",
        f"{grown:.0f} MiB more, under {MEMORY_LIMIT_MIB:g}",
        grown < MEMORY_LIMIT_MIB,
    )


def _up(netloc: str, length: int) -> None:
    connection = http.client.HTTPConnection(netloc, timeout=120)
    headers = {"Content-Type": "application/json", "Content-Length": str(length)}
    connection.request("POST", "/bench-up/_doc/1", chunks(length), headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    if answer.status not in (400, 429):  # white space is no document, and may be too much for a small heap
        raise SystemExit(f"bench: {answer.status} for a body of {length} bytes")


def _down(netloc: str, times: int = 1) -> None:
    connection = http.client.HTTPConnection(netloc, timeout=120)
    for _ in range(times):
        connection.request("GET", "/bench-down/_doc/1")
        answer = connection.getresponse()
        read = 0
        while piece := answer.read(MIB):
            read += len(piece)
        if read < DOWN:
            raise SystemExit(f"bench: only {read} of {DOWN} bytes came down")
    connection.close()
