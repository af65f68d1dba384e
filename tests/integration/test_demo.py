"""`mlcommons-tasks demo`: the whole story on a terminal, and nothing left of it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.services import clean_environment, wait_until


@pytest.mark.parametrize("kind", ["memory", pytest.param("embedded", marks=pytest.mark.embedded)])
def test_the_demo_tells_the_story_in_order_and_leaves_nothing(kind: str, tmp_path: Path) -> None:
    """Exit code 0; load, train, states in order, task, search and times are shown; no process and no folder is left."""
    environment = clean_environment(TMPDIR=str(tmp_path))
    command = [sys.executable, "-m", "mlcommons_tasks", "demo", "--opensearch", kind]
    family: set[psutil.Process] = set()
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        shown = ""
        try:
            for line in process.stdout:
                shown += line
                if process.poll() is None:
                    family.update(psutil.Process(process.pid).children(recursive=True))
            code = process.wait(30)
        finally:
            process.kill()
    assert code == 0, shown
    assert "Traceback" not in shown
    steps = [
        "start OpenSearch and the service at http://127.0.0.1:",
        "load iris: 150 flowers",
        "ask for KMEANS with 3 centroids, as a task",
        "COMPLETED",
        "GET /_plugins/_ml/tasks/",
        '"state": "COMPLETED"',
        "predict the cluster of each flower",
        "/_predict",
        " in cluster 2",
        "POST /_plugins/_ml/tasks/_search",
        '"hits"',
        "stop both",
        "Where the time went",
        "in all",
    ]
    places = [shown.find(step) for step in steps]
    assert -1 not in places, (dict(zip(steps, places, strict=True)), shown)
    assert places == sorted(places), shown
    states = re.findall(r"^  (CREATED|RUNNING|COMPLETED|FAILED) +after", shown, re.MULTILINE)
    assert states
    assert states == [state for state in ("CREATED", "RUNNING", "COMPLETED") if state in states]
    assert states[-1] == "COMPLETED"
    assert family, "the demo ran processes of its own"
    wait_until(lambda: not any(one.is_running() and one.status() != "zombie" for one in family), what="their end")
    assert list(tmp_path.glob("mlcommons-tasks-node-*")) == []
