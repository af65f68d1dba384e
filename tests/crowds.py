"""Many trainings at once, and what becomes of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.clients import FINAL, NOBODY, Client, long_body
from tests.histories import stored_tasks

INDEX = "crowd"
FIELDS = [*"abcde"]
CLIENTS = 8
EVERY_S = 0.1  #: how often is looked whether all are over


def inline(iterations: int) -> dict[str, Any]:
    """Return a training that brings its data, some 40,000 iterations a second."""
    return long_body(iterations)


def query(iterations: int) -> dict[str, Any]:
    """Return the same training on an index."""
    body = long_body(iterations)
    return {
        "parameters": body["parameters"],
        "input_query": {"_source": FIELDS, "size": 100, **NOBODY, "sort": ["row"]},
        "input_index": [INDEX],
    }


def load(opensearch: Client, *, replicas: int = 0) -> None:
    """Put the data that `query` trains on into an index."""
    frame = long_body(1)["input_data"]
    settings = {"number_of_shards": 1, "number_of_replicas": replicas}
    opensearch.ok("PUT", f"/{INDEX}", {"settings": settings})
    for number, row in enumerate(frame["rows"]):
        values = dict(zip(FIELDS, (cell["value"] for cell in row["values"]), strict=True))
        opensearch.ok("PUT", f"/{INDEX}/_doc/{number}", {"row": number, **values})
    opensearch.ok("POST", f"/{INDEX}/_refresh")


def start(clients: Sequence[Client], bodies: Sequence[dict[str, Any]], *, at_once: int = CLIENTS) -> list[str]:
    """Start trainings from several clients at once, each in its turn; return the ids of the tasks."""
    with ThreadPoolExecutor(at_once) as pool:
        jobs = [pool.submit(clients[n % len(clients)].train_async, body) for n, body in enumerate(bodies)]
        return [job.result() for job in jobs]


def mixed(count: int, iterations: int) -> list[dict[str, Any]]:
    """Return trainings of both kinds, in turn."""
    return [(query if number % 2 else inline)(iterations) for number in range(count)]


def unfinished(opensearch: Client, task_ids: Sequence[str]) -> list[str]:
    """Return those that are not over."""
    stored = stored_tasks(opensearch, task_ids)
    return [task_id for task_id in task_ids if task_id in stored and stored[task_id].state not in FINAL]


def await_ends(
    opensearch: Client, task_ids: Sequence[str], *, deadline_s: float, log: Callable[[], str] = str
) -> float:
    """Wait until all are over; return how many seconds that took. `log` is shown if they are not."""
    began = time.monotonic()
    while left := unfinished(opensearch, task_ids):
        if time.monotonic() - began > deadline_s:
            states = Counter(task.state for task in stored_tasks(opensearch, task_ids).values())
            raise AssertionError(f"{len(left)} are not over after {deadline_s:g} s: {states}; {log()[-3000:]}")
        time.sleep(EVERY_S)
    return time.monotonic() - began
