"""Writes that go together: each is told of its own end, whatever becomes of the others."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mlcommons_tasks.errors import IndexNotFound, StoreUnavailable, TaskPluginError, UpstreamError
from mlcommons_tasks.store import batches as module
from mlcommons_tasks.store.batches import Batches, Create, Update, Written
from tests.unit.doubles import PATIENCE_S

BROKEN = {"type": "mapper_parsing_exception", "reason": "failed to parse", "index": "i"}


class Index:
    """An index that is there, or is not."""

    def __init__(self, name: str = "i", *, is_there: bool = True, error: TaskPluginError | None = None) -> None:
        self.name = name
        self.is_there = is_there
        self.error = error
        self.mended = 0

    def ensure(self) -> str:
        if self.error is not None:
            raise self.error
        self.is_there = True
        return "uuid"

    def identity(self) -> str | None:
        return "uuid" if self.is_there else None

    def mend(self, seen: str) -> None:
        assert seen == "uuid"
        self.mended += 1


class Client:
    """Takes every write but those it is told to refuse, and holds the first request until `go`."""

    def __init__(self, *, held: bool = False) -> None:
        self.requests: list[list[str]] = []
        self.refused: dict[str, tuple[int, dict[str, Any]]] = {}
        self.seq_no = 5
        self.error: Exception | None = None
        self.reached, self.go = threading.Event(), threading.Event()
        if not held:
            self.go.set()

    def bulk(self, body: bytes, **_: Any) -> dict[str, Any]:
        self.reached.set()
        assert self.go.wait(PATIENCE_S)
        if self.error is not None:
            raise self.error
        heads = [json.loads(line) for line in body.splitlines()[::2]]
        self.requests.append([next(iter(head.values()))["_id"] for head in heads])
        return {"items": [{action: self._result(head)} for each in heads for action, head in each.items()]}

    def _result(self, head: dict[str, Any]) -> dict[str, Any]:
        if head["_id"] in self.refused:
            status, error = self.refused[head["_id"]]
            return {"status": status, "error": error}
        return {"status": 200, "_seq_no": self.seq_no, "_primary_term": 1}


def over(client: Any) -> Batches:
    return Batches(client)


def test_what_comes_while_one_request_is_under_way_goes_with_the_next() -> None:
    """However many threads write, and to whatever index."""
    client = Client(held=True)
    batches, indices = over(client), (Index("a"), Index("b"))
    with ThreadPoolExecutor(20) as threads:
        first = threads.submit(batches.run, Create(indices[0], "first", {}))
        assert client.reached.wait(PATIENCE_S)
        others = [threads.submit(batches.run, Create(indices[n % 2], f"d{n}", {"n": n})) for n in range(19)]
        while len(batches._waiting) < 19:
            pass
        client.go.set()
        assert {each.result(PATIENCE_S) for each in (first, *others)} == {Written(5, 1)}
    assert client.requests[0] == ["first"]
    assert sorted(client.requests[1]) == sorted(f"d{n}" for n in range(19))


def test_each_write_has_its_own_error() -> None:
    """The others of the request are written."""
    client = Client()
    client.refused = {"bad": (400, BROKEN), "late": (409, {"type": "version_conflict_engine_exception", "reason": "r"})}
    batches, index = over(client), Index()
    with pytest.raises(UpstreamError, match="failed to parse") as caught:
        batches.run(Create(index, "bad", {}))
    assert json.loads(caught.value.payload)["error"]["root_cause"] == [BROKEN]
    with pytest.raises(UpstreamError) as caught:
        batches.run(Update(index, "late", {}, Written(1, 1)))
    assert caught.value.status == 409
    assert batches.run(Create(index, "good", {})) == Written(5, 1)


def test_an_update_does_not_bring_an_index_back() -> None:
    """It is not even sent; a new document makes the index first."""
    client, index = Client(), Index(is_there=False)
    batches = over(client)
    with pytest.raises(IndexNotFound):
        batches.run(Update(index, "one", {}, Written(1, 1)))
    assert client.requests == []
    batches.run(Create(index, "two", {}))
    assert index.is_there


def test_an_index_that_cannot_be_made_stops_its_own_writes_only() -> None:
    """Those to other indices are sent."""
    client = Client(held=True)
    batches, blocked = (
        over(client),
        Index("blocked", error=UpstreamError(403, b"{}", "application/json", "x", "blocked")),
    )
    with ThreadPoolExecutor(3) as threads:
        threads.submit(batches.run, Create(Index("a"), "first", {}))
        assert client.reached.wait(PATIENCE_S)
        refused = threads.submit(batches.run, Create(blocked, "one", {}))
        taken = threads.submit(batches.run, Create(Index("a"), "two", {}))
        client.go.set()
        with pytest.raises(UpstreamError, match="blocked"):
            refused.result(PATIENCE_S)
        assert taken.result(PATIENCE_S) == Written(5, 1)


def test_an_index_that_went_is_looked_after() -> None:
    """After its first document, and after an update to none: OpenSearch may have made it anew without a mapping."""
    client, index = Client(), Index()
    batches = over(client)
    batches.run(Create(index, "one", {}))
    assert index.mended == 0
    client.seq_no = 0
    batches.run(Create(index, "two", {}))
    assert index.mended == 1
    client.refused["three"] = (404, {"type": "document_missing_exception", "reason": "r"})
    with pytest.raises(UpstreamError):
        batches.run(Update(index, "three", {}, Written(1, 1)))
    assert index.mended == 2


def test_a_request_that_fails_fails_all_its_writes() -> None:
    """And the next one is sent all the same."""
    client = Client()
    batches = over(client)
    client.error = StoreUnavailable("away")
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            batches.run(Create(Index(), "one", {}))
    client.error = None
    assert batches.run(Create(Index(), "one", {})) == Written(5, 1)


def test_a_request_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large documents go one by one."""
    monkeypatch.setattr(module, "LONGEST", 1_000)
    client = Client(held=True)
    batches = over(client)
    with ThreadPoolExecutor(5) as threads:
        writes = [threads.submit(batches.run, Create(Index(), f"d{n}", {"text": "x" * 900})) for n in range(5)]
        assert client.reached.wait(PATIENCE_S)
        client.go.set()
        assert all(each.result(PATIENCE_S) for each in writes)
    assert [len(each) for each in client.requests] == [1] * 5
