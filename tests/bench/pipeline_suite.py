"""The tests of a pipeline that trains, as its authors would write them; `pipelines.py` runs them on both sides.

Not collected with ours: only who names this file runs it. Knows of the side no more than what its environment says.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter  # by this name it stays the machine's where a test has `time` run ahead
from typing import Any

import pytest
from opensearchpy import OpenSearch

from mlcommons_tasks import Emulator
from mlcommons_tasks.testing import Namespace, Service

URL = "PIPELINE_URL"  #: a cluster with the plugin; without it the service of the fixtures is used
WAY = "PIPELINE_WAY"  #: how the service is kept from making the loop sleep: IMMEDIATE or CLOCK
SPACES = "PIPELINE_NAMESPACES"  #: EACH test has one, as with the fixtures, or ONE is for the whole suite
REPORT = "PIPELINE_REPORT"  #: the file that says what each test saw
IMMEDIATE, CLOCK = "immediate", "clock"
EACH, ONE = "each", "one"
TRAININGS = 50
ROWS = 1_000


def fit(client: OpenSearch, centroids: int, seen: list[str]) -> dict[str, Any]:
    """The pipeline: train on an index, and wait as most code does that is in public."""
    query = {"_source": ["x", "y"], "size": ROWS}
    body = {
        "parameters": {"centroids": centroids, "iterations": 10},
        "input_query": query,
        "input_index": ["points"],
    }
    started = client.plugins.ml.train(algorithm_name="kmeans", body=body, params={"async": "true"})
    while True:
        task: dict[str, Any] = client.plugins.ml.get_task(task_id=started["task_id"])
        seen.append(task["state"])
        if task["state"] in ("COMPLETED", "FAILED"):
            return task
        time.sleep(1)


@pytest.fixture(scope="session")
def service(request: pytest.FixtureRequest) -> Service:
    """The cluster with the plugin, or the service of the fixtures."""
    if URL in os.environ:
        return Service(os.environ[URL])
    found: Service = request.getfixturevalue("mlcommons_tasks_service")
    return found


@pytest.fixture(scope="session")
def report() -> Iterator[list[dict[str, Any]]]:
    """What the tests saw and how long each took, written when all are done."""
    tests: list[dict[str, Any]] = []
    yield tests
    Path(os.environ[REPORT]).write_text(json.dumps(tests))


@pytest.fixture(scope="session")
def rows(service: Service) -> None:
    """The rows that all tests train on; an index is of every namespace."""
    draw = random.Random(1)
    lines: list[dict[str, Any]] = []
    for n in range(ROWS):
        lines += [{"index": {}}, {"x": draw.gauss(n % 3 * 10, 1), "y": draw.gauss(n % 3 * 10, 1)}]
    client = OpenSearch(service.url)
    client.indices.delete(index="points", ignore_unavailable=True)
    assert not client.bulk(body=lines, index="points", refresh=True)["errors"]
    client.close()


@pytest.fixture(scope="session")
def emulator(service: Service) -> Iterator[Emulator]:
    """One namespace for the whole suite."""
    with Emulator(url=service.url, token=service.token) as emulator:
        yield emulator


@pytest.fixture
def client(
    request: pytest.FixtureRequest, service: Service, rows: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[OpenSearch]:
    """The pipeline's client, on the service in the documented way that was chosen."""
    if URL in os.environ:
        client = OpenSearch(service.url)
        yield client
        client.close()
        return
    own = "mlcommons_tasks_namespace" if os.environ[SPACES] == EACH else "emulator"
    namespace: Namespace = request.getfixturevalue(own)
    if os.environ[WAY] == IMMEDIATE:
        namespace.scenario(name="at-once", steps=["CREATED", "COMPLETED"])
    else:
        steps = ["CREATED", {"state": "RUNNING", "lasts": {"reads": 2}}, "COMPLETED"]
        namespace.scenario(name="two-reads", steps=steps)
        namespace.clock.patch_sleep(monkeypatch)
    yield namespace.client


@pytest.mark.parametrize("number", range(TRAININGS))
def test_pipeline_trains(client: OpenSearch, report: list[dict[str, Any]], number: int) -> None:
    """A training on the indexed rows ends with a model that is there."""
    began, seen = perf_counter(), list[str]()
    task = fit(client, centroids=2 + number % 4, seen=seen)
    report.append({"seen": seen, "seconds": perf_counter() - began})
    assert task["state"] == "COMPLETED", task
    model = client.transport.perform_request("GET", f"/_plugins/_ml/models/{task['model_id']}")
    assert model["algorithm"] == "KMEANS"
