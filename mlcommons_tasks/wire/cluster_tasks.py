"""`_tasks` with our trainings among the cluster's own tasks. Pure; the cluster's answer is parsed JSON.

Source: OpenSearch 3.6.0 `TaskInfo`, `TaskResult`, `TaskResourceStats`, `ListTasksResponse`, `TaskGroup`,
`BaseTasksRequest`, `FailedNodeException`.

A training is a task of type `transport`; what it is doing now is a child of it, of type `direct`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from mlcommons_tasks.cluster_task import ClusterTask, Stage, TaskId
from mlcommons_tasks.errors import IllegalArgument
from mlcommons_tasks.wire.simple_match import simple_match
from mlcommons_tasks.wire.time_value import format_time_value

AT_WORK = (Stage.FIT, Stage.PREDICT)  #: the stages in which a process of the pool works
NANOS_PER_MILLI = 1_000_000

#: What a node is, in the order of `_tasks`; the values are those that `GET _nodes` gives.
_NODE_FIELDS = (
    ("name", "name"),
    ("transport_address", "transport_address"),
    ("host", "host"),
    ("ip", "transport_address"),  # an address with its port, unlike the `ip` of `GET _nodes`
    ("roles", "roles"),
    ("attributes", "attributes"),
)


@dataclass(frozen=True)
class Entry:
    """A task in a list: a training, or what it is doing if there is a `stage`."""

    task: ClusterTask
    stage: Stage | None = None

    @property
    def id(self) -> TaskId:
        """Its own id."""
        own = self.task.id
        return own if self.stage is None else TaskId(own.node, own.number + self.stage.place)

    @property
    def parent(self) -> TaskId | None:
        """The id of the task that began it."""
        return None if self.stage is None else self.task.id

    @property
    def type(self) -> str:
        """How it came about."""
        return "transport" if self.stage is None else "direct"

    @property
    def action(self) -> str:
        """The name of what it does."""
        return self.task.action if self.stage is None else f"{self.task.action}[{self.stage.value}]"

    @property
    def start_time(self) -> int:
        """Milliseconds since the epoch."""
        return self.task.start_time if self.stage is None else self.task.stage_start_time

    @property
    def description(self) -> str:
        """A sentence about it."""
        if self.stage is None:
            return self.task.description
        if self.stage is Stage.READ:
            return "reading the rows"
        if self.stage is Stage.STORE:
            return "storing the model"
        rows = self.task.rows
        done = "predicting" if self.stage is Stage.PREDICT else "fitting"
        return f"{done} {rows} row{'' if rows == 1 else 's'}"

    def running_time_in_nanos(self, now: int) -> int:
        """Return how long it took, or has taken up to `now`, in milliseconds since the epoch."""
        if self.stage is None and self.task.running_time_in_nanos is not None:
            return self.task.running_time_in_nanos
        return max(1, (now - self.start_time) * NANOS_PER_MILLI)

    def resource_stats(self) -> dict[str, Any]:
        """Return what it has used: the processor time of the training's process, which is the one thread there is."""
        task, stage = self.task, self.stage
        fits = stage in AT_WORK
        fitted = fits or (stage is None and (task.cpu_time_in_nanos > 0 or task.stage in (*AT_WORK, Stage.STORE)))
        active = fitted and task.stage in AT_WORK
        nanos = task.cpu_time_in_nanos if fitted else 0
        stats: dict[str, Any] = {
            name: {"cpu_time_in_nanos": nanos, "memory_in_bytes": 0} for name in ("average", "total", "min", "max")
        }
        stats["thread_info"] = {"thread_executions": int(fitted), "active_threads": int(active)}
        return stats

    def render(self, now: int, *, detailed: bool, human: bool) -> dict[str, Any]:
        """Return it as a list shows it."""
        return self._rendered(now, detailed=detailed, human=human, stats=detailed)

    def render_stored(self, now: int, *, human: bool) -> dict[str, Any]:
        """Return it as it is kept once it has ended: in detail, but not what it used."""
        return self._rendered(now, detailed=True, human=human, stats=False)

    def _rendered(self, now: int, *, detailed: bool, human: bool, stats: bool) -> dict[str, Any]:
        own, start, took = self.id, self.start_time, self.running_time_in_nanos(now)
        body: dict[str, Any] = {"node": own.node, "id": own.number, "type": self.type, "action": self.action}
        if detailed:
            if self.stage is None:
                body["status"] = _status(self.task)
            body["description"] = self.description
        if human:
            body["start_time"] = _date(start)
        body["start_time_in_millis"] = start
        if human:
            body["running_time"] = format_time_value(took)
        cancelled = self.task.cancellation_time
        body["running_time_in_nanos"] = took
        body["cancellable"] = True
        body["cancelled"] = cancelled is not None
        if self.parent is not None:
            body["parent_task_id"] = str(self.parent)
        body["headers"] = dict(self.task.headers)
        if stats:
            body["resource_stats"] = self.resource_stats()
        if cancelled is not None:
            if human:  # OpenSearch takes the moment for a span of time
                body["cancellation_time"] = format_time_value(cancelled * NANOS_PER_MILLI)
            body["cancellation_time_millis"] = cancelled
        return body


@dataclass(frozen=True)
class TaskFilter:
    """Which tasks a request is about.

    Attributes:
        actions: patterns one of which the action has to match; none are all.
        parent: whose children.
        nodes: the ids of the nodes; None is every node.
    """

    actions: tuple[str, ...] = ()
    parent: TaskId | None = None
    nodes: frozenset[str] | None = None

    def matches(self, entry: Entry) -> bool:
        """Say whether the request is about an entry."""
        if self.nodes is not None and entry.task.id.node not in self.nodes:
            return False
        if self.parent is not None and entry.parent != self.parent:
            return False
        return not self.actions or any(simple_match(pattern, entry.action) for pattern in self.actions)


def parse_group_by(text: str) -> str:
    """Return the value of `group_by`.

    Raises:
        IllegalArgument: it is not one of three.
    """
    if text not in ("nodes", "parents", "none"):
        raise IllegalArgument(f"[group_by] must be one of [nodes], [parents] or [none] but was [{text}]")
    return text


def entries_of(tasks: Iterable[ClusterTask]) -> list[Entry]:
    """Return the entries of the trainings that have not ended, each with its stage, the oldest first."""
    entries: list[Entry] = []
    for task in tasks:
        if task.completed:
            continue
        entries.append(Entry(task))
        if task.stage is not None:
            entries.append(Entry(task, task.stage))
    return sorted(entries, key=_age)


def grouped(entries: Iterable[Entry]) -> list[tuple[Entry, list[Entry]]]:
    """Return each entry whose parent is not among them, with its children: `parents` and `_cat/tasks` show these."""
    groups: dict[TaskId, tuple[Entry, list[Entry]]] = {}
    stages: list[Entry] = []
    for entry in entries:
        if entry.stage is None:
            groups[entry.id] = (entry, [])
        else:
            stages.append(entry)
    for stage in stages:
        if stage.task.id in groups:
            groups[stage.task.id][1].append(stage)
        else:
            groups[stage.id] = (stage, [])
    return sorted(groups.values(), key=lambda group: _age(group[0]))


def merged(
    body: Mapping[str, Any],
    group_by: str,
    entries: list[Entry],
    nodes: Mapping[str, Mapping[str, Any]],
    now: int,
    *,
    detailed: bool,
    human: bool,
) -> dict[str, Any]:
    """Return the cluster's answer with our entries after its own tasks; `body` stays as it is.

    `nodes` are those of `GET _nodes`, for a node of ours of which the cluster's answer has no task.
    """

    def shown(entry: Entry) -> dict[str, Any]:
        return entry.render(now, detailed=detailed, human=human)

    result = dict(body)
    if group_by == "none":
        result["tasks"] = [*body.get("tasks", ()), *map(shown, entries)]
    elif group_by == "parents":
        tasks = result["tasks"] = dict(body.get("tasks", {}))
        for entry, children in grouped(entries):
            tasks[str(entry.id)] = shown(entry)
            if children:
                tasks[str(entry.id)]["children"] = [shown(child) for child in children]
    else:
        listed = result["nodes"] = dict(body.get("nodes", {}))
        ours: dict[str, dict[str, Any]] = {}
        for entry in entries:
            ours.setdefault(entry.task.id.node, {})[str(entry.id)] = shown(entry)
        for node, tasks in ours.items():
            known = listed[node] if node in listed else _node(nodes.get(node))
            listed[node] = {**known, "tasks": {**known.get("tasks", {}), **tasks}}
    return result


def empty_body(group_by: str) -> dict[str, Any]:
    """Return a list without tasks."""
    return {"nodes": {}} if group_by == "nodes" else {"tasks": [] if group_by == "none" else {}}


def task_result(task: ClusterTask, now: int, *, human: bool) -> dict[str, Any]:
    """Return the answer to a GET of a training: running, or with what became of it."""
    entry = Entry(task)
    if task.outcome is None:
        return _running(entry, now, human=human)
    result: dict[str, Any] = {"completed": True, "task": entry.render_stored(now, human=human)}
    if task.outcome.error is not None:
        result["error"] = task.outcome.error
    if task.outcome.response is not None:
        result["response"] = task.outcome.response
    return result


def stage_result(task: ClusterTask, now: int, *, human: bool) -> dict[str, Any]:
    """Return the answer to a GET of the stage that a training is in."""
    return _running(Entry(task, task.stage), now, human=human)


def failed_node(node: str, cause: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry of `node_failures`."""
    return {
        "type": "failed_node_exception",
        "reason": f"Failed node [{node}]",
        "node_id": node,
        "caused_by": dict(cause),
    }


def java_name(entry: Entry) -> str:
    """Return what messages call a task: its class and, as it says nothing of itself, a number that stays the same."""
    return f"org.opensearch.tasks.Task@{zlib.crc32(str(entry.id).encode()) & 0x7FFFFFFF:x}"


def _age(entry: Entry) -> tuple[int, int]:
    return entry.start_time, entry.id.number


def _running(entry: Entry, now: int, *, human: bool) -> dict[str, Any]:
    return {"completed": False, "task": entry.render(now, detailed=True, human=human)}


def _status(task: ClusterTask) -> dict[str, Any]:
    status: dict[str, Any] = {"state": task.state}
    if task.stage is not None:
        status["stage"] = task.stage.value
    status["rows_read"] = task.rows
    status["iteration"] = task.iteration
    if task.iterations is not None:
        status["iterations"] = task.iterations
    return status


def _node(node: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what `_tasks` says of a node; nothing of one that has left, and no attributes if there are none."""
    if node is None:
        return {}
    fields = {name: node[key] for name, key in _NODE_FIELDS if key in node}
    if not fields.get("attributes"):
        fields.pop("attributes", None)
    return fields


def _date(millis: int) -> str:
    seconds, rest = divmod(millis, 1000)
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%dT%H:%M:%S}.{rest:03}Z"
