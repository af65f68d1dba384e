"""A data folder goes up with the versions of OpenSearch, and not down again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlcommons_tasks.node.distribution import DEFAULT_VERSION, available_versions
from tests.clients import MODELS, Client, long_body, rows_body
from tests.native_tasks import long_training, training
from tests.services import clean_environment, service

pytestmark = pytest.mark.embedded

NEWEST = available_versions()[-1]
SETTINGS = "/_cluster/settings?flat_settings=true"
KEPT = {"plugins.ml_commons.max_ml_task_per_node": "7", "cluster.max_shards_per_node": "700"}


def written(client: Client) -> dict[str, Any]:
    """Store one of everything; return the requests that show it, with their answers."""
    client.load_iris()
    client.ok("PUT", "/_cluster/settings", {"persistent": KEPT})
    model_id = client.ended(client.train_async(rows_body()))["model_id"]
    with long_training(client, body=long_body(20_000)) as task_id:
        cluster_task = training(client, task_id)
        client.ok("GET", f"/_tasks/{cluster_task}?wait_for_completion=true&timeout=30s")
        client.ended(task_id)
    paths = [SETTINGS, f"{MODELS}/{model_id}?return_content=true", f"/_tasks/{cluster_task}", "/iris/_count"]
    return {path: client.ok("GET", path) for path in [*paths, *(f"/_plugins/_ml/tasks/{i}" for i in client.states())]}


def test_data_of_the_default_version_opens_with_the_newest(tmp_path: Path) -> None:
    """Tasks, models, results, settings and the user's own data are as they were, and trainings go on.

    The default version does not open them again, and says with which version they do.
    """
    assert NEWEST != DEFAULT_VERSION
    flags = ("--data-dir", str(tmp_path), "--trainings", "1")
    with service(*flags) as old:
        assert old.ready["opensearch"]["version"] == DEFAULT_VERSION
        stored = written(Client(old.url))
        ids = Client(old.url).states()
        assert old.stop() == 0
    with service(*flags, "--opensearch-version", NEWEST) as new:
        assert new.ready["opensearch"]["version"] == NEWEST
        client = Client(new.url)
        assert {path: client.ok("GET", path) for path in stored} == stored
        assert client.states() == dict.fromkeys(ids, "COMPLETED")
        assert client.ended(client.train_async(rows_body()))["state"] == "COMPLETED"
        assert new.stop() == 0

    command = [sys.executable, "-m", "mlcommons_tasks", "serve", "--port", "0", *flags]
    down = subprocess.run(command, capture_output=True, text=True, timeout=90, env=clean_environment(), check=False)
    assert down.returncode == 2
    assert f"the data folder {tmp_path} was last used by OpenSearch {NEWEST}" in down.stderr
    assert f"Start with --opensearch-version {NEWEST}, or with another --data-dir." in down.stderr
    assert "the last lines of the log" not in down.stderr
