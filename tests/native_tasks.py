"""Real tasks that last, for tests of `_tasks`: a slow reindex and update by query, a busy search, long trainings.

Each is a context manager: what it started is cancelled at the end and what it made is deleted.
"""

from __future__ import annotations

import contextlib
import http.client
import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.clients import FINAL, TASKS, Answer, Client, long_body
from tests.services import wait_until

OPAQUE = "X-Opaque-Id"
#: How long a task of these lasts if nobody cancels it: longer than any test waits.
LASTS_S = 120
#: A search's script: 20 calls of a function with a loop as long as Painless lets one be, some 5 ms a document.
BURN = (
    "int burn() { int sum = 0; for (int i = 0; i < 400000; ++i) { sum += i ^ sum } return sum } "
    "int all = 0; for (int i = 0; i < 20; ++i) { all += burn() } return all != 1"
)
BUSY = {"script": {"script": {"source": BURN}}}
SEGMENTS = 80
DOCUMENTS_OF_A_SEGMENT = 100
#: Iterations of `long_body`: minutes of them, and a training that looks at its cancel flag 10,000 times a second.
MANY_ITERATIONS = 20_000_000


@contextlib.contextmanager
def slow_reindex(client: Client, *, seconds: int = LASTS_S, headers: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run a `_reindex` that takes about so many seconds, a document each; give its task's id."""
    with _documents(client, "slow-reindex", seconds) as (index, copy):
        body = {"source": {"index": index, "size": 1}, "dest": {"index": copy}}
        path = "/_reindex?wait_for_completion=false&requests_per_second=1"
        with _started(client, path, body, headers) as task_id:
            yield task_id


@contextlib.contextmanager
def slow_update_by_query(
    client: Client, *, seconds: int = LASTS_S, headers: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Run an `_update_by_query` that takes about so many seconds, a document each; give its task's id."""
    with _documents(client, "slow-update", seconds) as (index, _):
        path = f"/{index}/_update_by_query?wait_for_completion=false&requests_per_second=1&scroll_size=1"
        with _started(client, path, None, headers) as task_id:
            yield task_id


@dataclass
class BusySearch:
    """A search that is busy: its task's id, and its answer once it has one."""

    task_id: str = ""
    answers: list[Answer] = field(default_factory=list)


@contextlib.contextmanager
def busy_index(client: Client) -> Iterator[str]:
    """Make an index in which `BUSY` takes half a minute; give its name.

    OpenSearch looks whether a search is cancelled before each segment, so the index has many, some 0.4 s each.
    """
    index = f"busy-{uuid.uuid4().hex[:8]}"
    unmerged = {"segments_per_tier": 1000, "max_merge_at_once": 1000}
    settings = {"number_of_shards": 1, "number_of_replicas": 0, "refresh_interval": -1, "merge.policy": unmerged}
    try:
        client.ok("PUT", f"/{index}", {"settings": {"index": settings}})
        for _ in range(SEGMENTS):
            _fill(client, index, DOCUMENTS_OF_A_SEGMENT)
        yield index
    finally:
        client.send("DELETE", f"/{index}?ignore_unavailable=true")


@contextlib.contextmanager
def busy_search(client: Client, *, headers: Mapping[str, str] | None = None) -> Iterator[BusySearch]:
    """Run a search whose script loops over many documents, for a minute at most."""
    mark = (headers or {}).get(OPAQUE) or uuid.uuid4().hex
    found = BusySearch()
    with busy_index(client) as index:
        body = {"query": BUSY, "timeout": "60s", "track_total_hits": True}
        sent = {**(headers or {}), OPAQUE: mark}
        thread = threading.Thread(target=_search, args=(client, f"/{index}/_search", body, sent, found))

        def running() -> str:
            assert not found.answers, f"the search is over: {found.answers[0].payload[:2000]!r}"
            tasks = tasks_of(client, "indices:data/read/search")
            return next(
                (
                    task_id
                    for task_id, task in tasks.items()
                    if task["headers"].get(OPAQUE) == mark and index in task["description"]
                ),
                "",
            )

        thread.start()
        try:
            found.task_id = wait_until(running, what="the search's task")
            yield found
        finally:
            if found.task_id:
                client.send("POST", f"/_tasks/{found.task_id}/_cancel")
            thread.join(90)
            assert not thread.is_alive(), "the search did not end within 90 s"


@contextlib.contextmanager
def long_training(
    client: Client, *, headers: Mapping[str, str] | None = None, body: dict[str, Any] | None = None
) -> Iterator[str]:
    """Run a training that lasts for minutes in little memory; give its ML task's id once it is RUNNING.

    At the end it is cancelled, its ML task deleted.
    """
    with waiting_training(client, headers=headers, body=body) as ml_task_id:
        wait_until(lambda: client.task(ml_task_id)["state"] != "CREATED", what="a training that runs")
        assert client.task(ml_task_id)["state"] == "RUNNING", client.task(ml_task_id)
        yield ml_task_id


@contextlib.contextmanager
def waiting_training(
    client: Client, *, headers: Mapping[str, str] | None = None, body: dict[str, Any] | None = None
) -> Iterator[str]:
    """Ask for a long training; give its ML task's id at once, in whatever state it is. Ends as `long_training`."""
    answer = client.ok("POST", "/_plugins/_ml/_train/kmeans?async=true", body or long_body(MANY_ITERATIONS), headers)
    ml_task_id = str(answer["task_id"])
    try:
        yield ml_task_id
    finally:
        state = client.send("GET", f"{TASKS}/{ml_task_id}")
        if state.status == 200 and state.body["state"] not in FINAL:
            for task_id in trainings(client, ml_task_id):
                client.send("POST", f"/_tasks/{task_id}/_cancel")
            client.ended(ml_task_id, deadline_s=10)
            wait_until(lambda: not trainings(client, ml_task_id), deadline_s=10, what="the end of the training")
        client.send("DELETE", f"{TASKS}/{ml_task_id}")


def reading_body(index: str) -> dict[str, Any]:
    """Return a training that reads its rows for half a minute, from a `busy_index`."""
    return {
        "parameters": {"centroids": 2},
        "input_query": {"_source": ["n"], "size": 10, "query": BUSY},
        "input_index": [index],
    }


def flat(body: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the tasks of a list by id, however it is grouped; children as tasks of their own."""
    if "nodes" in body:
        groups = [task for node in body["nodes"].values() for task in node["tasks"].values()]
    else:
        groups = list(body["tasks"] if isinstance(body["tasks"], list) else body["tasks"].values())
    found = {}
    while groups:
        task = groups.pop(0)
        groups.extend(task.get("children", ()))
        found[f"{task['node']}:{task['id']}"] = {key: value for key, value in task.items() if key != "children"}
    return found


def tasks_of(client: Client, actions: str, *, detailed: bool = True) -> dict[str, dict[str, Any]]:
    """Return the tasks of some actions by id, with what `detailed` adds."""
    answer = client.ok("GET", f"/_tasks?actions={actions}&detailed={str(detailed).lower()}&group_by=none")
    return {f"{task['node']}:{task['id']}": task for task in answer["tasks"]}


def trainings(client: Client, ml_task_id: str = "") -> list[str]:
    """Return the ids in `_tasks` of the trainings that wait or run; of one ML task if it is given."""
    found = tasks_of(client, "cluster:admin/opensearch/ml/train")
    return [task_id for task_id, task in found.items() if ml_task_id in task["description"]]


def training(client: Client, ml_task_id: str) -> str:
    """Return the id in `_tasks` of the training of an ML task that waits or runs."""
    (task_id,) = trainings(client, ml_task_id)
    return task_id


def is_running(client: Client, task_id: str) -> bool:
    """Whether a task is there and not over."""
    answer = client.send("GET", f"/_tasks/{task_id}")
    assert answer.status in (200, 404), answer.payload
    return answer.status == 200 and not answer.body["completed"]


@contextlib.contextmanager
def _documents(client: Client, name: str, count: int) -> Iterator[tuple[str, str]]:
    """Make an index of so many documents; give its name and that of a copy; both are deleted at the end."""
    index = f"{name}-{uuid.uuid4().hex[:8]}"
    copy = f"{index}-copy"
    settings = {"index": {"number_of_shards": 1, "number_of_replicas": 0}}
    try:
        client.ok("PUT", f"/{index}", {"settings": settings})
        client.ok("PUT", f"/{copy}", {"settings": settings})
        _fill(client, index, count)
        yield index, copy
    finally:
        client.send("DELETE", f"/{index},{copy}?ignore_unavailable=true")


def _fill(client: Client, index: str, count: int) -> None:
    lines = "".join(f'{{"index":{{}}}}\n{{"n":{number}}}\n' for number in range(count))
    headers = {"Content-Type": "application/x-ndjson"}
    assert client.ok("POST", f"/{index}/_bulk?refresh=true", lines.encode(), headers)["errors"] is False


@contextlib.contextmanager
def _started(client: Client, path: str, body: Any, headers: Mapping[str, str] | None) -> Iterator[str]:
    """Start a task by a request that does not wait; cancel it at the end and delete the result it kept."""
    task_id = str(client.ok("POST", path, body, headers)["task"])
    try:
        wait_until(lambda: is_running(client, task_id), what=f"task {task_id}")
        yield task_id
    finally:
        client.send("POST", f"/_tasks/{task_id}/_cancel")
        wait_until(lambda: not is_running(client, task_id), what=f"the end of task {task_id}")
        client.send("DELETE", f"/.tasks/_doc/{task_id}?refresh=true")


def _search(client: Client, path: str, body: dict[str, Any], headers: Mapping[str, str], found: BusySearch) -> None:
    with contextlib.suppress(OSError, http.client.HTTPException):
        patient = Client(client.url, timeout_s=90)
        found.answers.append(patient.send("POST", path, body, headers))
