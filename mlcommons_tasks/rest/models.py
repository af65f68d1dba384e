"""`/_plugins/_ml/models`: get, search, delete, and why not update.

Source: ml-commons 3.6.0 `rest/RestML*Model*Action`.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from mlcommons_tasks.errors import StatusError, TaskPluginError
from mlcommons_tasks.rest.exchange import RestRequest, passed_on, reply
from mlcommons_tasks.rest.routing import ML_PREFIX
from mlcommons_tasks.rest.searches import ALWAYS, as_sent, deletion, parsed, search_reply, searched
from mlcommons_tasks.store.models import ModelStore
from mlcommons_tasks.store.upstream import Reply
from mlcommons_tasks.wire.bodies import json_of
from mlcommons_tasks.wire.model_document import read_model, refuse_deletion, render_model
from mlcommons_tasks.wire.model_update import refuse_change, refuse_update
from mlcommons_tasks.wire.rendering import render_json
from mlcommons_tasks.wire.search_body import can_be_rewritten, in_point_in_time, visible_models
from mlcommons_tasks.wire.search_failure import failed_model_search

DELETE_NOT_FOUND = "Failed to find model"


def models_blueprint(models: ModelStore) -> Blueprint:
    """Return the routes of stored models."""
    routes = Blueprint("models", __name__)

    @routes.get(f"{ML_PREFIX}/models/<segment:model_id>")
    def get_model(model_id: str) -> Response:
        rest = RestRequest.current()
        with_content = rest.parameters.boolean("return_content")
        rest.finish("model_id")
        source = models.source(model_id, with_content=with_content)
        if source is None:
            if models.index_exists():
                raise StatusError(f"Failed to find model with the provided model id: {model_id}", 404)
            raise StatusError("Fail to find model", 404)
        return reply(render_model(source))

    @routes.delete(f"{ML_PREFIX}/models/<segment:model_id>")
    def delete_model(model_id: str) -> Response:
        rest = RestRequest.current()
        rest.finish("model_id")
        source = models.source(model_id, with_content=False)
        if source is None:
            raise StatusError(DELETE_NOT_FOUND, 404)
        refuse_deletion(source)
        return deletion(models.delete(model_id, rest.rendering_parameters()), StatusError(DELETE_NOT_FOUND, 404))

    @routes.route(f"{ML_PREFIX}/models/_search", methods=["GET", "POST"])
    def search_models() -> Response:
        rest = RestRequest.current()
        payload, kind = rest.body_or_source()
        body = parsed(payload, kind)
        if body is None or not can_be_rewritten(body):
            return search_reply(models, rest)
        rest.finish()
        answer = _rewritten_search(models, rest, body)
        if answer.status < 400:
            return searched(answer)
        if not in_point_in_time(body):
            query, headers = as_sent(rest)  # a mistake in the body is told by its place in the caller's own
            as_it_came = models.search(rest.payload, query, headers, nothing=True)
            if as_it_came.status >= 400:
                return passed_on(as_it_came)
        raise failed_model_search(json_of(answer.payload, rest.reply_type) or b"{}")

    @routes.put(f"{ML_PREFIX}/models/<segment:model_id>")
    def update_model(model_id: str) -> Response:
        rest = RestRequest.current()
        refuse_update(rest.json_body())
        rest.finish("model_id")
        source = models.source(model_id, with_content=False)
        try:
            model = None if source is None else read_model(source)
        except TaskPluginError:
            model = None
        raise refuse_change(model, model_id)

    return routes


def _rewritten_search(models: ModelStore, rest: RestRequest, body: dict[str, Any]) -> Reply:
    payload = render_json(visible_models(body, rest.user_agent))
    query = {**rest.rendering_parameters(), **ALWAYS}
    headers = [*rest.passed_headers(), ("Content-Type", "application/json")]
    if in_point_in_time(body):
        return models.search_point_in_time(payload, query, [*headers, *rest.caller.items()])
    return models.search(payload, query, headers)
