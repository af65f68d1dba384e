"""`--retain` on a running service: what is over goes in time, and what users keep stays."""

from __future__ import annotations

import pytest

from mlcommons_tasks.store.mappings import CLUSTER_TASK_INDEX, TASK_INDEX
from tests.clients import FEATURES, MODELS, TASKS, Client, query_body, rows_body
from tests.native_tasks import long_training, training
from tests.secured_node import SecuredNode
from tests.services import service, wait_until

pytestmark = pytest.mark.embedded


def results(client: Client) -> set[str]:
    query = {"query": {"term": {"kind": "task"}}}
    hits = client.ok("POST", f"/{CLUSTER_TASK_INDEX}/_search?size=100", query)["hits"]["hits"]
    return {hit["_id"] for hit in hits}


def test_what_is_over_goes_and_what_runs_stays() -> None:
    """Tasks and what `_tasks` told of them go, also another replica's and the plugin's; models stay."""
    with service("--trainings", "1") as other:
        client = Client(other.url)
        models = [client.ended(client.train_async(rows_body()))["model_id"] for _ in range(3)]
        plugins = {"task_type": "DEPLOY_MODEL", "state": "COMPLETED_WITH_ERROR", "last_update_time": 1_700_000_000_000}
        client.ok("PUT", f"/{TASK_INDEX}/_doc/plugins?refresh=true", plugins)
        stuck = {"task_type": "DEPLOY_MODEL", "state": "CREATED", "last_update_time": 1_700_000_000_000}
        client.ok("PUT", f"/{TASK_INDEX}/_doc/stuck?refresh=true", stuck)
        with long_training(client) as running:
            cluster_task = training(client, running)
            wait_until(lambda: cluster_task in results(client), what="the training's document")
            with service("--opensearch", other.opensearch_url, "--retain", "1s", "--trainings", "1") as one:
                wait_until(lambda: set(client.states()) == {running, "stuck"}, what="the deletion of tasks")
                wait_until(lambda: results(client) == {cluster_task}, what="the deletion of results")
                assert Client(one.url).send("GET", f"{TASKS}/plugins").status == 404
                assert client.task(running)["state"] == "RUNNING"
        for model_id in models:
            client.ok("GET", f"{MODELS}/{model_id}")


def test_the_documented_account_may_delete(secured_cluster: SecuredNode) -> None:
    """On a secured cluster the service's role is enough: whoever trained, the task goes once it is over."""
    flags = ("--opensearch", secured_cluster.url, "--ca-file", str(secured_cluster.ca_file), "--retain", "1s")
    with service(*flags, environment=secured_cluster.account("service").environment) as running:
        client = secured_cluster.client("ml_full", running.url)
        path = f"{TASKS}/{client.train_async(query_body('iris', FEATURES, 150))}"
        assert client.send("GET", path).status == 200
        wait_until(lambda: client.send("GET", path).status == 404, what="the deletion of the task")
