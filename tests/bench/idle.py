"""Connections that say nothing, senders that say it slowly, trainings in line: what pollers notice of them."""

from __future__ import annotations

import argparse
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from tests.bench import loads
from tests.bench.hammer import Load, hammer, request
from tests.bench.report import Row, Section
from tests.bench.servers import OURS, Side, running
from tests.clients import long_body

IDLE = 2000
SLOW = 64
BYTE_EACH_S = 0.05
POLLERS = 16
POLLS = 20_000
TRAININGS = 20
WAITING = 1000
LIMIT_MS = 50.0
#: How slow senders begin: a head without an end, a body that is waited for, and one that is read as it comes.
BEGINNINGS = [
    b"GET /_plugins/_ml/tasks/x HTTP/1.1\r\nHost: bench\r\nX-Slow: ",
    b"POST /_plugins/_ml/_train/kmeans HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    b"Content-Length: 100000\r\n\r\n",
    b"PUT /bench-slow/_doc/1 HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\nffff\r\n",
]


def measure(_: argparse.Namespace) -> Section:
    """Poll and train alone, and then among idle connections and slow senders."""
    section = Section(
        "Polls in a crowd",
        f"One service over its embedded node: {POLLS} polls of a task on {POLLERS} connections and {TRAININGS}"
        f" trainings of 1000 rows after them, alone, and then while {IDLE} connections are open that say"
        f" nothing and {SLOW} send a byte of a head or a body each {BYTE_EACH_S * 1000:g} ms. Then"
        f" {WAITING} trainings that do not end are started by {loads.BURST_CLIENTS} clients, and polled while they"
        " wait.",
        "alone",
    )
    with running(OURS) as side:
        section.versions["ours"] = side.line["opensearch"]["version"]
        loads.first_completed_s(side)
        _asked(side)  # once, uncounted
        alone, alone_s = _asked(side)
        with _Crowd(side):
            among, among_s = _asked(side)
        waiting, left = _while_trainings_wait(side)
    for percent in (50, 99):
        mine = among.percentile_ms(percent)
        wanted, holds = (f"under {LIMIT_MS:g} ms", mine < LIMIT_MS) if percent == 99 else ("", True)
        what = f"poll on {POLLERS} connections, p{percent}, ms"
        section.rows.append(Row(what, f"{mine:.2f}", f"{alone.percentile_ms(percent):.2f}", wanted, holds))
    what = f"{TRAININGS} trainings, one after the other, each in the reply, s"
    section.rows.append(Row(what, f"{among_s:.2f}", f"{alone_s:.2f}", "all end", True))
    mine = waiting.percentile_ms(99)
    what = f"poll on {POLLERS} connections while {left} to {WAITING} trainings wait, p99, ms"
    section.rows.append(
        Row(what, f"{mine:.2f}", f"{alone.percentile_ms(99):.2f}", f"under {LIMIT_MS:g} ms", mine < LIMIT_MS)
    )
    for row in section.rows:
        print(f"{row.what}: {row.ours}; {row.other}; {row.wanted}", flush=True)
    return section


def _asked(side: Side) -> tuple[Load, float]:
    task_id = loads.start_training(side, loads.kmeans_body(100))
    load = hammer(side.url, request("GET", f"/_plugins/_ml/tasks/{task_id}"), connections=POLLERS, requests=POLLS)
    body = request("POST", "/_plugins/_ml/_train/kmeans", _training())
    return load, hammer(side.url, body, connections=1, requests=TRAININGS).seconds


def _while_trainings_wait(side: Side) -> tuple[Load, int]:
    """Return what polls are like once all trainings are accepted, and how many of them are not at work by then."""
    body = long_body(100_000_000)
    with ThreadPoolExecutor(loads.BURST_CLIENTS) as clients:
        task_ids = list(clients.map(lambda _: loads.start_training(side, body), range(WAITING)))
    sent = request("GET", f"/_plugins/_ml/tasks/{task_ids[-1]}")
    load = hammer(side.url, sent, connections=POLLERS, requests=POLLS // 2)
    query = {"size": 0, "query": {"term": {"state": "CREATED"}}, "track_total_hits": True}
    found = side.request("POST", "/_plugins/_ml/tasks/_search", query)
    return load, int(found["hits"]["total"]["value"])


def _training() -> bytes:
    return json.dumps(loads.kmeans_body(1000)).encode()


class _Crowd:
    """Open connections for the length of a block, some of which send a byte now and then."""

    def __init__(self, side: Side) -> None:
        self._netloc = (urlsplit(side.url).hostname or "", urlsplit(side.url).port or 80)
        self._open: list[socket.socket] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._dribble)

    def __enter__(self) -> _Crowd:
        for _ in range(IDLE + SLOW):
            self._open.append(socket.create_connection(self._netloc))
        for number, connection in enumerate(self._open[:SLOW]):
            connection.sendall(BEGINNINGS[number % len(BEGINNINGS)])
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        for connection in self._open:
            connection.close()

    def _dribble(self) -> None:
        while not self._over.wait(BYTE_EACH_S):
            for connection in self._open[:SLOW]:
                connection.sendall(b"a")
