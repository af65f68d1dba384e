"""Stored models as predictions and updates find them, on every OpenSearch we offer."""

from __future__ import annotations

import json

import pytest

from mlcommons_tasks.errors import StatusError, TaskPluginError
from mlcommons_tasks.model import MLModel
from mlcommons_tasks.store.mappings import MODEL_INDEX
from mlcommons_tasks.task import FunctionName
from tests.contract.conftest import Stores


def test_a_model_is_loaded_with_its_content(stores: Stores) -> None:
    """The same algorithm and the same bytes as were stored."""
    model_id = stores.models.new_id()
    content = bytes(range(256)) * 300
    stores.models.create(model_id, MLModel(FunctionName.FIT_RCF, content))

    model = stores.models.load(model_id)

    assert (model.algorithm, model.content()) == (FunctionName.FIT_RCF, content)


def test_a_model_that_is_not_there(stores: Stores) -> None:
    """A prediction is told so, and OpenSearch's own error too where there is no index."""
    with pytest.raises(StatusError, match="Failed to get data object from index") as no_index:
        stores.models.load("nope")
    stores.models.create(stores.models.new_id(), MLModel(FunctionName.KMEANS, b"{}"))
    with pytest.raises(StatusError, match="Failed to find model") as no_model:
        stores.models.load("nope")

    assert (no_index.value.status, no_model.value.status) == (404, 404)
    assert no_index.value.caused_by is not None
    assert no_index.value.caused_by.reason == f"no such index [{MODEL_INDEX}]"


def test_a_model_that_cannot_be_read(stores: Stores) -> None:
    """It is a 404 to a prediction, with what is wrong with it."""
    stores.models.create(stores.models.new_id(), MLModel(FunctionName.KMEANS, b"{}"))
    stores.client.index(index=MODEL_INDEX, id="m1", body={"name": "KMEANS", "algorithm": "NOPE"})

    with pytest.raises(TaskPluginError) as caught:
        stores.models.load("m1")

    assert (caught.value.status, caught.value.reason) == (404, "Wrong function name")


def test_a_model_is_changed_where_it_is(stores: Stores) -> None:
    """Objects go into objects, and what is not named stays."""
    stores.models.create("m1", MLModel(FunctionName.KMEANS, b"{}"))
    stores.models.change("m1", {"rate_limiter": {"limit": "1", "unit": "DAYS"}}, {})

    answer = stores.models.change("m1", {"description": "d", "rate_limiter": {"limit": "2"}}, {"filter_path": "result"})

    assert json.loads(answer.payload) == {"result": "updated"}
    fields = stores.models.load("m1").fields
    assert fields["rate_limiter"] == {"limit": "2", "unit": "DAYS"}
    assert (fields["name"], fields["description"]) == ("KMEANS", "d")
    assert stores.models.change("nope", {"description": "d"}, {}).status == 404


def test_what_belongs_to_a_deleted_model_goes(stores: Stores) -> None:
    """Its chunks if it has any, and nothing where there is no index."""
    stores.models.clean_up("m1", chunks=True)
    stores.models.create("m1", MLModel(FunctionName.KMEANS, b"{}"))
    for chunk_id, owner in (("m1_0", "m1"), ("m1_1", "m1"), ("m2_0", "m2")):
        document = {"algorithm": "TEXT_EMBEDDING", "model_id": owner}
        stores.client.index(index=MODEL_INDEX, id=chunk_id, body=document, params={"refresh": "true"})

    stores.models.clean_up("m1", chunks=False)
    assert stores.models.exists("m1_0")
    stores.models.clean_up("m1", chunks=True)

    left = [each for each in ("m1", "m1_0", "m1_1", "m2_0") if stores.models.exists(each)]
    assert left == ["m1", "m2_0"]
