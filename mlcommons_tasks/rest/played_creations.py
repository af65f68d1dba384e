"""The calls that register and deploy models, where a scenario plays the tasks that they create.

Without one they are answered as if this module were not there: what they really do is not emulated. With one a request
that the plugin cannot read is refused in its words; whether a model, a model group or a connector is there, and what
the settings allow, is not asked.
Source: `fixtures/recordings/creations-3.6.0.json`, what the real plugin answers for a model that has to be fetched.
"""

from __future__ import annotations

import json
import re
from urllib.parse import unquote

from flask import Flask, Response, request

from mlcommons_tasks.emulation.matching import Created
from mlcommons_tasks.emulation.stage import Stage
from mlcommons_tasks.errors import TaskPluginError
from mlcommons_tasks.rest.authorization import DEPLOY, REGISTER, require
from mlcommons_tasks.rest.exchange import RestRequest, reply
from mlcommons_tasks.rest.routing import ML_PREFIX
from mlcommons_tasks.store.models import ModelStore
from mlcommons_tasks.store.security import Security
from mlcommons_tasks.task import TaskState, TaskType
from mlcommons_tasks.versions import Profile
from mlcommons_tasks.wire.registration import DEFAULT_FUNCTION, check_deployment, check_registration

_REGISTER = re.compile(rf"{ML_PREFIX}/models/(?:_register|_upload)")
_DEPLOY = re.compile(rf"{ML_PREFIX}/models/([^/]+)/(?:_deploy|_load)")


def play_creations(app: Flask, stage: Stage, models: ModelStore, security: Security | None, profile: Profile) -> None:
    """Have scenarios play what these calls create; `security` says who may, where accounts are asked for."""

    @app.before_request
    def create() -> Response | None:
        if request.method != "POST" or not request.path.startswith(f"{ML_PREFIX}/models/"):
            return None
        if not stage.state.scenarios:
            return None
        if _REGISTER.fullmatch(request.path):
            return _registered(RestRequest.current())
        if (found := _DEPLOY.fullmatch(request.path)) is not None:
            return _deployed(RestRequest.current(), unquote(found[1]))
        return None

    def _registered(rest: RestRequest) -> Response | None:
        created = Created(TaskType.REGISTER_MODEL.value, _function_name(rest), opaque_id=_opaque_id())
        if not stage.director.is_told(created):
            return None
        _refuse_unreadable(rest)
        rest.parameters.boolean("deploy")
        check_registration(rest.json_body(), profile)
        rest.finish(authorize=False)
        return _answer(created, REGISTER)

    def _deployed(rest: RestRequest, model_id: str) -> Response | None:
        algorithm = _algorithm(models, model_id)
        created = Created(TaskType.DEPLOY_MODEL.value, algorithm, model_id=model_id, opaque_id=_opaque_id())
        if not stage.director.is_told(created):
            return None
        _refuse_unreadable(rest)
        check_deployment(rest.json_body())
        rest.finish("model_id", authorize=False)
        return _answer(created, DEPLOY)

    def _answer(created: Created, action: str) -> Response | None:
        if security is not None and (refusal := require(security, action)) is not None:
            return refusal
        task_id = stage.play_if_told(created)
        if task_id is None:
            return None
        shown = {"task_type": created.task_type} if action == DEPLOY else {}
        return reply({"task_id": task_id, **shown, "status": TaskState.CREATED.value})


def _refuse_unreadable(rest: RestRequest) -> None:
    """Refuse what OpenSearch refuses of any handler's requests; those that are passed on it refuses itself."""
    rest.refuse_unreadable()
    rest.refuse_unsupported_body()


def _opaque_id() -> str | None:
    return request.headers.get("X-Opaque-Id")


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
