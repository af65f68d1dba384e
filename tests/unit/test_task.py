"""The task's record: which state leads where, and what a step changes."""

from __future__ import annotations

import itertools

import pytest

from mlcommons_tasks.task import TRANSITIONS, FunctionName, IllegalTransition, InputType, MLTask, TaskState

CREATED = MLTask.training(FunctionName.KMEANS, InputType.SEARCH_QUERY, "node", 1)


def test_a_new_task_is_stored_as_the_plugin_stores_it() -> None:
    """Keys and their order are the plugin's; what is not known yet is not there."""
    assert list(CREATED.source().items()) == [
        ("task_type", "TRAINING"),
        ("function_name", "KMEANS"),
        ("state", "CREATED"),
        ("input_type", "SEARCH_QUERY"),
        ("worker_node", ["node"]),
        ("create_time", 1),
        ("last_update_time", 1),
        ("is_async", True),
    ]


def test_each_step_changes_what_it_must_and_nothing_else() -> None:
    """A partial update holds the state, the time and what came of it."""
    running = CREATED.running(2)
    assert running.changes_since(CREATED) == {"state": "RUNNING", "last_update_time": 2}
    done = running.completed("m", 3)
    assert done.changes_since(running) == {"model_id": "m", "state": "COMPLETED", "last_update_time": 3}
    failed = CREATED.failed("why", 4)
    assert failed.changes_since(CREATED) == {"state": "FAILED", "last_update_time": 4, "error": "why"}
    assert done.changes_since(done) == {}
    assert next(iter(done.source())) == "model_id"
    assert list(failed.source())[-2:] == ["error", "is_async"]


@pytest.mark.parametrize(("before", "after"), [*itertools.product(TaskState, TaskState)])
def test_only_steps_of_the_table_are_taken(before: TaskState, after: TaskState) -> None:
    """Every pair of states is a step of the table or refused by name."""
    task = MLTask(**{**CREATED.__dict__, "state": before})
    if after in TRANSITIONS.get(before, frozenset()):
        assert task._moved(after, 5).state is after
    else:
        with pytest.raises(IllegalTransition, match=f"{before.value} cannot become {after.value}"):
            task._moved(after, 5)


def test_an_end_is_an_end() -> None:
    """No state that ends a task leads anywhere, and a task runs before it is completed."""
    assert set(TRANSITIONS) == {TaskState.CREATED, TaskState.RUNNING}
    assert TaskState.COMPLETED not in TRANSITIONS[TaskState.CREATED]
