"""`_cat/tasks` with our trainings among the cluster's own tasks. Pure.

Source: OpenSearch 3.6.0 `RestTasksAction`. The cluster is asked for everything it knows, with `CLUSTER_QUERY` and the
caller's own filters; the table is then made here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

from mlcommons_tasks.cluster_task import TaskId
from mlcommons_tasks.wire.cat_table import Cell, Column, Row, Table
from mlcommons_tasks.wire.cluster_tasks import Entry, grouped
from mlcommons_tasks.wire.rendering import render_pretty_json
from mlcommons_tasks.wire.time_value import TimeValue

#: Asks for rows that nothing is lost of; `detailed` has to be as the caller wants it.
CLUSTER_QUERY = {"format": "json", "h": "*"}

COLUMNS = (
    Column("id", "id of the task with the node", shown=False),
    Column("action", "task action", ("ac",)),
    Column("task_id", "unique task id", ("ti",)),
    Column("parent_task_id", "parent task id", ("pti",)),
    Column("type", "task type", ("ty",)),
    Column("start_time", "start time in ms", ("start",)),
    Column("timestamp", "start time in HH:MM:SS", ("ts", "hms", "hhmmss")),
    Column("running_time_ns", "running time ns", ("time",), shown=False),
    Column("running_time", "running time", ("time",)),
    Column("node_id", "unique node id", ("ni",), shown=False),
    Column("ip", "ip address", ("i",)),
    Column("port", "bound transport port", ("po",), shown=False),
    Column("node", "node name", ("n",)),
    Column("version", "es version", ("v",), shown=False),
    Column("x_opaque_id", "X-Opaque-ID header", ("x",), shown=False),
)
DETAILED_COLUMNS = (
    *COLUMNS,
    Column("description", "task action", ("desc",)),
    Column("resource_stats", "resource consumption info of the task", shown=False),
)

_NUMBERS = ("id", "start_time", "running_time_ns", "port")  # texts in the cluster's answer, numbers to its own sorting


def columns(*, detailed: bool) -> tuple[Column, ...]:
    """Return the columns there are."""
    return DETAILED_COLUMNS if detailed else COLUMNS


def tasks_table(
    answer: Iterable[Mapping[str, Any]],
    entries: Iterable[Entry],
    nodes: Mapping[str, Mapping[str, Any]],
    now: int,
    *,
    detailed: bool,
) -> Table:
    """Return the table of the cluster's tasks, parsed from what it answers to `CLUSTER_QUERY`, and ours."""
    rows = merged_rows(cluster_rows(answer), entry_rows(entries, nodes, now, detailed=detailed))
    return Table(columns(detailed=detailed), rows)


def cluster_rows(answer: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Return the cluster's own rows, in its order; a column it does not know has nothing in it."""
    rows: list[Row] = []
    for found in answer:
        row: dict[str, Cell] = {column.name: found.get(column.name) for column in DETAILED_COLUMNS}
        for name in _NUMBERS:
            if (text := row[name]) is not None and text != "-":
                row[name] = int(text)
        if isinstance(nanos := row["running_time_ns"], int):
            row["running_time"] = TimeValue(nanos)
        rows.append(row)
    return rows


def entry_rows(
    entries: Iterable[Entry], nodes: Mapping[str, Mapping[str, Any]], now: int, *, detailed: bool
) -> list[Row]:
    """Return the rows of ours, each training's followed by its stage's; `nodes` are those of `GET _nodes`."""
    listed = chain.from_iterable((entry, *children) for entry, children in grouped(entries))
    return [_row(entry, nodes.get(entry.task.id.node), now, detailed=detailed) for entry in listed]


def merged_rows(theirs: list[Row], ours: list[Row]) -> list[Row]:
    """Return both in one order: by the start of the topmost task, below which its children stay; theirs first."""
    groups = sorted([*_groups(theirs), *_groups(ours)], key=lambda group: int(group[0]["start_time"] or 0))
    return list(chain.from_iterable(groups))


def _groups(rows: list[Row]) -> list[list[Row]]:
    """Cut rows before each whose parent is not among them."""
    ids = {row["task_id"] for row in rows}
    groups: list[list[Row]] = []
    for row in rows:
        if groups and row["parent_task_id"] in ids:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def _row(entry: Entry, node: Mapping[str, Any] | None, now: int, *, detailed: bool) -> Row:
    own: TaskId = entry.id
    took = entry.running_time_in_nanos(now)
    row: dict[str, Cell] = {
        "id": own.number,
        "action": entry.action,
        "task_id": str(own),
        "parent_task_id": str(entry.parent or "-"),
        "type": entry.type,
        "start_time": entry.start_time,
        "timestamp": _time_of_day(entry.start_time),
        "running_time_ns": took,
        "running_time": TimeValue(took),
        "node_id": own.node[:4],
        "ip": "-",
        "port": "-",
        "node": "-",
        "version": "-",
        "x_opaque_id": entry.task.headers.get("X-Opaque-Id", "-"),
    }
    if node is not None:
        row["ip"], row["node"], row["version"] = node["ip"], node["name"], node["version"]
        row["port"] = int(node["transport_address"].rpartition(":")[2])
    if detailed:
        row["description"] = entry.description
        row["resource_stats"] = render_pretty_json(entry.resource_stats()).decode().removesuffix("\n")
    return row


def _time_of_day(millis: int) -> str:
    minutes, seconds = divmod(millis // 1000 % 86_400, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"
