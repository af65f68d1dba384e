"""`/_tasks`: the cluster's own tasks and ours in one answer.

What concerns none of ours goes to the cluster and comes back byte for byte. The rest the cluster is asked first, in
the caller's name: whom it refuses sees and cancels none of ours either. Source: OpenSearch 3.6.0
`RestListTasksAction`, `RestGetTaskAction`, `RestCancelTasksAction`; `RestDeleteTaskAction` of 3.9.
"""

from __future__ import annotations

import time

from flask import Blueprint, Response

from mlcommons_tasks.cluster_task import ClusterTask, TaskId
from mlcommons_tasks.errors import ServerError, StatusError
from mlcommons_tasks.rest.cat_tasks import add_cat_tasks
from mlcommons_tasks.rest.cluster_answer import ClusterAnswer
from mlcommons_tasks.rest.cluster_edge import ClusterEdge, TaskNotFound, body_was_read, not_found
from mlcommons_tasks.rest.exchange import RestRequest, passed_on, reply
from mlcommons_tasks.rest.proxy import ask, forward
from mlcommons_tasks.rest.task_query import for_opensearch
from mlcommons_tasks.wire.cluster_tasks import Entry, empty_body, failed_node, java_name, stage_result, task_result

NAME = "cluster_tasks"


def cluster_tasks_blueprint(edge: ClusterEdge) -> Blueprint:
    """Return the routes of cluster tasks."""
    routes = Blueprint(NAME, __name__)

    @routes.errorhandler(ClusterAnswer)
    def pass_through(_: ClusterAnswer) -> Response:
        target = for_opensearch(RestRequest.current())
        return forward(edge.upstream, target=target, was_read=body_was_read())

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
        edge.cluster_body(query.group_by, status=404)
        task = edge.training(wanted)
        if wanted != task.id and (task.completed or wanted != task.stage_id):
            raise edge.unknown(wanted)
        if query.wait:
            late = edge.tasks.wait([task], time.monotonic() + query.timeout_s)
            if late:
                raise ServerError(
                    f"Timed out waiting for completion of [{java_name(_entry(task, wanted))}]", type="timeout_exception"
                )
            if wanted == task.id:
                task = edge.training(wanted)
        now = edge.clock.now_in_millis()
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
        if entry is not None and entry.id == wanted:
            body = edge.cancelled(empty_body(query.group_by), query, [entry])
            if any(body.values()):
                return reply(body)
        if not edge.alone:
            raise ClusterAnswer  # in its words
        cause = {"type": TaskNotFound.type, "reason": not_found(wanted).reason}
        return reply({"node_failures": [failed_node(wanted.node, cause)], **empty_body(query.group_by)})

    @routes.delete("/_tasks/<segment:task_id>")
    def delete_task(task_id: str) -> Response:
        wanted = edge.ours(task_id)
        probe = f"/_tasks/{wanted}/_cancel"  # who may delete may cancel: older clusters cannot be asked for more
        if not edge.alone and (answer := ask(edge.upstream, probe, "POST")).status != 200:
            return passed_on(answer)
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
