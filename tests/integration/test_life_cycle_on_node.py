"""The rules of `tests/life_cycle.py` once more, over a real node of their own."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any, ClassVar

import opensearchpy
import pytest

from mlcommons_tasks.store.batches import Batches
from mlcommons_tasks.store.cluster_tasks import ClusterTaskStore
from mlcommons_tasks.store.connection import open_client, translated, until_it_counts
from mlcommons_tasks.store.endpoint import Endpoint
from mlcommons_tasks.store.mappings import CLUSTER_TASK_INDEX, MODEL_INDEX, TASK_INDEX
from mlcommons_tasks.store.models import ModelStore
from mlcommons_tasks.store.tasks import TaskStore
from mlcommons_tasks.store.upstream import Upstream
from tests.life_cycle import LifeCycle, play
from tests.services import start, stopping

OURS = f"{TASK_INDEX},{MODEL_INDEX},{CLUSTER_TASK_INDEX}"
MOST = 1_000
STARTED_S = 30.0


class OnNode:
    """The stores over a node, with none of our indices there."""

    url: ClassVar[str]

    def __init__(self) -> None:
        endpoint = Endpoint.at(self.url)
        self.client = open_client(endpoint)
        self.upstream = Upstream(endpoint)
        batches = Batches(self.client)
        self.tasks = TaskStore(self.client, self.upstream, batches=batches)
        self.models = ModelStore(self.client, self.upstream, batches=batches)
        self.index = ClusterTaskStore(self.client, self.upstream)
        self._forget()

    def stored_tasks(self) -> dict[str, dict[str, Any]]:
        return {hit["_id"]: hit["_source"] for hit in self._hits(TASK_INDEX)}

    def stored_models(self) -> set[str]:
        return {hit["_id"] for hit in self._hits(MODEL_INDEX)}

    def delete_task(self, task_id: str) -> dict[str, Any]:
        while True:
            found = self.tasks.find(task_id)
            if found is None:
                return {}
            compared = {"if_seq_no": found[1].seq_no, "if_primary_term": found[1].primary_term, "refresh": "true"}
            try:
                self.client.delete(index=TASK_INDEX, id=task_id, params=compared)
            except opensearchpy.ConflictError:
                continue
            except opensearchpy.NotFoundError:
                return {}
            return found[0]

    def unfinished(self) -> int:
        return sum(
            hit["_source"]["kind"] == "task" and not hit["_source"]["completed"]
            for hit in self._hits(CLUSTER_TASK_INDEX)
        )

    def close(self) -> None:
        self._forget()
        self.client.close()
        self.upstream.close()

    def _hits(self, index: str) -> list[Any]:
        def search() -> Any:
            with translated():
                return self.client.search(index=index, body={"size": MOST}, params={"ignore_unavailable": "true"})

        found = until_it_counts(search, deadline_s=STARTED_S)  # the index may have been made a moment ago
        hits: list[Any] = found["hits"]["hits"]
        assert len(hits) < MOST, json.dumps(found["hits"]["total"])
        return hits

    def _forget(self) -> None:
        self.client.indices.delete(index=OURS, params={"ignore_unavailable": "true"})


@pytest.fixture(scope="module")
def node_url() -> Iterator[str]:
    with stopping(start([sys.executable, "-m", "mlcommons_tasks", "node", "start", "--port", "0"])) as node:
        yield node.url


def test_every_task_ends_on_a_real_node(node_url: str) -> None:
    """Whatever happens to the replicas."""
    OnNode.url = node_url

    class OnThisNode(LifeCycle):
        """The rules over the node."""

        world_of = OnNode

    play(OnThisNode, 6)
