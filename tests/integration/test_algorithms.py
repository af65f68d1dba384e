"""Every algorithm from end to end: over HTTP, beside what the plugin said of the same rows, and on other services."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from mlcommons_tasks.pipeline.algorithms import ALGORITHMS, TOGETHER
from tests.algorithms import kmeans_cases, linear_cases, rcf_cases, svm_cases
from tests.algorithms.plugin_results import Case, Columns, asked, body_of, recorded
from tests.clients import MODELS, NOBODY, Client, as_envelope
from tests.services import Service, plugin_node, service

ML = "/_plugins/_ml"


def case_of(cases: list[Case], name: str) -> Case:
    return next(case for case in cases if case.name == name)


KMEANS = case_of(kmeans_cases.CASES, "EUCLIDEAN, 0")
KMEANS_TOGETHER = case_of(kmeans_cases.CASES, "EUCLIDEAN, both, 0")
SUMMARY = case_of(rcf_cases.CASES, "summary, 300 rows #1")
FORESTS = {
    case.name: case
    for case in rcf_cases.FORESTS
    if case.name.split(" #")[0].removesuffix("; together") in ("batch, 2 columns", "fit, 1 column")
    and case.name.endswith("#1")
}
EXACT = {
    "linear": case_of(linear_cases.CASES, "linear: HUBER ADAM"),
    "away": case_of(linear_cases.CASES, "linear: away"),
    "logistic": case_of(linear_cases.CASES, "logistic: defaults"),
    "svm": case_of(svm_cases.CASES, "RBF, turned, 5 columns"),
}
SAMPLE = Case("sample", "SAMPLE_ALGO", {"sample_param": 3}, {"a": [1.5, 2.5], "b": [1.0, 2.0]})
#: One case of each algorithm: what it is trained with.
EACH = {
    case.algorithm: case
    for case in (
        *(KMEANS, SUMMARY, SAMPLE, EXACT["linear"], EXACT["logistic"], EXACT["svm"]),
        *(case for case in FORESTS.values() if not case.together),
    )
}


@pytest.fixture
def client(embedded_service: Service) -> Client:
    return Client(embedded_service.url)


@pytest.fixture(scope="module")
def both_sides() -> Iterator[tuple[Client, Client]]:
    """A service over a node with the real plugin, and the plugin."""
    with plugin_node() as node:
        theirs = Client(str(node.ready["url"]))
        theirs.ok("PUT", "/_cluster/settings", {"persistent": {"plugins.ml_commons.only_run_on_ml_node": False}})
        with service("--opensearch", theirs.url) as running:
            yield Client(running.url), theirs


def relabelled(labels: list[int]) -> list[int]:
    """Return labels numbered by their first row."""
    numbers: dict[int, int] = {}
    return [numbers.setdefault(label, len(numbers)) for label in labels]


def trained(client: Client, case: Case) -> str:
    """Train at once; return the model's id."""
    answer = client.ok("POST", f"{ML}/_train/{case.algorithm.lower()}", body_of(case.parameters, case.columns))
    assert answer["status"] == "COMPLETED"
    return str(answer["model_id"])


def predict_body(case: Case) -> dict[str, Any]:
    parameters = case.parameters if case.algorithm == "SAMPLE_ALGO" else None
    return body_of(parameters, case.columns if case.predict is None else case.predict)


def predicted(client: Client, case: Case, model_id: str) -> Any:
    return client.ok("POST", f"{ML}/_predict/{case.algorithm.lower()}/{model_id}", predict_body(case))


def fill(client: Client, index: str, columns: Columns) -> None:
    """Put rows into an index, numbered by `at`."""
    lines = []
    for at, row in enumerate(zip(*columns.values(), strict=True)):
        lines += ['{"index":{}}', json.dumps({"at": at, **dict(zip(columns, row, strict=True))})]
    client.send("DELETE", f"/{index}?ignore_unavailable=true")
    answer = client.ok("POST", f"/{index}/_bulk?refresh=true", ("\n".join(lines) + "\n").encode())
    assert answer["errors"] is False


def query_of(index: str, columns: Columns, parameters: Any = None) -> dict[str, Any]:
    """Return a body that takes the same rows out of the index."""
    query = {**NOBODY, "_source": list(columns), "size": 10_000, "sort": [{"at": "asc"}]}
    body = {"input_query": query, "input_index": [index]}
    return body if parameters is None else {"parameters": dict(parameters), **body}


@pytest.mark.embedded
@pytest.mark.parametrize("name", EXACT)
def test_what_has_no_chance_in_it_answers_as_the_plugin(client: Client, name: str) -> None:
    """Words are the plugin's, numbers too, to a millionth; what is no number is written as it is there."""
    family = "svm" if name == "svm" else "linear"
    theirs, mine = recorded(family, EXACT[name].name), asked(EXACT[name], client)
    assert mine.get("types") == theirs["types"], mine
    for column, values in theirs["columns"].items():
        if isinstance(values[0], str):
            assert mine["columns"][column] == values
        else:
            assert mine["columns"][column] == pytest.approx(values, rel=1e-6, abs=1e-6)


@pytest.mark.embedded
def test_groups_are_those_of_the_plugin(client: Client) -> None:
    """KMEANS finds the three groups within some starts, by a model and at once; RCF_SUMMARIZE always does."""
    for case in (KMEANS, KMEANS_TOGETHER):
        found = [asked(case, client) for _ in range(12)]
        assert all(each["types"] == recorded("kmeans", case.name)["types"] for each in found), found
        assert kmeans_cases.groups() in [relabelled(each["columns"]["ClusterID"]) for each in found]
    theirs, mine = recorded("rcf", SUMMARY.name), asked(SUMMARY, client)
    assert mine["types"] == theirs["types"]
    assert relabelled(mine["columns"]["ClusterID"]) == relabelled(theirs["columns"]["ClusterID"])


@pytest.mark.embedded
@pytest.mark.parametrize("name", FORESTS)
def test_forests_find_what_the_plugin_finds(client: Client, name: str) -> None:
    """The planted rows are found, and hardly any other row is flagged otherwise."""
    case = FORESTS[name]
    theirs, mine = recorded("rcf", case.name), asked(case, client)
    assert mine.get("types") == theirs["types"], mine
    assert list(mine["columns"]) == list(theirs["columns"])
    flag = "anomalous" if case.algorithm == "BATCH_RCF" else "anomaly_grade"
    planted = rcf_cases.PLANTED[case.name.split(" #")[0].removesuffix("; together")]
    here, there = ([value > 0 for value in each["columns"][flag]] for each in (mine, theirs))
    assert all(here[row] for row in planted)
    others = [row for row in range(len(here)) if row not in planted]
    assert sum(here[row] != there[row] for row in others) <= 0.02 * len(others)


@pytest.mark.embedded
@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_every_way_to_train_and_predict(client: Client, algorithm: str) -> None:
    """Rows of a request and of an index, at once and as a task, by both routes: all say the same of one model."""
    case, name = EACH[algorithm], algorithm.lower()
    rows = case.columns if case.predict is None else case.predict
    fill(client, f"train-{name}", case.columns)
    fill(client, f"predict-{name}", rows)
    bodies = (body_of(case.parameters, case.columns), query_of(f"train-{name}", case.columns, case.parameters))
    for body in bodies:
        at_once = client.ok("POST", f"{ML}/_train/{name}", body)
        assert at_once["status"] == "COMPLETED"
        task = client.ended(str(client.ok("POST", f"{ML}/_train/{name}?async=true", body)["task_id"]))
        assert (task["state"], task["function_name"]) == ("COMPLETED", algorithm), task
        for model_id in (at_once["model_id"], task["model_id"]):
            assert client.ok("GET", f"{MODELS}/{model_id}")["algorithm"] == algorithm
            own = case.parameters if algorithm == "SAMPLE_ALGO" else None
            wanted = predicted(client, case, model_id)
            for route in (f"{ML}/_predict/{name}/{model_id}", f"{MODELS}/{model_id}/_predict"):
                for asking in (body_of(own, rows), query_of(f"predict-{name}", rows, own)):
                    assert client.ok("POST", route, asking) == wanted
                refused = as_envelope(client.send("POST", f"{route}?async=true", body_of(own, rows)))
                assert "contains unrecognized parameter: [async]" in refused["reason"]
    together = client.send("POST", f"{ML}/_train_predict/{name}?async=true", bodies[1])
    if algorithm in TOGETHER:
        assert together.status == 200, together.payload
        assert len(together.body["prediction_result"]["rows"]) == len(next(iter(case.columns.values())))
    else:
        assert as_envelope(together)["type"] == "class_cast_exception"
    for index in (f"train-{name}", f"predict-{name}"):
        client.ok("DELETE", f"/{index}")


@pytest.mark.embedded
@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS - {"SAMPLE_ALGO"}))
def test_a_bad_training_says_why_in_its_task(client: Client, algorithm: str) -> None:
    """Words where numbers should be fail the task with the sentence that a synchronous caller gets."""
    body = body_of(EACH[algorithm].parameters, {"y": ["a", "b"], "timestamp": [True, False]})
    error = as_envelope(client.send("POST", f"{ML}/_train/{algorithm.lower()}", body))
    answer = client.ok("POST", f"{ML}/_train/{algorithm.lower()}?async=true", body)
    task = client.ended(answer["task_id"])
    assert (task["state"], task["error"]) == ("FAILED", error["reason"])
    assert "model_id" not in task


@pytest.mark.embedded
def test_other_services_predict_with_the_models(embedded_service: Service) -> None:
    """One over the same node, with two worker processes, says the same of every model, and so after the first ended."""
    first = Client(embedded_service.url)
    wanted = {}
    for algorithm, case in EACH.items():
        model_id = trained(first, case)
        wanted[algorithm] = (model_id, predicted(first, case, model_id))
    with service("--opensearch", embedded_service.opensearch_url, "--workers", "2") as other:
        second = Client(other.url)
        for algorithm, (model_id, prediction) in wanted.items():
            for _ in range(3):
                assert predicted(second, EACH[algorithm], model_id) == prediction
        assert "Traceback" not in other.log.read_text()


@pytest.mark.embedded
@pytest.mark.parametrize("algorithm", ["KMEANS", "BATCH_RCF", "FIT_RCF", "LINEAR_REGRESSION"])
def test_a_model_of_the_plugin_is_asked_of_the_plugin(both_sides: tuple[Client, Client], algorithm: str) -> None:
    """Where it is there, each model is asked of who trained it, by both routes, at the service's URL."""
    ours, theirs = both_sides
    case, name = EACH[algorithm], algorithm.lower()
    model_id = trained(theirs, case)
    for route in (f"{ML}/_predict/{name}/{model_id}", f"{MODELS}/{model_id}/_predict"):
        here, there = (client.send("POST", route, predict_body(case)) for client in both_sides)
        assert (here.status, here.payload) == (there.status, there.payload)
        assert here.status == 200
    own = trained(ours, case)
    assert len(predicted(ours, case, own)["prediction_result"]["rows"]) > 0
