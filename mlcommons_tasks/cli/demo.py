"""`mlcommons-tasks demo`: the whole story on a terminal, told through the HTTP API that clients use."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlcommons_tasks.errors import StartError

if TYPE_CHECKING:
    from rich.console import Console

FEATURES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
FINAL = ("COMPLETED", "FAILED")
POLL_S = 0.02
SEED = 1  #: of a training that finds three clusters: a start at random may leave one empty
PATIENCE_S = 60.0


def iris_path() -> Path:
    """Return the iris data: of the checkout, or of the installed package.

    Raises:
        StartError: neither is there.
    """
    checkout = Path(__file__).parents[2] / "fixtures" / "datasets" / "iris.ndjson"
    installed = Path(sys.prefix) / "share" / "mlcommons-tasks" / "datasets" / "iris.ndjson"
    for path in (checkout, installed):
        if path.is_file():
            return path
    raise StartError("the iris data is not there", hint="Run the demo from a clone of the repository.")


@click.command()
@click.option("--opensearch", help="embedded, memory, or the URL of an OpenSearch.  [default: embedded]")
def demo(opensearch: str | None) -> None:
    """Load iris, train KMEANS on it as a task, follow the task to its end, and show what is stored."""
    from mlcommons_tasks.cli.console import download_progress
    from mlcommons_tasks.config import Settings
    from mlcommons_tasks.server import running_service

    data = iris_path().read_bytes()
    settings = Settings.resolve({"opensearch": opensearch, "port": 0, "seed": SEED}, os.environ)
    story = Story()
    with download_progress() as progress:
        began = time.perf_counter()
        with running_service(settings, progress=progress) as service:
            story.tell(f"start OpenSearch and the service at {service.url}", time.perf_counter() - began)
            state = story.run(Client(service.url), data)
            began = time.perf_counter()
        story.tell("stop both", time.perf_counter() - began)
    story.show_times()
    sys.exit(0 if state == "COMPLETED" else 1)


class Client:
    """Sends requests as any client would."""

    def __init__(self, url: str) -> None:
        import urllib3

        self.url = url
        self._pool = urllib3.PoolManager()

    def send(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Return the answer's body; a dict is sent as JSON, bytes as NDJSON.

        Raises:
            StartError: the answer is an error.
        """
        payload = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        kind = "application/x-ndjson" if isinstance(body, bytes) else "application/json"
        answer = self._pool.request(method, self.url + path, body=payload, headers={"Content-Type": kind})
        if answer.status >= 400:
            raise StartError(f"{method} {path} answered {answer.status}: {answer.data.decode()}")
        return dict(json.loads(answer.data))


class Story:
    """What happens, as it happens, and how long each step took."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console: Console = Console(highlight=False, soft_wrap=True)
        self._times: list[tuple[str, float]] = []

    def tell(self, step: str, seconds: float) -> None:
        """Note a step that is done."""
        self._times.append((step, seconds))
        self._console.print(f"[green]✓[/] {step} [dim]{seconds:.2f} s[/]")

    @contextmanager
    def step(self, step: str) -> Iterator[None]:
        """Time a step."""
        began = time.perf_counter()
        yield
        self.tell(step, time.perf_counter() - began)

    def run(self, client: Client, data: bytes) -> str:
        """Load, train, follow, show; return the task's last state."""
        with self.step("load iris: 150 flowers in the index iris"):
            client.send("POST", "/_bulk?refresh=true", data)
        with self.step("ask for KMEANS with 3 centroids, as a task"):
            query = {"_source": FEATURES, "size": 150, "query": {"match_all": {}}}
            wish = {"parameters": {"centroids": 3, "iterations": 20}, "input_index": ["iris"], "input_query": query}
            task_id = client.send("POST", "/_plugins/_ml/_train/kmeans?async=true", wish)["task_id"]
        with self.step(f"follow task {task_id} to its end"):
            task = self._follow(client, task_id)
        self._show(f"GET /_plugins/_ml/tasks/{task_id}", task)
        if task["state"] == "COMPLETED":
            self._predict(client, task["model_id"], query)
        search = {"query": {"term": {"function_name": "KMEANS"}}}
        with self.step("search for the tasks of KMEANS"):
            found = client.send("POST", "/_plugins/_ml/tasks/_search", search)
        self._show(f"POST /_plugins/_ml/tasks/_search {json.dumps(search)}", found)
        return str(task["state"])

    def _predict(self, client: Client, model_id: str, query: dict[str, Any]) -> None:
        path = f"/_plugins/_ml/models/{model_id}/_predict"
        with self.step("predict the cluster of each flower"):
            said = client.send("POST", path, {"input_index": ["iris"], "input_query": query})
        rows = said["prediction_result"]["rows"]
        clusters = Counter(row["values"][0]["value"] for row in rows)
        told = ", ".join(f"{count} in cluster {cluster}" for cluster, count in sorted(clusters.items()))
        self._console.print(f"[bold]POST {path}[/]\n{told}")

    def show_times(self) -> None:
        """Print how long each step took."""
        from rich.table import Table

        table = Table("step", "seconds", title="Where the time went")
        table.columns[1].justify = "right"
        for step, seconds in self._times:
            table.add_row(step, f"{seconds:.2f}")
        table.add_section()
        table.add_row("in all", f"{sum(seconds for _, seconds in self._times):.2f}")
        self._console.print(table)

    def _follow(self, client: Client, task_id: str) -> dict[str, Any]:
        began = time.perf_counter()
        seen = ""
        with self._console.status("waiting") as status:
            while time.perf_counter() - began < PATIENCE_S:
                task = client.send("GET", f"/_plugins/_ml/tasks/{task_id}")
                elapsed = time.perf_counter() - began
                status.update(f"{task['state']} for {elapsed:.1f} s")
                if task["state"] != seen:
                    seen = task["state"]
                    self._console.print(f"  [cyan]{seen:<10}[/] [dim]after {elapsed:.2f} s[/]")
                if seen in FINAL:
                    return task
                time.sleep(POLL_S)
        raise StartError(f"task {task_id} did not end within {PATIENCE_S:g} s")

    def _show(self, request: str, body: Any) -> None:
        self._console.print(f"[bold]{request}[/]")
        self._console.print_json(json.dumps(body))
