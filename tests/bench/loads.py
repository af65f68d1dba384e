"""What is asked of both sides: the first training, and a burst of trainings."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.bench.servers import Side

BURST = 300
BURST_ROWS = 1_000
BURST_CLIENTS = 32
BURST_S = 60.0
FINAL = ("COMPLETED", "FAILED", "CANCELLED")


def kmeans_body(rows: int, seed: int = 1) -> dict[str, Any]:
    """Return a training on inline rows of two features, in three clusters."""
    draw = random.Random(seed)
    cells = [(draw.gauss(n % 3 * 10, 1), draw.gauss(n % 3 * 10, 1)) for n in range(rows)]
    frame = {
        "column_metas": [{"name": "x", "column_type": "DOUBLE"}, {"name": "y", "column_type": "DOUBLE"}],
        "rows": [{"values": [{"column_type": "DOUBLE", "value": value} for value in row]} for row in cells],
    }
    return {"parameters": {"centroids": 3, "iterations": 10}, "input_data": frame}


def start_training(side: Side, body: dict[str, Any]) -> str:
    """Start a training as a task and return its id."""
    return str(side.request("POST", "/_plugins/_ml/_train/kmeans?async=true", body)["task_id"])


def first_completed_s(side: Side) -> float:
    """Return the seconds from the start of the process to the first COMPLETED training of 100 rows."""
    task_id = start_training(side, kmeans_body(100))
    while (state := side.request("GET", f"/_plugins/_ml/tasks/{task_id}")["state"]) != "COMPLETED":
        if state in FINAL or time.monotonic() - side.began > BURST_S:
            raise SystemExit(f"bench: the first training is {state}")
        time.sleep(0.01)
    return time.monotonic() - side.began


def burst(side: Side) -> tuple[dict[str, int], float]:
    """Start many trainings at once; return how many are in which state at the end, and how long that took.

    The end is when all are final, or 60 s after the last was accepted.
    """
    bodies = [kmeans_body(BURST_ROWS, seed) for seed in range(BURST)]
    began = time.monotonic()
    with ThreadPoolExecutor(BURST_CLIENTS) as clients:
        task_ids = list(clients.map(lambda body: start_training(side, body), bodies))
    until = time.monotonic() + BURST_S
    query = {"size": 0, "query": {"ids": {"values": task_ids}}, "aggs": {"states": {"terms": {"field": "state"}}}}
    while True:
        found = side.request("POST", "/_plugins/_ml/tasks/_search", query)
        states = {bucket["key"]: bucket["doc_count"] for bucket in found["aggregations"]["states"]["buckets"]}
        if sum(states.get(state, 0) for state in FINAL) == BURST or time.monotonic() > until:
            return states, time.monotonic() - began
        time.sleep(0.2)
