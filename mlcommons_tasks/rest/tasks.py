"""`/_plugins/_ml/tasks`: get, search, delete and cancel. Source: ml-commons 3.6.0 `rest/RestML*Task*Action`."""

from __future__ import annotations

from flask import Blueprint, Response

from mlcommons_tasks.errors import IllegalArgument, ServerError, StatusError
from mlcommons_tasks.rest.exchange import RestRequest, reply
from mlcommons_tasks.rest.routing import ML_PREFIX
from mlcommons_tasks.rest.searches import deletion, search_reply
from mlcommons_tasks.store.tasks import TaskStore
from mlcommons_tasks.task import TaskState, TaskType
from mlcommons_tasks.wire.search_body import source_filter
from mlcommons_tasks.wire.task_document import render_task

NOT_FOUND = "Failed to find task"
RUNNING_STAYS = "Task cannot be deleted in running state. Try after some time."
NO_BATCH_JOB = "The task ID you provided does not have any associated batch job"
CANCEL_NOT_FOUND = "Fail to find task"
NO_CONNECTION_TO_JOB = "Couldn't cancel the transform job. Please try again"


def tasks_blueprint(tasks: TaskStore) -> Blueprint:
    """Return the routes of stored tasks."""
    routes = Blueprint("tasks", __name__)

    @routes.get(f"{ML_PREFIX}/tasks/<segment:task_id>")
    def get_task(task_id: str) -> Response:
        rest = RestRequest()
        rest.finish("task_id")
        source = tasks.source(task_id)
        if source is None:
            raise StatusError(NOT_FOUND, 404)
        return reply(render_task(source))

    @routes.delete(f"{ML_PREFIX}/tasks/<segment:task_id>")
    def delete_task(task_id: str) -> Response:
        rest = RestRequest()
        rest.finish("task_id")
        source = tasks.source(task_id)
        if source is None:
            raise StatusError(NOT_FOUND, 404)
        if render_task(source).get("state") == TaskState.RUNNING.value:
            raise ServerError(RUNNING_STAYS, type="exception")
        answer = tasks.delete(task_id, rest.rendering_parameters())
        return deletion(answer, StatusError(NOT_FOUND, 404))

    @routes.route(f"{ML_PREFIX}/tasks/_search", methods=["GET", "POST"])
    def search_tasks() -> Response:
        return search_reply(tasks.search, RestRequest(), source_filter)

    @routes.post(f"{ML_PREFIX}/tasks/<segment:task_id>/_cancel")
    def cancel_task(task_id: str) -> Response:
        rest = RestRequest()
        rest.finish("task_id")
        source = tasks.source(task_id)
        if source is None:
            if tasks.index_exists():
                raise StatusError(CANCEL_NOT_FOUND, 404)
            raise ServerError(CANCEL_NOT_FOUND, type="m_l_resource_not_found_exception")
        task = render_task(source)
        if task.get("task_type") != TaskType.BATCH_PREDICTION.value or task.get("function_name") != "REMOTE":
            raise IllegalArgument(NO_BATCH_JOB)
        raise ServerError(NO_CONNECTION_TO_JOB, type="exception")

    return routes
