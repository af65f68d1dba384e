"""`_tasks` with our entries in it; shapes and orders as observed on OpenSearch 3.6.0."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest

from mlcommons_tasks.cluster_task import FIRST_NUMBER, TRAIN_ACTION, ClusterTask, Outcome, Stage, TaskId
from mlcommons_tasks.errors import IllegalArgument
from mlcommons_tasks.wire.cluster_tasks import (
    Entry,
    TaskFilter,
    empty_body,
    entries_of,
    failed_node,
    java_name,
    merged,
    parse_group_by,
    stage_result,
    task_result,
)

NODE = "KrMd63uNRrmxUdPelr2DRA"
START = 1_795_372_297_000
NOW = START + 2_100
TRAINING = f"{NODE}:{FIRST_NUMBER}"
FIT = f"{NODE}:{FIRST_NUMBER + 2}"

TASK = ClusterTask(
    id=TaskId(NODE, FIRST_NUMBER),
    description="train KMEANS on [iris]",
    headers={"X-Opaque-Id": "mine"},
    start_time=START,
    owner="1",
    state="RUNNING",
    stage=Stage.FIT,
    stage_start_time=START + 100,
    rows=150,
    iteration=3,
    iterations=10,
    cpu_time_in_nanos=1_234,
)
WAITING = ClusterTask(TaskId("other", FIRST_NUMBER + 4), "train", {}, START + 50, "1")
ENDED = dataclasses.replace(
    TASK, stage=None, state="COMPLETED", running_time_in_nanos=5_000, outcome=Outcome(response={"model_id": "m"})
)
NODES: dict[str, dict[str, Any]] = {
    "other": {
        "name": "n2",
        "transport_address": "127.0.0.2:9300",
        "host": "localhost",
        "ip": "127.0.0.2",
        "version": "3.6.0",
        "roles": ["data"],
        "attributes": {"rack": "1"},
        "http": {},
    }
}
NATIVE = {"node": NODE, "id": 7, "type": "transport", "action": "cluster:monitor/tasks/lists"}
FAILURE = failed_node("gone", {"type": "node_not_connected_exception", "reason": "no"})


def in_groups(group_by: str, entries: list[Entry], body: dict[str, Any]) -> dict[str, Any]:
    return merged(body, group_by, entries, NODES, NOW, detailed=False, human=False)


def stats(nanos: int, executions: int, active: int) -> dict[str, Any]:
    used = {"cpu_time_in_nanos": nanos, "memory_in_bytes": 0}
    return {
        "average": used,
        "total": used,
        "min": used,
        "max": used,
        "thread_info": {"thread_executions": executions, "active_threads": active},
    }


def test_a_training_in_a_list() -> None:
    """A training is a task of type transport; without `detailed` neither its status nor its description is shown."""
    shown = Entry(TASK).render(NOW, detailed=False, human=False)

    assert list(shown.items()) == [
        ("node", NODE),
        ("id", FIRST_NUMBER),
        ("type", "transport"),
        ("action", TRAIN_ACTION),
        ("start_time_in_millis", START),
        ("running_time_in_nanos", 2_100_000_000),
        ("cancellable", True),
        ("cancelled", False),
        ("headers", {"X-Opaque-Id": "mine"}),
    ]


def test_a_training_in_detail() -> None:
    """Everything that OpenSearch shows of a task, in its order; a cancelled one tells when, for humans as a span."""
    cancelled = dataclasses.replace(TASK, cancellation_time=1_795_372_336_200)

    shown = Entry(cancelled).render(NOW, detailed=True, human=True)

    assert list(shown.items()) == [
        ("node", NODE),
        ("id", FIRST_NUMBER),
        ("type", "transport"),
        ("action", TRAIN_ACTION),
        ("status", {"state": "RUNNING", "stage": "fit", "rows_read": 150, "iteration": 3, "iterations": 10}),
        ("description", "train KMEANS on [iris]"),
        ("start_time", "2026-11-22T18:31:37.000Z"),
        ("start_time_in_millis", START),
        ("running_time", "2.1s"),
        ("running_time_in_nanos", 2_100_000_000),
        ("cancellable", True),
        ("cancelled", True),
        ("headers", {"X-Opaque-Id": "mine"}),
        ("resource_stats", stats(1_234, 1, 1)),
        ("cancellation_time", "20779.7d"),
        ("cancellation_time_millis", 1_795_372_336_200),
    ]


def test_a_stage_in_detail() -> None:
    """A stage is a task of type direct below its training, counts from its own start and has no status."""
    shown = Entry(TASK, Stage.FIT).render(NOW, detailed=True, human=False)

    assert list(shown.items()) == [
        ("node", NODE),
        ("id", FIRST_NUMBER + 2),
        ("type", "direct"),
        ("action", f"{TRAIN_ACTION}[fit]"),
        ("description", "fitting 150 rows"),
        ("start_time_in_millis", START + 100),
        ("running_time_in_nanos", 2_000_000_000),
        ("cancellable", True),
        ("cancelled", False),
        ("parent_task_id", TRAINING),
        ("headers", {"X-Opaque-Id": "mine"}),
        ("resource_stats", stats(1_234, 1, 1)),
    ]


@pytest.mark.parametrize(
    ("stage", "rows", "description"),
    [
        (Stage.READ, 0, "reading the rows"),
        (Stage.FIT, 1, "fitting 1 row"),
        (Stage.FIT, 2, "fitting 2 rows"),
        (Stage.STORE, 2, "storing the model"),
    ],
)
def test_a_stage_says_what_is_done(stage: Stage, rows: int, description: str) -> None:
    """A stage's description is a sentence."""
    assert Entry(dataclasses.replace(TASK, stage=stage, rows=rows), stage).description == description


def test_a_status_leaves_out_what_nobody_knows() -> None:
    """A training that waits is in no stage, and of some algorithms the rounds are not known."""
    shown = Entry(WAITING).render(NOW, detailed=True, human=False)

    assert shown["status"] == {"state": "CREATED", "rows_read": 0, "iteration": 0}


@pytest.mark.parametrize(
    ("stage", "of_stage", "expected"),
    [
        (None, None, (0, 0, 0)),
        (Stage.READ, None, (0, 0, 0)),
        (Stage.FIT, None, (9, 1, 1)),
        (Stage.STORE, None, (9, 1, 0)),
        (Stage.READ, Stage.READ, (0, 0, 0)),
        (Stage.FIT, Stage.FIT, (9, 1, 1)),
        (Stage.STORE, Stage.STORE, (0, 0, 0)),
    ],
)
def test_the_process_that_fits_is_the_thread(
    stage: Stage | None, of_stage: Stage | None, expected: tuple[int, int, int]
) -> None:
    """There is one execution once the process has it, active while it fits; what it used counts there and above."""
    used = 9 if stage in (Stage.FIT, Stage.STORE) else 0
    task = dataclasses.replace(TASK, stage=stage, cpu_time_in_nanos=used)

    assert Entry(task, of_stage).resource_stats() == stats(*expected)


def test_time_never_stands_still() -> None:
    """A task that came this very millisecond, or in the future of this clock, has run for a nanosecond."""
    assert Entry(TASK).running_time_in_nanos(START) == 1
    assert Entry(TASK).running_time_in_nanos(START - 5) == 1


def test_entries_are_those_of_trainings_that_run() -> None:
    """A training that has ended is in no list; the others come by start, each stage as an entry of its own."""
    entries = entries_of([WAITING, ENDED, TASK])

    assert [str(entry.id) for entry in entries] == [TRAINING, f"other:{FIRST_NUMBER + 4}", FIT]
    assert [str(entry.parent) for entry in entries] == ["None", "None", TRAINING]


@pytest.mark.parametrize(
    ("wanted", "matching"),
    [
        (TaskFilter(), [TRAINING, FIT]),
        (TaskFilter(actions=("*ml/train",)), [TRAINING]),
        (TaskFilter(actions=("nope", "*[fit]")), [FIT]),
        (TaskFilter(actions=("",)), []),
        (TaskFilter(actions=(" *",)), []),
        (TaskFilter(parent=TASK.id), [FIT]),
        (TaskFilter(parent=TaskId("other", FIRST_NUMBER)), []),
        (TaskFilter(nodes=frozenset({NODE})), [TRAINING, FIT]),
        (TaskFilter(nodes=frozenset()), []),
        (TaskFilter(actions=("*",), parent=TASK.id, nodes=frozenset({"other"})), []),
    ],
)
def test_a_filter_wants_all_it_says(wanted: TaskFilter, matching: list[str]) -> None:
    """Any of the actions, the parent, and any of the nodes; no actions are all of them."""
    assert [str(entry.id) for entry in entries_of([TASK]) if wanted.matches(entry)] == matching


@pytest.mark.parametrize("value", ["nodes", "parents", "none"])
def test_tasks_are_grouped_in_three_ways(value: str) -> None:
    """The three values of `group_by`."""
    assert parse_group_by(value) == value


@pytest.mark.parametrize("value", ["", "xx", "Nodes"])
def test_another_way_of_grouping_is_refused(value: str) -> None:
    """Anything else is refused in OpenSearch's words."""
    with pytest.raises(IllegalArgument) as caught:
        parse_group_by(value)

    assert caught.value.reason == f"[group_by] must be one of [nodes], [parents] or [none] but was [{value}]"


def test_entries_join_the_tasks_of_their_node() -> None:
    """By nodes, ours come after the cluster's own tasks, and a node that had none is added as `_tasks` shows nodes."""
    body = {"node_failures": [FAILURE], "nodes": {NODE: {"name": "n1", "tasks": {f"{NODE}:7": NATIVE}}}}
    before = copy.deepcopy(body)

    result = in_groups("nodes", entries_of([TASK, WAITING]), body)

    assert list(result) == ["node_failures", "nodes"]
    assert list(result["nodes"]) == [NODE, "other"]
    assert list(result["nodes"][NODE]) == ["name", "tasks"]
    assert list(result["nodes"][NODE]["tasks"]) == [f"{NODE}:7", TRAINING, FIT]
    assert list(result["nodes"]["other"].items())[:-1] == [
        ("name", "n2"),
        ("transport_address", "127.0.0.2:9300"),
        ("host", "localhost"),
        ("ip", "127.0.0.2:9300"),
        ("roles", ["data"]),
        ("attributes", {"rack": "1"}),
    ]
    assert body == before


@pytest.mark.parametrize(
    ("nodes", "keys"),
    [({}, ["tasks"]), ({"other": {"name": "n2", "attributes": {}}}, ["name", "tasks"])],
)
def test_what_is_not_known_of_a_node_is_left_out(nodes: dict[str, Any], keys: list[str]) -> None:
    """A node that has left has tasks only, and attributes that there are none of are not shown."""
    result = merged(empty_body("nodes"), "nodes", entries_of([WAITING]), nodes, NOW, detailed=False, human=False)

    assert list(result["nodes"]["other"]) == keys


def test_entries_nest_below_their_parents() -> None:
    """By parents, a stage is a child of its training, after all that the training says of itself."""
    body = {"tasks": {f"{NODE}:7": NATIVE}}

    tasks = in_groups("parents", entries_of([TASK, WAITING]), body)["tasks"]

    assert list(tasks) == [f"{NODE}:7", TRAINING, f"other:{FIRST_NUMBER + 4}"]
    assert list(tasks[TRAINING])[-1] == "children"
    assert [child["id"] for child in tasks[TRAINING]["children"]] == [FIRST_NUMBER + 2]
    assert "children" not in tasks[f"other:{FIRST_NUMBER + 4}"]
    assert body == {"tasks": {f"{NODE}:7": NATIVE}}


def test_a_stage_without_its_training_stands_alone() -> None:
    """By parents, a stage whose training was filtered out is at the top, as OpenSearch has it."""
    assert list(in_groups("parents", [Entry(TASK, Stage.FIT)], {"tasks": {}})["tasks"]) == [FIT]


def test_entries_follow_in_a_plain_list() -> None:
    """Grouped by none, ours are appended, and failures stay in front."""
    body = {"task_failures": [], "node_failures": [FAILURE], "tasks": [NATIVE]}

    result = in_groups("none", entries_of([TASK]), body)

    assert list(result) == ["task_failures", "node_failures", "tasks"]
    assert [task["id"] for task in result["tasks"]] == [7, FIRST_NUMBER, FIRST_NUMBER + 2]
    assert body["tasks"] == [NATIVE]


@pytest.mark.parametrize(
    ("group_by", "body"), [("nodes", {"nodes": {}}), ("parents", {"tasks": {}}), ("none", {"tasks": []})]
)
def test_a_server_without_tasks_has_an_empty_answer(group_by: str, body: dict[str, Any]) -> None:
    """Nothing runs, and the answer has the shape of its grouping."""
    assert merged(empty_body(group_by), group_by, [], {}, NOW, detailed=True, human=True) == body


def test_a_running_training_by_id() -> None:
    """A GET shows a running training in detail, with what it used."""
    result = task_result(TASK, NOW, human=False)

    assert list(result) == ["completed", "task"]
    assert result["completed"] is False
    assert result["task"] == Entry(TASK).render(NOW, detailed=True, human=False)


def test_a_stage_by_id() -> None:
    """A GET of a running stage shows it as one of a training."""
    result = stage_result(TASK, NOW, human=True)

    assert result == {"completed": False, "task": Entry(TASK, Stage.FIT).render(NOW, detailed=True, human=True)}


def test_a_finished_training_by_id() -> None:
    """What is kept of a training has its own running time and its status, not what it used."""
    result = task_result(ENDED, NOW, human=True)

    assert list(result) == ["completed", "task", "response"]
    assert result["completed"] is True
    assert result["response"] == {"model_id": "m"}
    assert result["task"]["running_time_in_nanos"] == 5_000
    assert result["task"]["running_time"] == "5micros"
    assert result["task"]["status"]["state"] == "COMPLETED"
    assert "resource_stats" not in result["task"]


def test_a_failed_training_by_id() -> None:
    """An error stands where the response would."""
    error = {"type": "illegal_argument_exception", "reason": "no"}

    result = task_result(dataclasses.replace(ENDED, outcome=Outcome(error=error)), NOW, human=False)

    assert list(result.items())[2:] == [("error", error)]


def test_a_node_that_failed() -> None:
    """The words in which OpenSearch reports a node that did not answer."""
    assert list(FAILURE.items()) == [
        ("type", "failed_node_exception"),
        ("reason", "Failed node [gone]"),
        ("node_id", "gone"),
        ("caused_by", {"type": "node_not_connected_exception", "reason": "no"}),
    ]


def test_a_task_has_a_java_name() -> None:
    """A task of the plugin is named as Java names what has no toString, always by the same number."""
    name = java_name(Entry(TASK))

    assert name.startswith("org.opensearch.tasks.Task@")
    assert 0 <= int(name.partition("@")[2], 16) < 2**31
    assert name == java_name(Entry(ENDED))
    assert name != java_name(Entry(TASK, Stage.FIT))
