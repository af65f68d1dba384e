"""`/_plugins/_ml/tasks`: get, search, delete and cancel. Source: ml-commons 3.6.0 `rest/RestML*Task*Action`."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from mlcommons_tasks.errors import IllegalArgument, IndexNotFound, ServerError, StatusError, TaskPluginError, error_of
from mlcommons_tasks.rest.exchange import RestRequest, reply
from mlcommons_tasks.rest.routing import ML_PREFIX
from mlcommons_tasks.rest.searches import deletion, search_reply
from mlcommons_tasks.store.mappings import TASK_INDEX
from mlcommons_tasks.store.models import ModelStore
from mlcommons_tasks.store.tasks import ReadableTasks
from mlcommons_tasks.task import TaskState, TaskType
from mlcommons_tasks.versions import Failure, Profile
from mlcommons_tasks.wire.model_document import read_model
from mlcommons_tasks.wire.rendering import render_json
from mlcommons_tasks.wire.task_document import render_task

NO_BATCH_JOB = "The task ID you provided does not have any associated batch job"
CANCEL_NOT_FOUND = "Fail to find task"
NO_CONNECTION_TO_JOB = "Couldn't cancel the transform job. Please try again"
NO_MODEL_OF_JOB = "Failed to retrieve the ML model for the given task ID"


def tasks_blueprint(tasks: ReadableTasks, models: ModelStore, profile: Profile) -> Blueprint:
    """Return the routes of stored tasks, as one version has them."""
    routes = Blueprint("tasks", __name__)

    @routes.get(f"{ML_PREFIX}/tasks/<segment:task_id>")
    def get_task(task_id: str) -> Response:
        rest = RestRequest.current()
        rest.finish("task_id")
        source = tasks.poll(task_id)
        if source is None:
            raise error_of(_missing(tasks, profile.get_no_document, profile.get_no_index))
        task = render_task(source, profile)
        if _is_remote_job(task) and not tasks.is_played(task_id):
            _require_connector(task, models, profile)  # its service is not asked: the job's state is what was stored
        return reply(task)

    @routes.delete(f"{ML_PREFIX}/tasks/<segment:task_id>")
    def delete_task(task_id: str) -> Response:
        rest = RestRequest.current()
        rest.finish("task_id")
        query = {**rest.rendering_parameters(), "refresh": "true" if profile.refreshes_tasks else "false"}
        if profile.delete_no_document is None or profile.delete_no_index is None:
            return deletion(tasks.delete(task_id, query), None)
        source = tasks.source(task_id)
        if source is None:
            exists = tasks.index_exists()
            raise error_of(profile.delete_no_document) if exists else _no_task_index(profile.delete_no_index)
        _refuse_deletion(render_task(source, profile).get("state"), profile)
        return deletion(tasks.delete(task_id, query), error_of(profile.delete_no_document))

    @routes.route(f"{ML_PREFIX}/tasks/_search", methods=["GET", "POST"])
    def search_tasks() -> Response:
        return search_reply(tasks, RestRequest.current(), profile)

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
        task = render_task(source, profile)
        if not _is_remote_job(task):
            raise IllegalArgument(NO_BATCH_JOB)
        _require_connector(task, models, profile)
        raise ServerError(NO_CONNECTION_TO_JOB, type="exception")

    if profile.cancel_action is not None:
        path = f"{ML_PREFIX}/tasks/<segment:task_id>/{profile.cancel_action}"
        routes.add_url_rule(path, view_func=cancel_task, methods=["POST"])
    return routes


def plain_answer(source: bytes, profile: Profile) -> bytes | None:
    """Return what GET answers for a stored source, as JSON; None where there is more to be asked, or to be refused."""
    try:
        task = render_task(source, profile)
    except TaskPluginError:
        return None
    return None if _is_remote_job(task) else render_json(task)


def _missing(tasks: ReadableTasks, no_document: Failure, no_index: Failure) -> Failure:
    """Return what to say of a task that is not there; the index is looked for only if that makes a difference."""
    return no_document if no_document == no_index or tasks.index_exists() else no_index


def _refuse_deletion(state: str | None, profile: Profile) -> None:
    if state == TaskState.RUNNING.value and profile.running_stays is not None:
        raise ServerError(profile.running_stays, type="exception")
    if state is None and profile.stateless_stays is not None:
        raise ServerError(profile.stateless_stays, type="null_pointer_exception")


def _is_remote_job(task: dict[str, Any]) -> bool:
    return task.get("task_type") == TaskType.BATCH_PREDICTION.value and task.get("function_name") == "REMOTE"


def _require_connector(task: dict[str, Any], models: ModelStore, profile: Profile) -> None:
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
        model = read_model(source, profile)
    except TaskPluginError as error:
        raise StatusError(NO_MODEL_OF_JOB, 404) from error
    if "connector" not in model:
        reason = f"Can't find connector {model.get('connector_id', 'null')}"
        raise TaskPluginError(reason, type="resource_not_found_exception", status=404)


def _no_task_index(failure: Failure) -> TaskPluginError:
    """Return the error of a deletion without an index; a 404 carries OpenSearch's own."""
    error = error_of(failure)
    if failure.status == IndexNotFound.status:
        missing = IndexNotFound(TASK_INDEX)
        missing.metadata["resource.type"] = "index_expression"
        error.caused_by = StatusError(f"Failed to get data object from index {TASK_INDEX}", 404, caused_by=missing)
    return error
