"""Executions without a cluster: results to the bit, the errors' own form, and which version has it."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from mlcommons_tasks.errors import (
    IllegalArgument,
    IndexNotFound,
    ServerError,
    StoreUnavailable,
    TaskPluginError,
    TooManyRequests,
    UpstreamError,
)
from mlcommons_tasks.execution.execution import Execution
from mlcommons_tasks.pipeline.sample_calculator import calculate
from mlcommons_tasks.rest.execute import execute_blueprint
from mlcommons_tasks.rest.failures import handle_failures
from mlcommons_tasks.rest.gate import refuse_early
from mlcommons_tasks.rest.routing import ExactMethodsRule, RawPaths
from mlcommons_tasks.versions import profile_of
from mlcommons_tasks.wire.execute_failure import execute_failure
from mlcommons_tasks.wire.execute_input import Localization

CALCULATOR = "/_plugins/_ml/_execute/local_sample_calculator"
LOCALIZATION = "/_plugins/_ml/_execute/anomaly_localization"


class Localizer:
    """Finds nothing, or fails."""

    def __init__(self, error: TaskPluginError | None = None) -> None:
        self.error = error
        self.looked_at: list[bytes] = []

    def refuse_unreadable(self, body: bytes, _: Mapping[str, str]) -> None:
        self.looked_at.append(body)

    def localize(self, _: Localization, __: Mapping[str, str]) -> dict[str, Any]:
        if self.error is not None:
            raise self.error
        return {"results": []}


def client(version: str = "3.6.0", localizer: Localizer | None = None, node: Any = lambda: "n1") -> FlaskClient:
    app = Flask("test", static_folder=None)
    app.url_rule_class = ExactMethodsRule
    execution = Execution(localizer or Localizer(), node)  # type: ignore[arg-type]
    app.register_blueprint(execute_blueprint(execution, profile_of(version)))
    refuse_early(app, elsewhere=set())
    handle_failures(app, None, profile_of(version))
    app.wsgi_app = RawPaths(app.wsgi_app)  # type: ignore[method-assign]
    return app.test_client()


@pytest.mark.parametrize(
    ("operation", "numbers", "result"),
    [
        ("sum", [0.1, 0.2, 0.3], 0.6),
        ("sum", [1e16, 1.0, 1.0, 1.0, -1e16], 4.0),
        ("sum", [0.1] * 10, 1.0),
        ("sum", [-0.0], 0.0),
        ("sum", [1e308, 1e308], math.inf),
        ("max", [-0.0, 0.0, -0.0], 0.0),
        ("min", [0.0, -0.0], -0.0),
        ("max", [1.0, math.inf], math.inf),
        ("min", [3.0, 1.0, 2.0], 1.0),
    ],
)
def test_what_java_makes_of_numbers(operation: str, numbers: list[float], result: float) -> None:
    """Sums carry what rounding loses; a zero below nothing is less than one above."""
    assert struct.pack(">d", calculate(operation, numbers)) == struct.pack(">d", result)


def test_an_operation_that_is_none() -> None:
    with pytest.raises(IllegalArgument, match="can't support this operation"):
        calculate("SUM", [1.0])


def of_opensearch(status: int, error: Any) -> UpstreamError:
    payload = json.dumps({"error": error, "status": status}).encode()
    return UpstreamError(status, payload, "application/json", "search_phase_execution_exception", "all shards failed")


@pytest.mark.parametrize(
    ("error", "kind", "reason", "details"),
    [
        (IllegalArgument("no"), "IllegalArgumentException", "Invalid Request", "no"),
        (IndexNotFound("x"), "IndexNotFoundException", "System Error", "no such index [x]"),
        (ServerError("/ by zero", type="arithmetic_exception"), "ArithmeticException", "System Error", "/ by zero"),
        (ServerError(None, type="m_l_limit_exceeded_exception"), "MLLimitExceededException", "System Error", ""),
        (
            ServerError("no", type="security_exception", status=403),
            "OpenSearchSecurityException",
            "System Error",
            "no",
        ),
        (
            of_opensearch(400, {"type": "a_b", "reason": "1", "caused_by": {"type": "c_d", "reason": "2"}}),
            "CD",
            "Invalid Request",
            "2",
        ),
        (
            UpstreamError(403, b"no JSON", "text/plain", "exception", "refused"),
            "Exception",
            "System Error",
            "refused",
        ),
    ],
)
def test_the_form_of_a_failure(error: TaskPluginError, kind: str, reason: str, details: str) -> None:
    """It names the innermost class and what that said."""
    body = execute_failure(error)

    assert list(body) == ["status", "error"]
    assert body == {"status": error.status, "error": {"type": kind, "reason": reason, "details": details}}
    assert list(body["error"]) == ["type", "reason", "details"]


def test_a_failure_is_filtered_as_a_result_is() -> None:
    """Unlike other errors."""
    answer = client().post(
        f"{CALCULATOR}?filter_path=error.details",
        data='{"operation":"avg","input_data":[1]}',
        content_type="application/json",
    )

    assert (answer.status_code, answer.text) == (400, '{"error":{"details":"can\'t support this operation"}}')


@pytest.mark.parametrize(("version", "own"), [("2.11", False), ("2.12", True), ("3.6.0", True)])
def test_which_version_has_a_form_of_its_own(version: str, own: bool) -> None:
    answer = client(version).post(
        CALCULATOR, data='{"operation":"avg","input_data":[1]}', content_type="application/json"
    )

    assert answer.status_code == 400
    assert ("root_cause" in answer.text) == (not own)


@pytest.mark.parametrize(("version", "status"), [("2.19.1", 400), ("3.0", 200)])
def test_which_version_may_be_asked_to_answer_at_once(version: str, status: int) -> None:
    answer = client(version).post(
        f"{CALCULATOR}?async=true", data='{"operation":"sum","input_data":[1]}', content_type="application/json"
    )

    assert answer.status_code == status


@pytest.mark.parametrize(
    "error", [TooManyRequests("breaker"), StoreUnavailable("away"), ServerError("x", type="null_pointer_exception")]
)
def test_a_localization_that_fails(error: TaskPluginError) -> None:
    """It keeps its status, and says what happened."""
    answer = client(localizer=Localizer(error)).post(LOCALIZATION, data="{}", content_type="application/json")

    assert answer.status_code == error.status
    assert json.loads(answer.text)["error"]["details"] == error.reason


def test_where_nothing_may_run() -> None:
    """A body is read first, so what is wrong with it is said before."""

    def nowhere() -> str:
        raise IllegalArgument("No eligible node found")

    asked = client(node=nowhere)
    said = asked.post(CALCULATOR, data='{"operation":"avg","input_data":[1]}', content_type="application/json")
    assert json.loads(said.text)["error"]["details"] == "No eligible node found"
    assert "wrong operation" in asked.post(CALCULATOR, data="{}", content_type="application/json").text


def test_a_localization_of_nothing_is_answered() -> None:
    """The plugin never answers one without aggregations; here there is an end."""
    localizer = Localizer()
    answer = client(localizer=localizer).post(
        LOCALIZATION, data='{"filter_query":{"match_all":{}}}', content_type="application/json"
    )

    assert (answer.status_code, answer.text) == (200, '{"results":[]}')
    assert len(localizer.looked_at) == 1
