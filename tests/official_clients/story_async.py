"""opensearch-py with asyncio: the life of a training, beside three others."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import story
from opensearchpy import AsyncOpenSearch
from opensearchpy.helpers import async_bulk


async def poll(client: AsyncOpenSearch, task_id: str) -> tuple[list[str], dict[str, Any]]:
    """Return the states a task went through, as far as they were seen, and the task at its end."""
    states: list[str] = []
    until = time.monotonic() + story.PATIENCE_S
    while True:
        task = await client.plugins.ml.get_task(task_id=task_id)
        if task["state"] not in states[-1:]:
            states.append(task["state"])
        if task["state"] in story.FINAL or time.monotonic() > until:
            return states, task
        await asyncio.sleep(story.POLL_S)


async def tell(client: AsyncOpenSearch, packing: AsyncOpenSearch, told: dict[str, Any]) -> None:
    """Load iris, train, poll, search, and delete what was made."""
    ml, index = client.plugins.ml, story.index_name()
    told["info"] = (await client.info())["version"]["number"]
    told["ping"] = await client.ping()
    stored, errors = await async_bulk(packing, story.actions(index), refresh=True)
    told["bulk"] = [bool(errors), stored]
    told["exists"] = [await client.indices.exists(index=index), await client.indices.exists(index=f"{index}-not")]
    told["search"] = await client.search(index=index, body=story.BY_SPECIES)

    told["trained"] = await ml.train(algorithm_name="kmeans", body=story.training(index))
    start = {"algorithm_name": "kmeans", "body": story.training(index), "params": {"async": "true"}}
    four = await asyncio.gather(*(ml.train(**start) for _ in range(4)))
    ends = await asyncio.gather(*(poll(client, answer["task_id"]) for answer in four))
    told["together"] = [task["state"] for _, task in ends]
    told["accepted"], (told["states"], told["task"]) = four[0], ends[0]
    task_id, model_id = four[0]["task_id"], ends[0][1]["model_id"]
    failing = await ml.train(**{**start, "body": story.training(f"{index}-not")})
    told["failed"] = (await poll(client, failing["task_id"]))[1]

    body = story.same_id(task_id)
    told["task_search"] = {
        "POST": await ml.search_tasks(body=body),
        "GET": await client.transport.perform_request("GET", "/_plugins/_ml/tasks/_search", body=body),
    }
    told["model"] = await ml.get_model(model_id=model_id)
    told["model_search"] = await ml.search_models(body=story.same_id(model_id))

    await client.index(index=story.TASK_INDEX, id=index, body=story.RUNNING_TASK, refresh=True)
    with story.refusal(told, "delete a running task"):
        await ml.delete_task(task_id=index)
    await client.delete(index=story.TASK_INDEX, id=index, refresh=True)
    with story.refusal(told, "get a missing task"):
        await ml.get_task(task_id=story.MISSING_ID)
    with story.refusal(told, "train by no algorithm"):
        await ml.train(algorithm_name="nope", body=story.training(index))
    with story.refusal(told, "train on no index"):
        await ml.train(algorithm_name="kmeans", body=story.training("no-such-index"))
    with story.refusal(told, "search badly"):
        await ml.search_tasks(body={"query": {"no_such_query": {}}})

    told["deleted"] = [await ml.delete_task(task_id=task_id), await ml.delete_model(model_id=model_id)]
    with story.refusal(told, "delete a task again"):
        await ml.delete_task(task_id=task_id)
    with story.refusal(told, "delete a model again"):
        await ml.delete_model(model_id=model_id)
    with story.refusal(told, "get a deleted model"):
        await ml.get_model(model_id=model_id)
    told["found_after"] = (await ml.search_tasks(body=body))["hits"]["total"]["value"]

    told["dropped"] = (await client.indices.delete(index=index))["acknowledged"]
    with story.refusal(told, "compress"):
        accepted = await packing.plugins.ml.train(**{**start, "body": story.TWO_HEAPS})
        task = (await poll(packing, accepted["task_id"]))[1]
        found = await packing.plugins.ml.search_tasks(body=story.same_id(accepted["task_id"]))
        told["compressed"] = story.in_short(task, found)


async def main(url: str) -> None:
    """Tell the story to stdout."""
    with story.telling() as told:
        async with (
            AsyncOpenSearch(url, **story.CLIENT_OPTIONS) as client,
            AsyncOpenSearch(url, **story.PACKING_OPTIONS) as packing,
        ):
            await tell(client, packing, told)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
