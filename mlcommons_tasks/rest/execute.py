"""`/_plugins/_ml/_execute`. Source: ml-commons 3.6.0 `RestMLExecuteAction`."""

from __future__ import annotations

from flask import Blueprint, Response

from mlcommons_tasks.errors import TaskPluginError
from mlcommons_tasks.execution.execution import EMULATED, Execution
from mlcommons_tasks.rest.exchange import RestRequest, reply
from mlcommons_tasks.rest.routing import ML_PREFIX
from mlcommons_tasks.rest.train import Forward
from mlcommons_tasks.versions import Profile
from mlcommons_tasks.wire.execute_failure import execute_failure
from mlcommons_tasks.wire.execute_input import parse_execute_input


def execute_blueprint(execution: Execution, profile: Profile, forward_other: Forward | None = None) -> Blueprint:
    """Return the route that runs an algorithm which leaves neither a task nor a model.

    `forward_other` has the cluster's own plugin answer for an algorithm that is not emulated, where there is one.
    """
    routes = Blueprint("execute", __name__)

    @routes.post(f"{ML_PREFIX}/_execute/<string:algorithm>")
    def execute(algorithm: str) -> Response:
        if forward_other is not None and algorithm.upper() not in EMULATED:
            return forward_other()
        rest = RestRequest.current()
        payload = rest.json_body()
        if payload and profile.executes_async:  # a request without a body is refused for that first
            rest.parameters.boolean("async")
        reader = {**rest.caller, **rest.task_headers}
        wanted = parse_execute_input(
            algorithm, payload, profile, lambda body: execution.refuse_unreadable(body, reader)
        )
        rest.finish("algorithm", authorize=False)
        try:
            rest.authorize()
            return reply(execution.execute(wanted, reader))
        except TaskPluginError as error:
            if not profile.executes_with_own_errors:
                raise
            return reply(execute_failure(error), error.status)

    return routes
