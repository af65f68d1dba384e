"""One suite for the stores on every OpenSearch we offer: the in-memory server and the embedded node."""

from __future__ import annotations

import json

import pytest

from mlcommons_tasks.cancellation import Cancellation, Cancelled
from mlcommons_tasks.errors import IndexNotFound, StoreUnavailable, UpstreamError
from mlcommons_tasks.model import MLModel
from mlcommons_tasks.store.endpoint import Endpoint
from mlcommons_tasks.store.mappings import MODEL_INDEX, TASK_INDEX, model_index_body, task_index_body
from mlcommons_tasks.store.upstream import Upstream
from mlcommons_tasks.task import FunctionName, InputType, MLTask
from tests.contract.conftest import Stores

JSON = [("Content-Type", "application/json")]


def a_task() -> MLTask:
    return MLTask.training(FunctionName.KMEANS, InputType.SEARCH_QUERY, "node-1", 1_000)


def found_ids(stores: Stores) -> list[str]:
    answer = stores.tasks.search(b'{"query":{"term":{"function_name":"KMEANS"}}}', {}, JSON)
    return [hit["_id"] for hit in json.loads(answer.payload)["hits"]["hits"]]


def test_a_stored_task_is_read_and_found_at_once(stores: Stores) -> None:
    """After create returns, a GET gives the source as it was sent and a search finds it."""
    task_id = stores.tasks.new_id()
    stores.tasks.create(task_id, a_task())

    source = stores.tasks.source(task_id)
    assert source is not None
    assert json.loads(source) == a_task().source()
    assert found_ids(stores) == [task_id]


def test_every_step_is_seen_at_once(stores: Stores) -> None:
    """After update returns, GET and search show the new state, and the document's version counts the writes."""
    created = a_task()
    task_id = stores.tasks.new_id()
    written = stores.tasks.create(task_id, created)
    running = created.running(2_000)
    written = stores.tasks.update(task_id, created, running, written)
    completed = running.completed("m1", 3_000)
    stores.tasks.update(task_id, running, completed, written)

    source = stores.tasks.source(task_id)
    assert source is not None
    assert json.loads(source) == completed.source()
    answer = stores.tasks.search(b'{"query":{"term":{"state":"COMPLETED"}}}', {"version": "true"}, JSON)
    (hit,) = json.loads(answer.payload)["hits"]["hits"]
    assert (hit["_id"], hit["_version"]) == (task_id, 3)


def test_a_write_that_comes_too_late_is_refused(stores: Stores) -> None:
    """An update that expects an older write is a 409 and changes nothing."""
    created = a_task()
    task_id = stores.tasks.new_id()
    first = stores.tasks.create(task_id, created)
    stores.tasks.update(task_id, created, created.running(2_000), first)

    with pytest.raises(UpstreamError) as caught:
        stores.tasks.update(task_id, created, created.failed("late", 3_000), first)

    assert caught.value.status == 409
    position = stores.tasks.position(task_id)
    assert position is not None
    assert position.state == "RUNNING"


def test_what_is_missing_is_none(stores: Stores) -> None:
    """A task or model that is not there is None, whether its index is there or not."""
    assert stores.tasks.source("nope") is None
    assert stores.tasks.position("nope") is None
    assert stores.models.source("nope", with_content=True) is None
    assert not stores.tasks.index_exists()

    stores.tasks.create(stores.tasks.new_id(), a_task())

    assert stores.tasks.index_exists()
    assert stores.tasks.source("nope") is None
    assert stores.tasks.position("nope") is None


def test_an_update_of_what_was_deleted_brings_nothing_back(stores: Stores) -> None:
    """A deleted task stays deleted: the next step's write is refused."""
    created = a_task()
    task_id = stores.tasks.new_id()
    written = stores.tasks.create(task_id, created)
    assert stores.tasks.delete(task_id, {}).status == 200

    with pytest.raises((UpstreamError, IndexNotFound)):
        stores.tasks.update(task_id, created, created.running(2_000), written)

    assert stores.tasks.source(task_id) is None
    assert stores.tasks.delete(task_id, {}).status == 404


def test_a_search_without_index_makes_none(stores: Stores) -> None:
    """Before the first task a search is told that there is no index; one of nothing finds nothing."""
    missing = stores.tasks.search(b"{}", {}, JSON)
    answer = stores.tasks.search(b"{}", {}, JSON, nothing=True)

    assert (missing.status, json.loads(missing.payload)["error"]["type"]) == (404, "index_not_found_exception")
    assert answer.status == 200
    assert json.loads(answer.payload)["hits"]["total"] == {"value": 0, "relation": "eq"}
    assert not stores.tasks.index_exists()


def test_the_indices_are_made_with_the_plugins_mapping(stores: Stores) -> None:
    """The first write makes an index with exactly our mapping, not one that OpenSearch guessed."""
    stores.tasks.create(stores.tasks.new_id(), a_task())
    stores.models.create(stores.models.new_id(), MLModel(FunctionName.KMEANS, b"{}"))

    for name, body in ((TASK_INDEX, task_index_body()), (MODEL_INDEX, model_index_body())):
        stored = stores.client.indices.get_mapping(index=name)[name]["mappings"]
        assert without_object_types(stored) == without_object_types(body["mappings"])


def without_object_types(mapping: object) -> object:
    """Drop `type: object`, which OpenSearch leaves out."""
    if not isinstance(mapping, dict):
        return mapping
    return {key: without_object_types(value) for key, value in mapping.items() if (key, value) != ("type", "object")}


def test_a_model_keeps_its_bytes(stores: Stores) -> None:
    """Content comes back byte for byte, and only when it is asked for."""
    content = bytes(range(256))
    model_id = stores.models.new_id()
    assert not stores.models.exists(model_id)
    stores.models.create(model_id, MLModel(FunctionName.KMEANS, content))
    assert stores.models.exists(model_id)

    with_content = stores.models.source(model_id, with_content=True)
    without = stores.models.source(model_id, with_content=False)

    assert with_content is not None
    assert without is not None
    assert json.loads(with_content) == MLModel(FunctionName.KMEANS, content).source()
    assert "model_content" not in json.loads(without)


def test_sources_are_read_in_order_with_their_total(stores: Stores) -> None:
    """A caller's search gives the sources of its hits in order, and how many documents match in all."""
    lines = "".join(f'{{"index":{{"_id":"{n}"}}}}\n{{"n":{n}}}\n' for n in range(5))
    stores.client.bulk(body=lines, index="contract", params={"refresh": "true"})

    total, sources = stores.sources.read(("contract",), {"size": 3, "sort": [{"n": "desc"}]}, {}, Cancellation())

    assert total == 5
    assert sources == [{"n": 4}, {"n": 3}, {"n": 2}]


def test_a_missing_source_index_is_said(stores: Stores) -> None:
    """Reading from an index that is not there says so in OpenSearch's words."""
    with pytest.raises((UpstreamError, IndexNotFound), match=r"no such index \[contract-missing\]"):
        stores.sources.read(("contract-missing",), {}, {}, Cancellation())


def test_nobody_there_is_said(stores: Stores) -> None:
    """Without an OpenSearch a read is StoreUnavailable."""
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        Upstream(Endpoint.at("http://127.0.0.1:9")).request("GET", "/")


def test_a_cancelled_search_is_not_waited_for(stores: Stores) -> None:
    """Neither one that begins nor one that is under way."""
    stores.client.index(index="contract", body={"n": 1}, params={"refresh": "true"})
    cancellation = Cancellation()
    cancellation.cancel()
    with pytest.raises(Cancelled):
        stores.sources.read(("contract",), {}, {}, cancellation)


def test_tasks_that_have_not_ended_are_cancelled(stores: Stores) -> None:
    """CREATED and RUNNING ones become CANCELLED; those that ended stay, one that is gone has nobody to mind."""
    task = a_task()
    ids = {name: stores.tasks.new_id() for name in ("created", "running", "completed", "gone")}
    written = {name: stores.tasks.create(ids[name], task) for name in ("created", "running", "completed")}
    stores.tasks.update(ids["running"], task, task.running(2_000), written["running"])
    done = task.running(2_000).completed("m1", 3_000)
    stores.tasks.update(ids["completed"], task, done, written["completed"])

    assert stores.tasks.cancel(ids.values(), 4_000) == {ids["created"], ids["running"], ids["gone"]}
    assert stores.tasks.cancel([ids["created"]], 5_000) == {ids["created"]}, "once more changes nothing"

    source = stores.tasks.source(ids["created"])
    assert source is not None
    assert json.loads(source) == {**task.source(), "state": "CANCELLED", "last_update_time": 4_000}
    assert [position and position.state for position in map(stores.tasks.position, ids.values())] == [
        "CANCELLED",
        "CANCELLED",
        "COMPLETED",
        None,
    ]


def test_nothing_is_cancelled_where_there_is_no_index(stores: Stores) -> None:
    """And none is made."""
    assert stores.tasks.cancel(["one"], 1_000) == {"one"}
    assert not stores.tasks.index_exists()
