"""Namespaces over HTTP: what belongs to one alone, what all have in common, and how its answers name indices."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cbor2
import opensearchpy
import pytest
import yaml

from mlcommons_tasks.server import RunningService
from tests.clients import MODELS, NOBODY, TASKS, Client, as_envelope, long_body
from tests.emulators import CONTROL, SMALL, Stand, by_id, fresh, step
from tests.services import wait_until

READERS: dict[str, Callable[[bytes], Any]] = {
    "json": json.loads,
    "yaml": yaml.safe_load,
    "cbor": cbor2.loads,
}
SHOWN = (".plugins-ml-task", ".plugins-ml-model")


@pytest.fixture(params=["memory_service", "embedded_service"])
def two(request: pytest.FixtureRequest) -> Iterator[tuple[Stand, Stand]]:
    """Two namespaces of one service, over an in-memory server and over a real node."""
    url = request.getfixturevalue(request.param).url
    stands = fresh(url), fresh(url)
    yield stands
    for stand in stands:
        assert stand.send("DELETE", f"{CONTROL}/namespaces/{stand.namespace}").status == 200


def test_header_and_prefix_are_the_same_namespace(two: tuple[Stand, Stand]) -> None:
    """The prefix is above the header; both reach the control calls too."""
    stand = two[0]
    stand.tell(step("EXPIRED"))
    task_id = stand.train()
    header = {"X-Emulator-Namespace": str(stand.namespace)}
    plain = Client(stand.url)

    assert plain.send("GET", f"{TASKS}/{task_id}", headers=header).body["state"] == "EXPIRED"
    found = plain.send("POST", f"{TASKS}/_search", by_id(task_id), header).body["hits"]["hits"]
    assert [(hit["_index"], hit["_id"]) for hit in found] == [(SHOWN[0], task_id)]
    assert plain.send("GET", f"{TASKS}/{task_id}").status == 404
    assert plain.send("GET", CONTROL, headers=header).body["namespace"] == stand.namespace
    assert stand.send("GET", CONTROL, headers={"X-Emulator-Namespace": "another"}).body["namespace"] == stand.namespace
    assert plain.send("GET", CONTROL).body["namespace"] == "main"
    assert plain.send("GET", f"{CONTROL}/in/main{CONTROL}").body["namespace"] == "main"


def test_namespaces_do_not_see_each_other(two: tuple[Stand, Stand]) -> None:
    """Tasks, models, scenarios, faults, journal, clock and ids."""
    one, other = two
    one.tell(step("COMPLETED"), name="mine")
    one.ok("POST", f"{CONTROL}/faults", {"name": "f", "match": {"path": "/_cat/*"}, "effect": {"status": 503}})
    one.ok("PUT", f"{CONTROL}/ids", {"seed": 1})
    one.clock("_stop", body={"at": 5_000})
    task_id = one.train()
    model_id = one.ended(task_id)["model_id"]

    for stand in (other, Stand(one.url)):
        assert stand.state(task_id) == "404"
        assert task_id not in stand.states()
        assert stand.send("GET", f"{MODELS}/{model_id}").status == 404
        assert stand.send("POST", f"/_plugins/_ml/_predict/kmeans/{model_id}", SMALL).status == 404
        assert stand.ok("GET", f"{CONTROL}/scenarios")["scenarios"] == []
        assert stand.ok("GET", f"{CONTROL}/faults")["faults"] == []
        assert stand.clock()["stopped"] is False
        assert stand.clock()["now"] > 1_000_000
        assert stand.send("GET", "/_cat/health").status == 200
        assert stand.ok("GET", f"{CONTROL}/requests/_count?method=POST&task_id={task_id}")["count"] == 0
    assert one.ok("GET", f"{CONTROL}/requests/_count?method=POST&task_id={task_id}")["count"] == 1
    assert one.send("GET", "/_cat/health").status == 503
    real = other.ended(other.train())
    assert real["create_time"] > 1_000_000


def test_user_indices_and_cluster_settings_are_everybodys(two: tuple[Stand, Stand]) -> None:
    """What one writes the other reads, and so does who names no namespace."""
    one, other = two
    index = f"shared-{one.namespace}"
    one.ok("PUT", f"/{index}/_doc/1?refresh=true", {"a": 1})
    setting = {"plugins.ml_commons.max_ml_task_per_node": 17}
    try:
        one.ok("PUT", "/_cluster/settings", {"transient": setting})
        for stand in (one, other, Stand(one.url)):
            assert stand.ok("GET", f"/{index}/_search")["hits"]["hits"][0]["_index"] == index
            settings = stand.ok("GET", "/_cluster/settings?flat_settings=true")
            assert settings["transient"] == {"plugins.ml_commons.max_ml_task_per_node": "17"}
    finally:
        one.ok("PUT", "/_cluster/settings", {"transient": dict.fromkeys(setting)})
        one.ok("DELETE", f"/{index}")


def test_answers_name_the_plugins_indices(two: tuple[Stand, Stand]) -> None:
    """Searches, deletions and errors, in every format; whatever a search asks for."""
    stand = two[0]
    stand.tell(step("RUNNING", 1), step("COMPLETED"))
    task = stand.ended(task_id := stand.train())
    inner = f".mlcommons-tasks-ns-{stand.namespace}".encode()

    for path, index in ((TASKS, SHOWN[0]), (MODELS, SHOWN[1])):
        for kind, read in READERS.items():
            answer = stand.send("POST", f"{path}/_search?format={kind}", NOBODY)
            if kind not in answer.headers["Content-Type"]:
                assert "osmem" in stand.ok("GET", "/")["name"]  # the in-memory server speaks JSON alone
                continue
            assert {hit["_index"] for hit in read(answer.payload)["hits"]["hits"]} == {index}, answer.payload
            assert inner not in answer.payload
        packed = stand.send("POST", f"{path}/_search?format=smile", NOBODY).payload
        assert inner not in packed
        assert bytes([0x40 + len(index) - 1]) + index.encode() in packed or not packed.startswith(b":)")
    for more in ("?pretty", "?filter_path=hits.hits._index", "?typed_keys"):
        assert inner not in stand.send("POST", f"{TASKS}/_search{more}", NOBODY).payload
    for body in ({"query": {"nope": {}}}, {"sort": ["nothing_of_this_name"]}, {"explain": True}, {"profile": True}):
        answer = stand.send("POST", f"{TASKS}/_search", body)
        assert inner not in answer.payload, answer.payload
    deleted = [stand.ok("DELETE", f"{TASKS}/{task_id}"), stand.ok("DELETE", f"{MODELS}/{task['model_id']}")]
    assert [it["_index"] for it in deleted] == list(SHOWN)


def test_the_plugins_indices_are_reached_by_name(two: tuple[Stand, Stand]) -> None:
    """As people look into them by hand: their documents are the namespace's."""
    one, other = two
    one.tell(step("EXPIRED"))
    task_id = one.train()

    found = one.ok("GET", f"/{SHOWN[0]}/_search")["hits"]["hits"]
    assert [(hit["_index"], hit["_id"]) for hit in found] == [(SHOWN[0], task_id)]
    assert one.ok("GET", f"/{SHOWN[0]}/_doc/{task_id}")["_index"] == SHOWN[0]
    assert one.ok("GET", f"/{SHOWN[0]}/_count")["count"] == 1
    assert list(one.ok("GET", f"/{SHOWN[0]}/_mapping")) == [SHOWN[0]]
    assert other.send("GET", f"/{SHOWN[0]}/_doc/{task_id}").status == 404


def test_a_search_of_everything_finds_nothing_of_another_namespace(two: tuple[Stand, Stand]) -> None:
    """Nor does a list of all indices, as people look into it."""
    one, other = two
    one.tell(step("EXPIRED"))
    task_id = one.train()

    for stand, path in itertools.product((other, Stand(one.url)), ("/_search", "/*/_search", "/_all/_search")):
        hits = stand.ok("POST", path, {"size": 1000})["hits"]["hits"]
        assert task_id not in {hit["_id"] for hit in hits}, path
    assert f".mlcommons-tasks-ns-{one.namespace}" not in other.send("GET", "/_cat/indices").payload.decode()


def test_a_point_in_time_of_a_namespace(two: tuple[Stand, Stand]) -> None:
    """It shows what was then, and the plugin's name."""
    stand = two[0]
    task_id = stand.create({"name": "p", "steps": [step("RUNNING", 3), step("COMPLETED")]})
    pit = stand.ok("POST", f"/{SHOWN[0]}/_search/point_in_time?keep_alive=1m")["pit_id"]
    body = {**by_id(task_id), "pit": {"id": pit, "keep_alive": "1m"}}

    states = []
    for _ in range(4):
        (hit,) = stand.ok("POST", f"{TASKS}/_search", body)["hits"]["hits"]
        assert hit["_index"] == SHOWN[0]
        states.append(hit["_source"]["state"])
    assert states == ["RUNNING"] * 4
    assert stand.state(task_id) == "COMPLETED"


def test_trainings_predictions_models_and_cluster_tasks_work_inside(two: tuple[Stand, Stand]) -> None:
    """As they do without a namespace; `_tasks` shows a training where it was begun."""
    one, other = two
    Client(one.url).load_iris()
    answer = one.ok("POST", "/_plugins/_ml/_train/kmeans", SMALL)
    assert answer["status"] == "COMPLETED"
    predicted = one.ok(
        "POST", f"/_plugins/_ml/_predict/kmeans/{answer['model_id']}", {"input_data": SMALL["input_data"]}
    )
    assert len(predicted["prediction_result"]["rows"]) == 9
    query = {
        "parameters": {"centroids": 3},
        "input_query": {"_source": ["petal_width"], "size": 150},
        "input_index": ["iris"],
    }
    assert one.ended(one.train(body=query))["state"] == "COMPLETED"
    model = one.ok("GET", f"{MODELS}/{answer['model_id']}")
    assert model["algorithm"] == "KMEANS"
    assert [hit["_id"] for hit in one.ok("POST", f"{MODELS}/_search", by_id(answer["model_id"]))["hits"]["hits"]]
    assert one.ok("POST", "/_plugins/_ml/_train_predict/kmeans", SMALL)["status"] == "COMPLETED"

    running = one.train("of-one", long_body(2_000_000))
    mine = wait_until(lambda: cluster_tasks(one), what="a cluster task")
    assert all(task["headers"].get("X-Opaque-Id") == "of-one" for task in mine)
    assert cluster_tasks(other) == []
    assert "cluster:admin/opensearch/ml/train" in one.send("GET", "/_cat/tasks").payload.decode()
    assert "cluster:admin/opensearch/ml/train" not in other.send("GET", "/_cat/tasks").payload.decode()
    one.ok("POST", "/_tasks/_cancel?actions=cluster:admin/opensearch/ml/*")
    assert one.ended(running)["state"] in ("CANCELLED", "FAILED")


def cluster_tasks(stand: Stand) -> list[dict[str, Any]]:
    """Return the trainings that `_tasks` shows."""
    nodes = stand.ok("GET", "/_tasks?actions=cluster:admin/opensearch/ml/*&detailed")["nodes"]
    return [task for node in nodes.values() for task in node["tasks"].values()]


def test_the_official_client_works_by_prefix(two: tuple[Stand, Stand]) -> None:
    """With `url_prefix`, as it is told of any OpenSearch behind a path."""
    one = two[0]
    with opensearchpy.OpenSearch(one.url, url_prefix=f"{CONTROL}/in/{one.namespace}") as client:
        assert client.info()["version"]["number"]
        client.index(index="prefixed", body={"a": 1}, params={"refresh": "true"})
        assert client.search(index="prefixed")["hits"]["total"]["value"] >= 1
        client.transport.perform_request("POST", f"{CONTROL}/scenarios", body={"name": "x", "steps": [step("EXPIRED")]})
        made = client.transport.perform_request("POST", "/_plugins/_ml/_train/kmeans?async=true", body=SMALL)
        assert client.transport.perform_request("GET", f"{TASKS}/{made['task_id']}")["state"] == "EXPIRED"
        client.indices.delete(index="prefixed")


@pytest.mark.parametrize(
    "name", ["A", "-a", "_a", "a" * 64, "a.b", "a%2Fb", "%20", "", "ä".encode().decode("latin-1"), "a*"]
)
def test_a_bad_name_is_refused_by_the_rule(name: str, memory_service: RunningService) -> None:
    """By header and by prefix, on every route; an empty header is none."""
    client = Client(memory_service.url)
    calls = [(f"{CONTROL}/in/{name}{path}", {}) for path in (CONTROL, f"{TASKS}/x", "/")] if name.isascii() else []
    if name:
        calls += [(path, {"X-Emulator-Namespace": name}) for path in (CONTROL, f"{TASKS}/x", "/")]

    for path, headers in calls:
        answer = client.send("GET", path, headers=headers)
        assert answer.status == 400, (path, answer.payload)
        assert "[[a-z0-9][a-z0-9_-]{0,62}]" in as_envelope(answer)["reason"]


@pytest.mark.parametrize("name", ["a", "0", "a" * 63, "a-b_c", "main"])
def test_a_good_name_is_not(name: str, memory_service: RunningService) -> None:
    """It answers, a path of it or not."""
    client = Client(memory_service.url)
    for path in ("", "/", CONTROL):
        assert client.send("GET", f"{CONTROL}/in/{name}{path}").status == 200


def test_forty_namespaces_at_once(memory_service: RunningService) -> None:
    """Each goes its own way, real work and played."""

    def use(_: int) -> tuple[list[str], str]:
        stand = fresh(memory_service.url)
        stand.clock("_stop")
        stand.tell(step("CREATED", 1), step("RUNNING", 2), step("EXPIRED"), times=1)
        played = stand.train()
        states = [stand.state(played) for _ in range(4)]
        real = stand.ended(stand.train())["state"]
        assert len(stand.states()) == 2
        assert stand.send("DELETE", f"{CONTROL}/namespaces/{stand.namespace}").status == 200
        return states, real

    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(use, range(40)))

    assert found == [(["CREATED", "RUNNING", "RUNNING", "EXPIRED"], "COMPLETED")] * 40
