"""opensearch-py with asyncio on what is forwarded: helpers, many requests at once, a point in time."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from typing import Any

from opensearchpy import AsyncOpenSearch, NotFoundError
from opensearchpy.helpers import async_bulk, async_reindex, async_scan, async_streaming_bulk

MANY = 5_000
EVERYTHING = {"query": {"match_all": {}}}


def documents(start: int, count: int) -> Iterator[dict[str, Any]]:
    """Yield documents as the helpers take them."""
    for number in range(start, start + count):
        yield {"_id": str(number), "number": number, "word": f"wört-{number % 10}"}


async def tell(client: AsyncOpenSearch, index: str) -> dict[str, Any]:
    """Load, read in several ways, and say what came of it."""
    told: dict[str, Any] = {"bulk": list(await async_bulk(client, documents(0, MANY), index=index, chunk_size=400))}
    streamed = async_streaming_bulk(client, documents(MANY, 100), index=index, chunk_size=30)
    told["streamed"] = len([True async for ok, _ in streamed if ok])
    await client.indices.refresh(index=index)
    told["scanned"] = len({hit["_id"] async for hit in async_scan(client, query=EVERYTHING, index=index)})
    told["reindexed"] = list(await async_reindex(client, index, f"{index}-copy", chunk_size=1000))
    searches = [client.search(index=index, body={**EVERYTHING, "size": 200}) for _ in range(64)]
    told["at once"] = [len(found["hits"]["hits"]) for found in await asyncio.gather(*searches)]
    pit = (await client.create_pit(index=index, params={"keep_alive": "1m"}))["pit_id"]
    found = await client.search(body={"size": 1000, "pit": {"id": pit}})
    told["pit"] = len(found["hits"]["hits"])
    await client.delete_pit(body={"pit_id": [pit]})
    try:
        await client.get(index=index, id="none")
    except NotFoundError as error:
        told["missing"] = error.status_code
    return told


async def main(url: str, index: str) -> None:
    """Tell it as a line of JSON."""
    async with AsyncOpenSearch(hosts=[url], timeout=60) as client:
        print(json.dumps(await tell(client, index)))


asyncio.run(main(*sys.argv[1:3]))
