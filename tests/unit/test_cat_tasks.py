"""`_cat/tasks` with our rows in it; `SEEN` and the texts were observed on OpenSearch 3.6.0 during a sliced reindex."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from mlcommons_tasks.cluster_task import FIRST_NUMBER, TRAIN_ACTION, ClusterTask, Stage, TaskId
from mlcommons_tasks.wire.cat_table import View, help_text
from mlcommons_tasks.wire.cat_tasks import columns, tasks_table
from mlcommons_tasks.wire.cluster_tasks import entries_of

NODE = "KrMd63uNRrmxUdPelr2DRA"


def seen(number: int, parent: str, start: int, took: int, **more: Any) -> dict[str, Any]:
    return {
        "id": str(number),
        "action": "indices:data/write/reindex",
        "task_id": f"{NODE}:{number}",
        "parent_task_id": parent,
        "type": "transport",
        "start_time": str(start),
        "timestamp": "18:33:50",
        "running_time_ns": str(took),
        "running_time": "ignored",
        "node_id": "KrMd",
        "ip": "127.0.0.1",
        "port": "39441",
        "node": "mlcommons-tasks-node",
        "version": "3.6.0",
        "x_opaque_id": "-",
        **more,
    }


SEEN = [
    seen(2505, "-", 1795372430906, 604_100_000),
    seen(2506, f"{NODE}:2505", 1795372430906, 604_000_000),
    seen(2509, f"{NODE}:2505", 1795372430907, 603_200_000),
]
TASK = ClusterTask(
    id=TaskId(NODE, FIRST_NUMBER),
    description="train KMEANS on [iris]",
    headers={"X-Opaque-Id": "mine"},
    start_time=1795372430000,
    owner="1",
    stage=Stage.FIT,
    stage_start_time=1795372432000,
    rows=150,
    cpu_time_in_nanos=5,
)
NODES = {
    NODE: {
        "name": "mlcommons-tasks-node",
        "transport_address": "127.0.0.1:39441",
        "host": "127.0.0.1",
        "ip": "127.0.0.1",
        "version": "3.6.0",
    }
}
NOW = 1795372433500


def text(
    tasks: list[ClusterTask],
    view: View,
    *,
    answer: list[dict[str, Any]] = SEEN,
    nodes: dict[str, Any] = NODES,
    detailed: bool = False,
) -> str:
    return tasks_table(answer, entries_of(tasks), nodes, NOW, detailed=detailed).text(view)


def test_the_clusters_rows_look_as_its_own() -> None:
    """Without a task of ours the table is the cluster's, made again from what it says of everything."""
    assert text([], View(v="", ts="false")) == (
        "action                     task_id                     parent_task_id              type      start_time    "
        "running_time ip        node\n"
        "indices:data/write/reindex KrMd63uNRrmxUdPelr2DRA:2505 -                           transport 1795372430906 "
        "604.1ms      127.0.0.1 mlcommons-tasks-node\n"
        "indices:data/write/reindex KrMd63uNRrmxUdPelr2DRA:2506 KrMd63uNRrmxUdPelr2DRA:2505 transport 1795372430906 "
        "604ms        127.0.0.1 mlcommons-tasks-node\n"
        "indices:data/write/reindex KrMd63uNRrmxUdPelr2DRA:2509 KrMd63uNRrmxUdPelr2DRA:2505 transport 1795372430907 "
        "603.2ms      127.0.0.1 mlcommons-tasks-node\n"
    )


def test_the_clusters_spans_are_shown_in_any_unit() -> None:
    """The running time is made from its nanoseconds, so that no unit loses anything."""
    assert text([], View(h="time,running_time_ns", time="micros")).split("\n")[0] == "604100 604100000"


def test_the_clusters_numbers_sort_as_numbers() -> None:
    """Texts in the cluster's answer are numbers again."""
    answer = [seen(number, "-", 1, took) for number, took in ((99, 5), (100, 1_000_000), (1000, 6_000))]

    assert text([], View(h="id", s="id:desc"), answer=answer) == "1000\n100\n99\n"
    assert text([], View(h="id", s="running_time"), answer=answer) == "99\n1000\n100\n"


def test_a_row_of_a_node_that_has_left() -> None:
    """A port may be a dash, and a column that an older cluster does not know is empty."""
    answer = [seen(1, "-", 1, 1, ip="-", port="-", node="-", version="-", description="d")]

    assert text([], View(h="port,ip,desc,resource_stats,id"), answer=answer, detailed=True) == "- - d  1\n"


def test_our_rows() -> None:
    """A training and its stage have all the columns of a task."""
    ours = tasks_table([], entries_of([TASK]), NODES, NOW, detailed=True)
    training, stage = ours.objects(View(h="*"))

    stats = training.pop("resource_stats")
    assert training == {
        "id": str(FIRST_NUMBER),
        "action": TRAIN_ACTION,
        "task_id": f"{NODE}:{FIRST_NUMBER}",
        "parent_task_id": "-",
        "type": "transport",
        "start_time": "1795372430000",
        "timestamp": "18:33:50",
        "running_time_ns": "3500000000",
        "running_time": "3.5s",
        "node_id": "KrMd",
        "ip": "127.0.0.1",
        "port": "39441",
        "node": "mlcommons-tasks-node",
        "version": "3.6.0",
        "x_opaque_id": "mine",
        "description": "train KMEANS on [iris]",
    }
    assert stats is not None
    assert stats.startswith('{\n  "average" : {\n    "cpu_time_in_nanos" : 5,\n')
    assert stats.endswith('"active_threads" : 1\n  }\n}')
    assert (stage["type"], stage["running_time"]) == ("direct", "1.5s")
    assert stage["parent_task_id"] == f"{NODE}:{FIRST_NUMBER}"
    assert stage["description"] == "fitting 150 rows"


def test_our_rows_of_a_node_that_has_left() -> None:
    """What is not known is a dash, as for a task without the header."""
    task = dataclasses.replace(TASK, headers={}, stage=None)

    assert text([task], View(h="ni,ip,po,n,v,x"), answer=[], nodes={}) == "KrMd - - - - -\n"


def test_a_port_is_the_last_part_of_an_address() -> None:
    """An address may be of version 6."""
    nodes = {NODE: {**NODES[NODE], "ip": "::1", "transport_address": "[::1]:9300"}}

    assert text([dataclasses.replace(TASK, stage=None)], View(h="ip,po"), answer=[], nodes=nodes) == "::1 9300\n"


@pytest.mark.parametrize(
    ("start", "order"),
    [
        (1795372430905, ["train", "fit", "2505", "2506", "2509"]),
        (1795372430906, ["2505", "2506", "2509", "train", "fit"]),
        (1795372430999, ["2505", "2506", "2509", "train", "fit"]),
    ],
)
def test_families_come_by_the_start_of_their_oldest(start: int, order: list[str]) -> None:
    """Children stay below their parent, whenever they began; of two that began at once, the cluster's comes first."""
    names = {str(FIRST_NUMBER): "train", str(FIRST_NUMBER + 2): "fit"}

    listed = text([dataclasses.replace(TASK, start_time=start)], View(h="id")).split()

    assert [names.get(number, number) for number in listed] == order


def test_a_child_whose_parent_is_filtered_out_stands_alone() -> None:
    """Rows without their parent are families of their own."""
    stages = [entry for entry in entries_of([TASK]) if entry.stage is not None]
    answer = [SEEN[1], seen(3000, f"{NODE}:1", 1795372433000, 1)]

    table = tasks_table(answer, stages, NODES, NOW, detailed=False)

    assert table.text(View(h="id")) == f"2506\n{FIRST_NUMBER + 2}\n3000\n"


def test_a_sorting_counts_for_all_rows() -> None:
    """`s` sorts ours and the cluster's together."""
    assert text([TASK], View(h="id", s="x:desc,id")).split() == [
        str(FIRST_NUMBER),
        str(FIRST_NUMBER + 2),
        "2505",
        "2506",
        "2509",
    ]


def test_help_names_every_column() -> None:
    """The text that `_cat/tasks?help` gave; `detailed` adds two columns."""
    plain, detailed = (help_text(columns(detailed=value)).split("\n") for value in (False, True))

    assert plain[:-1] == [
        "id              |               | id of the task with the node",
        "action          | ac            | task action                 ",
        "task_id         | ti            | unique task id              ",
        "parent_task_id  | pti           | parent task id              ",
        "type            | ty            | task type                   ",
        "start_time      | start         | start time in ms            ",
        "timestamp       | ts,hms,hhmmss | start time in HH:MM:SS      ",
        "running_time_ns | time          | running time ns             ",
        "running_time    | time          | running time                ",
        "node_id         | ni            | unique node id              ",
        "ip              | i             | ip address                  ",
        "port            | po            | bound transport port        ",
        "node            | n             | node name                   ",
        "version         | v             | es version                  ",
        "x_opaque_id     | x             | X-Opaque-ID header          ",
    ]
    assert detailed[15:-1] == [
        "description     | desc          | task action                          ",
        "resource_stats  |               | resource consumption info of the task",
    ]
