"""What `--retain` deletes of the two indices, on every OpenSearch we offer."""

from __future__ import annotations

from typing import Any

import pytest

from mlcommons_tasks.cluster_task import FIRST_NUMBER, ClusterTask, Outcome, TaskId
from mlcommons_tasks.store import pruning
from mlcommons_tasks.store.cluster_tasks import cluster_task_index_body, owner_document, task_document
from mlcommons_tasks.store.mappings import CLUSTER_TASK_INDEX, TASK_INDEX
from mlcommons_tasks.store.pruning import Pruner
from mlcommons_tasks.task import TaskState
from tests.contract.conftest import Stores

OLD, YOUNG, BEFORE = 1_000, 9_000, 5_000
OVER = ("COMPLETED", "FAILED", "CANCELLED", "COMPLETED_WITH_ERROR", "EXPIRED")


def store(stores: Stores, index: str, sources: dict[str, dict[str, Any]]) -> None:
    operations: list[Any] = []
    for document_id, source in sources.items():
        operations += [{"index": {"_id": document_id}}, source]
    assert not stores.client.bulk(index=index, body=operations, params={"refresh": "true"})["errors"]


def kept(stores: Stores, index: str) -> set[str]:
    hits = stores.client.search(index=index, body={"size": 1_000, "query": {"match_all": {}}})["hits"]["hits"]
    return {hit["_id"] for hit in hits}


def test_old_tasks_that_are_over_go(stores: Stores) -> None:
    """In whichever state they ended, and whoever made them; those that still run stay, however old they are."""
    stores.tasks._documents.ensure()
    states = [state.value for state in TaskState]
    times = {"old": OLD, "young": YOUNG, "on-time": BEFORE}
    sources = {
        f"{state}-{age}": {"state": state, "create_time": 1, "last_update_time": time}
        for state in states
        for age, time in times.items()
    }
    odd = {"no-state": {"last_update_time": OLD}, "no-time": {"state": "COMPLETED"}, "lower": {"state": "completed"}}
    store(stores, TASK_INDEX, {**sources, **odd})

    assert Pruner(stores.client).prune_tasks(BEFORE) == len(OVER)

    assert kept(stores, TASK_INDEX) == {*sources, *odd} - {f"{state}-old" for state in OVER}
    assert Pruner(stores.client).prune_tasks(BEFORE) == 0


def a_training(number: int, ended: int | None) -> ClusterTask:
    over = {} if ended is None else {"outcome": Outcome({}), "running_time_in_nanos": (ended - 10) * 1_000_000}
    return ClusterTask(TaskId("n", FIRST_NUMBER + number * 10), "what", {}, 10, "owner-1", **over)  # type: ignore[arg-type]


def test_old_results_go(stores: Stores) -> None:
    """What runs stays, and so do the names of those that run it."""
    trainings = {"old": a_training(1, OLD), "young": a_training(2, YOUNG), "running": a_training(3, None)}
    documents = {name: task_document(each) for name, each in trainings.items()}
    stores.cluster_tasks.write({**documents, "owner-1": owner_document("owner-1", 1)}, {}, ())

    assert Pruner(stores.client).prune_results(BEFORE) == 1

    assert kept(stores, CLUSTER_TASK_INDEX) == {"young", "running", "owner-1"}
    assert Pruner(stores.client).prune_results(BEFORE) == 0


def test_an_index_of_before_learns_when_a_training_ended(stores: Stores) -> None:
    """It was made before results were deleted; its mapping is brought up by the next write."""
    body = cluster_task_index_body()
    del body["mappings"]["_meta"], body["mappings"]["properties"]["ended"]
    stores.client.indices.create(index=CLUSTER_TASK_INDEX, body=body)
    stores.cluster_tasks.write({"old": task_document(a_training(1, OLD))}, {}, ())

    assert Pruner(stores.client).prune_results(BEFORE) == 1


def test_without_indices_there_is_nothing_to_do(stores: Stores) -> None:
    """A service may never have trained; no index is made."""
    assert Pruner(stores.client).prune_tasks(BEFORE) == 0
    assert Pruner(stores.client).prune_results(BEFORE) == 0
    assert not stores.client.indices.exists(index=TASK_INDEX)


def test_a_task_that_somebody_writes_meanwhile_stays(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was found as old, and is not what was found any more; one that is gone meanwhile does not count either."""
    stores.tasks._documents.ensure()
    old = {"state": "COMPLETED", "last_update_time": OLD}
    store(stores, TASK_INDEX, {"written": old, "deleted": old, "left": old})
    bulk = stores.client.bulk

    def meddle(**arguments: Any) -> Any:
        monkeypatch.setattr(stores.client, "bulk", bulk)
        store(stores, TASK_INDEX, {"written": {**old, "error": "new"}})
        stores.client.delete(index=TASK_INDEX, id="deleted", params={"refresh": "true"})
        return bulk(**arguments)

    monkeypatch.setattr(stores.client, "bulk", meddle)
    assert Pruner(stores.client).prune_tasks(BEFORE) == 1

    assert kept(stores, TASK_INDEX) == {"written"}


def test_an_index_that_is_deleted_meanwhile_stays_so(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever deleted it is not contradicted, and it is no error."""
    stores.tasks._documents.ensure()
    store(stores, TASK_INDEX, {"old": {"state": "COMPLETED", "last_update_time": OLD}})
    bulk = stores.client.bulk

    def meddle(**arguments: Any) -> Any:
        stores.client.indices.delete(index=TASK_INDEX)
        return bulk(**arguments)

    monkeypatch.setattr(stores.client, "bulk", meddle)
    assert Pruner(stores.client).prune_tasks(BEFORE) == 0

    assert not stores.client.indices.exists(index=TASK_INDEX)


def test_a_call_takes_only_so_many(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is for the next."""
    monkeypatch.setattr(pruning, "AT_ONCE", 4)
    stores.tasks._documents.ensure()
    store(stores, TASK_INDEX, {f"t{n}": {"state": "FAILED", "last_update_time": OLD} for n in range(10)})

    assert [Pruner(stores.client).prune_tasks(BEFORE) for _ in range(4)] == [4, 4, 2, 0]
