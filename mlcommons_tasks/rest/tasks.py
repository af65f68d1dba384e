"""`/_plugins/_ml/tasks`: get, search, delete and cancel. Source: ml-commons 3.6.0 `rest/RestML*Task*Action`."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from mlcommons_tasks.errors import IllegalArgument, IndexNotFound, ServerError, StatusError, TaskPluginError
from mlcommons_tasks.rest.exchange import RestRequest, reply
from mlcommons_tasks.rest.routing import ML_PREFIX
from mlcommons_tasks.rest.searches import deletion, search_reply
from mlcommons_tasks.store.mappings import TASK_INDEX
from mlcommons_tasks.store.models import ModelStore
from mlcommons_tasks.store.tasks import TaskStore
from mlcommons_tasks.task import TaskState, TaskType
from mlcommons_tasks.wire.model_document import read_model
from mlcommons_tasks.wire.task_document import render_task

NOT_FOUND = "Failed to find task"
RUNNING_STAYS = "Task cannot be deleted in running state. Try after some time."
NO_BATCH_JOB = "The task ID you provided does not have any associated batch job"
CANCEL_NOT_FOUND = "Fail to find task"
NO_CONNECTION_TO_JOB = "Couldn't cancel the transform job. Please try again"


NO_MODEL_OF_JOB = "Failed to retrieve the ML model for the given task ID"


def tasks_blueprint(tasks: TaskStore, models: ModelStore) -> Blueprint:
    """Return the routes of stored tasks."""
    routes = Blueprint("tasks", __name__)

    @routes.get(f"{ML_PREFIX}/tasks/<segment:task_id>")
    def get_task(task_id: str) -> Response:
        rest = RestRequest.current()
        rest.finish("task_id")
        source = tasks.source(task_id)
        if source is None:
            raise StatusError(NOT_FOUND, 404)
        task = render_task(source)
        if _is_remote_job(task):
            _require_connector(task, models)  # its service is not asked: the job's state is what was stored
        return reply(task)

    @routes.delete(f"{ML_PREFIX}/tasks/<segment:task_id>")
    def delete_task(task_id: str) -> Response:
        rest = RestRequest.current()
        rest.finish("task_id")
        source = tasks.source(task_id)
        if source is None:
            raise StatusError(NOT_FOUND, 404) if tasks.index_exists() else _no_task_index()
        if render_task(source).get("state") == TaskState.RUNNING.value:
            raise ServerError(RUNNING_STAYS, type="exception")
        answer = tasks.delete(task_id, rest.rendering_parameters())
        return deletion(answer, StatusError(NOT_FOUND, 404))

    @routes.route(f"{ML_PREFIX}/tasks/_search", methods=["GET", "POST"])
    def search_tasks() -> Response:
        return search_reply(tasks, RestRequest.current())

    @routes.post(f"{ML_PREFIX}/tasks/<segment:task_id>/_cancel")
    def cancel_task(task_id: str) -> Response:
        rest = RestRequest.current()
        if not task_id:
            raise IllegalArgument("Request should contain task_id")
        rest.finish("task_id")
        source = tasks.source(task_id)
        if source is None:
            if tasks.index_exists():
                raise StatusError(CANCEL_NOT_FOUND, 404)
            raise ServerError(CANCEL_NOT_FOUND, type="m_l_resource_not_found_exception")
        task = render_task(source)
        if not _is_remote_job(task):
            raise IllegalArgument(NO_BATCH_JOB)
        _require_connector(task, models)
        raise ServerError(NO_CONNECTION_TO_JOB, type="exception")

    return routes


def _is_remote_job(task: dict[str, Any]) -> bool:
    return task.get("task_type") == TaskType.BATCH_PREDICTION.value and task.get("function_name") == "REMOTE"


def _require_connector(task: dict[str, Any], models: ModelStore) -> None:
    """Do what the plugin does before it asks the service that runs a job: find the model and its connector.

    Raises:
        ServerError: the task says nothing of a job.
        StatusError: the model is gone, or cannot be read.
        TaskPluginError: the model has no connector of its own.
    """
    if "remote_job" not in task:
        reason = 'Cannot invoke "java.util.Map.entrySet()" because "remoteJob" is null'
        raise ServerError(reason, type="null_pointer_exception")
    source = models.source(task["model_id"], with_content=False) if task.get("model_id") else None
    if source is None:
        raise StatusError(NO_MODEL_OF_JOB, 404)
    try:
        model = read_model(source)
    except TaskPluginError as error:
        raise StatusError(NO_MODEL_OF_JOB, 404) from error
    if "connector" not in model:
        reason = f"Can't find connector {model.get('connector_id', 'null')}"
        raise TaskPluginError(reason, type="resource_not_found_exception", status=404)


def _no_task_index() -> StatusError:
    missing = IndexNotFound(TASK_INDEX)
    missing.metadata["resource.type"] = "index_expression"
    told = StatusError(f"Failed to get data object from index {TASK_INDEX}", 404, caused_by=missing)
    return StatusError(NOT_FOUND, 404, caused_by=told)
