"""Trainings from end to end: what is trained, what is stored and when, and that every accepted task ends."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest

from mlcommons_tasks.data_frame import DataFrame
from mlcommons_tasks.node.distribution import fetch
from mlcommons_tasks.node.process import EmbeddedNode
from mlcommons_tasks.pipeline.algorithms import kmeans
from mlcommons_tasks.pipeline.data_frame import frame_from_sources
from mlcommons_tasks.server import RunningService
from mlcommons_tasks.store.mappings import model_index_body, task_index_body
from tests.clients import (
    FEATURES,
    IRIS,
    MODELS,
    NOBODY,
    TASKS,
    TRAIN,
    Client,
    as_envelope,
    long_body,
    query_body,
    rows_body,
)
from tests.services import Service, service, wait_until
from tests.upstreams import osmem

BURST = 300
CLIENTS = 32
BURST_S = 60.0
STORED = ["CREATED", "RUNNING", "COMPLETED"]


@pytest.fixture
def embedded(embedded_service: Service) -> Client:
    return Client(embedded_service.url)


@pytest.fixture(scope="module")
def memory(memory_service: RunningService) -> Client:
    return Client(memory_service.url)


@pytest.fixture(scope="module")
def iris() -> list[dict[str, float]]:
    """The flowers, each with its features only."""
    flowers = [json.loads(line) for line in IRIS.read_text().splitlines() if '"index"' not in line]
    return [{name: flower[name] for name in FEATURES} for flower in flowers]


def model_content(client: Client, model_id: str) -> bytes:
    """Return what a stored model holds."""
    model = client.ok("GET", f"/.plugins-ml-model/_source/{model_id}")
    assert (model["algorithm"], model["model_state"]) == ("KMEANS", "TRAINED")
    return base64.b64decode(model["model_content"])


def clusters_of(client: Client, model_id: str, rows: DataFrame) -> list[int]:
    """Return the cluster that a stored model puts each row in."""
    return list(kmeans.predict(model_content(client, model_id), rows).cells[0])


def as_rows(flowers: list[dict[str, float]], parameters: dict[str, Any]) -> dict[str, Any]:
    return {
        "parameters": parameters,
        "input_data": {
            "column_metas": [{"name": name, "column_type": "DOUBLE"} for name in FEATURES],
            "rows": [
                {"values": [{"column_type": "DOUBLE", "value": flower[name]} for name in FEATURES]}
                for flower in flowers
            ],
        },
    }


@pytest.mark.embedded
@pytest.mark.parametrize("source", ["query", "rows"])
def test_kmeans_finds_the_three_heaps_of_iris(embedded: Client, iris: list[dict[str, float]], source: str) -> None:
    """Of some trainings with three centroids one tells the setosas from the others and these from each other."""
    parameters = {"centroids": 3, "iterations": 50, "distance_type": "EUCLIDEAN"}
    if source == "query":
        embedded.load_iris("iris-heaps")
        body = {**query_body("iris-heaps", FEATURES, 150), "parameters": parameters}
    else:
        body = as_rows(iris, parameters)
    frame = frame_from_sources(iris)
    for _ in range(20):  # random starts may leave a centroid without rows, the plugin's too
        task = embedded.ended(embedded.train_async(body))
        assert task["state"] == "COMPLETED", task
        assert task["input_type"] == ("SEARCH_QUERY" if source == "query" else "DATA_FRAME")
        found = clusters_of(embedded, task["model_id"], frame)
        setosa, versicolor, virginica = (found[start : start + 50] for start in (0, 50, 100))
        common = [max(set(heap), key=heap.count) for heap in (setosa, versicolor, virginica)]
        if len(set(common)) == 3:
            assert setosa.count(common[0]) == 50
            assert versicolor.count(common[1]) >= 40
            assert virginica.count(common[2]) >= 30
            return
    raise AssertionError("20 trainings did not find three clusters")


@pytest.mark.embedded
def test_a_synchronous_training_stores_a_model_and_no_task(embedded: Client) -> None:
    """The answer names a model that is there; no task was written for it."""
    before = set(embedded.states())
    answer = embedded.ok("POST", TRAIN, rows_body())
    assert list(answer) == ["model_id", "status"]
    assert answer["status"] == "COMPLETED"
    assert embedded.ok("GET", f"{MODELS}/{answer['model_id']}")["algorithm"] == "KMEANS"
    assert set(embedded.states()) == before


@pytest.mark.embedded
def test_an_asynchronous_training_is_written_three_times_each_seen_at_once(embedded_service: Service) -> None:
    """CREATED, RUNNING and COMPLETED are versions 1, 2 and 3; GET and _search agree on each."""
    client = Client(embedded_service.url)
    crowd = [client.train_async(long_body(20_000)) for _ in range(48)]
    task_id = client.train_async(long_body(60_000))  # it waits for the crowd, so that CREATED can be seen
    got: dict[str, dict[str, Any]] = {}
    found: dict[str, tuple[int, dict[str, Any]]] = {}

    def state() -> str:
        (hit,) = client.ok("POST", f"{TASKS}/_search", {"query": {"ids": {"values": [task_id]}}})["hits"]["hits"]
        shown = client.task(task_id)
        assert STORED.index(shown["state"]) >= STORED.index(hit["_source"]["state"]), "GET is never behind"
        found[hit["_source"]["state"]] = (hit["_version"], hit["_source"])
        got[shown["state"]] = shown
        return str(hit["_source"]["state"])

    wait_until(lambda: state() == "COMPLETED", deadline_s=90, what="COMPLETED")
    assert list(got) == STORED
    assert [(name, version) for name, (version, _) in found.items()] == list(zip(STORED, (1, 2, 3), strict=True))
    for name, (_, source) in found.items():
        assert source == got[name]
    created, running, completed = got.values()
    assert "model_id" not in created
    assert "model_id" not in running
    assert client.ok("GET", f"{MODELS}/{completed['model_id']}")
    for later in (running, completed):
        assert {name for name in later if later[name] != created.get(name)} <= {"state", "last_update_time", "model_id"}
    assert created["create_time"] <= running["last_update_time"] <= completed["last_update_time"]
    for other in crowd:
        assert client.ended(other)["state"] == "COMPLETED"


@pytest.mark.embedded
def test_a_failed_training_says_why_in_the_task(embedded: Client) -> None:
    """A column of words fails the task with the sentence that a synchronous caller gets."""
    body = rows_body(4)
    for row in body["input_data"]["rows"]:
        row["values"][0] = {"column_type": "STRING", "value": "word"}
    body["input_data"]["column_metas"][0]["column_type"] = "STRING"
    error = as_envelope(embedded.send("POST", TRAIN, body))
    task = embedded.ended(embedded.train_async(body))
    assert (task["state"], task["error"]) == ("FAILED", error["reason"])
    assert "model_id" not in task


@pytest.mark.embedded
def test_ten_thousand_rows_of_a_query_are_trained_on(embedded: Client) -> None:
    """The largest window of a search is read whole."""
    lines = []
    for row in range(10_000):
        lines += ['{"index":{}}', json.dumps({"x": float(row), "y": float(row % 100)})]
    answer = embedded.ok("POST", "/ten-thousand/_bulk?refresh=true", ("\n".join(lines) + "\n").encode())
    assert answer["errors"] is False
    body = query_body("ten-thousand", ["x", "y"], 10_000, centroids=50, iterations=20)
    task = embedded.ended(embedded.train_async(body))
    assert task["state"] == "COMPLETED", task
    centroids = kmeans.load(model_content(embedded, task["model_id"])).centroids
    assert len(centroids) == 50
    assert centroids[:, 0].max() > 9_000, "the last rows were not seen"
    embedded.ok("DELETE", "/ten-thousand")


@pytest.mark.parametrize("kind", ["memory", pytest.param("embedded", marks=pytest.mark.embedded)])
def test_more_centroids_than_rows_and_all_distances_are_allowed(kind: str, request: pytest.FixtureRequest) -> None:
    """Ten centroids on three rows, by each distance, and no parameters at all, make a model."""
    client: Client = request.getfixturevalue(kind)
    for distance in ("EUCLIDEAN", "COSINE", "L1"):
        body = rows_body(3, centroids=10)
        body["parameters"]["distance_type"] = distance
        model = kmeans.load(model_content(client, client.ok("POST", TRAIN, body)["model_id"]))
        assert (model.distance_type, len(model.centroids)) == (distance, 10)
    del body["parameters"]
    model = kmeans.load(model_content(client, client.ok("POST", TRAIN, body)["model_id"]))
    assert (model.distance_type, len(model.centroids)) == ("EUCLIDEAN", 2)


def test_the_indices_have_the_plugins_mapping_over_memory_too(memory_service: RunningService) -> None:
    """What the in-memory server keeps of mapping and settings is what the plugin's node was recorded with."""
    client = Client(memory_service.url)
    client.ended(client.train_async(rows_body()))
    for index, wanted in ((".plugins-ml-task", task_index_body()), (".plugins-ml-model", model_index_body())):
        found = client.ok("GET", f"/{index}")[index]
        assert found["mappings"] == without_objects(wanted["mappings"])
        settings = found["settings"]["index"]
        assert {name: settings.get(name) for name in wanted["settings"]["index"]} == wanted["settings"]["index"]


def without_objects(mapping: Any) -> Any:
    """Return a mapping as OpenSearch shows it: that a field with properties is an object goes without saying."""
    if not isinstance(mapping, dict):
        return mapping
    return {name: without_objects(value) for name, value in mapping.items() if (name, value) != ("type", "object")}


def burst(client: Client, trainings: int, rows: int) -> tuple[float, dict[str, str]]:
    """Post trainings from many threads at once; return the time until all are over, and their states."""
    body = rows_body(rows)
    payload = json.dumps(body).encode()
    began = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = list(clients.map(lambda _: client.send("POST", f"{TRAIN}?async=true", payload), range(trainings)))
    accepted = time.monotonic() - began
    assert [answer.status for answer in answers] == [200] * trainings
    ids = {answer.body["task_id"] for answer in answers}
    assert len(ids) == trainings

    def states() -> dict[str, str]:
        return {task_id: state for task_id, state in client.states().items() if task_id in ids}

    with contextlib.suppress(AssertionError):
        wait_until(lambda: set(states().values()) <= {"COMPLETED", "FAILED"}, deadline_s=2 * BURST_S, what="the end")
    took = time.monotonic() - began
    print(f"{trainings} trainings of {rows} rows: accepted in {accepted:.1f} s, all over in {took:.1f} s")
    return took, states()


@pytest.mark.embedded
def test_three_hundred_trainings_at_once_are_all_completed_within_a_minute() -> None:
    """32 clients post 300 trainings of 1,000 rows: all are accepted and COMPLETED within 60 s."""
    with service() as running:
        took, states = burst(Client(running.url), BURST, 1000)
        assert len(states) == BURST
        assert set(states.values()) == {"COMPLETED"}, running.log.read_text()[-3000:]
        assert took < BURST_S
        assert "Traceback" not in running.log.read_text()


def test_fifty_trainings_at_once_are_all_completed_over_memory() -> None:
    """The in-memory server takes a burst as well."""
    with service("--opensearch", "memory") as running:
        took, states = burst(Client(running.url), 50, 1000)
        assert len(states) == 50
        assert set(states.values()) == {"COMPLETED"}, running.log.read_text()[-3000:]
        assert took < BURST_S


@pytest.fixture(params=["memory", pytest.param("embedded", marks=pytest.mark.embedded)])
def server_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """An OpenSearch of the test's own, of each kind."""
    with osmem() if request.param == "memory" else EmbeddedNode(fetch()) as server:
        yield server.url


def test_a_deleted_task_index_comes_back_whole_or_not_at_all(server_url: str) -> None:
    """Trainings whose tasks are deleted with their index end, and leave neither documents nor a bare index."""
    with service("--opensearch", server_url) as running:
        client = Client(running.url)
        mapping = task_index_body()["mappings"]
        for _ in range(3):
            gone = {client.train_async(long_body(5_000)) for _ in range(20)}
            client.ok("DELETE", "/.plugins-ml-task")
            later = client.train_async(rows_body())
            assert client.ended(later)["state"] == "COMPLETED"
            assert gone & set(client.states()) == set()
            assert client.ok("GET", "/.plugins-ml-task")[".plugins-ml-task"]["mappings"] == mapping
        gone = {client.train_async(long_body(5_000)) for _ in range(20)}
        client.ok("DELETE", "/.plugins-ml-task")
        assert running.stop() == 0  # now the last training has ended
        log = running.log.read_text()
    index = Client(server_url).send("GET", "/.plugins-ml-task")
    assert index.status == 404 or index.body[".plugins-ml-task"]["mappings"] == mapping
    found = Client(server_url).send("POST", "/.plugins-ml-task/_search?ignore_unavailable=true", NOBODY).body
    assert gone & {hit["_id"] for hit in found["hits"]["hits"]} == set()
    assert "Traceback" not in log, log
    assert "could not be ended" not in log, log


def training_processes(running: Service) -> list[psutil.Process]:
    """Return the processes of the service's pool."""
    found = []
    for process in psutil.Process(running.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "LokyProcess" in " ".join(process.cmdline()):
                found.append(process)
    return found


def test_a_killed_training_process_loses_no_task(server_url: str) -> None:
    """When the processes of the pool are killed at work, every task is still COMPLETED, by those that follow."""
    with service("--opensearch", server_url) as running:
        client = Client(running.url)
        ids = [client.train_async(long_body(100_000)) for _ in range(6)]
        wait_until(lambda: list(client.states().values()).count("RUNNING") >= 2, what="two trainings at work")
        for process in training_processes(running):
            process.kill()
        assert [client.ended(task_id, deadline_s=90)["state"] for task_id in ids] == ["COMPLETED"] * len(ids)
        assert "a training process died" in running.log.read_text()
        assert "Traceback" not in running.log.read_text()
        assert running.stop() == 0


@pytest.mark.embedded
@pytest.mark.parametrize("algorithm", ["kmeans", "batch_rcf", "fit_rcf", "rcf_summarize"])
def test_a_seed_makes_trainings_repeatable(seeded: tuple[Client, Client], algorithm: str) -> None:
    """The same rows give the same model, byte for byte; without one each is another."""
    parameters = {"kmeans": {"centroids": 9, "iterations": 1}, "fit_rcf": {"time_field": "f0"}}
    body = {**rows_body(300), "parameters": parameters.get(algorithm, {})}
    if algorithm == "fit_rcf":
        body["input_data"]["column_metas"][0]["column_type"] = "LONG"
        for at, row in enumerate(body["input_data"]["rows"]):
            row["values"][0] = {"column_type": "LONG", "value": 1_600_000_000_000 + 60_000 * at}

    def contents(client: Client) -> set[bytes]:
        ids = [client.ok("POST", f"/_plugins/_ml/_train/{algorithm}", body)["model_id"] for _ in range(3)]
        found = [client.ok("GET", f"{MODELS}/{each}?return_content=true")["model_content"] for each in ids]
        return {base64.b64decode(each) for each in found}

    with_seed, without = seeded
    assert len(contents(with_seed)) == 1
    if algorithm != "rcf_summarize":  # separated clouds have one summary
        assert len(contents(without)) == 3


@pytest.fixture(scope="module")
def seeded(opensearch_url: str, embedded_service: Service) -> Iterator[tuple[Client, Client]]:
    """A service with a seed, and one without."""
    with service("--opensearch", opensearch_url, "--seed", "7") as running:
        yield Client(running.url), Client(embedded_service.url)
