"""The official clients, unmodified, in environments of their own: `make clients` makes them, this only runs them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.services import clean_environment

pytestmark = pytest.mark.embedded

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / "tests" / "official_clients"
ENVIRONMENTS = ROOT / ".venv-clients"
PATIENCE_S = 150.0

#: What a client raises, its status, the error's type and its reason.
REFUSALS = {
    "delete a running task": (
        "TransportError",
        500,
        "exception",
        "Task cannot be deleted in running state. Try after some time.",
    ),
    "get a missing task": ("NotFoundError", 404, "status_exception", "Failed to find task"),
    "train by no algorithm": ("RequestError", 400, "illegal_argument_exception", "Wrong function name"),
    "train on no index": ("NotFoundError", 404, "index_not_found_exception", "no such index [no-such-index]"),
    "search badly": ("RequestError", 400, "parsing_exception", "unknown query [no_such_query]"),
    "delete a task again": ("NotFoundError", 404, "status_exception", "Failed to find task"),
    "delete a model again": ("NotFoundError", 404, "status_exception", "Failed to find model"),
    "get a deleted model": (
        "NotFoundError",
        404,
        "status_exception",
        "Failed to find model with the provided model id: {model_id}",
    ),
}


def python_of(environment: str) -> Path:
    """Return the Python of an environment; one that is missing or out of date fails in CI and skips elsewhere."""
    stamp = ENVIRONMENTS / environment / ".installed"
    requirements = CLIENTS / f"requirements-{environment}.txt"
    if not stamp.exists() or stamp.stat().st_mtime < requirements.stat().st_mtime:
        message = f"the environment {stamp.parent} is missing or out of date: run `make clients`"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return stamp.parent / "bin" / "python"


@pytest.fixture(
    scope="module",
    params=[(environment, story) for environment in ("lowest", "newest") for story in ("sync", "async", "py_ml")],
    ids="-".join,
)
def told(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What one client told of the service over the embedded node, with the story's and the environment's names."""
    environment, story = request.param
    python = python_of(environment)
    url = request.getfixturevalue("service_url")  # not before it is known that there is somebody to talk to it
    run = subprocess.run(
        [python, CLIENTS / f"story_{story}.py", url],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env=clean_environment(),
        check=False,
    )
    assert run.returncode == 0, f"{story} on {environment} ended with {run.returncode}:\n{run.stderr[-4000:]}"
    return {**json.loads(run.stdout.splitlines()[-1]), "environment": environment, "story": story}


def test_the_ends_of_the_range_are_tested(told: dict[str, Any]) -> None:
    """The lowest environment has the version its requirements pin, the newest a later one."""
    lowest = (CLIENTS / "requirements-lowest.txt").read_text()
    pinned = f"opensearch-py[async]=={told['client']}\n" in lowest
    assert pinned == (told["environment"] == "lowest")
    if told["story"] == "py_ml":
        assert f"opensearch-py-ml=={told['py_ml']}" in lowest or told["environment"] == "newest"


def test_forwarded_calls(told: dict[str, Any]) -> None:
    """Everything that is not ML Commons reaches OpenSearch: HEAD, a compressed bulk, a search, a deletion."""
    assert told["info"].split(".") > ["2"]
    assert told["ping"] is True
    assert told["bulk"] == [False, 150]
    assert told["exists"] == [True, False]
    assert told["search"]["hits"]["total"] == {"value": 150, "relation": "eq"}
    buckets = told["search"]["aggregations"]["species"]["buckets"]
    assert {bucket["key"]: bucket["doc_count"] for bucket in buckets} == dict.fromkeys(
        ("setosa", "versicolor", "virginica"), 50
    )
    assert told["dropped"] is True


def test_training_is_accepted(told: dict[str, Any]) -> None:
    """A training that is waited for answers with its model, one that is not with its task."""
    assert told["trained"]["status"] == "COMPLETED"
    assert told["accepted"]["status"] == "CREATED"
    assert list(told["trained"]) == ["model_id", "status"]
    assert list(told["accepted"]) == ["task_id", "status"]
    assert told["trained"]["model_id"] not in ("", told["task"]["model_id"])


def test_polling_ends_with_a_model(told: dict[str, Any]) -> None:
    """Polled by the client, a task goes forward only, to COMPLETED, and then names its model."""
    order = ["CREATED", "RUNNING", "COMPLETED"]
    assert told["states"] == [state for state in order if state in told["states"]]
    task = told["task"]
    assert task["state"] == "COMPLETED"
    assert (task["task_type"], task["function_name"], task["input_type"]) == ("TRAINING", "KMEANS", "SEARCH_QUERY")
    assert task["is_async"] is True
    assert isinstance(task["model_id"], str)
    assert [type(node) for node in task["worker_node"]] == [str]
    assert 0 <= task["last_update_time"] - task["create_time"] < PATIENCE_S * 1000
    assert set(told.get("together", ["COMPLETED"])) == {"COMPLETED"}


def test_failure_is_told(told: dict[str, Any]) -> None:
    """A training that cannot read its data ends FAILED, with the reason and without a model."""
    task = told["failed"]
    assert task["state"] == "FAILED"
    assert task["error"].startswith("no such index [iris-")
    assert "model_id" not in task


def test_task_is_found(told: dict[str, Any]) -> None:
    """A task is found by GET with a body as by POST, with version 3 and what it says by itself."""
    asked = {"sync": {"POST", "GET"}, "async": {"POST", "GET"}, "py_ml": {"GET", "GET of a string"}}
    assert set(told["task_search"]) == asked[told["story"]]
    for found in told["task_search"].values():
        assert found["hits"]["total"] == {"value": 1, "relation": "eq"}
        (hit,) = found["hits"]["hits"]
        assert (hit["_index"], hit["_id"], hit["_version"]) == (".plugins-ml-task", told["accepted"]["task_id"], 3)
        assert hit["_seq_no"] >= 2
        assert hit["_primary_term"] == 1
        assert hit["_source"] == told["task"]


def test_model_is_found(told: dict[str, Any]) -> None:
    """A model is got and found, and its content stays where it is."""
    model = {"name": "KMEANS", "algorithm": "KMEANS", "model_version": "1.0.0", "model_state": "TRAINED"}
    assert told["model"] == {**model, "is_hidden": False}
    (hit,) = told["model_search"]["hits"]["hits"]
    assert (hit["_index"], hit["_id"], hit["_version"]) == (".plugins-ml-model", told["task"]["model_id"], 1)
    assert hit["_source"] == model


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals_are_the_clients_errors(told: dict[str, Any], name: str) -> None:
    """What the service refuses is raised as the client's own error for it, with type and reason."""
    client_error, status, error_type, reason = REFUSALS[name]
    reason = reason.format(model_id=told["task"]["model_id"])
    assert told["refusals"][name] == [client_error, status, error_type, reason]


def test_deletions(told: dict[str, Any]) -> None:
    """A deleted task and a deleted model are gone at once, also from searches."""
    task, model = told["deleted"]
    assert (task["result"], task["_id"], task["_version"]) == ("deleted", told["accepted"]["task_id"], 4)
    assert (model["result"], model["_id"], model["_version"]) == ("deleted", told["task"]["model_id"], 2)
    assert told["found_after"] == 0
    assert told.get("ignored", 404) == 404


def test_compression(told: dict[str, Any]) -> None:
    """A client that compresses its requests trains, polls and finds."""
    assert told["refusals"]["compress"] is None
    assert told["compressed"] == ["COMPLETED", "DATA_FRAME", 1]


def test_no_warnings(told: dict[str, Any]) -> None:
    """No answer warns the client."""
    assert told["warnings"] == []
