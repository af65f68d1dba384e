"""An OpenSearch that starts says that every index is missing: nothing may be taken for deleted then."""

from __future__ import annotations

import json
from typing import Any

import opensearchpy
import pytest

from mlcommons_tasks.errors import StoreUnavailable
from mlcommons_tasks.store.batches import Written
from mlcommons_tasks.store.documents import DocumentIndex
from mlcommons_tasks.store.upstream import Reply

NOT_RECOVERED = {"blocks": {"global": {"1": {"description": "state not recovered / initialized"}}}}
NO_SUCH_INDEX = json.dumps({"error": {"type": "index_not_found_exception"}, "status": 404}).encode()


class Starting:
    """A client, and the raw connection beside it: what each says in turn."""

    def __init__(self, *exists: bool, state: dict[str, Any] | None = None) -> None:
        self._exists = list(exists)
        self._state = state or {}
        self.updates = 0
        self.indices: Any = self
        self.cluster: Any = self
        self.replies = [Reply(404, [], NO_SUCH_INDEX), Reply(200, [], b"{}")]
        self.endpoint: Any = self
        self.authorization: dict[str, str] = {}

    def get(self, index: str, **_: Any) -> Any:
        if self._exists.pop(0):
            return {index: {"settings": {"index": {"uuid": "one"}}}}
        raise opensearchpy.NotFoundError(404, "index_not_found_exception", json.loads(NO_SUCH_INDEX))

    def state(self, **_: Any) -> dict[str, Any]:
        return self._state

    def bulk(self, **_: Any) -> dict[str, Any]:
        self.updates += 1
        return {"items": [{"update": {"_seq_no": 2, "_primary_term": 1, "status": 200}}]}

    def mget(self, **_: Any) -> Any:
        raise opensearchpy.NotFoundError(404, "index_not_found_exception", json.loads(NO_SUCH_INDEX))

    def request(self, *_: Any) -> Reply:
        return self.replies.pop(0)


def index_over(starting: Starting) -> DocumentIndex:
    either: Any = starting
    return DocumentIndex("tasks", {"mappings": {}}, either, either)


def test_who_does_not_know_yet_is_asked_again() -> None:
    """Neither that the index is there, nor that it is not."""
    with pytest.raises(StoreUnavailable, match="has just started"):
        index_over(Starting(False, state=NOT_RECOVERED)).exists()


def test_who_came_to_know_meanwhile_is_believed_the_second_time() -> None:
    """The first answer may be older than what the cluster knows now."""
    assert index_over(Starting(False, True)).exists()
    assert not index_over(Starting(False, False)).exists()


def test_a_write_waits_until_it_is_known_that_the_index_is_there() -> None:
    """It is not dropped as one to a deleted index."""
    starting = Starting(False, True)
    assert index_over(starting).update("one", {"state": "RUNNING"}, Written(1, 1)) == Written(2, 1)
    assert starting.updates == 1


def test_a_document_is_not_missing_before_its_index_is() -> None:
    """A poller is told to come again, or what it asked for; a task is not cancelled for being gone."""
    with pytest.raises(StoreUnavailable):
        index_over(Starting(False, state=NOT_RECOVERED)).source("one")
    assert index_over(Starting(False, True)).source("one") == b"{}"
    assert index_over(Starting(False, False)).source("one") is None
    with pytest.raises(StoreUnavailable):
        index_over(Starting(False, True)).positions(["one"])
    assert index_over(Starting(False, False)).positions(["one"]) == {"one": None}
