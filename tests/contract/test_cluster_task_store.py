"""The index of cluster tasks, over an in-memory server and over a real node."""

from __future__ import annotations

import dataclasses

from mlcommons_tasks.cluster_task import FIRST_NUMBER, ClusterTask, Outcome, Recipe, Stage, TaskId
from mlcommons_tasks.store.cluster_tasks import cluster_task_index_body, owner_document, task_document
from mlcommons_tasks.store.mappings import CLUSTER_TASK_INDEX
from tests.contract.conftest import Stores

NOW = 1_000_000


def a_task(number: int = 0, **changes: object) -> ClusterTask:
    task = ClusterTask(
        id=TaskId("node-1", FIRST_NUMBER + 4 * number),
        description="algorithm[KMEANS], indices[iris]",
        headers={"X-Opaque-Id": "me"},
        start_time=NOW - 10,
        owner="replica-1",
        ml_task_id=f"ml-{number}",
    )
    return dataclasses.replace(task, **changes)  # type: ignore[arg-type]


def write(stores: Stores, *tasks: ClusterTask, lease_until: int = NOW + 1) -> None:
    owners = {task.owner: owner_document(task.owner, lease_until) for task in tasks}
    stores.cluster_tasks.write({**owners, **{str(task.id): task_document(task) for task in tasks}}, {}, ())


def test_a_running_training_is_found_at_once(stores: Stores) -> None:
    """By its id and among those that run, with all it says."""
    task = a_task(stage=Stage.FIT, stage_start_time=NOW, rows=150, iteration=3, iterations=10, state="RUNNING")
    write(stores, task)

    assert stores.cluster_tasks.get(task.id) == task
    running, owners = stores.cluster_tasks.running(NOW)
    assert running == [task]
    assert "replica-1" in owners
    assert stores.cluster_tasks.unfinished([str(task.id), "nope:1"]) == {str(task.id)}


def test_what_is_missing_is_none(stores: Stores) -> None:
    """Without an index nothing runs, nothing is found, nothing is deleted, and no index is made."""
    nothing = TaskId("node-1", FIRST_NUMBER)
    assert stores.cluster_tasks.running(NOW) == ([], set())
    assert stores.cluster_tasks.get(nothing) is None
    assert stores.cluster_tasks.unfinished([str(nothing)]) == set()
    assert stores.cluster_tasks.cancelled_of("replica-1") == {}
    assert not stores.cluster_tasks.delete(nothing)
    stores.cluster_tasks.cancel([str(nothing)], NOW)
    assert not stores.client.indices.exists(index=CLUSTER_TASK_INDEX)


def test_a_training_of_a_dead_process_does_not_run(stores: Stores) -> None:
    """It is shown as long as its owner has said that it lives."""
    write(stores, a_task(), lease_until=NOW)
    assert stores.cluster_tasks.running(NOW - 1)[0] == [a_task()]
    assert stores.cluster_tasks.running(NOW)[0] == []
    assert stores.cluster_tasks.owners(before=NOW + 1) == {"replica-1"}
    assert stores.cluster_tasks.owners(before=NOW) == set()
    assert stores.cluster_tasks.owner_lives("replica-1", NOW - 1)
    assert not stores.cluster_tasks.owner_lives("replica-1", NOW)
    assert not stores.cluster_tasks.owner_lives("replica-2", NOW)


def test_changes_go_into_what_is_there(stores: Stores) -> None:
    """A change keeps the rest; what was deleted is not brought back by it."""
    write(stores, a_task())
    changes = {"task": {"stage": "fit", "rows": 9}}
    stores.cluster_tasks.write({}, {str(a_task(n).id): changes for n in (0, 1)}, ())

    assert stores.cluster_tasks.get(a_task().id) == a_task(stage=Stage.FIT, rows=9)
    assert stores.cluster_tasks.get(a_task(1).id) is None


def test_a_cancellation_is_seen_by_the_owner_alone_and_while_it_matters(stores: Stores) -> None:
    """It stands with the training, and is gone from the list once that has ended."""
    write(stores, a_task(), a_task(1, owner="replica-2"))
    stores.cluster_tasks.cancel([str(a_task().id)], NOW)

    assert stores.cluster_tasks.cancelled_of("replica-1") == {str(a_task().id): NOW}
    assert stores.cluster_tasks.cancelled_of("replica-2") == {}
    assert stores.cluster_tasks.get(a_task().id) == a_task(cancellation_time=NOW)

    write(stores, a_task(cancellation_time=NOW, outcome=Outcome(error={"type": "t", "reason": "r"})))
    assert stores.cluster_tasks.cancelled_of("replica-1") == {}


def test_a_result_is_kept_as_it_was_written_until_it_is_deleted(stores: Stores) -> None:
    """The order of its keys too."""
    response = {"model_id": "m", "task_id": "t", "status": "COMPLETED"}
    done = a_task(outcome=Outcome(response=response), running_time_in_nanos=5, state="COMPLETED")
    write(stores, done)

    found = stores.cluster_tasks.get(done.id)
    assert found == done
    assert found is not None
    assert found.outcome is not None
    assert list(found.outcome.response or {}) == list(response)
    assert stores.cluster_tasks.running(NOW)[0] == []
    assert stores.cluster_tasks.unfinished([str(done.id)]) == set()
    assert stores.cluster_tasks.delete(done.id)
    assert not stores.cluster_tasks.delete(done.id)
    assert stores.cluster_tasks.get(done.id) is None


def test_the_index_is_hidden_and_ours(stores: Stores) -> None:
    """It has exactly our mapping, and wildcards of callers do not reach it."""
    write(stores, a_task())
    found = stores.client.indices.get(index=CLUSTER_TASK_INDEX)[CLUSTER_TASK_INDEX]
    body = cluster_task_index_body()
    assert found["settings"]["index"]["hidden"] in ("true", True)
    assert str(found["mappings"].pop("dynamic")).lower() == "false"
    body["mappings"].pop("dynamic")
    assert found["mappings"] == body["mappings"]


def test_leases_and_who_has_trainings(stores: Stores) -> None:
    """Each name with its lease, and the owners of trainings that have not ended, be their names there or not."""
    assert stores.cluster_tasks.leases() == ({}, set())
    ended = a_task(1, owner="replica-2", outcome=Outcome(response={}))
    write(stores, a_task(), ended)
    nameless = a_task(2, owner="replica-3")
    stores.cluster_tasks.write({str(nameless.id): task_document(nameless)}, {}, ())

    leases, busy = stores.cluster_tasks.leases()
    assert leases == {"replica-1": NOW + 1, "replica-2": NOW + 1}
    assert busy == {"replica-1", "replica-3"}


def test_a_training_is_claimed_once(stores: Stores) -> None:
    """With all that it takes to end it; whoever saw an older version is refused."""
    recipe = Recipe("model-1", "KMEANS", body='{"input_index":["i"]}')
    stores.cluster_tasks.write({str(a_task().id): task_document(a_task(), recipe)}, {}, ())
    found = stores.cluster_tasks.unfinished_of(["replica-1", "other"], 10)
    assert [(each.task, each.recipe) for each in found] == [(a_task(), recipe)]

    (claimed,) = stores.cluster_tasks.claim(found, "replica-2")
    assert (claimed.task, claimed.recipe) == (a_task(owner="replica-2"), recipe)
    assert stores.cluster_tasks.claim(found, "replica-3") == []
    assert stores.cluster_tasks.owners_of([str(a_task().id), "nope:1"]) == {str(a_task().id): "replica-2"}
    assert stores.cluster_tasks.unfinished_of(["replica-1"], 10) == []


def test_a_training_that_ended_needs_no_recipe(stores: Stores) -> None:
    """What it was trained on is not kept with its result."""
    ended = a_task(outcome=Outcome(response={}))
    document = task_document(ended, Recipe("model-1", "KMEANS", body="{}"))
    assert "recipe" not in document
    stores.cluster_tasks.write({str(ended.id): document}, {}, ())
    assert stores.cluster_tasks.unfinished_of(["replica-1"], 10) == []


def test_a_broken_document_hides_no_other(stores: Stores) -> None:
    """What somebody wrote over is left alone; the trainings beside it are taken over."""
    broken = {**task_document(a_task(1)), "task": {"id": "none", "unknown": True}}
    stores.cluster_tasks.write({"broken": broken, str(a_task().id): task_document(a_task())}, {}, ())
    assert [each.task for each in stores.cluster_tasks.unfinished_of(["replica-1"], 10)] == [a_task()]
