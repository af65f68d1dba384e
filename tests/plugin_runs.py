"""Test runs with the pytest plugin in processes of their own, and what the tests in them share and write."""

from __future__ import annotations

import os

import pytest

from tests.services import clean_environment

#: Plugins that are not needed here take seconds to load.
WITHOUT = ("cacheprovider", "timeout", "schemathesis", "hypothesispytest", "anyio")
QUIET = (*(f"-pno:{name}" for name in WITHOUT), "-W", "error")
#: Trains on a few rows; the task ends after 30 seconds of the test's own time.
TRAINING = """
import json
import time

ROWS = "".join(json.dumps({"index": {}}) + "\\n" + json.dumps({"x": i, "y": i % 3}) + "\\n" for i in range(12))
TRAIN = "/_plugins/_ml/_train/kmeans?async=true"
BODY = {"parameters": {"centroids": 2}, "input_index": ["points"],
        "input_query": {"_source": ["x", "y"], "size": 12}}


def train(client):
    client.transport.perform_request("POST", "/points/_bulk?refresh", body=ROWS)
    return client.transport.perform_request("POST", TRAIN, body=BODY)["task_id"]


def poll(client, task_id):
    while True:
        task = client.transport.perform_request("GET", f"/_plugins/_ml/tasks/{task_id}")
        if task["state"] in ("COMPLETED", "FAILED"):
            return task
        time.sleep(1)
"""


def forget_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave no settings in the environment: those of whoever runs these tests are not for the runs in them."""
    monkeypatch.setenv("no_proxy", "*")
    for name in {*os.environ} - {*clean_environment()}:
        monkeypatch.delenv(name)


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Run the tests of a run's folder in a process of its own."""
    return pytester.runpytest_subprocess(*QUIET, *arguments, timeout=120)
