"""A client for tests: one connection a request, raw paths, answers as they came; and the bodies tests train with."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

FINAL = ("COMPLETED", "FAILED", "CANCELLED")
FEATURES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
IRIS = Path(__file__).parents[1] / "fixtures" / "datasets" / "iris.ndjson"
TASKS = "/_plugins/_ml/tasks"
MODELS = "/_plugins/_ml/models"
TRAIN = "/_plugins/_ml/_train/kmeans"
NOBODY = {"query": {"match_all": {}}}


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    status: int
    headers: http.client.HTTPMessage
    payload: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.payload)


class Client:
    """Speaks to a service, or to the OpenSearch under it."""

    def __init__(self, url: str, *, timeout_s: float = 60.0) -> None:
        self.url = url
        self.netloc = urlsplit(url).netloc
        self.timeout_s = timeout_s

    def send(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Send a request; a dict goes as JSON, bytes and iterables as they are."""
        payload = json.dumps(body).encode() if isinstance(body, dict) else body
        wanted = {"Content-Type": "application/json"} if body is not None else {}
        connection = http.client.HTTPConnection(self.netloc, timeout=self.timeout_s)
        with contextlib.closing(connection):
            connection.request(method, path, payload, {**wanted, **(headers or {})})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())

    def ok(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """Send a request that must succeed; return the body of its answer."""
        answer = self.send(method, path, body, headers)
        assert answer.status < 300, f"{method} {path}: {answer.status} {answer.payload[:2000]!r}"
        return answer.body if answer.payload else None

    def load_iris(self, index: str = "iris") -> None:
        """Load iris into an index of the test's own."""
        lines = IRIS.read_text().replace('"_index":"iris"', f'"_index":"{index}"').encode()
        assert index.encode() in lines
        answer = self.ok("POST", "/_bulk?refresh=true", lines, {"Content-Type": "application/x-ndjson"})
        assert answer["errors"] is False

    def train_async(self, body: dict[str, Any]) -> str:
        """Start a training; return the task's id."""
        answer = self.ok("POST", f"{TRAIN}?async=true", body)
        assert answer["status"] == "CREATED"
        return str(answer["task_id"])

    def task(self, task_id: str) -> dict[str, Any]:
        """Return a task as GET shows it."""
        return dict(self.ok("GET", f"{TASKS}/{task_id}"))

    def ended(self, task_id: str, *, deadline_s: float = 60.0) -> dict[str, Any]:
        """Follow a task to its end."""
        until = time.monotonic() + deadline_s
        while (task := self.task(task_id))["state"] not in FINAL:
            assert time.monotonic() < until, f"not over within {deadline_s:g} s: {task}"
            time.sleep(0.02)
        return task

    def states(self) -> dict[str, str]:
        """Return the state of every task, by id, as `_search` shows it."""
        answer = self.send("POST", f"{TASKS}/_search", {**NOBODY, "size": 1000, "_source": ["state"]})
        if answer.status == 404:
            return {}
        assert answer.status == 200, answer.payload
        return {hit["_id"]: hit["_source"]["state"] for hit in answer.body["hits"]["hits"]}


def rows_body(rows: int = 60, *, centroids: int = 3, iterations: int = 10, columns: int = 2) -> dict[str, Any]:
    """Return a training on rows that the request brings, in three heaps."""
    names = [f"f{number}" for number in range(columns)]
    return {
        "parameters": {"centroids": centroids, "iterations": iterations, "distance_type": "EUCLIDEAN"},
        "input_data": {
            "column_metas": [{"name": name, "column_type": "DOUBLE"} for name in names],
            "rows": [
                {
                    "values": [
                        {"column_type": "DOUBLE", "value": 10.0 * (row % 3) + ((row * 7919 + at * 104729) % 997) / 997}
                        for at in range(columns)
                    ]
                }
                for row in range(rows)
            ],
        },
    }


def query_body(index: str, fields: list[str], size: int, *, centroids: int = 3, iterations: int = 10) -> dict[str, Any]:
    """Return a training on the hits of a search."""
    return {
        "parameters": {"centroids": centroids, "iterations": iterations, "distance_type": "EUCLIDEAN"},
        "input_query": {"_source": fields, "size": size, **NOBODY},
        "input_index": [index],
    }


def long_body(iterations: int) -> dict[str, Any]:
    """Return a training that takes its iterations to the last: some 10,000 of them a second.

    Lloyd's algorithm by the L1 distance, but with means, may go round in circles; on these rows it did so from each of
    355,000 starts. On most it comes to rest from one start in a thousand or so, and the training ends at once.
    """
    dice = random.Random(10934)
    count, names = 24, "abcde"
    rows = [[round(dice.expovariate(1) ** 2 * dice.choice((-1, 1)), 1) for _ in names] for _ in range(count)]
    return {
        "parameters": {"centroids": count, "iterations": iterations, "distance_type": "L1"},
        "input_data": {
            "column_metas": [{"name": name, "column_type": "DOUBLE"} for name in names],
            "rows": [{"values": [{"column_type": "DOUBLE", "value": value} for value in row]} for row in rows],
        },
    }


def as_envelope(answer: Answer) -> dict[str, Any]:
    """Return the `error` of an answer that must be OpenSearch's envelope."""
    assert answer.headers["Content-Type"].startswith("application/json"), answer.headers
    body = answer.body
    assert body["status"] == answer.status, body
    assert set(body) == {"error", "status"}, body
    error = body["error"]
    assert isinstance(error, dict), body
    assert set(error) >= {"root_cause", "type", "reason"}, body
    return dict(error)
