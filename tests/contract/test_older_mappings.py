"""An index with an older mapping, on every OpenSearch we offer."""

from __future__ import annotations

from typing import Any

import pytest

from mlcommons_tasks.errors import UpstreamError
from mlcommons_tasks.store.mappings import TASK_INDEX, task_index_body
from mlcommons_tasks.task import FunctionName, InputType, MLTask
from tests.contract.conftest import Stores

OLD = {"old_field": {"type": "long"}, "state": {"type": "keyword"}}


def make(stores: Stores, version: int, properties: dict[str, Any]) -> None:
    mappings = {"_meta": {"schema_version": version}, "properties": properties}
    stores.client.indices.create(index=TASK_INDEX, body={"mappings": mappings})


def mapping(stores: Stores) -> Any:
    return stores.client.indices.get_mapping(index=TASK_INDEX)[TASK_INDEX]["mappings"]


def store_a_task(stores: Stores) -> None:
    stores.tasks.create(stores.tasks.new_id(), MLTask.training(FunctionName.KMEANS, InputType.DATA_FRAME, "n", 1))


def test_an_older_mapping_is_brought_up_by_the_first_task(stores: Stores) -> None:
    """It has all our fields then, keeps its own, and says our version."""
    make(stores, 1, OLD)

    store_a_task(stores)

    ours = task_index_body()["mappings"]
    assert mapping(stores)["_meta"] == ours["_meta"]
    assert mapping(stores)["properties"] == {**ours["properties"], "old_field": {"type": "long"}}


def test_a_newer_mapping_is_left_alone(stores: Stores) -> None:
    """A newer plugin made it, and works with it."""
    make(stores, 99, OLD)

    store_a_task(stores)

    assert mapping(stores)["_meta"] == {"schema_version": 99}
    assert mapping(stores)["properties"]["create_time"]["type"] == "long"  # as OpenSearch guessed


def test_a_mapping_that_does_not_fit_is_said(stores: Stores) -> None:
    """Nothing is stored then, for a search would not find it."""
    make(stores, 1, {"state": {"type": "text"}})

    with pytest.raises(UpstreamError, match=r"\[state\] cannot be changed from type \[text\] to \[keyword\]"):
        store_a_task(stores)

    assert stores.client.count(index=TASK_INDEX)["count"] == 0
