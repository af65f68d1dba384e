"""What every story has in common: the data, the bodies, and how it is told. Runs in the clients' environments only."""

from __future__ import annotations

import json
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import opensearchpy

IRIS = Path(__file__).parents[2] / "fixtures" / "datasets" / "iris.ndjson"
TASK_INDEX = ".plugins-ml-task"
MISSING_ID = "no-such-id"
FINAL = ("COMPLETED", "FAILED")
POLL_S = 0.05
PATIENCE_S = 60.0
CLIENT_OPTIONS = {"timeout": 60}
PACKING_OPTIONS = {**CLIENT_OPTIONS, "http_compress": True, "opaque_id": "story"}
BY_SPECIES = {"size": 0, "track_total_hits": True, "aggs": {"species": {"terms": {"field": "species.keyword"}}}}
RUNNING_TASK = {"task_type": "TRAINING", "function_name": "KMEANS", "state": "RUNNING", "is_async": True}
#: A training that needs no index.
TWO_HEAPS = {
    "parameters": {"centroids": 2},
    "input_data": {
        "column_metas": [{"name": "width", "column_type": "DOUBLE"}],
        "rows": [{"values": [{"column_type": "DOUBLE", "value": number % 2}]} for number in range(200)],
    },
}


def index_name() -> str:
    """Return a name that no other story has."""
    return f"iris-{uuid.uuid4().hex}"


def documents() -> list[dict[str, Any]]:
    """Return the rows of iris."""
    return [json.loads(line) for line in IRIS.read_text().splitlines()[1::2]]


def actions(index: str) -> list[dict[str, Any]]:
    """Return the rows of iris as the bulk helpers take them."""
    return [{"_index": index, "_id": str(number), **row} for number, row in enumerate(documents())]


def training(index: str) -> dict[str, Any]:
    """Return a body that trains on an index."""
    return {
        "parameters": {"centroids": 3, "iterations": 10, "distance_type": "EUCLIDEAN"},
        "input_query": {"_source": ["petal_length", "petal_width"], "size": 150},
        "input_index": [index],
    }


def same_id(document_id: str) -> dict[str, Any]:
    """Return a search body that finds one document, as a pipeline would look for its own."""
    return {"query": {"bool": {"filter": [{"ids": {"values": [document_id]}}]}}}


def in_short(task: dict[str, Any], found: dict[str, Any]) -> list[Any]:
    """Return how a task ended, on what, and how often it is found."""
    return [task["state"], task["input_type"], found["hits"]["total"]["value"]]


@contextmanager
def refusal(told: dict[str, Any], name: str) -> Iterator[None]:
    """Tell how the client reports that the service refused."""
    told.setdefault("refusals", {})[name] = None
    try:
        yield
    except opensearchpy.TransportError as error:
        reason = error.info["error"]["reason"]
        told["refusals"][name] = [type(error).__name__, error.status_code, error.error, reason]


@contextmanager
def telling() -> Iterator[dict[str, Any]]:
    """Collect a story, with the client's warnings, and print it as one line of JSON."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", opensearchpy.OpenSearchWarning)
        told: dict[str, Any] = {"client": opensearchpy.__versionstr__}
        yield told
    of_clients = [warning for warning in caught if issubclass(warning.category, opensearchpy.OpenSearchWarning)]
    told["warnings"] = [str(warning.message) for warning in of_clients]
    print(json.dumps(told))
