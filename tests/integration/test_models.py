"""Models that outlive the service that trained them, changes that another replica shows, and documents that lie."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlcommons_tasks.store.mappings import MODEL_INDEX, model_index_body
from mlcommons_tasks.wire.model_document import TOO_DEEP
from tests.clients import MODELS, TRAIN, Client, rows_body
from tests.services import Service, service

pytestmark = pytest.mark.embedded

BIG = 16 * 2**20  #: characters of a content that is no model
MOST = 12 * BIG + 128 * 2**20  #: what all processes together may take more for some of these
MODEL = {"name": "KMEANS", "algorithm": "KMEANS", "model_version": "1.0.0", "model_state": "TRAINED"}


def rows() -> dict[str, Any]:
    """Return what was trained with, to predict with."""
    return {"input_data": rows_body()["input_data"]}


def content_of(payload: bytes) -> str:
    """Return a content as a document has it."""
    return base64.b64encode(payload).decode()


@pytest.fixture(scope="module")
def running(opensearch_url: str) -> Iterator[Service]:
    with service("--opensearch", opensearch_url) as started:
        yield started


@pytest.fixture
def client(running: Service) -> Client:
    return Client(running.url)


@pytest.fixture
def node(opensearch_url: str) -> Iterator[Client]:
    """OpenSearch itself, with an empty index of models."""
    opensearch = Client(opensearch_url)
    opensearch.send("DELETE", f"/{MODEL_INDEX}")
    opensearch.ok("PUT", f"/{MODEL_INDEX}", dict(model_index_body()))
    yield opensearch
    opensearch.send("DELETE", f"/{MODEL_INDEX}")


def store(node: Client, document_id: str, **fields: Any) -> None:
    node.ok("PUT", f"/{MODEL_INDEX}/_doc/{document_id}?refresh=true", {**MODEL, **fields})


def test_a_model_is_there_after_a_restart_and_on_another_replica(opensearch_url: str, client: Client) -> None:
    """The service that trained it is gone; a new one and one that was there all the time answer alike."""
    with service("--opensearch", opensearch_url) as first:
        model_id = Client(first.url).ok("POST", TRAIN, rows_body())["model_id"]
        before = Client(first.url).ok("GET", f"{MODELS}/{model_id}?return_content=true")
        clusters = Client(first.url).ok("POST", f"{MODELS}/{model_id}/_predict", rows())
    with service("--opensearch", opensearch_url) as second:
        for replica in (Client(second.url), client):
            assert replica.ok("GET", f"{MODELS}/{model_id}?return_content=true") == before
            assert replica.ok("POST", f"{MODELS}/{model_id}/_predict", rows()) == clusters
            found = replica.ok("POST", f"{MODELS}/_search", {"query": {"ids": {"values": [model_id]}}})
            assert "model_content" not in found["hits"]["hits"][0]["_source"]
        Client(second.url).ok("DELETE", f"{MODELS}/{model_id}")
    assert client.send("POST", f"{MODELS}/{model_id}/_predict", rows()).status == 404


def test_a_change_is_seen_by_another_replica(opensearch_url: str, node: Client, client: Client) -> None:
    """At once, in GET and in searches."""
    store(node, "e1", algorithm="TEXT_EMBEDDING", description="old", rate_limiter={"limit": "1", "unit": "DAYS"})
    with service("--opensearch", opensearch_url) as other:
        changes = {"description": "new", "rate_limiter": {"limit": 2}, "is_enabled": False}
        assert client.ok("PUT", f"{MODELS}/e1", changes)["result"] == "updated"
        seen = Client(other.url).ok("GET", f"{MODELS}/e1")
        found = Client(other.url).ok("POST", f"{MODELS}/_search", {"query": {"match": {"description": "new"}}})

    assert (seen["description"], seen["is_enabled"]) == ("new", False)
    assert seen["rate_limiter"] == {"limit": "2", "unit": "DAYS"}
    assert [hit["_id"] for hit in found["hits"]["hits"]] == ["e1"]
    assert found["hits"]["hits"][0]["_source"]["last_updated_time"] == seen["last_updated_time"]


def test_a_deleted_model_takes_its_chunks_and_its_controller_along(node: Client, client: Client) -> None:
    """And nothing of another's."""
    controllers = "/.plugins-ml-controller/_doc"
    store(node, "c", algorithm="TEXT_EMBEDDING", total_chunks=2)
    for chunk_id, owner in (("c_0", "c"), ("c_1", "c"), ("d_0", "d")):
        store(node, chunk_id, algorithm="TEXT_EMBEDDING", model_id=owner)
    for owner in ("c", "d"):
        node.ok("PUT", f"{controllers}/{owner}?refresh=true", {"model_id": owner})

    client.ok("DELETE", f"{MODELS}/c")

    left = {name: node.send("GET", f"/{MODEL_INDEX}/_doc/{name}").status for name in ("c", "c_0", "c_1", "d_0")}
    assert left == {"c": 404, "c_0": 404, "c_1": 404, "d_0": 200}
    assert [node.send("GET", f"{controllers}/{owner}").status for owner in ("c", "d")] == [404, 200]
    node.ok("DELETE", "/.plugins-ml-controller")


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ("A" * BIG, 400),
        ("A" * BIG + "!", 400),
        (content_of(b'{"algorithm":"KMEANS","centroids":' + b"[" * 200_000), 400),
        (content_of(b'{"algorithm":"KMEANS","centroids":[[NaN,NaN]],"distance_type":"EUCLIDEAN","version":1}'), 400),
        (content_of(b'{"algorithm":"KMEANS","centroids":[[1e999,0]],"distance_type":"EUCLIDEAN","version":1}'), 400),
        (content_of(b"\xac\xed\0\5sr\0\4java.io.File"), 400),
        (content_of(b"\x80\4cos\nsystem\n"), 400),
        ("", 400),
        (None, 404),
    ],
    ids=["huge", "huge and broken", "deep", "NaN", "infinite", "java", "pickle", "empty", "null"],
)
def test_a_hostile_content(node: Client, client: Client, content: str | None, status: int) -> None:
    """A prediction says what is wrong with it, and the service goes on."""
    store(node, "m1", model_content=content)

    answer = client.send("POST", f"{MODELS}/m1/_predict", rows())

    assert answer.status == status, answer.payload[:500]
    assert answer.body["error"]["reason"]
    assert client.ok("GET", f"{MODELS}/m1")["model_state"] == "TRAINED"


def test_a_deep_document(node: Client, client: Client) -> None:
    """As deep as OpenSearch takes it where it does not look inside."""
    node.ok("DELETE", f"/{MODEL_INDEX}")
    node.ok("PUT", f"/{MODEL_INDEX}", {"mappings": {"enabled": False}})
    body = json.dumps(MODEL)[:-1] + ',"zz":' + "[" * 900 + "]" * 900 + "}"
    node.ok("PUT", f"/{MODEL_INDEX}/_doc/m1?refresh=true", body.encode())

    assert client.ok("GET", f"{MODELS}/m1")["algorithm"] == "KMEANS"
    assert client.send("POST", f"{MODELS}/m1/_predict", rows()).status == 500  # as the plugin: it has no content
    assert client.send("PUT", f"{MODELS}/m1", {"name": "x"}).status == 403
    assert client.ok("DELETE", f"{MODELS}/m1")["result"] == "deleted"
    for field in ("connector", "interface"):
        body = json.dumps(MODEL)[:-1] + f',"{field}":' + '{"input":' + "[" * 900 + "]" * 900 + "}}"
        node.ok("PUT", f"/{MODEL_INDEX}/_doc/m2?refresh=true", body.encode())
        answer = client.send("GET", f"{MODELS}/m2")
        assert answer.status == 200 or (answer.status, answer.body["error"]["reason"]) == (400, TOO_DEEP)


def test_hostile_contents_cost_bounded_memory(running: Service, node: Client, client: Client) -> None:
    """However many are asked for, one after the other, the service's processes grow by a few times one of them."""
    store(node, "m1", model_content="A" * BIG)
    store(node, "m2", model_content="A" * BIG + "!")
    before = memory_of(running.process.pid)

    for model_id in ("m1", "m2") * 4:
        assert client.send("POST", f"{MODELS}/{model_id}/_predict", rows()).status == 400
        client.ok("GET", f"{MODELS}/{model_id}?return_content=true")

    assert memory_of(running.process.pid) - before < MOST


def memory_of(pid: int) -> int:
    """Return the bytes that a process and those below it had at most, as the kernel counts them."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "status").read_text()
            except OSError:
                continue
            fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
            parents[int(entry.name)] = (int(fields["PPid"]), int(fields.get("VmHWM", "0 kB").split()[0]) * 1024)
    family, found = {pid}, True
    while found:
        found = {each for each, (parent, _) in parents.items() if parent in family} - family
        family |= found
    return sum(parents[each][1] for each in family if each in parents and each != os.getpid())
