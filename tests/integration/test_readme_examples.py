"""README's section on tests: its command is answered as it says, its test finds the pipeline's mistake and its mend."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mlcommons_tasks.server import RunningService
from tests import pages
from tests.services import clean_environment

README = Path(__file__).parents[2] / "README.md"
HEADING = "Tests that finish in milliseconds"
#: What somebody might have: it trains, and waits for the end as most do.
PIPELINE = """
import json, time, urllib.request

class TrainingLost(Exception):
    pass

BODY = {"parameters": {"centroids": 2}, "input_index": ["rows"], "input_query": {"size": 10}}

def send(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)

def train_and_wait(url):
    task_id = send(f"{url}/_plugins/_ml/_train/kmeans?async=true", BODY)["task_id"]
    for _ in range(20):
        task = send(f"{url}/_plugins/_ml/tasks/{task_id}")
        if task["state"] in FINAL:
            break
    else:
        raise TimeoutError(task_id)
    if task["state"] != "COMPLETED":
        raise TrainingLost(task_id)

FINAL = %s
"""


@pytest.fixture
def section() -> str:
    """What stands below the heading."""
    return README.read_text("utf-8").partition(f"## {HEADING}\n")[2].partition("\n## ")[0]


def test_the_command_is_answered_as_it_says(memory_service: RunningService) -> None:
    """One call, one scenario."""
    found = pages.sections(README, marked=HEADING)[HEADING]

    pages.run(found, memory_service.url)
    pages.run(list(pages.examples("curl -XPOST localhost:9201/_emulator/_reset", 0)), memory_service.url)
    assert len(found) == 1


@pytest.mark.parametrize(
    ("final", "passes"), [(["COMPLETED", "FAILED"], False), (["COMPLETED", "FAILED", "EXPIRED"], True)]
)
def test_the_test_runs(
    section: str, memory_service: RunningService, tmp_path: Path, final: list[str], passes: bool
) -> None:
    """As it stands there, beside a pipeline: it fails for one that knows two final states, and passes once mended."""
    (example,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    (tmp_path / "test_mine.py").write_text(example)
    (tmp_path / "my_pipeline.py").write_text(PIPELINE % final)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:schemathesis", "test_mine.py"]
    url = ["--mlcommons-tasks-url", memory_service.url]

    done = subprocess.run(
        [*command, *url], cwd=tmp_path, capture_output=True, text=True, timeout=60, env=clean_environment(), check=False
    )

    said = done.stdout + done.stderr
    assert (done.returncode == 0) is passes, said
    assert ("1 passed" if passes else "TimeoutError") in said
