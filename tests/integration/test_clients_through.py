"""Through the service with what nobody here wrote: opensearch-py's helpers and APIs, on all that is forwarded."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from typing import Any

import opensearchpy
import pytest
from opensearchpy import OpenSearch, helpers

from tests.clients import Client
from tests.integration.test_official_clients import CLIENTS, PATIENCE_S, python_of
from tests.services import clean_environment

pytestmark = pytest.mark.embedded

MANY = 5_000
EVERYTHING = {"query": {"match_all": {}}}


@pytest.fixture(scope="module")
def client(service_url: str) -> Iterator[OpenSearch]:
    """opensearch-py at the service."""
    with OpenSearch(hosts=[service_url], timeout=60) as found:
        yield found


@pytest.fixture(scope="module")
def direct(opensearch_url: str) -> Iterator[OpenSearch]:
    """The same at OpenSearch itself, to see what came there."""
    with OpenSearch(hosts=[opensearch_url], timeout=60) as found:
        yield found


@pytest.fixture
def index(direct: OpenSearch) -> Iterator[str]:
    """A name of the test's own; what was made under it is removed."""
    name = f"through-{uuid.uuid4().hex[:12]}"
    yield name
    direct.indices.delete(index=f"{name}*", ignore=[404])


def documents(count: int = MANY) -> Iterator[dict[str, Any]]:
    for number in range(count):
        yield {"_id": str(number), "number": number, "word": f"wört-{number % 10} €𝄞", "long": "x" * (number % 500)}


def numbers(client: OpenSearch, index: str) -> set[int]:
    client.indices.refresh(index=index)
    return {hit["_source"]["number"] for hit in helpers.scan(client, query=EVERYTHING, index=index, size=1000)}


@pytest.mark.parametrize("packed", [False, True])
def test_bulk(client: OpenSearch, direct: OpenSearch, service_url: str, index: str, packed: bool) -> None:
    """The bulk helper stores each document once and as it is, packed by the client or not."""
    with OpenSearch(hosts=[service_url], timeout=60, http_compress=packed) as sender:
        assert helpers.bulk(sender, documents(), index=index, chunk_size=500) == (MANY, [])
    assert numbers(direct, index) == set(range(MANY))
    assert client.get(index=index, id="7") == direct.get(index=index, id="7")


def test_parallel_bulk(client: OpenSearch, direct: OpenSearch, index: str) -> None:
    """Eight threads at once lose and double nothing."""
    results = list(helpers.parallel_bulk(client, documents(), thread_count=8, chunk_size=100, index=index))
    assert [ok for ok, _ in results] == [True] * MANY
    assert numbers(direct, index) == set(range(MANY))


def test_streaming_bulk_tells_of_each_failure(client: OpenSearch, index: str) -> None:
    """A document that OpenSearch refuses is told by itself, the others are stored."""
    client.indices.create(index=index, body={"mappings": {"properties": {"number": {"type": "integer"}}}})
    actions: list[dict[str, Any]] = list(documents(100))
    actions[42]["number"] = "none"
    results = list(helpers.streaming_bulk(client, actions, index=index, chunk_size=7, raise_on_error=False))
    refused = [told["index"] for ok, told in results if not ok]
    assert (len(results), [each["_id"] for each in refused]) == (100, ["42"])
    assert refused[0]["error"]["type"] == "mapper_parsing_exception"
    with pytest.raises(helpers.BulkIndexError):
        helpers.bulk(client, actions, index=index)


def test_scan_scroll_and_clear(client: OpenSearch, direct: OpenSearch, index: str) -> None:
    """A scroll goes on from page to page, on either side, and is over once it is cleared."""
    helpers.bulk(direct, documents(250), index=index, refresh=True)
    assert len(list(helpers.scan(client, query=EVERYTHING, index=index, size=17))) == 250
    page = client.search(index=index, body={**EVERYTHING, "size": 100}, params={"scroll": "1m"})
    found = [hit["_id"] for hit in page["hits"]["hits"]]
    for asked in (client, direct, client):
        page = asked.scroll(body={"scroll_id": page["_scroll_id"], "scroll": "1m"})
        found += [hit["_id"] for hit in page["hits"]["hits"]]
    assert sorted(found, key=int) == [str(number) for number in range(250)]
    assert client.clear_scroll(body={"scroll_id": [page["_scroll_id"]]})["succeeded"] is True
    with pytest.raises(opensearchpy.NotFoundError):
        client.scroll(body={"scroll_id": page["_scroll_id"]})


def test_reindex_by_the_helper_and_by_the_server(client: OpenSearch, direct: OpenSearch, index: str) -> None:
    """Both ways copy everything; the server's can be a task, which `_tasks` then tells the end of."""
    helpers.bulk(direct, documents(1000), index=index, refresh=True)
    assert helpers.reindex(client, index, f"{index}-helper", chunk_size=300) == (1000, 0)
    body = {"source": {"index": index}, "dest": {"index": f"{index}-server"}}
    assert client.reindex(body=body)["created"] == 1000
    body["dest"]["index"] = f"{index}-task"
    task = client.reindex(body=body, params={"wait_for_completion": "false"})["task"]
    done = client.tasks.get(task_id=task, params={"wait_for_completion": "true"})
    assert (done["completed"], done["response"]["created"]) == (True, 1000)
    for kind in ("helper", "server", "task"):
        assert numbers(direct, f"{index}-{kind}") == set(range(1000))


def test_update_and_delete_by_query(client: OpenSearch, direct: OpenSearch, index: str) -> None:
    """A script and a query, over the whole of an index."""
    helpers.bulk(direct, documents(100), index=index, refresh=True)
    script = {"script": {"source": "ctx._source.number += 1000", "lang": "painless"}}
    assert client.update_by_query(index=index, body=script, params={"refresh": "true"})["updated"] == 100
    body = {"query": {"range": {"number": {"lt": 1050}}}}
    assert client.delete_by_query(index=index, body=body, params={"refresh": "true"})["deleted"] == 50
    assert numbers(direct, index) == set(range(1050, 1100))


def test_templates_and_aliases(client: OpenSearch, direct: OpenSearch, index: str) -> None:
    """A template shapes what is made after it; an alias moves from index to index in one step."""
    settings = {"settings": {"number_of_replicas": 0}, "mappings": {"properties": {"word": {"type": "keyword"}}}}
    template = {"index_patterns": [f"{index}-*"], "template": {**settings, "aliases": {f"{index}-all": {}}}}
    client.indices.put_index_template(name=index, body=template)
    try:
        assert client.indices.exists_index_template(name=index) is True
        for number in (1, 2):
            client.index(index=f"{index}-{number}", id="1", body={"word": "a b"}, params={"refresh": "true"})
        mapping = direct.indices.get_mapping(index=f"{index}-1")[f"{index}-1"]["mappings"]
        assert mapping["properties"]["word"] == {"type": "keyword"}
        assert client.count(index=f"{index}-all")["count"] == 2
        add = {"add": {"index": f"{index}-1", "alias": f"{index}-now"}}
        move = [{"remove": add["add"]}, {"add": {"index": f"{index}-2", "alias": f"{index}-now"}}]
        assert client.indices.update_aliases(body={"actions": [add]})["acknowledged"] is True
        assert client.indices.update_aliases(body={"actions": move})["acknowledged"] is True
        assert list(direct.indices.get_alias(name=f"{index}-now")) == [f"{index}-2"]
    finally:
        client.indices.delete_index_template(name=index)
    assert client.indices.exists_index_template(name=index) is False


def test_names_with_dates_and_ids_with_everything(client: OpenSearch, direct: OpenSearch, index: str) -> None:
    """Date math in a name, and ids with slashes, percent signs, pluses and letters of all kinds."""
    made = client.index(index=f"<{index}-{{now/d{{yyyy}}}}>", id="1", body={"a": 1})["_index"]
    assert made.startswith(f"{index}-20")
    for document_id in ("a/b", "a%2Fb", "a+b c", "ä€𝄞", "..", "a?b#c", "a\\b", "[x]{y}|<z>", "%"):
        client.index(index=index, id=document_id, body={"id": document_id})
        assert direct.get(index=index, id=document_id)["_source"] == {"id": document_id}
        assert client.get_source(index=index, id=document_id) == {"id": document_id}
        assert client.delete(index=index, id=document_id)["result"] == "deleted"


def test_point_in_time(client: OpenSearch, direct: OpenSearch, index: str) -> None:
    """What is stored after a point in time is not in it, page by page."""
    helpers.bulk(direct, documents(90), index=index, refresh=True)
    pit = client.create_pit(index=index, params={"keep_alive": "1m"})["pit_id"]
    helpers.bulk(direct, ({"_id": f"late-{n}", "number": -n} for n in range(10)), index=index, refresh=True)
    found: list[int] = []
    after: dict[str, Any] = {}
    while True:
        body = {"size": 40, "pit": {"id": pit, "keep_alive": "1m"}, "sort": [{"number": "asc"}], **after}
        hits = client.search(body=body)["hits"]["hits"]
        if not hits:
            break
        found += [hit["_source"]["number"] for hit in hits]
        after = {"search_after": hits[-1]["sort"]}
    assert found == list(range(90))
    assert client.delete_pit(body={"pit_id": [pit]})["pits"][0]["successful"] is True


def test_msearch_and_mget(client: OpenSearch, direct: OpenSearch, index: str) -> None:
    """Several searches in one body of lines: each is answered by itself, errors among them."""
    helpers.bulk(direct, documents(100), index=index, refresh=True)
    lines = [{"index": index}, {"size": 0}, {"index": f"{index}-none"}, {}, {}, {"sort": ["none"]}]
    first, second, third = client.msearch(body=lines, index=index)["responses"]
    assert first["hits"]["total"]["value"] == 100
    assert (second["status"], second["error"]["type"]) == (404, "index_not_found_exception")
    assert (third["status"], third["error"]["type"]) == (400, "search_phase_execution_exception")
    found = client.mget(index=index, body={"ids": ["1", "none"]})["docs"]
    assert [each["found"] for each in found] == [True, False]


def test_snapshots_in_a_folder(client: OpenSearch, direct: OpenSearch, index: str) -> None:
    """A snapshot is taken while the caller waits, restored under another name, and deleted."""
    helpers.bulk(direct, documents(200), index=index, refresh=True)
    repository = {"type": "fs", "settings": {"location": index}}
    assert client.snapshot.create_repository(repository=index, body=repository)["acknowledged"] is True
    wait = {"wait_for_completion": "true"}
    body = {"indices": index, "include_global_state": False}
    taken = client.snapshot.create(repository=index, snapshot="one", body=body, params=wait)["snapshot"]
    assert (taken["state"], taken["indices"]) == ("SUCCESS", [index])
    restore = {"indices": index, "rename_pattern": "(.+)", "rename_replacement": "$1-restored"}
    client.snapshot.restore(repository=index, snapshot="one", body=restore, params=wait)
    assert numbers(direct, f"{index}-restored") == set(range(200))
    assert client.snapshot.delete(repository=index, snapshot="one")["acknowledged"] is True
    assert client.snapshot.delete_repository(repository=index)["acknowledged"] is True


@pytest.mark.parametrize("kind", ["json", "yaml", "cbor", "smile"])
def test_formats_and_tables(service_url: str, opensearch_url: str, direct: OpenSearch, index: str, kind: str) -> None:
    """Tables as text and all formats, binary ones among them, are the same bytes on both sides."""
    helpers.bulk(direct, documents(10), index=index, refresh=True)
    search = f"/{index}/_search?format={kind}&sort=number:asc&filter_path=hits&pretty"
    for target in (search, f"/_cat/indices/{index}?v&format={kind}", f"/_cat/indices/{index}?v&h=index,docs.count"):
        ours, theirs = (Client(url).send("GET", target) for url in (service_url, opensearch_url))
        assert (ours.status, ours.payload) == (200, theirs.payload)
        assert sorted(ours.headers.items()) == sorted(theirs.headers.items())


@pytest.mark.parametrize("environment", ["lowest", "newest"])
def test_the_async_client_and_its_helpers(request: pytest.FixtureRequest, index: str, environment: str) -> None:
    """opensearch-py with asyncio, in an environment of its own: many requests at once, its helpers, scroll and PIT."""
    python = python_of(environment)
    url = request.getfixturevalue("service_url")
    run = subprocess.run(
        [python, CLIENTS / "story_through.py", url, index],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env=clean_environment(),
        check=False,
    )
    assert run.returncode == 0, run.stderr[-4000:]
    assert json.loads(run.stdout.splitlines()[-1]) == {
        "bulk": [MANY, []],
        "streamed": 100,
        "scanned": MANY + 100,
        "reindexed": [MANY + 100, 0],
        "at once": [200] * 64,
        "pit": 1000,
        "missing": 404,
    }
