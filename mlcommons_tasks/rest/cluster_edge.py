"""What the routes of `_tasks` and `_cat/tasks` have in common: who answers, and how two answers become one."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping
from typing import Any

from flask import g, request

from mlcommons_tasks.clock import Clock
from mlcommons_tasks.cluster_task import ClusterTask, TaskId
from mlcommons_tasks.errors import IllegalArgument, TaskPluginError
from mlcommons_tasks.execution.cluster_tasks import ClusterTasks
from mlcommons_tasks.rest.cluster_answer import SHAPING, ClusterAnswer, cluster_json, without
from mlcommons_tasks.rest.exchange import RestRequest
from mlcommons_tasks.rest.task_query import TaskQuery, for_opensearch, is_ours_to_read, manager_timeouts
from mlcommons_tasks.store.cluster import Cluster
from mlcommons_tasks.store.upstream import Upstream
from mlcommons_tasks.wire.cluster_tasks import Entry, empty_body, entries_of, failed_node, java_name, merged
from mlcommons_tasks.wire.parameters import decode

CANCEL_WAIT_S = 30.0  #: how long a cancellation that waits does so; a training stops within 2 s
KNOWN = ("actions", "detailed", "group_by", "nodes", "parent_task_id", "timeout", "wait_for_completion")


class TaskNotFound(TaskPluginError):
    """404: there is no such cluster task."""

    status = 404
    type = "resource_not_found_exception"


class ClusterEdge:
    """What the routes of cluster tasks have in common.

    `alone` says that the server below has no `_tasks`: what is the cluster's to answer otherwise is answered here.
    """

    def __init__(
        self, tasks: ClusterTasks, cluster: Cluster, upstream: Upstream, clock: Clock, *, alone: bool = False
    ) -> None:
        self.tasks = tasks
        self.cluster = cluster
        self.upstream = upstream
        self.clock = clock
        self.alone = alone

    def ours(self, task_id: str) -> TaskId:
        """Return the id that a path says; one that is not of ours is the cluster's business."""
        text = decode(task_id) if self.alone else _decoded(task_id)
        found = TaskId.parse(text)
        if found is None and self.alone:
            raise IllegalArgument(f"malformed task id {text}")
        if found is None or not (found.is_ours or self.alone):
            self.await_manager()
            raise ClusterAnswer
        return found

    def query(self) -> TaskQuery:
        """Return what is asked for; what OpenSearch would refuse is left to it."""
        rest = RestRequest.current()
        self.await_manager()
        try:
            rest.refuse_unreadable()
            return TaskQuery.of(rest)
        except TaskPluginError as error:
            if self.alone:
                raise
            raise ClusterAnswer from error

    def await_manager(self) -> None:
        """Wait for the cluster's manager as long as the request says, if it says so."""
        if timeouts := manager_timeouts(RestRequest.current()):
            self.cluster.await_manager(timeouts)

    def list_query(self) -> TaskQuery:
        """Return what a request for many tasks asks for; where nothing of ours runs, that is the cluster's business."""
        if not self.alone and not is_ours_to_read(RestRequest.current()) and self.tasks.none_runs():
            raise ClusterAnswer
        return self.query()

    def entries(self, query: TaskQuery) -> list[Entry]:
        """Return those of ours that are asked for; without any the cluster answers alone."""
        entries = [entry for entry in entries_of(self.tasks.running()) if query.filter.matches(entry)]
        if entries and query.nodes is not None:
            wanted = dataclasses.replace(query.filter, nodes=frozenset(self.cluster.nodes(query.nodes)))
            entries = [entry for entry in entries if wanted.matches(entry)]
        if not entries and not self.alone:
            raise ClusterAnswer
        return entries

    def cluster_body(self, group_by: str, *, status: int = 200) -> dict[str, Any]:
        """Return the cluster's own answer to the request in hand, parsed; one of another status is all there is."""
        if self.alone:
            RestRequest.current().finish("task_id", *KNOWN)
            return empty_body(group_by)
        read_body()
        target = without(for_opensearch(RestRequest.current()), SHAPING)
        body: dict[str, Any] = cluster_json(self.upstream, target, status=status)
        return body

    def training(self, wanted: TaskId) -> ClusterTask:
        """Return the training that an id is of; one that nobody knows is the cluster's to deny."""
        task = self.tasks.get(wanted.training)
        if task is None:
            raise self.unknown(wanted)
        return task

    def unknown(self, wanted: TaskId) -> Exception:
        """Return what says that there is no such task: the cluster's own answer, where it has one."""
        return not_found(wanted) if self.alone else ClusterAnswer()

    def awaited(self, body: dict[str, Any], entries: list[Entry], until: float) -> tuple[dict[str, Any], list[Entry]]:
        """Wait for ours; a node that has not done in time shows nothing but its failure."""
        late = {task.id.node: task for task in self.tasks.wait(_trainings(entries), until)}
        failed = {failure.get("node_id") for failure in body.get("node_failures", ())}
        failures = []
        for node, task in late.items():
            if node not in failed:
                reason = f"Timed out waiting for completion of [{java_name(Entry(task))}]"
                failures.append(failed_node(node, {"type": "timeout_exception", "reason": reason}))
        unheard = {*late, *failed}
        body = _with_failures(_without_nodes(body, unheard), failures)
        return body, [entry for entry in entries if entry.id.node not in unheard]

    def cancelled(self, body: dict[str, Any], query: TaskQuery, entries: list[Entry]) -> dict[str, Any]:
        """Cancel those of ours, and put them into the cluster's answer to its own."""
        try:
            done = {task.id: task for task in self.tasks.cancel(_trainings(entries))}
            if query.wait:
                self.tasks.wait(done.values(), time.monotonic() + CANCEL_WAIT_S)
        except TaskPluginError as error:
            cause = {"type": error.type, "reason": error.reason}
            nodes = sorted({entry.id.node for entry in entries})
            return _with_failures(body, [failed_node(node, cause) for node in nodes])
        now_cancelled = [dataclasses.replace(each, task=done[each.task.id]) for each in entries if each.task.id in done]
        return self.merged(body, query, now_cancelled)

    def merged(self, body: dict[str, Any], query: TaskQuery, entries: list[Entry]) -> dict[str, Any]:
        """Return the cluster's answer with ours in it."""
        nodes: Mapping[str, Any] = {}
        if query.group_by == "nodes":
            shown = body["nodes"]  # those that the cluster shows it has described already
            if self.alone or any(entry.id.node not in shown for entry in entries):
                nodes = self.cluster.nodes()
        now = self.clock.now_in_millis()
        return merged(body, query.group_by, entries, nodes, now, detailed=query.detailed, human=query.human)


def read_body() -> None:
    """Read the request's body, so that its connection serves again; the cluster may have to see it later."""
    request.get_data(cache=True)
    g.body_was_read = True


def body_was_read() -> bool:
    """Say whether `read_body` has the body of the request in hand."""
    return bool(g.get("body_was_read"))


def not_found(wanted: TaskId) -> TaskNotFound:
    """Return OpenSearch's error for a task that nobody knows."""
    if request.method == "POST":
        return TaskNotFound(f"task [{wanted}] is not found")
    return TaskNotFound(f"task [{wanted}] isn't running and hasn't stored its results")


def _trainings(entries: Iterable[Entry]) -> list[ClusterTask]:
    return list({entry.task.id: entry.task for entry in entries}.values())


def _with_failures(body: dict[str, Any], failures: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the cluster's answer with more failures of nodes."""
    failures = [*body.get("node_failures", ()), *failures]
    rest = {key: value for key, value in body.items() if key != "node_failures"}
    return {"node_failures": failures, **rest} if failures else rest


def _without_nodes(body: dict[str, Any], nodes: set[Any]) -> dict[str, Any]:
    """Return the cluster's answer without the tasks of some nodes."""
    if "nodes" in body:
        return {**body, "nodes": {node: tasks for node, tasks in body["nodes"].items() if node not in nodes}}
    tasks = body["tasks"]
    if isinstance(tasks, list):
        return {**body, "tasks": [task for task in tasks if task["node"] not in nodes]}
    return {**body, "tasks": {key: task for key, task in tasks.items() if task["node"] not in nodes}}


def _decoded(segment: str) -> str:
    try:
        return decode(segment)
    except IllegalArgument:
        return segment
