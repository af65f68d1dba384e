"""`_tasks`: what it costs without trainings and with many of them, and how soon many are stopped."""

from __future__ import annotations

import argparse
import http.client
import statistics
import time
from urllib.parse import urlsplit

from tests.bench import loads
from tests.bench.report import Row, Section, spread
from tests.bench.servers import OURS, Side, running
from tests.clients import long_body
from tests.native_tasks import MANY_ITERATIONS

TRAININGS = 200
LISTS = 200
ROUNDS = 10
REQUESTS = 100  #: of each kind in a round
BUSY_LIMIT_MS = 50.0
IDLE_LIMIT = 1.1
STOP_LIMIT_S = 2.0
FORWARDED = "/_cluster/health"


def measure(_: argparse.Namespace) -> Section:
    """Ask for the list with nothing running, and with many trainings; then stop all of these."""
    section = Section(
        "The cluster's task API",
        f"One service over its embedded node, one connection. Without trainings: {ROUNDS} rounds of {REQUESTS} requests"
        f" of each kind in turn, `GET _tasks` and `GET {FORWARDED.strip('/')}`, through the service and at OpenSearch"
        f" itself; what the service adds is the difference. Then {TRAININGS} trainings, some at work and the others in"
        " line, while the training processes take both cores.",
        "forwarded",
    )
    with running(OURS) as side:
        section.versions["ours"] = side.line["opensearch"]["version"]
        loads.first_completed_s(side)
        section.rows.append(_idle(side))
        body = long_body(MANY_ITERATIONS)
        for _number in range(TRAININGS):
            loads.start_training(side, body)
        lists = _latencies(side.url, "/_tasks", LISTS)
        section.rows.append(
            Row(
                f"`GET _tasks` with {TRAININGS} trainings, p50, ms",
                spread(lists),
                spread(_latencies(side.url, FORWARDED, LISTS)),
                f"under {BUSY_LIMIT_MS:g} ms",
                statistics.median(lists) < BUSY_LIMIT_MS,
            )
        )
        seconds = _stopped_s(side)
        section.rows.append(
            Row(
                f"`POST _tasks/_cancel?actions=*ml/train` until none of {TRAININGS} is left, s",
                f"{seconds:.2f}",
                "",
                f"at most {STOP_LIMIT_S:g} s",
                seconds <= STOP_LIMIT_S,
            )
        )
    for row in section.rows:
        print(f"{row.what}: {row.ours}; {row.other}; {row.wanted}", flush=True)
    return section


def _idle(side: Side) -> Row:
    direct = side.line["opensearch"]["url"]
    added: dict[str, list[float]] = {"/_tasks": [], FORWARDED: []}
    for _ in range(ROUNDS):
        for path, found in added.items():
            through = statistics.median(_latencies(side.url, path, REQUESTS))
            found.append(through - statistics.median(_latencies(direct, path, REQUESTS)))
    ratio = statistics.median(a / b for a, b in zip(added["/_tasks"], added[FORWARDED], strict=True))
    return Row(
        "what the service adds to a request without trainings, ms",
        spread(added["/_tasks"]),
        spread(added[FORWARDED]),
        f"ratio {ratio:.2f}, at most {IDLE_LIMIT:g}",
        ratio <= IDLE_LIMIT,
    )


def _latencies(url: str, path: str, requests: int) -> list[float]:
    """Return how long each of some requests took on one connection, in milliseconds."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    found = []
    for _ in range(requests):
        began = time.perf_counter()
        connection.request("GET", path)
        connection.getresponse().read()
        found.append((time.perf_counter() - began) * 1000)
    connection.close()
    return found


def _stopped_s(side: Side) -> float:
    began = time.monotonic()
    side.request("POST", "/_tasks/_cancel?actions=*ml/train")
    while side.request("GET", "/_tasks?actions=*ml/train*&group_by=none")["tasks"]:
        time.sleep(0.01)
    return time.monotonic() - began
