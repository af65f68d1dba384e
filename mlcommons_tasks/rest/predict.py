"""`/_plugins/_ml/_predict` and `/_plugins/_ml/models/<id>/_predict`. Source: ml-commons 3.6.0 `RestMLPredictionAction`.

The plugin looks for the model before it reads the body, and whatever is wrong with one of the two is a 404.
"""

from __future__ import annotations

from flask import Blueprint, Response

from mlcommons_tasks.errors import IndexNotFound, TaskPluginError
from mlcommons_tasks.execution.calls import Calls
from mlcommons_tasks.pipeline.algorithms import ALGORITHMS, Prediction
from mlcommons_tasks.rest.exchange import RestRequest, long_reply
from mlcommons_tasks.rest.routing import ML_PREFIX
from mlcommons_tasks.rest.train import Forward, QueryCheck, parsed_input
from mlcommons_tasks.store.models import ModelStore
from mlcommons_tasks.versions import Profile
from mlcommons_tasks.wire.ml_input import MLInput, validate_request
from mlcommons_tasks.wire.model_content import StoredModel
from mlcommons_tasks.wire.prediction import compact_prediction, prediction_body

NOT_FOUND = 404
#: How every content of ours starts, as base64 of `{"algorithm"`. The plugin's is serialized Java or, of forests,
#: protostuff, which has no beginning of its own.
OURS = "eyJhbGdvcml0aG0i"


def prediction_reply(found: Prediction) -> Response:
    """Return what a prediction answers."""
    return long_reply(lambda: prediction_body(found), lambda: compact_prediction(found))


def is_foreign(model: StoredModel) -> bool:
    """Say whether only the plugin itself can predict with a model: it trained it, or nobody emulates what it does."""
    return model.algorithm.value not in ALGORITHMS or not str(model.fields.get("model_content")).startswith(OURS)


def predict_blueprint(
    models: ModelStore,
    calls: Calls,
    refuse_bad_query: QueryCheck,
    profile: Profile,
    forward_other: Forward | None = None,
) -> Blueprint:
    """Return the routes that predict.

    `forward_other` has the cluster's own plugin answer for a model that it trained, where there is one.
    """
    routes = Blueprint("predict", __name__)

    @routes.post(f"{ML_PREFIX}/_predict/<segment:algorithm>/<segment:model_id>")
    def predict(algorithm: str, model_id: str) -> Response:
        return answer(algorithm, model_id)

    def predict_with_model(model_id: str) -> Response:
        return answer(None, model_id)

    if profile.predicts_by_model:
        routes.add_url_rule(
            f"{ML_PREFIX}/models/<segment:model_id>/_predict", view_func=predict_with_model, methods=["POST"]
        )

    def answer(algorithm: str | None, model_id: str) -> Response:
        rest = RestRequest.current()
        model: StoredModel | None = None
        if algorithm is None or profile.predicts_model_first:
            rest.finish("algorithm", "model_id", authorize=False)
            model = models.load(model_id)
            ml_input = read(rest, algorithm or model.algorithm.value, status=NOT_FOUND)
        else:
            ml_input = read(rest, algorithm)
            rest.finish("algorithm", "model_id", authorize=False)
        validate_request(ml_input)
        rest.authorize()
        model = model or load_late(model_id)
        if forward_other is not None and is_foreign(model):
            return forward_other()
        model.require_deployed()
        return prediction_reply(calls.predict(model, ml_input, rest.caller, rest.task_headers))

    def load_late(model_id: str) -> StoredModel:
        """Return a model that is looked for where work is done, which knows no status for a missing index."""
        try:
            return models.load(model_id)
        except TaskPluginError as error:
            if isinstance(error.caused_by, IndexNotFound):
                error.status = 500
            raise

    def read(rest: RestRequest, algorithm: str, status: int | None = None) -> MLInput:
        try:
            return parsed_input(rest, algorithm, refuse_bad_query, profile)
        except TaskPluginError as error:
            if status is not None:
                error.status = status
            raise

    return routes


def train_predict_blueprint(
    calls: Calls, refuse_bad_query: QueryCheck, profile: Profile, forward_other: Forward | None = None
) -> Blueprint:
    """Return the route that trains and predicts at once. Source: ml-commons 3.6.0 `RestMLTrainAndPredictAction`."""
    routes = Blueprint("train_predict", __name__)

    @routes.post(f"{ML_PREFIX}/_train_predict/<segment:algorithm>")
    def train_and_predict(algorithm: str) -> Response:
        if forward_other is not None and algorithm.upper() not in ALGORITHMS:
            return forward_other()
        rest = RestRequest.current()
        rest.parameters.boolean("async")  # it must be one, and changes nothing
        ml_input = parsed_input(rest, algorithm, refuse_bad_query, profile)
        rest.finish("algorithm", authorize=False)
        validate_request(ml_input)
        rest.authorize()
        return prediction_reply(calls.train_and_predict(ml_input, rest.caller, rest.task_headers))

    return routes
