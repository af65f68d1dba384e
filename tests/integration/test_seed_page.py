"""The page that everything began with: its documents loaded, its GET and its search answered with its bodies."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.clients import TASKS, Client
from tests.services import Service, clean_environment

FIXTURES = Path(__file__).parents[2] / "fixtures"
GET_EXAMPLE = FIXTURES / "tasks" / "get-example"
SEARCH_EXAMPLE = FIXTURES / "tasks" / "search-example"

#: The page's GET; `worker_node` is a list in the version that is emulated.
GOT = {
    "model_id": "l7lamX8BO5w8y8Ra2oty",
    "task_type": "TRAINING",
    "function_name": "KMEANS",
    "state": "COMPLETED",
    "input_type": "SEARCH_QUERY",
    "worker_node": ["54xOe0w8Qjyze00UuLDfdA"],
    "create_time": 1647545342556,
    "last_update_time": 1647545342587,
    "is_async": True,
}
ASKED = {"query": {"bool": {"filter": [{"term": {"function_name": "KMEANS"}}]}}}
#: The page's search answer, without what a server must choose.
FOUND = [
    {
        "_index": ".plugins-ml-task",
        "_id": "_wnLJ38BvytMh9aUi-Ia",
        "_source": {
            "last_update_time": 1645640125267,
            "create_time": 1645640125209,
            "is_async": True,
            "function_name": "KMEANS",
            "input_type": "SEARCH_QUERY",
            "worker_node": "jjqFrlW7QWmni1tRnb_7Dg",
            "state": "COMPLETED",
            "model_id": "AAnLJ38BvytMh9aUi-M2",
            "task_type": "TRAINING",
        },
    },
    {
        "_index": ".plugins-ml-task",
        "_id": "wwRRLX8BydmmU1x6I-AI",
        "_source": {
            "last_update_time": 1645732766656,
            "create_time": 1645732766472,
            "is_async": True,
            "function_name": "KMEANS",
            "input_type": "SEARCH_QUERY",
            "worker_node": "A_IiqoloTDK01uZvCjREaA",
            "state": "COMPLETED",
            "model_id": "xARRLX8BydmmU1x6I-CG",
            "task_type": "TRAINING",
        },
    },
]
CHOSEN = {"_version", "_seq_no", "_primary_term", "_score"}


def seed(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `mlcommons-tasks seed`."""
    return subprocess.run(
        [sys.executable, "-m", "mlcommons_tasks", "seed", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        env=clean_environment(),
        check=False,
    )


def refused(*arguments: str) -> str:
    """Seed what must be refused; return what was said."""
    ended = seed(*arguments)
    assert ended.returncode == 2, ended.stderr
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended.stderr


@pytest.fixture(params=["memory", pytest.param("embedded", marks=pytest.mark.embedded)])
def client(request: pytest.FixtureRequest) -> Client:
    """A service without tasks, over each kind."""
    found: Service = request.getfixturevalue(f"{request.param}_service")
    client = Client(found.url)
    client.send("DELETE", "/.plugins-ml-task")
    return client


def test_the_pages_get_is_answered_with_its_body(client: Client) -> None:
    """The document of the page's GET example is shown with the same keys in the same order."""
    ended = seed(str(GET_EXAMPLE), "--url", client.url)
    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr
    assert "1 document from 1 file loaded into" in ended.stderr
    answer = client.send("GET", f"{TASKS}/MsBi1YsB0jLkkocYjD5f")
    assert answer.payload == json.dumps(GOT, separators=(",", ":")).encode()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_pages_search_is_answered_with_its_body(client: Client, method: str) -> None:
    """The documents of the page's search example come back as they are stored, in the page's frame."""
    assert seed(str(SEARCH_EXAMPLE), "--url", client.url).returncode == 0
    body = client.ok(method, f"{TASKS}/_search", ASKED)
    assert set(body) == {"took", "timed_out", "_shards", "hits"}
    assert isinstance(body["took"], int)
    assert body["timed_out"] is False
    assert body["_shards"] == {"total": 1, "successful": 1, "skipped": 0, "failed": 0}
    hits = body["hits"]
    assert set(hits) == {"total", "max_score", "hits"}
    assert hits["total"] == {"value": 2, "relation": "eq"}
    assert hits["max_score"] == max(hit["_score"] for hit in hits["hits"]) == 0.0
    without: list[dict[str, Any]] = []
    for hit in hits["hits"]:
        assert set(hit) >= CHOSEN
        assert (hit["_version"], hit["_primary_term"]) == (1, 1)
        without.append({name: value for name, value in hit.items() if name not in CHOSEN})
    assert without == FOUND


@pytest.mark.embedded
def test_sources_come_with_their_keys_in_the_stored_order(embedded_service: Service) -> None:
    """A real OpenSearch gives back the bytes of a source; so does the search."""
    client = Client(embedded_service.url)
    client.send("DELETE", "/.plugins-ml-task")
    assert seed(str(SEARCH_EXAMPLE), "--url", client.url).returncode == 0
    found = client.ok("POST", f"{TASKS}/_search", ASKED)["hits"]["hits"]
    assert [list(hit["_source"]) for hit in found] == [list(hit["_source"]) for hit in FOUND]
    mapping = client.ok("GET", "/.plugins-ml-task/_mapping")[".plugins-ml-task"]["mappings"]
    assert mapping["properties"]["state"] == {"type": "keyword"}, "the index was made with its mapping"


def test_a_folder_is_loaded_whole_and_again(memory_service: Service, tmp_path: Path) -> None:
    """All NDJSON files below a folder are loaded, other files are not, and twice is as good as once."""
    client = Client(memory_service.url)
    (tmp_path / "deep").mkdir()
    for name in ("a.ndjson", "deep/b.ndjson", "c.txt"):
        line = {"index": {"_index": "seeded", "_id": name}}
        (tmp_path / name).write_text(f'{json.dumps(line)}\n\n{{"from":"{name}"}}\n')
    for _ in range(2):
        ended = seed(str(tmp_path), "--url", client.url)
        assert ended.returncode == 0, ended.stderr
        assert "2 documents from 2 files loaded into" in ended.stderr
        assert client.ok("GET", "/seeded/_count")["count"] == 2
    client.ok("DELETE", "/seeded")


def test_thousands_of_documents_go_in_batches(memory_service: Service, tmp_path: Path) -> None:
    """A file of more documents than a batch holds is loaded whole."""
    client = Client(memory_service.url)
    pairs = [f'{{"index":{{"_index":"many","_id":"{n}"}}}}\n{{"n":{n}}}\n' for n in range(2500)]
    (tmp_path / "many.ndjson").write_text("".join(pairs))
    ended = seed(str(tmp_path / "many.ndjson"), "--url", client.url)
    assert "2500 documents from 1 file loaded into" in ended.stderr, ended.stderr
    assert client.ok("GET", "/many/_count")["count"] == 2500
    client.ok("DELETE", "/many")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('{"index":{"_index":"a"}}\n{"n":1}\nnonsense\n', "file.ndjson, line 3: this is no _bulk action"),
        ('{"n":1}\n{"n":1}\n', "file.ndjson, line 1: this is no _bulk action"),
        ("\n[]\n", "file.ndjson, line 2: this is no _bulk action"),
        ('{"index":{"_index":"a"}}\n{"n":1}\n{"index":{"_index":"a"}}\n', "line 3: the action has no document"),
        ('{"index":{"_index":"a"}}\n{"n":\n', "file.ndjson, line 2: the document is not a JSON object"),
        ('{"index":{"_index":"a"}}\n[1]\n', "file.ndjson, line 2: the document is not a JSON object"),
        ("\xff\xfe", "file.ndjson, line 1: this is no _bulk action"),
    ],
)
def test_a_broken_line_is_named(memory_service: Service, tmp_path: Path, content: str, sentence: str) -> None:
    """What is no action and no document is named by file and line, with code 2."""
    (tmp_path / "file.ndjson").write_bytes(content.encode("latin-1"))
    assert sentence in refused(str(tmp_path / "file.ndjson"), "--url", memory_service.url)
    Client(memory_service.url).send("DELETE", "/a")


def test_a_document_that_opensearch_refuses_is_named(memory_service: Service, tmp_path: Path) -> None:
    """A value that does not fit the mapping stops the loading, with OpenSearch's reason."""
    lines = ['{"index":{"_index":".plugins-ml-task","_id":"bad"}}', '{"create_time":"no time at all"}']
    (tmp_path / "bad.ndjson").write_text("\n".join(lines))
    said = refused(str(tmp_path / "bad.ndjson"), "--url", memory_service.url)
    assert "bad.ndjson: OpenSearch refuses document bad: " in said
    assert "create_time" in said


def test_a_missing_path_and_a_missing_service_are_named(tmp_path: Path) -> None:
    """Neither a file that is not there nor a service that is not there is a traceback."""
    assert "nowhere.ndjson is not there" in refused(str(tmp_path / "nowhere.ndjson"))
    assert "has no .ndjson file" in refused(str(tmp_path))
    said = refused(str(GET_EXAMPLE), "--url", "http://127.0.0.1:1")
    assert "Is a service or an OpenSearch at http://127.0.0.1:1?" in said
    assert "must be a URL" in refused(str(GET_EXAMPLE), "--url", "nonsense")
