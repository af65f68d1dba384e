"""The calls that register and deploy models, where a scenario plays the tasks that they create.

Without one they are answered as if this module were not there: what they really do, or refuse, is not emulated.
Source: `fixtures/recordings/creations-3.6.0.json`, what the real plugin answers for a model that has to be fetched.
"""

from __future__ import annotations

import json
import re
from urllib.parse import unquote

from flask import Flask, Response, request

from mlcommons_tasks.emulation.stage import Stage
from mlcommons_tasks.errors import TaskPluginError
from mlcommons_tasks.rest.authorization import DEPLOY, REGISTER, require
from mlcommons_tasks.rest.exchange import RestRequest, reply
from mlcommons_tasks.rest.routing import ML_PREFIX
from mlcommons_tasks.store.models import ModelStore
from mlcommons_tasks.store.security import Security
from mlcommons_tasks.task import FunctionName, TaskState, TaskType

_REGISTER = re.compile(rf"{ML_PREFIX}/models/(?:_register|_upload)")
_DEPLOY = re.compile(rf"{ML_PREFIX}/models/([^/]+)/(?:_deploy|_load)")
DEFAULT_FUNCTION = FunctionName.TEXT_EMBEDDING.value  #: of a model that is registered without one


def play_creations(app: Flask, stage: Stage, models: ModelStore, security: Security | None) -> None:
    """Have scenarios play what these calls create; `security` says who may, where accounts are asked for."""

    @app.before_request
    def create() -> Response | None:
        if request.method != "POST" or not request.path.startswith(f"{ML_PREFIX}/models/"):
            return None
        if not stage.state.scenarios:
            return None
        if _REGISTER.fullmatch(request.path):
            return _answer(REGISTER, TaskType.REGISTER_MODEL, _function_name(RestRequest.current()))
        if (found := _DEPLOY.fullmatch(request.path)) is not None:
            model_id = unquote(found[1])
            return _answer(DEPLOY, TaskType.DEPLOY_MODEL, _algorithm(models, model_id), model_id)
        return None

    def _answer(action: str, task_type: TaskType, function_name: str, model_id: str | None = None) -> Response | None:
        if security is not None and (refusal := require(security, action)) is not None:
            return refusal
        base = {
            "task_type": task_type.value,
            "function_name": function_name,
            "model_id": model_id,
            "is_async": True,
        }
        task_id = stage.play_if_told(base, request.headers.get("X-Opaque-Id"))
        if task_id is None:
            return None
        shown = {"task_type": task_type.value} if action == DEPLOY else {}
        return reply({"task_id": task_id, **shown, "status": TaskState.CREATED.value})


def _function_name(rest: RestRequest) -> str:
    try:
        named = json.loads(rest.json_body() or b"{}").get("function_name", DEFAULT_FUNCTION)
    except (ValueError, AttributeError, TaskPluginError):
        return DEFAULT_FUNCTION
    return str(named).upper()


def _algorithm(models: ModelStore, model_id: str) -> str:
    """Return what a model is of; one that was only played, or is not there, is taken for the usual kind."""
    source = models.source(model_id, with_content=False)
    return str(json.loads(source or b"{}").get("algorithm", DEFAULT_FUNCTION))
