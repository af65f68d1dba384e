"""Bodies that name the plugin's indices, sent in a namespace: they mean the namespace's own, packed or not."""

from __future__ import annotations

import gzip
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from mlcommons_tasks.server import RunningService
from tests.clients import TASKS
from tests.services import Service, service

FIXTURES = Path(__file__).parents[2] / "fixtures" / "tasks"
TASK = {"task_type": "TRAINING", "function_name": "KMEANS", "state": "FAILED", "is_async": True}
#: A document that looks like an action, and one that names the index: both are left as they are.
NOTE = {"note": 'not "_index": ".plugins-ml-task"', "_index_": ".plugins-ml-task", "index": ".plugins-ml-task"}
HTTP = urllib3.PoolManager()
NDJSON = {"Content-Type": "application/x-ndjson"}


@pytest.fixture
def namespace(memory_service: RunningService) -> Iterator[str]:
    """The address of a namespace that is deleted afterwards."""
    name = f"bodies-{uuid.uuid4().hex[:8]}"
    yield f"{memory_service.url}/_emulator/in/{name}"
    HTTP.request("DELETE", f"{memory_service.url}/_emulator/namespaces/{name}")


def lines(*documents: Any) -> bytes:
    return b"".join(json.dumps(document).encode() + b"\n" for document in documents)


def total(url: str) -> int:
    found = HTTP.request("POST", f"{url}{TASKS}/_search", json={"track_total_hits": True}).json()
    return int(found["hits"]["total"]["value"])


@pytest.mark.parametrize("packed", [False, True])
def test_a_bulk_of_tasks_goes_where_it_was_sent(memory_service: RunningService, namespace: str, packed: bool) -> None:
    """The tasks are the namespace's, the answer names the plugin's index, and main has none of them."""
    before = total(memory_service.url)
    body = lines(
        {"index": {"_index": ".plugins-ml-task", "_id": "t1"}},
        TASK,
        {"index": {"_index": "notes", "_id": namespace[-8:]}},
        NOTE,
    )

    answer = HTTP.request(
        "POST",
        f"{namespace}/_bulk?refresh=true",
        body=gzip.compress(body) if packed else body,
        headers={**NDJSON, **({"Content-Encoding": "gzip"} if packed else {})},
    ).json()

    assert [item["index"]["_index"] for item in answer["items"]] == [".plugins-ml-task", "notes"]
    assert HTTP.request("GET", f"{namespace}{TASKS}/t1").json() == TASK
    assert total(namespace) == 1
    assert total(memory_service.url) == before
    assert HTTP.request("GET", f"{memory_service.url}/notes/_source/{namespace[-8:]}").json() == NOTE


@pytest.mark.parametrize("path", ["/.plugins-ml-task/_mget", "/_mget", "/%2Eplugins-ml-task/_mget"])
def test_many_are_read_from_the_namespace(namespace: str, path: str) -> None:
    """By the path, written in either way, or by the body."""
    HTTP.request("PUT", f"{namespace}/.plugins-ml-task/_doc/t1?refresh=true", json=TASK)
    wanted = {"_id": "t1"} if "plugins" in path else {"_id": "t1", "_index": ".plugins-ml-task"}

    (found,) = HTTP.request("POST", namespace + path, json={"docs": [wanted]}).json()["docs"]

    assert (found["_index"], found["found"]) == (".plugins-ml-task", True)


def test_several_searches_at_once(namespace: str) -> None:
    """The header of each search names its index, alone or in a list."""
    HTTP.request("PUT", f"{namespace}/.plugins-ml-task/_doc/t1?refresh=true", json=TASK)
    body = lines({"index": ".plugins-ml-task"}, {}, {"index": [".plugins-ml-task"]}, {"query": {"match_all": {}}})

    answers = HTTP.request("POST", f"{namespace}/_msearch", body=body, headers=NDJSON).json()["responses"]

    assert [[hit["_index"] for hit in answer["hits"]["hits"]] for answer in answers] == [[".plugins-ml-task"]] * 2


@pytest.fixture(scope="module")
def embedded() -> Iterator[Service]:
    """A service over a real node, for the command line."""
    with service() as running:
        yield running


@pytest.mark.embedded
def test_seeding_a_namespace(embedded: Service) -> None:
    """`mlcommons-tasks seed` loads tasks into the namespace whose address it is given, and into no other."""
    from mlcommons_tasks.cli import group

    with pytest.raises(SystemExit) as ended:
        group.main(["seed", "--url", f"{embedded.url}/_emulator/in/seeded", str(FIXTURES)], prog_name="mlcommons-tasks")

    assert ended.value.code == 0
    assert total(f"{embedded.url}/_emulator/in/seeded") > 0
    assert total(embedded.url) == 0
