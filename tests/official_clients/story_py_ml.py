"""opensearch-py-ml: the life of a training, told by `MLCommonClient` and its own waiting."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from typing import Any

import story
from opensearch_py_ml.ml_commons import MLCommonClient
from opensearchpy import OpenSearch
from opensearchpy.helpers import bulk


def tell(client: OpenSearch, packing: OpenSearch, told: dict[str, Any]) -> None:
    """Load iris, train, wait, search, and delete what was made."""
    ml, index = MLCommonClient(client), story.index_name()
    told["py_ml"] = version("opensearch-py-ml")
    told["info"] = client.info()["version"]["number"]
    told["ping"] = client.ping()
    stored, errors = bulk(packing, story.actions(index), refresh=True)
    told["bulk"] = [bool(errors), stored]
    told["exists"] = [client.indices.exists(index=index), client.indices.exists(index=f"{index}-not")]
    told["search"] = client.search(index=index, body=story.BY_SPECIES)

    told["trained"] = ml.train_model("kmeans", story.training(index))
    told["accepted"] = ml.train_model("kmeans", json.dumps(story.training(index)), is_async=True)
    task_id = told["accepted"]["task_id"]
    told["task"] = ml.get_task_info(task_id, wait_until_task_done=True)
    told["states"] = [told["task"]["state"]]
    model_id = told["task"]["model_id"]
    failing = ml.train_model("kmeans", story.training(f"{index}-not"), is_async=True)
    told["failed"] = ml.get_task_info(failing["task_id"], wait_until_task_done=True)

    body = story.same_id(task_id)
    told["task_search"] = {"GET": ml.search_task(body), "GET of a string": ml.search_task(json.dumps(body))}
    told["model"] = ml.get_model_info(model_id)
    told["model_search"] = ml.search_model(story.same_id(model_id))

    client.index(index=story.TASK_INDEX, id=index, body=story.RUNNING_TASK, refresh=True)
    with story.refusal(told, "delete a running task"):
        ml.delete_task(index)
    client.delete(index=story.TASK_INDEX, id=index, refresh=True)
    with story.refusal(told, "get a missing task"):
        ml.get_task_info(story.MISSING_ID, wait_until_task_done=True)
    with story.refusal(told, "train by no algorithm"):
        ml.train_model("nope", story.training(index))
    with story.refusal(told, "train on no index"):
        ml.train_model("kmeans", story.training("no-such-index"))
    with story.refusal(told, "search badly"):
        ml.search_task({"query": {"no_such_query": {}}})

    told["deleted"] = [ml.delete_task(task_id), ml.delete_model(model_id)]
    with story.refusal(told, "delete a task again"):
        ml.delete_task(task_id)
    with story.refusal(told, "delete a model again"):
        ml.delete_model(model_id)
    with story.refusal(told, "get a deleted model"):
        ml.get_model_info(model_id)
    told["found_after"] = ml.search_task(body)["hits"]["total"]["value"]

    told["dropped"] = client.indices.delete(index=index)["acknowledged"]
    with story.refusal(told, "compress"):
        ml = MLCommonClient(packing)
        accepted = ml.train_model("kmeans", story.TWO_HEAPS, is_async=True)
        task = ml.get_task_info(accepted["task_id"], wait_until_task_done=True)
        told["compressed"] = story.in_short(task, ml.search_task(story.same_id(accepted["task_id"])))


def main(url: str) -> None:
    """Tell the story to stdout."""
    with story.telling() as told:
        tell(OpenSearch(url, **story.CLIENT_OPTIONS), OpenSearch(url, **story.PACKING_OPTIONS), told)


if __name__ == "__main__":
    main(sys.argv[1])
