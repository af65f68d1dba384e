"""opensearch-py: the life of a training, told by the client's own methods."""

from __future__ import annotations

import sys
import time
from typing import Any

import story
from opensearchpy import OpenSearch, RequestsHttpConnection


def poll(client: OpenSearch, task_id: str) -> tuple[list[str], dict[str, Any]]:
    """Return the states a task went through, as far as they were seen, and the task at its end."""
    states: list[str] = []
    until = time.monotonic() + story.PATIENCE_S
    while True:
        task = client.plugins.ml.get_task(task_id=task_id)
        if task["state"] not in states[-1:]:
            states.append(task["state"])
        if task["state"] in story.FINAL or time.monotonic() > until:
            return states, task
        time.sleep(story.POLL_S)


def tell(client: OpenSearch, packing: OpenSearch, told: dict[str, Any]) -> None:
    """Load iris, train, poll, search, and delete what was made."""
    ml, index = client.plugins.ml, story.index_name()
    told["info"] = client.info()["version"]["number"]
    told["ping"] = client.ping()
    lines: list[dict[str, Any]] = []
    for row in story.documents():
        lines += [{"index": {}}, row]
    bulk = packing.bulk(body=lines, index=index, refresh=True)
    told["bulk"] = [bulk["errors"], len(bulk["items"])]
    told["exists"] = [client.indices.exists(index=index), client.indices.exists(index=f"{index}-not")]
    told["search"] = client.search(index=index, body=story.BY_SPECIES)

    told["trained"] = ml.train(algorithm_name="kmeans", body=story.training(index))
    told["accepted"] = ml.train(algorithm_name="kmeans", body=story.training(index), params={"async": "true"})
    task_id = told["accepted"]["task_id"]
    told["states"], told["task"] = poll(client, task_id)
    model_id = told["task"]["model_id"]
    failing = ml.train(algorithm_name="kmeans", body=story.training(f"{index}-not"), params={"async": "true"})
    told["failed"] = poll(client, failing["task_id"])[1]

    body = story.same_id(task_id)
    told["task_search"] = {
        "POST": ml.search_tasks(body=body),
        "GET": client.transport.perform_request("GET", "/_plugins/_ml/tasks/_search", body=body),
    }
    told["model"] = ml.get_model(model_id=model_id)
    told["model_search"] = ml.search_models(body=story.same_id(model_id))

    client.index(index=story.TASK_INDEX, id=index, body=story.RUNNING_TASK, refresh=True)
    with story.refusal(told, "delete a running task"):
        ml.delete_task(task_id=index)
    client.delete(index=story.TASK_INDEX, id=index, refresh=True)
    with story.refusal(told, "get a missing task"):
        ml.get_task(task_id=story.MISSING_ID)
    with story.refusal(told, "train by no algorithm"):
        ml.train(algorithm_name="nope", body=story.training(index))
    with story.refusal(told, "train on no index"):
        ml.train(algorithm_name="kmeans", body=story.training("no-such-index"))
    with story.refusal(told, "search badly"):
        ml.search_tasks(body={"query": {"no_such_query": {}}})

    told["deleted"] = [ml.delete_task(task_id=task_id), ml.delete_model(model_id=model_id)]
    with story.refusal(told, "delete a task again"):
        ml.delete_task(task_id=task_id)
    with story.refusal(told, "delete a model again"):
        ml.delete_model(model_id=model_id)
    with story.refusal(told, "get a deleted model"):
        ml.get_model(model_id=model_id)
    told["ignored"] = ml.get_task(task_id=task_id, params={"ignore": 404})["status"]
    told["found_after"] = ml.search_tasks(body=body)["hits"]["total"]["value"]

    told["dropped"] = client.indices.delete(index=index)["acknowledged"]
    with story.refusal(told, "compress"):
        accepted = packing.plugins.ml.train(algorithm_name="kmeans", body=story.TWO_HEAPS, params={"async": "true"})
        task = poll(packing, accepted["task_id"])[1]
        told["compressed"] = story.in_short(
            task, packing.plugins.ml.search_tasks(body=story.same_id(accepted["task_id"]))
        )


def main(url: str) -> None:
    """Tell the story to stdout."""
    with story.telling() as told:
        packing = OpenSearch(url, connection_class=RequestsHttpConnection, **story.PACKING_OPTIONS)
        tell(OpenSearch(url, **story.CLIENT_OPTIONS), packing, told)


if __name__ == "__main__":
    main(sys.argv[1])
