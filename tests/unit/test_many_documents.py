"""What OpenSearch says of each document of a request about many, and of a cancellation that it does not take."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from mlcommons_tasks.errors import IndexNotFound, UpstreamError
from mlcommons_tasks.store.cluster_tasks import ClusterTaskStore
from mlcommons_tasks.store.connection import open_client
from mlcommons_tasks.store.mappings import TASK_INDEX, task_index_body
from mlcommons_tasks.store.models import ModelStore
from mlcommons_tasks.store.tasks import TaskStore
from mlcommons_tasks.store.upstream import Endpoint, Upstream
from tests.upstreams import Request, answering

RUNNING = {"_id": "t", "found": True, "_seq_no": 3, "_primary_term": 1, "_source": {"state": "RUNNING"}}
CANCELLED = {**RUNNING, "_source": {"state": "CANCELLED"}}
UPDATED = {"items": [{"update": {"_id": "t", "status": 200, "_seq_no": 4, "_primary_term": 1}}]}


def refused(status: int, kind: str) -> dict[str, Any]:
    """Return what a bulk request says of an update that is not done."""
    return {"items": [{"update": {"_id": "t", "status": status, "error": {"type": kind, "reason": "why"}}}]}


MISSING = refused(404, "document_missing_exception")
MOVED_ON = refused(409, "version_conflict_engine_exception")
BUSY = refused(429, "rejected")


def unread(kind: str) -> dict[str, Any]:
    """Return what an mget says of a document that it could not read."""
    return {"_id": "t", "error": {"type": kind, "reason": "why"}}


@dataclass
class Server:
    """An OpenSearch that gives the next answer that a kind of request has, the last one again and again."""

    url: str = ""
    answers: dict[str, list[Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def answer(self, request: Request) -> None:
        body = b"".join(request.read_body())
        kind = request.path.split("?")[0].rsplit("/", 1)[-1]
        self.asked.append(f"{request.command} {kind}")
        if body and kind == "_mapping":
            self.asked[-1] += f" {body.decode()}"
        waiting = self.answers.get(kind, [{}])
        found = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        status = found if isinstance(found, int) else 200
        request.reply(status, json.dumps({} if isinstance(found, int) else found).encode())


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    with answering(lambda request: found.answer(request)) as found.url:  # noqa: PLW0108  # a function, no method
        yield found


def tasks_at(server: Server) -> TaskStore:
    endpoint = Endpoint.at(server.url)
    return TaskStore(open_client(endpoint), Upstream(endpoint))


def test_a_running_task_is_cancelled(server: Server) -> None:
    """One request that reads, one that sees that the index is there, one that writes."""
    server.answers = {"_mget": [{"docs": [RUNNING]}], "_bulk": [UPDATED]}
    assert tasks_at(server).cancel(["t"], 1) == {"t"}
    assert server.asked == ["POST _mget", f"GET {TASK_INDEX}", "POST _bulk"]


def test_a_cancelled_task_is_not_written_again(server: Server) -> None:
    """It counts as cancelled."""
    server.answers = {"_mget": [{"docs": [CANCELLED]}]}
    assert tasks_at(server).cancel(["t"], 1) == {"t"}
    assert server.asked == ["POST _mget"]


def test_a_task_that_moves_on_is_looked_at_again(server: Server) -> None:
    """It ended meanwhile: it is not cancelled."""
    completed = {**RUNNING, "_source": {"state": "COMPLETED"}}
    server.answers = {"_mget": [{"docs": [RUNNING]}, {"docs": [completed]}], "_bulk": [MOVED_ON]}
    assert tasks_at(server).cancel(["t"], 1) == set()


@pytest.mark.parametrize("trouble", ["_mget", "_bulk"])
def test_a_cancellation_is_repeated_while_the_error_is_a_passing_one(server: Server, trouble: str) -> None:
    """Neither a node that is too busy nor one that goes refuses a cancellation."""
    server.answers = {"_mget": [{"docs": [RUNNING]}], "_bulk": [UPDATED]}
    server.answers[trouble] = [429, 503, *server.answers[trouble]]
    assert tasks_at(server).cancel(["t"], 1) == {"t"}


def test_a_cancellation_is_repeated_for_the_tasks_that_were_refused(server: Server) -> None:
    """OpenSearch may take some and not others."""
    server.answers = {"_mget": [{"docs": [RUNNING]}], "_bulk": [BUSY, UPDATED]}
    assert tasks_at(server).cancel(["t"], 1) == {"t"}


def test_a_task_that_cannot_be_read_is_not_taken_for_a_deleted_one(server: Server) -> None:
    """Its training goes on until it is known; a shard that is away comes back."""
    away = {"docs": [unread("no_shard_available_action_exception")]}
    server.answers = {"_mget": [away, away, {"docs": [RUNNING]}], "_bulk": [UPDATED]}
    assert tasks_at(server).cancel(["t"], 1) == {"t"}
    assert server.asked.count("POST _bulk") == 1


def test_a_task_of_a_missing_index_is_gone(server: Server) -> None:
    """That is how OpenSearch says it of each document."""
    server.answers = {"_mget": [{"docs": [unread(IndexNotFound.type)]}]}
    assert tasks_at(server).cancel(["t"], 1) == {"t"}


def test_an_index_that_a_cancellation_brought_back_gets_its_mapping(server: Server) -> None:
    """It was deleted between the look and the write."""
    server.answers = {
        "_mget": [{"docs": [RUNNING]}, {"docs": [{"_id": "t", "found": False}]}],
        "_bulk": [MISSING],
        TASK_INDEX: [{TASK_INDEX: {"settings": {"index": {"uuid": uuid}}}} for uuid in ("one", "another")],
        "_mapping": [{TASK_INDEX: {"mappings": {}}}],
    }
    assert tasks_at(server).cancel(["t"], 1) == {"t"}
    assert f"PUT _mapping {json.dumps(task_index_body()['mappings'], separators=(',', ':'))}" in server.asked


def test_a_training_that_cannot_be_read_has_not_ended(server: Server) -> None:
    """Whoever waits for it is told of the error."""
    endpoint = Endpoint.at(server.url)
    store = ClusterTaskStore(open_client(endpoint), Upstream(endpoint))
    server.answers = {"_mget": [{"docs": [unread("no_shard_available_action_exception")]}]}
    with pytest.raises(UpstreamError, match="why"):
        store.unfinished(["t"])
    server.answers = {"_mget": [{"docs": [unread(IndexNotFound.type)]}]}
    assert store.unfinished(["t"]) == set()


def test_a_closed_store_tries_once_to_discard_a_model(server: Server) -> None:
    """The service's end is not held up by a model that nobody will find."""
    endpoint = Endpoint.at(server.url)
    models = ModelStore(open_client(endpoint), Upstream(endpoint))
    server.answers = {"m": [503]}
    models.close()
    with pytest.raises(UpstreamError):
        models.discard("m")
    assert server.asked == ["DELETE m"]
