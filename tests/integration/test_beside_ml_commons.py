"""A cluster that has the real ML Commons: who answers what, and both over the same indices."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.clients import FEATURES, MODELS, TASKS, TRAIN, Client, query_body, rows_body
from tests.services import Service, plugin_node, service, wait_until

pytestmark = [pytest.mark.plugin, pytest.mark.timeout(900)]  # the first assembly fetches some 400 MB, once


@dataclass
class Both:
    """The service in front of a node with the plugin, and that node itself."""

    service: Service
    ours: Client
    theirs: Client


@pytest.fixture(scope="module")
def both() -> Iterator[Both]:
    with plugin_node() as node, service("--opensearch", node.url) as running:
        found = Both(running, Client(running.url), Client(node.url))
        found.theirs.load_iris()
        yield found


def content_of(client: Client, model_id: str) -> bytes:
    """Return what a model holds."""
    return base64.b64decode(client.ok("GET", f"/.plugins-ml-model/_source/{model_id}")["model_content"])


def test_it_says_that_the_plugin_is_there(both: Both) -> None:
    """One line on stderr says who answers what."""
    log = both.service.log.read_text()
    assert "the cluster has ML Commons: the emulated routes are answered here, over the same indices" in log
    assert "its other routes under /_plugins/_ml/ are forwarded" in log


@pytest.mark.parametrize("starter", ["ours", "theirs"])
def test_a_task_is_seen_from_both_sides(both: Both, starter: str) -> None:
    """A task of either is the same by GET and by search on both, and so is its model; who trained shows in it."""
    client: Client = getattr(both, starter)
    task_id = client.train_async(query_body("iris", FEATURES, 150))
    task = client.ended(task_id)
    assert task["state"] == "COMPLETED"
    assert both.ours.task(task_id) == both.theirs.task(task_id) == task
    assert list(both.ours.task(task_id)) == list(both.theirs.task(task_id))
    wait_until(lambda: client.states()[task_id] == "COMPLETED", what="a search that sees what GET sees")
    assert both.ours.states()[task_id] == both.theirs.states()[task_id] == "COMPLETED"
    model = f"{MODELS}/{task['model_id']}"
    assert both.ours.send("GET", model).payload == both.theirs.send("GET", model).payload
    java = content_of(both.theirs, task["model_id"]).startswith(b"\xac\xed")
    assert java == (starter == "theirs"), "a task at the service's URL is trained by the service"
    other = both.theirs if starter == "ours" else both.ours
    assert other.ok("DELETE", f"{TASKS}/{task_id}")["result"] == "deleted"
    assert client.send("GET", f"{TASKS}/{task_id}").status == 404


def test_a_synchronous_training_is_ours_too(both: Both) -> None:
    """The model of a synchronous training at the service's URL is one of the service's."""
    model_id = both.ours.ok("POST", TRAIN, rows_body())["model_id"]
    assert content_of(both.theirs, model_id).startswith(b'{"algorithm":"KMEANS"')
    assert both.theirs.ok("DELETE", f"{MODELS}/{model_id}")["result"] == "deleted"
    assert both.ours.send("GET", f"{MODELS}/{model_id}").status == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/_plugins/_ml/profile"),
        ("GET", "/_plugins/_ml/nonsense"),
        ("PUT", f"{TASKS}/any"),
        ("HEAD", "/_plugins/_ml/stats"),
        ("POST", "/_plugins/_ml/models/_register"),
        ("POST", "/_plugins/_ml/_predict/kmeans/none"),
        ("POST", "/_plugins/_ml/_train/linear_regression"),
        ("POST", "/_plugins/_ml/_train/nonsense"),
    ],
)
def test_a_route_that_is_not_emulated_is_the_plugins(both: Both, method: str, path: str) -> None:
    """What the service does not emulate gets the plugin's own answer."""
    body = {} if method in ("POST", "PUT") else None
    forwarded, direct = both.ours.send(method, path, body), both.theirs.send(method, path, body)
    assert (forwarded.status, forwarded.payload) == (direct.status, direct.payload)


def test_the_plugins_statistics_count_what_the_plugin_did(both: Both) -> None:
    """Stats are forwarded: they know the indices that both share."""
    both.ours.ok("POST", TRAIN, rows_body())
    stats = both.ours.ok("GET", "/_plugins/_ml/stats")
    assert stats["ml_model_index_status"] in ("green", "yellow")
    assert stats["nodes"]


def test_each_predicts_with_its_own_models(both: Both) -> None:
    """At the service's URL both do; the plugin itself cannot read a model of ours, and says so at once."""
    body = {name: part for name, part in rows_body().items() if name == "input_data"}
    for trainer in (both.ours, both.theirs):
        model_id = trainer.ok("POST", TRAIN, rows_body(centroids=1))["model_id"]
        found = both.ours.ok("POST", f"/_plugins/_ml/_predict/kmeans/{model_id}", body)
        assert {row["values"][0]["value"] for row in found["prediction_result"]["rows"]} == {0}
    model_id = both.ours.ok("POST", TRAIN, rows_body())["model_id"]
    answer = both.theirs.send("POST", f"/_plugins/_ml/_predict/kmeans/{model_id}", body)
    assert answer.status >= 400
    assert answer.body["status"] == answer.status


@pytest.mark.parametrize("route", ["_train", "_train_predict"])
def test_what_is_not_emulated_is_left_to_the_plugin(both: Both, route: str) -> None:
    """It answers itself, the address of its class loader and all."""
    path, body = f"/_plugins/_ml/{route}/local_sample_calculator", {"input_data": rows_body()["input_data"]}
    forwarded, direct = both.ours.send("POST", path, body), both.theirs.send("POST", path, body)
    assert (forwarded.status, forwarded.payload) == (direct.status, direct.payload)
    assert b"URLClassLoader" in forwarded.payload


def test_settings_are_the_clusters_and_count_here_too(both: Both) -> None:
    """They are forwarded whole, kept by the plugin, and the service goes by them; it makes no index for them."""
    setting = "plugins.ml_commons.only_run_on_ml_node"
    for method, path, body in [
        ("PUT", "/_cluster/settings", {"persistent": {setting: "nope"}}),
        ("PUT", "/_cluster/settings", {"transient": {setting: True, "cluster.max_shards_per_node": 900}}),
        ("GET", "/_cluster/settings?flat_settings", None),
        ("GET", "/_cluster/settings?include_defaults", None),
    ]:
        ours, theirs = both.ours.send(method, path, body), both.theirs.send(method, path, body)
        assert (ours.status, ours.payload) == (theirs.status, theirs.payload)

    def refused() -> bool:
        ours, theirs = both.ours.send("POST", TRAIN, rows_body()), both.theirs.send("POST", TRAIN, rows_body())
        return (ours.status, ours.payload) == (theirs.status, theirs.payload) and b"No eligible node" in ours.payload

    try:
        wait_until(refused, deadline_s=2, what="the plugin's refusal in the service")
    finally:
        both.ours.ok("PUT", "/_cluster/settings", {"transient": {setting: None, "cluster.max_shards_per_node": None}})
    wait_until(lambda: both.ours.send("POST", TRAIN, rows_body()).status == 200, deadline_s=2, what="a training")
    assert both.theirs.send("HEAD", "/.mlcommons-tasks-settings").status == 404


@pytest.mark.parametrize(
    "path", ["/_cat/plugins", "/_nodes/plugins", "/_nodes/_all/plugins?filter_path=nodes.*.plugins"]
)
def test_the_plugin_is_listed_once(both: Both, path: str) -> None:
    """By the cluster alone."""
    ours = both.ours.send("GET", path).payload
    assert ours == both.theirs.send("GET", path).payload
    assert ours.count(b"opensearch-ml") == 1
