"""`/_tasks`: the cluster's own tasks and ours in one answer.

What concerns none of ours goes to the cluster and comes back byte for byte. The rest the cluster is asked first, in
the caller's name: whom it refuses sees and cancels none of ours either. Source: OpenSearch 3.6.0
`RestListTasksAction`, `RestGetTaskAction`, `RestCancelTasksAction`; `RestDeleteTaskAction` of 3.9.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, request

from mlcommons_tasks.clock import Clock
from mlcommons_tasks.cluster_task import ClusterTask, TaskId
from mlcommons_tasks.errors import ServerError, StatusError, TaskPluginError
from mlcommons_tasks.execution.cluster_tasks import ClusterTasks
from mlcommons_tasks.rest.cat_tasks import add_cat_tasks
from mlcommons_tasks.rest.cluster_edge import ClusterAnswer, ClusterEdge, empty_body, has_no_tasks, not_found
from mlcommons_tasks.rest.exchange import RestRequest, reply
from mlcommons_tasks.rest.proxy import ask, forward
from mlcommons_tasks.rest.task_query import SHAPING, for_opensearch, without
from mlcommons_tasks.store.cluster import Cluster
from mlcommons_tasks.store.upstream import Reply, Upstream
from mlcommons_tasks.wire.cluster_tasks import Entry, failed_node, java_name, stage_result, task_result

NAME = "cluster_tasks"


def cluster_tasks_blueprint(tasks: ClusterTasks, cluster: Cluster, upstream: Upstream, clock: Clock) -> Blueprint:
    """Return the routes of cluster tasks."""
    routes = Blueprint(NAME, __name__)
    edge = ClusterEdge(tasks, cluster, upstream, clock)

    @routes.errorhandler(ClusterAnswer)
    def pass_through(_: ClusterAnswer) -> Response:
        target = for_opensearch(RestRequest.current())
        return forward(upstream, target=target, was_read=request.method != "GET")

    @routes.get("/_tasks")
    def list_tasks() -> Response:
        query = edge.list_query()
        entries = edge.entries(query)
        until = time.monotonic() + query.timeout_s
        body = edge.cluster_body(query.group_by)
        if query.wait:
            body, entries = edge.awaited(body, entries, until)
        return reply(edge.merged(body, query, entries))

    @routes.get("/_tasks/<segment:task_id>")
    def get_task(task_id: str) -> Response:
        wanted = edge.ours(task_id)
        query = edge.query()
        edge.require(ask(upstream, without(for_opensearch(RestRequest.current()), SHAPING)), status=404)
        task = edge.training(wanted)
        if wanted != task.id and (task.completed or wanted != task.stage_id):
            raise edge.unknown(wanted)
        if query.wait:
            late = tasks.wait([task], time.monotonic() + query.timeout_s)
            if late:
                raise ServerError(
                    f"Timed out waiting for completion of [{java_name(_entry(task, wanted))}]", type="timeout_exception"
                )
            if wanted == task.id:
                task = edge.training(wanted)
        now = clock.now_in_millis()
        if wanted != task.id:
            return reply(stage_result(task, now, human=query.human))
        return reply(task_result(task, now, human=query.human))

    _add_cancel_and_delete(routes, edge)
    add_cat_tasks(routes, edge)
    return routes


def _add_cancel_and_delete(routes: Blueprint, edge: ClusterEdge) -> None:
    """Add the routes that end tasks, or what is left of them."""

    @routes.post("/_tasks/_cancel")
    def cancel_tasks() -> Response:
        query = edge.list_query()
        entries = edge.entries(query)
        return reply(edge.cancelled(edge.cluster_body(query.group_by), query, entries))

    @routes.post("/_tasks/<segment:task_id>/_cancel")
    def cancel_task(task_id: str) -> Response:
        wanted = edge.ours(task_id)
        query = edge.query()
        edge.cluster_body(query.group_by)
        task = edge.tasks.get(wanted.training)
        entry = _entry(task, wanted) if task is not None and not task.completed else None
        if task is None or entry is None or entry.id != wanted:
            return reply(_failure(query.group_by, wanted, not_found(wanted)))
        body = edge.cancelled(empty_body(query.group_by), query, [entry])
        found = body.get("nodes") or body.get("tasks") or body.get("node_failures")
        return reply(body if found else _failure(query.group_by, wanted, not_found(wanted)))

    @routes.delete("/_tasks/<segment:task_id>")
    def delete_task(task_id: str) -> Response:
        wanted = edge.ours(task_id)
        probe = f"/_tasks/{wanted}/_cancel"  # who may delete may cancel: older clusters cannot be asked for more
        answer = ask(edge.upstream, probe, "POST")
        if answer.status != 200 and not has_no_tasks(answer):
            return _as_it_came(answer)
        RestRequest.current().finish("task_id")
        task = edge.tasks.get(wanted)
        if task is None or task.id != wanted:
            raise not_found(wanted)
        if not task.completed:
            raise StatusError(
                f"task [{wanted}] is still running and cannot be deleted;"
                " use the cancel tasks API to cancel running tasks",
                409,
            )
        if not edge.tasks.delete(wanted):
            raise not_found(wanted)
        return reply({"acknowledged": True})


def _entry(task: ClusterTask, wanted: TaskId) -> Entry:
    """Return the training, or the stage that an id means if it is in it."""
    return Entry(task, task.stage if wanted == task.stage_id else None)


def _failure(group_by: str, wanted: TaskId, error: TaskPluginError) -> dict[str, Any]:
    cause: Mapping[str, Any] = {"type": error.type, "reason": error.reason}
    return {"node_failures": [failed_node(wanted.node, cause)], **empty_body(group_by)}


def _as_it_came(answer: Reply) -> Response:
    return Response(answer.payload, status=answer.status, content_type=answer.content_type)
