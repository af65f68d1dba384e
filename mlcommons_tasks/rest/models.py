"""`/_plugins/_ml/models`: get, search, update and delete.

Source: ml-commons 3.6.0 `rest/RestML*Model*Action`.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from mlcommons_tasks.clock import Clock, SystemClock
from mlcommons_tasks.errors import IllegalArgument, StatusError, error_of
from mlcommons_tasks.rest.exchange import RestRequest, passed_on, reply
from mlcommons_tasks.rest.routing import ML_PREFIX
from mlcommons_tasks.rest.searches import (
    ALWAYS,
    as_sent,
    authorize_search,
    deletion,
    or_nothing,
    parsed,
    pipeline_parameters,
    search_reply,
    searched,
)
from mlcommons_tasks.store.models import ModelStore
from mlcommons_tasks.store.upstream import Reply
from mlcommons_tasks.versions import Profile
from mlcommons_tasks.wire.bodies import json_of
from mlcommons_tasks.wire.model_document import TOO_DEEP, check_deletion, render_model
from mlcommons_tasks.wire.model_update import changes_of, read_update
from mlcommons_tasks.wire.rendering import render_json
from mlcommons_tasks.wire.search_body import can_be_rewritten, in_point_in_time, is_plain, visible_models
from mlcommons_tasks.wire.search_failure import failed_model_search

AGGREGATIONS = ("aggs", "aggregations")
WITH_INDEX = b"action_request_validation_exception"  #: what a point in time is told that names an index as well


def models_blueprint(models: ModelStore, profile: Profile, clock: Clock | None = None) -> Blueprint:
    """Return the routes of stored models, as one version has them."""
    clock = clock or SystemClock()
    routes = Blueprint("models", __name__)

    @routes.get(f"{ML_PREFIX}/models/<segment:model_id>")
    def get_model(model_id: str) -> Response:
        rest = RestRequest.current()
        with_content = rest.parameters.boolean("return_content")
        rest.finish("model_id")
        source = models.source(model_id, with_content=with_content)
        if source is None:
            failure = profile.get_no_model if models.index_exists() else profile.get_no_model_index
            raise error_of(failure, model_id)
        try:
            return reply(render_model(source, profile))
        except RecursionError as error:
            raise IllegalArgument(TOO_DEEP) from error

    @routes.delete(f"{ML_PREFIX}/models/<segment:model_id>")
    def delete_model(model_id: str) -> Response:
        rest = RestRequest.current()
        rest.finish("model_id")
        query = {**rest.rendering_parameters(), "refresh": "true" if profile.refreshes_models else "false"}
        if profile.delete_no_model is None:
            return deletion(models.delete(model_id, query), None)
        missing = error_of(profile.delete_no_model, model_id)
        source = models.source(model_id, with_content=False)
        if source is None:
            raise missing
        has_chunks = check_deletion(source, profile)
        answer = models.delete(model_id, query)
        if answer.status < 400:
            models.clean_up(model_id, chunks=has_chunks)
        return deletion(answer, missing)

    @routes.route(f"{ML_PREFIX}/models/_search", methods=["GET", "POST"])
    def search_models() -> Response:
        rest = RestRequest.current()
        payload, kind = rest.body_or_source()
        body = parsed(payload, kind)
        if body is None or not can_be_rewritten(body):
            return search_reply(models, rest, profile)
        rest.finish(authorize=False)
        authorize_search(models, rest)
        if not is_plain(payload) and (refusal := _refusal(models, rest, body)) is not None:
            return passed_on(refusal)
        answer = or_nothing(models, _rewritten_search(models, rest, body, profile), rest, profile)
        if answer.status < 400:
            if not profile.aggregates_models and any(map(body.get, AGGREGATIONS)) and models.index_exists():
                raise StatusError(profile.model_search_failed, 500)
            return searched(answer, body)
        if (refusal := _refusal(models, rest, body)) is not None:
            return passed_on(refusal)
        raise failed_model_search(json_of(answer.payload, rest.reply_type) or b"{}", profile.model_search_failed)

    def update_model(model_id: str) -> Response:
        rest = RestRequest.current()
        update = read_update(rest.json_body())
        rest.finish("model_id")
        source = models.source(model_id, with_content=False)
        changes = changes_of(update, source, model_id, clock.now_in_millis(), profile)
        return passed_on(models.change(model_id, changes, rest.rendering_parameters()))

    if profile.updates_models:
        routes.add_url_rule(f"{ML_PREFIX}/models/<segment:model_id>", view_func=update_model, methods=["PUT"])
    return routes


def _refusal(models: ModelStore, rest: RestRequest, body: dict[str, Any]) -> Reply | None:
    """Return what OpenSearch's parser has against the body as it came: a mistake is told by its place in that."""
    query, headers = as_sent(rest)
    answer = models.search(rest.payload, query, headers, nothing=True)
    if answer.status < 400 or (in_point_in_time(body) and WITH_INDEX in answer.payload):
        return None
    return answer


def _rewritten_search(models: ModelStore, rest: RestRequest, body: dict[str, Any], profile: Profile) -> Reply:
    payload = render_json(visible_models(body, rest.user_agent, profile))
    query = {**rest.rendering_parameters(), **ALWAYS, **pipeline_parameters(body)}
    headers = [*rest.passed_headers(), ("Content-Type", "application/json")]
    if in_point_in_time(body):
        return models.search_point_in_time(payload, query, [*headers, *rest.caller.items()])
    return models.search(payload, query, headers)
