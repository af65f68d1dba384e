"""`/_plugins/_ml/_train`. Source: ml-commons 3.6.0 `RestMLTrainingAction`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from flask import Blueprint, Response

from mlcommons_tasks.emulation.director import Trainer
from mlcommons_tasks.execution.calls import Calls
from mlcommons_tasks.pipeline.algorithms import ALGORITHMS
from mlcommons_tasks.rest.exchange import RestRequest, reply
from mlcommons_tasks.rest.routing import ML_PREFIX
from mlcommons_tasks.task import TaskState
from mlcommons_tasks.versions import Profile
from mlcommons_tasks.wire.ml_input import MLInput, SearchQueryDataset, parse_ml_input, query_in_place, validate_request

#: Has OpenSearch look at a search body without running it: the body, the caller's headers.
QueryCheck = Callable[[bytes, Mapping[str, str]], None]
Forward = Callable[[], Response]


def parsed_input(rest: RestRequest, algorithm: str, refuse_bad_query: QueryCheck, profile: Profile) -> MLInput:
    """Read the request's body for an algorithm; see `parse_ml_input` and `QueryCheck` for what it raises."""
    payload = rest.json_body()
    ml_input = parse_ml_input(algorithm, payload)
    if isinstance(ml_input.dataset, SearchQueryDataset):
        refuse_bad_query(query_in_place(payload), rest.caller)
    if ml_input.function_name == "LINEAR_REGRESSION" and ml_input.parameters is not None:
        parameters = {"optimiser": profile.linear_optimiser, **ml_input.parameters}
        return dataclasses.replace(ml_input, parameters=parameters)
    return ml_input


def train_blueprint(
    runner: Trainer,
    calls: Calls,
    refuse_bad_query: QueryCheck,
    profile: Profile,
    forward_other: Forward | None = None,
) -> Blueprint:
    """Return the route that trains.

    `forward_other` has the cluster's own plugin answer for an algorithm that is not emulated, where there is one.
    """
    routes = Blueprint("train", __name__)

    @routes.post(f"{ML_PREFIX}/_train/<segment:algorithm>")
    def train(algorithm: str) -> Response:
        if forward_other is not None and algorithm.upper() not in ALGORITHMS:
            return forward_other()
        rest = RestRequest.current()
        is_async = rest.parameters.boolean("async")
        ml_input = parsed_input(rest, algorithm, refuse_bad_query, profile)
        rest.finish("algorithm", authorize=False)
        validate_request(ml_input)
        rest.authorize()
        if is_async:
            task_id = runner.train_async(ml_input, rest.caller, rest.task_headers)
            return reply({"task_id": task_id, "status": TaskState.CREATED.value})
        model_id = calls.train(ml_input, rest.caller, rest.task_headers)
        return reply({"model_id": model_id, "status": TaskState.COMPLETED.value})

    return routes
