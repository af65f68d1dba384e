"""Who may use the emulated routes: whom the cluster lets in, and what their roles allow there.

As on a secured OpenSearch a stranger is refused before the request is read, and an action after that.
"""

from __future__ import annotations

from flask import Flask, Response, request

from mlcommons_tasks.rest.exchange import RestRequest, passed_on
from mlcommons_tasks.store.security import CallerRefused, Security
from mlcommons_tasks.wire.permissions import ML_ACTIONS

#: The action behind each endpoint, below `ML_ACTIONS`. Source: ml-commons 3.6.0, the `NAME` of each `ML*Action`.
ACTIONS = {
    "tasks.get_task": "tasks/get",
    "tasks.search_tasks": "tasks/search",
    "tasks.delete_task": "tasks/delete",
    "tasks.cancel_task": "tasks/cancel",
    "execute.execute": "execute",
    "models.get_model": "models/get",
    "models.search_models": "models/search",
    "models.delete_model": "models/delete",
    "models.update_model": "models/update",
    "predict.predict": "predict",
    "predict.predict_with_model": "predict",
    "train.train": "train",
    "train_predict.train_and_predict": "trainAndPredict",
}


#: What the calls want that only scenarios answer; see `played_creations`.
REGISTER, DEPLOY = "register_model", "deploy_model"


def require(security: Security, action: str) -> Response | None:
    """Return the refusal of a caller whom the cluster does not let in.

    Raises:
        Forbidden: it does, and they may not do this.
    """
    try:
        caller = security.caller(RestRequest.current().caller)
    except CallerRefused as refusal:
        return passed_on(refusal.answer)
    security.roles().require(caller, ML_ACTIONS + action)
    return None


def authorize(app: Flask, security: Security) -> None:
    """Ask the cluster about every caller of an emulated route."""

    @app.before_request
    def let_in() -> Response | None:
        action = ACTIONS.get(request.endpoint or "")
        if action is None:  # refused whoever asks, or forwarded with the caller's credentials
            return None
        rest = RestRequest.current()
        try:
            caller = security.caller(rest.caller)
        except CallerRefused as refusal:
            return passed_on(refusal.answer)
        rest.authorize = lambda: security.roles().require(caller, ML_ACTIONS + action)
        return None
