"""The stores over one OpenSearch after the other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mlcommons_tasks.backend import Backend
from mlcommons_tasks.store.cluster import Cluster
from mlcommons_tasks.store.cluster_tasks import ClusterTaskStore
from mlcommons_tasks.store.connection import open_client
from mlcommons_tasks.store.endpoint import Endpoint
from mlcommons_tasks.store.mappings import CLUSTER_TASK_INDEX, MODEL_INDEX, SETTINGS_INDEX, TASK_INDEX
from mlcommons_tasks.store.models import ModelStore
from mlcommons_tasks.store.settings import SettingsStore
from mlcommons_tasks.store.sources import SourceIndex
from mlcommons_tasks.store.tasks import TaskStore
from mlcommons_tasks.store.upstream import Upstream
from mlcommons_tasks.store.worker_nodes import WorkerNodes

OURS = f"{TASK_INDEX},{MODEL_INDEX},{CLUSTER_TASK_INDEX},{SETTINGS_INDEX}"


class Stores:
    """Everything of the store room, over one OpenSearch."""

    def __init__(self, url: str) -> None:
        endpoint = Endpoint.at(url)
        self.client = open_client(endpoint)
        self.upstream = Upstream(endpoint)
        self.tasks = TaskStore(self.client, self.upstream)
        self.models = ModelStore(self.client, self.upstream)
        self.sources = SourceIndex(self.upstream)
        self.cluster = Cluster(self.client)
        self.cluster_tasks = ClusterTaskStore(self.client, self.upstream)
        self.nodes = WorkerNodes(self.client)
        self.runs = frozenset({"n1@1"})
        self.settings = SettingsStore(self.client, self.upstream, lambda: self.runs)

    def close(self) -> None:
        self.client.indices.delete(index=f"{OURS},contract", params={"ignore_unavailable": "true"})
        self.client.close()
        self.upstream.close()


@pytest.fixture(params=["memory", "embedded"])
def stores(request: pytest.FixtureRequest) -> Iterator[Stores]:
    """The stores over one OpenSearch after the other, with none of our indices there."""
    if request.param == "embedded":
        found = Stores(request.getfixturevalue("opensearch_url"))
    else:
        server: Backend = request.getfixturevalue("memory_server")
        found = Stores(server.url)
    found.client.indices.delete(index=OURS, params={"ignore_unavailable": "true"})
    yield found
    found.close()
