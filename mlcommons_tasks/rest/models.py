"""`/_plugins/_ml/models`: get, search, delete. Source: ml-commons 3.6.0 `rest/RestML*Model*Action`."""

from __future__ import annotations

from flask import Blueprint, Response

from mlcommons_tasks.errors import StatusError
from mlcommons_tasks.rest.exchange import RestRequest, reply
from mlcommons_tasks.rest.routing import ML_PREFIX
from mlcommons_tasks.rest.searches import ALWAYS, deletion, parsed, search_reply, searched
from mlcommons_tasks.store.models import ModelStore
from mlcommons_tasks.wire.model_document import refuse_deletion, render_model
from mlcommons_tasks.wire.rendering import render_json
from mlcommons_tasks.wire.search_body import source_filter, visible_models

DELETE_NOT_FOUND = "Failed to find model"


def models_blueprint(models: ModelStore) -> Blueprint:
    """Return the routes of stored models."""
    routes = Blueprint("models", __name__)

    @routes.get(f"{ML_PREFIX}/models/<segment:model_id>")
    def get_model(model_id: str) -> Response:
        rest = RestRequest()
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
        rest = RestRequest()
        rest.finish("model_id")
        source = models.source(model_id, with_content=False)
        if source is None:
            raise StatusError(DELETE_NOT_FOUND, 404)
        refuse_deletion(source)
        return deletion(models.delete(model_id, rest.rendering_parameters()), StatusError(DELETE_NOT_FOUND, 404))

    @routes.route(f"{ML_PREFIX}/models/_search", methods=["GET", "POST"])
    def search_models() -> Response:
        rest = RestRequest()
        payload, _ = rest.body_or_source()
        body = parsed(payload)
        if not body and payload.strip() != b"{}":
            return search_reply(models.search, rest, source_filter)  # OpenSearch says what is wrong with it
        rest.finish()
        query = {**rest.rendering_parameters(), **ALWAYS}
        headers = [*rest.passed_headers(), ("Content-Type", "application/json")]
        return searched(models.search(render_json(visible_models(body, rest.user_agent)), query, headers))

    return routes
