"""Minutes of everything at once on one service: whether it takes more and more memory, handles or threads."""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import random
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.bench import processes
from tests.bench.report import Row, Section
from tests.bench.servers import OURS, Side, running
from tests.clients import IRIS, TRAIN, Answer, Client, long_body, query_body, rows_body

SOAK_S = 600.0
SAMPLES = 60
WARM_SHARE = 0.1  #: a minute of ten; what is compared is the fifth after it, and the last
PART_SHARE = 0.2
GROWTH = 0.05
GROWTH_MIB = 8.0
HANDLES = 5
LIMIT_MS = 50.0
END_S = 60.0
BEGIN = 40  #: trainings, so that every thread there may be is there
KEPT = 200  #: tasks that pollers know, the newest
#: How often each kind of caller comes, in seconds; the pollers come this often each.
POLLERS, POLL_S, SEARCH_S, TRAIN_S, DELETE_S, CANCEL_S, MALFORMED_S, DROP_S = 4, 0.01, 0.05, 0.4, 0.7, 2.0, 0.2, 0.1
JSON = {"Content-Type": "application/json"}
_QUERY = query_body("iris", ["petal_length", "petal_width"], 100)
#: Made beforehand: what callers compute, those who poll wait for.
BODIES = {
    kind: [json.dumps(body).encode() for body in bodies]
    for kind, bodies in {
        "inline": [rows_body(rows) for rows in (10, 100, 1000)],
        "query": [_QUERY],
        "long": [long_body(iterations) for iterations in (1_000, 10_000, 50_000)],
        "in the reply": [rows_body(200)],
    }.items()
}
MALFORMED = [
    b"POST /_plugins/_ml/_train/kmeans HTTP/1.1\r\nHost: soak\r\nContent-Type: application/json\r\n"
    b"Content-Length: 9\r\n\r\n{broken: ",
    b"POST /_plugins/_ml/_train/nothing?async=true HTTP/1.1\r\nHost: soak\r\nContent-Length: 0\r\n\r\n",
    b"GET /_plugins/_ml/tasks/not-there HTTP/1.1\r\nHost: soak\r\n\r\n",
    b"PATCH /_plugins/_ml/tasks/x HTTP/1.1\r\nHost: soak\r\n\r\n",
    b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00",
]
WANTED = [
    "task cancelled: ",
    "Task cannot be deleted in running state",
]  #: errors of the server's that a caller brought about
DROPPED = [
    b"",
    b"GET /_plugins/_ml/ta",
    b"POST /_plugins/_ml/_train/kmeans HTTP/1.1\r\nHost: soak\r\nContent-Length: 1000\r\n\r\n{",
    b"GET /_plugins/_ml/tasks/x HTTP/1.1\r\nHost: soak\r\n\r\n",
]


@dataclass
class _World:
    """What the callers share: which tasks there are, what they counted, and whether it is over."""

    side: Side
    dice: random.Random = field(default_factory=lambda: random.Random(7))
    known: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    polls_ms: list[float] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    _own: threading.local = field(default_factory=threading.local)

    @property
    def client(self) -> Client:
        return Client(self.side.url)

    def connected(self) -> socket.socket:
        where = urlsplit(self.side.url)
        return socket.create_connection((where.hostname or "", where.port or 80), timeout=10)

    def kept_open(self) -> http.client.HTTPConnection:
        """Return the connection of a poller: each keeps its own."""
        if not hasattr(self._own, "connection"):
            self._own.connection = http.client.HTTPConnection(urlsplit(self.side.url).netloc, timeout=10)
        return self._own.connection  # type: ignore[no-any-return]

    def repeat(self, action: Callable[[_World], str], every_s: float) -> None:
        """Act until it is over; what the action returns is counted, and so is what it raises."""
        while not self.over.wait(every_s):
            try:
                self.counts[action(self)] += 1
            except (OSError, AssertionError) as error:
                self.counts[f"{action.__name__.lstrip('_')}: {type(error).__name__}"] += 1
        if hasattr(self._own, "connection"):
            self._own.connection.close()


def measure(options: argparse.Namespace) -> Section:
    """Run it all at once, and compare what the service held after a while with what it holds at the end."""
    seconds = float(options.soak_seconds)
    section = Section(
        "Soak",
        f"{seconds:g} s of mixed load on one service over its embedded node: {POLLERS} callers that poll tasks and one"
        f" that searches, {1 / TRAIN_S:.1f} trainings a second (inline, by query, long ones), tasks deleted, trainings"
        " cancelled, malformed requests, connections opened and dropped. What the service's own processes hold, those"
        f" that train among them, is read {SAMPLES} times; the figures are medians of {PART_SHARE * seconds:g} s"
        f" after the first {WARM_SHARE * seconds:g} s, and of the last.",
        "at the beginning",
    )
    with running(OURS) as side:
        section.versions["ours"] = side.line["opensearch"]["version"]
        world = _World(side)
        lines = IRIS.read_bytes()
        world.client.ok("POST", "/_bulk?refresh=true", lines, {"Content-Type": "application/x-ndjson"})
        _begin(world)
        samples = _soaked(world, seconds)
        left = _left(world)
    size = max(1, int(len(samples) * PART_SHARE))
    first, last = samples[int(len(samples) * WARM_SHARE) :][:size], samples[-size:]
    section.rows += _rows(first, last)
    p99 = sorted(world.polls_ms)[len(world.polls_ms) * 99 // 100]
    section.rows += [
        Row("poll p99, ms", f"{p99:.2f}", "", f"under {LIMIT_MS:g} ms", p99 < LIMIT_MS),
        Row(f"tasks CREATED or RUNNING {END_S:g} s after the end at most", str(left), "", "0", left == 0),
        Row("errors that no caller asked for", str(_unwanted(world)), "", "0", _unwanted(world) == 0),
    ]
    counted = ", ".join(f"{count} {what}" for what, count in sorted(world.counts.items()))
    section.notes.append(f"In all: {counted}.")
    for row in section.rows:
        print(f"{row.what}: {row.ours}; {row.other}; {row.wanted}", flush=True)
    print(section.notes[-1], flush=True)
    return section


def _begin(world: _World) -> None:
    """Have all indices and all training processes there before anything is counted."""
    task_ids = [world.client.train_async(long_body(10_000)) for _ in range(BEGIN)]
    for task_id in task_ids:
        world.client.ended(task_id)


def _rows(first: Sequence[processes.Held], last: Sequence[processes.Held]) -> list[Row]:
    before, after = _median(first), _median(last)
    most_mib = max(GROWTH * before.memory_mib, GROWTH_MIB)
    grown = after.memory_mib - before.memory_mib
    return [
        Row(
            "memory (PSS), MiB",
            f"{after.memory_mib:.1f}",
            f"{before.memory_mib:.1f}",
            f"{grown:.1f} MiB more, at most {most_mib:.1f}",
            grown <= most_mib,
        ),
        *(
            Row(name, str(now), str(then), f"at most {HANDLES} more", now - then <= HANDLES)
            for name, now, then in (
                ("open handles", after.handles, before.handles),
                ("threads", after.threads, before.threads),
                ("connections", after.connections, before.connections),
            )
        ),
    ]


def _median(samples: Sequence[processes.Held]) -> processes.Held:
    return processes.Held(
        statistics.median(each.memory_mib for each in samples),
        round(statistics.median(each.handles for each in samples)),
        round(statistics.median(each.threads for each in samples)),
        round(statistics.median(each.connections for each in samples)),
    )


def _soaked(world: _World, seconds: float) -> list[processes.Held]:
    jobs = [(_poll, POLL_S)] * POLLERS
    jobs += [(_search, SEARCH_S), (_train, TRAIN_S), (_delete, DELETE_S), (_cancel, CANCEL_S)]
    jobs += [(_malformed, MALFORMED_S), (_drop, DROP_S)]
    threads = [threading.Thread(target=world.repeat, args=job) for job in jobs]
    for thread in threads:
        thread.start()
    samples: list[processes.Held] = []
    until = time.monotonic() + seconds
    try:
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(seconds / SAMPLES, left))
            samples.append(processes.held(world.side))
            print(f"{seconds - left:5.0f} s {samples[-1]}", flush=True)
    finally:
        world.over.set()
        for thread in threads:
            thread.join()
    return samples


def _poll(world: _World) -> str:
    if not world.known:
        return "polls of nothing"
    connection = world.kept_open()
    began = time.perf_counter()
    try:
        connection.request("GET", f"/_plugins/_ml/tasks/{world.dice.choice(world.known)}")
        with connection.getresponse() as answer:
            answer.read()
    except http.client.HTTPException as error:
        raise AssertionError(error) from error
    world.polls_ms.append((time.perf_counter() - began) * 1000)
    return f"polls answered {answer.status}"


def _search(world: _World) -> str:
    found = world.client.send("POST", "/_plugins/_ml/tasks/_search", {"size": 10, "query": {"match_all": {}}})
    return f"searches {_told(found)}"


def _train(world: _World) -> str:
    kind = world.dice.choice(list(BODIES))
    body = world.dice.choice(BODIES[kind])
    if kind == "in the reply":
        return f"trainings {kind} {_told(world.client.send('POST', TRAIN, body, JSON))}"
    answer = world.client.send("POST", f"{TRAIN}?async=true", body, JSON)
    if answer.status == 200:
        world.known = [*world.known[-KEPT + 1 :], answer.body["task_id"]]
    return f"trainings ({kind}) {_told(answer)}"


def _told(answer: Answer) -> str:
    """Return the status, of an error of the server's with its reason."""
    reason = f" ({answer.body['error']['reason']})" if answer.status >= 500 else ""
    return f"answered {answer.status}{reason}"


def _delete(world: _World) -> str:
    task_id = world.dice.choice(world.known or ["none"])
    answer = world.client.send("DELETE", f"/_plugins/_ml/tasks/{task_id}")
    if answer.status == 200:
        world.known = [each for each in world.known if each != task_id]
    return f"deletes {_told(answer)}"


def _cancel(world: _World) -> str:
    return f"cancels {_told(world.client.send('POST', '/_tasks/_cancel?actions=*ml/train'))}"


def _malformed(world: _World) -> str:
    with contextlib.closing(world.connected()) as connection:
        connection.sendall(world.dice.choice(MALFORMED))
        connection.shutdown(socket.SHUT_WR)
        status = connection.recv(65536)[9:12].decode() or "by the end"
    return f"malformed requests answered {status}"


def _drop(world: _World) -> str:
    with contextlib.closing(world.connected()) as connection:
        connection.sendall(world.dice.choice(DROPPED))
    return "connections dropped"


def _left(world: _World) -> int:
    """Return how many tasks are not over when they have had time to be."""
    query = {"size": 0, "query": {"terms": {"state": ["CREATED", "RUNNING"]}}, "track_total_hits": True}
    until = time.monotonic() + END_S
    while True:
        left = int(world.client.ok("POST", "/_plugins/_ml/tasks/_search", query)["hits"]["total"]["value"])
        if not left or time.monotonic() > until:
            return left
        time.sleep(0.5)


def _unwanted(world: _World) -> int:
    """Count what was answered with a 5xx, or not at all."""
    return sum(
        count
        for what, count in world.counts.items()
        if ": " in what.partition("(")[0] or (" answered 5" in what and not any(known in what for known in WANTED))
    )
