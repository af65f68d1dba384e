"""The package from Python: a WSGI application, a service in a thread, what a wheel holds, what an import costs."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any, NoReturn

import elastic_transport
import elasticsearch
import pytest

import mlcommons_tasks
from mlcommons_tasks import create_app, running_service
from mlcommons_tasks.config import SettingsError
from tests.clients import MODELS, NOBODY, TASKS, TRAIN, Client, long_body, query_body, rows_body
from tests.served import served
from tests.upstreams import osmem

ROOT = Path(__file__).parents[2]


def story(client: Client) -> None:
    """Load, train both ways, poll, search, show, delete."""
    client.load_iris()
    model_id = client.ok("POST", TRAIN, query_body("iris", ["petal_width", "petal_length"], 150))["model_id"]
    task_id = client.train_async(rows_body())
    task = client.ended(task_id)
    assert task["state"] == "COMPLETED"
    assert task_id in client.states()
    for one in (model_id, task["model_id"]):
        assert client.ok("GET", f"{MODELS}/{one}")["name"] == "KMEANS"
        assert client.ok("DELETE", f"{MODELS}/{one}")["result"] == "deleted"
    assert client.ok("POST", f"{MODELS}/_search", NOBODY)["hits"]["total"]["value"] >= 0
    assert client.ok("DELETE", f"{TASKS}/{task_id}")["result"] == "deleted"
    assert client.send("GET", f"{TASKS}/{task_id}").status == 404
    assert client.send("POST", f"{TASKS}/{task_id}/_cancel").status == 404
    client.ok("DELETE", "/iris")


def test_create_app_reads_the_environment_and_runs_under_any_wsgi_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """With OPENSEARCH_URL exported, create_app() is an application for whichever server."""
    with osmem() as server:
        monkeypatch.setenv("OPENSEARCH_URL", server.url)
        with served(create_app()) as client:
            story(client)


def test_create_app_wants_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """An embedded node is the server's to start; the application says so."""
    for name in [name for name in os.environ if name.startswith(("MLCOMMONS_TASKS_", "OPENSEARCH_"))]:
        monkeypatch.delenv(name)
    with pytest.raises(SettingsError, match="set OPENSEARCH_URL"):
        create_app()


def test_two_services_run_in_one_process() -> None:
    """Each has its own port, its own data and its own end."""
    with running_service(opensearch="memory") as one:
        with running_service(opensearch="memory") as two:
            assert one.url != two.url
            assert one.opensearch_url != two.opensearch_url
            task_id = Client(two.url).train_async(rows_body())
            assert Client(two.url).ended(task_id)["state"] == "COMPLETED"
            assert Client(one.url).send("GET", f"{TASKS}/{task_id}").status == 404
        with pytest.raises(OSError, match="refused"):
            Client(two.url).send("GET", "/")
        assert Client(one.url).ended(Client(one.url).train_async(rows_body()))["state"] == "COMPLETED"


def test_a_service_whose_opensearch_is_gone_ends_soon() -> None:
    """The end of a service in a thread does not wait for writes that cannot succeed."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(osmem())
        with running_service(opensearch=server.url) as running:
            client = Client(running.url)
            for _ in range(3):
                client.train_async(long_body(100_000_000))
            stack.close()
            began = time.monotonic()
        assert time.monotonic() - began < 10


def test_no_elasticsearch_client_is_ever_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole story runs while making an Elasticsearch client, or a transport of one, raises."""

    def never(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("an Elasticsearch client was made")

    for kind in (elasticsearch.Elasticsearch, elasticsearch.AsyncElasticsearch, elastic_transport.Transport):
        monkeypatch.setattr(kind, "__init__", never)
    with running_service(opensearch="memory") as running:
        story(Client(running.url))


def test_the_import_costs_next_to_nothing() -> None:
    """Importing the package imports neither a framework nor a client nor numpy; its names come when asked for."""
    code = (
        "import sys, mlcommons_tasks, json;"
        "print(json.dumps([sorted(m for m in sys.modules), mlcommons_tasks.Settings().port]))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    modules, port = json.loads(ended.stdout)
    heavy = {"flask", "werkzeug", "opensearchpy", "elasticsearch_dsl", "elasticsearch", "numpy", "scipy", "gunicorn"}
    assert heavy & set(modules) == set()
    assert port == 9201
    assert {"create_app", "running_service", "Settings"} <= set(mlcommons_tasks.__all__)
    with pytest.raises(AttributeError):
        _ = mlcommons_tasks.nonsense


def test_help_imports_no_command() -> None:
    """`mlcommons-tasks --help` lists the commands without importing what they need."""
    code = "import sys; sys.argv=['x','--help']\ntry:\n from mlcommons_tasks.cli import main; main(['--help'])\n"
    code += "finally:\n print(sorted({'flask','numpy','opensearchpy','rich'} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ended.stdout.rstrip().endswith("[]"), ended.stdout
    for command in ("serve", "seed", "demo", "node"):
        assert f"  {command} " in ended.stdout


def test_a_wheel_holds_what_is_needed(tmp_path: Path) -> None:
    """Types, locks and the iris data are in the wheel; tests and fixtures of ours are not."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path)]
    copied = tmp_path / "source"
    copied.mkdir()
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.split("\0"):
        if name.startswith(("mlcommons_tasks/", "fixtures/datasets/")) or (name and "/" not in name):
            (copied / name).parent.mkdir(parents=True, exist_ok=True)
            (copied / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([*command, str(copied)], check=True, timeout=180)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "mlcommons_tasks/py.typed" in names
    locks = {f"mlcommons_tasks/node/locks/{path.name}" for path in (ROOT / "mlcommons_tasks/node/locks").glob("*.json")}
    assert locks
    assert locks <= set(names)
    assert any(name.endswith("share/mlcommons-tasks/datasets/iris.ndjson") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "tools/", "fixtures/"))]
    modules = {str(path.relative_to(copied)) for path in (copied / "mlcommons_tasks").rglob("*.py")}
    assert modules <= set(names)
