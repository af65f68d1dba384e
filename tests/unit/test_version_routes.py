"""Each difference between versions that a route shows, on both sides of its version; nothing runs below the routes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from mlcommons_tasks.errors import JsonParseError
from mlcommons_tasks.rest.failures import handle_failures
from mlcommons_tasks.rest.gate import refuse_early
from mlcommons_tasks.rest.models import models_blueprint
from mlcommons_tasks.rest.routing import ExactMethodsRule, RawPaths, SegmentConverter
from mlcommons_tasks.rest.tasks import tasks_blueprint
from mlcommons_tasks.store.upstream import Reply
from mlcommons_tasks.versions import DEFAULT, Profile, profile_of
from tests.unit.test_versions import before

ML = "/_plugins/_ml"


class Documents:
    """A store that has one document, or no index, and remembers what it was asked."""

    def __init__(self, source: bytes | None = None, *, index: bool = True) -> None:
        self._source = source
        self._index = index
        self.query: Mapping[str, str] = {}

    def source(self, _id: str, *, with_content: bool = False) -> bytes | None:
        return self._source

    poll = source

    def index_exists(self) -> bool:
        return self._index

    def delete(self, _id: str, query: Mapping[str, str]) -> Reply:
        self.query = query
        gone = b'{"_id":"t","result":"not_found"}' if self._index else b'{"error":{"type":"index_not_found_exception"}}'
        found = self._source is not None
        return Reply(200 if found else 404, [], b'{"result":"deleted"}' if found else gone)

    def clean_up(self, _id: str, *, chunks: bool) -> None:
        """There is no more of it."""

    def search(self, _payload: bytes, query: Mapping[str, str], _headers: object, *, nothing: bool = False) -> Reply:
        self.query = query
        if not self._index and not nothing:
            return Reply(
                404, [], b'{"error":{"type":"index_not_found_exception","reason":"no such index"},"status":404}'
            )
        return Reply(200, [], b'{"took":1,"timed_out":false}')


def client(profile: Profile, tasks: Any = None, models: Any = None) -> FlaskClient:
    """Return a client of the routes as one version has them."""
    app = Flask("test", static_folder=None)
    app.url_rule_class = ExactMethodsRule
    app.url_map.converters.update(segment=SegmentConverter)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.register_blueprint(tasks_blueprint(tasks or Documents(), models or Documents(), profile))
    app.register_blueprint(models_blueprint(models or Documents(), profile))

    @app.get(f"{ML}/out-of-range")
    def out_of_range() -> None:
        raise JsonParseError("out of range", type="input_coercion_exception")

    refuse_early(app, elsewhere={"proxy"}, forwards_unknown=False)
    handle_failures(app, None, profile)
    app.wsgi_app = RawPaths(app.wsgi_app)  # type: ignore[method-assign]
    return app.test_client()


def ask(profile: Profile, method: str, path: str, body: Any = None, **stores: Any) -> tuple[int, Any]:
    """Return status, and the error's type and reason if there is one, else the body."""
    sent = {} if body is None else {"json": body}
    answer = client(profile, **stores).open(
        "/", method=method, environ_overrides={"RAW_URI": f"{ML}{path}", "REQUEST_METHOD": method}, **sent
    )
    told = json.loads(answer.data)
    error = told.get("error")
    whole = isinstance(error, dict) and "reason" in error
    return answer.status_code, (error["type"], error["reason"]) if whole else told


RESOURCE = "m_l_resource_not_found_exception"


@pytest.mark.parametrize(
    ("version", "method", "path", "index", "old", "new"),
    [
        ("2.9", "GET", "/tasks/t", True, (500, (RESOURCE, "Fail to find task")), (404, "Fail to find task")),
        ("2.19", "GET", "/tasks/t", True, (404, "Fail to find task"), (404, "Failed to find task")),
        ("2.19", "GET", "/tasks/t", False, (500, (RESOURCE, "Fail to find task")), (404, "Failed to find task")),
        ("2.6", "DELETE", "/tasks/t", True, (200, None), (500, (RESOURCE, "Fail to find task"))),
        ("2.6", "DELETE", "/tasks/t", False, (404, None), (500, (RESOURCE, "Fail to find task"))),
        ("2.19", "DELETE", "/tasks/t", True, (500, (RESOURCE, "Fail to find task")), (404, "Failed to find task")),
        ("2.19", "DELETE", "/tasks/t", False, (500, (RESOURCE, "Fail to find task")), (404, "Failed to find task")),
        (
            "2.7",
            "GET",
            "/models/m",
            True,
            (500, (RESOURCE, "Fail to find model")),
            (400, ("illegal_argument_exception", "Failed to find model with the provided model id: m")),
        ),
        ("2.9", "GET", "/models/m", True, (400, None), (404, "Failed to find model with the provided model id: m")),
        ("2.19", "GET", "/models/m", False, (500, (RESOURCE, "Fail to find model")), (404, "Fail to find model")),
        ("2.6", "DELETE", "/models/m", True, (200, None), (500, (RESOURCE, "Fail to find model"))),
        (
            "2.7",
            "DELETE",
            "/models/m",
            True,
            (500, (RESOURCE, "Fail to find model")),
            (400, ("illegal_argument_exception", "Failed to find model to delete with the provided model id: m")),
        ),
        ("2.9", "DELETE", "/models/m", True, (400, None), (404, "Failed to find model")),
    ],
)
def test_what_is_not_there_is_missed_as_its_version_does(
    version: str, method: str, path: str, index: bool, old: tuple[int, Any], new: tuple[int, Any]
) -> None:
    stores = {"tasks": Documents(index=index), "models": Documents(index=index)}
    for profile, (status, told) in ((before(version), old), (profile_of(version), new)):
        answer = ask(profile, method, path, **stores)
        assert answer[0] == status
        if told is not None:
            assert answer[1] == (("status_exception", told) if isinstance(told, str) else told)


@pytest.mark.parametrize(
    ("version", "stored", "old", "new"),
    [
        ("2.6", {"state": "RUNNING"}, 200, "Task cannot be deleted in running state. Try after sometime"),
        (
            "2.19",
            {"state": "RUNNING"},
            "Task cannot be deleted in running state. Try after sometime",
            "Task cannot be deleted in running state. Try after some time.",
        ),
        ("2.6", {}, 200, None),
        ("2.19", {}, None, 200),
    ],
)
def test_a_task_is_kept_as_its_version_does(version: str, stored: dict[str, str], old: Any, new: Any) -> None:
    for profile, expected in ((before(version), old), (profile_of(version), new)):
        status, told = ask(profile, "DELETE", "/tasks/t", tasks=Documents(json.dumps(stored).encode()))
        assert status == (200 if expected == 200 else 500)
        if isinstance(expected, str):
            assert told == ("exception", expected)
        elif expected is None:
            assert told[0] == "null_pointer_exception"


@pytest.mark.parametrize(
    ("version", "old", "new"),
    [
        ("2.6", 200, ("exception", "loading or loaded")),
        ("2.7", ("exception", "loading or loaded"), ("exception", "deploying or deployed")),
        ("2.12", ("exception", "deploying or deployed"), ("status_exception", "deploying or deployed")),
    ],
)
def test_a_deployed_model_is_kept_as_its_version_does(version: str, old: Any, new: Any) -> None:
    stored = Documents(b'{"algorithm":"KMEANS","model_state":"DEPLOYED"}')
    for profile, expected in ((before(version), old), (profile_of(version), new)):
        status, told = ask(profile, "DELETE", "/models/m", models=stored)
        if expected == 200:
            assert status == 200
        else:
            assert told[0] == expected[0]
            assert expected[1] in told[1]
            assert status == (400 if expected[0] == "status_exception" else 500)


@pytest.mark.parametrize(("version", "path"), [("2.15", "/tasks/t"), ("2.12", "/models/t")])
def test_a_deletion_is_refreshed_from_its_version_on(version: str, path: str) -> None:
    for profile, refresh in ((before(version), "false"), (profile_of(version), "true")):
        stored = Documents(b'{"algorithm":"KMEANS","model_state":"TRAINED","state":"COMPLETED"}')
        assert ask(profile, "DELETE", path, tasks=stored, models=stored)[0] == 200
        assert stored.query["refresh"] == refresh


@pytest.mark.parametrize(("path", "failure"), [("/tasks/_search", 404), ("/models/_search", 500)])
def test_a_search_without_an_index_fails_before_2_12(path: str, failure: int) -> None:
    for profile, status in ((before("2.12"), failure), (profile_of("2.12"), 200)):
        stored = Documents(index=False)
        assert ask(profile, "POST", path, {}, tasks=stored, models=stored)[0] == status


def test_models_cannot_be_aggregated_in_2_19() -> None:
    body = {"aggs": {"a": {"terms": {"field": "algorithm"}}}}
    failed = (500, ("status_exception", "Fail to search model version"))
    assert ask(profile_of("2.18"), "POST", "/models/_search", body)[0] == 200
    assert ask(profile_of("2.19"), "POST", "/models/_search", body) == failed
    assert ask(profile_of("3.0"), "POST", "/models/_search", body)[0] == 200
    assert ask(profile_of("2.19"), "POST", "/models/_search", {})[0] == 200
    assert ask(profile_of("2.19"), "POST", "/models/_search", body, models=Documents(index=False))[0] == 200


def test_a_failed_search_for_models_is_told_as_its_version_does() -> None:
    assert before("2.8").model_search_failed == "Fail to search"
    assert profile_of("2.8").model_search_failed == "Fail to search model version"


@pytest.mark.parametrize(
    ("version", "there", "not_there"),
    [
        ("2.16", None, ["_cancel", "_cancel_batch"]),
        ("2.17.0", "_cancel_batch", ["_cancel"]),
        ("2.17.1", "_cancel", ["_cancel_batch"]),
        ("3.6.0", "_cancel", ["_cancel_batch"]),
    ],
)
def test_a_task_is_cancelled_at_the_path_of_its_version(version: str, there: str | None, not_there: list[str]) -> None:
    stored = Documents(b'{"state":"RUNNING"}')
    if there is not None:
        assert ask(profile_of(version), "POST", f"/tasks/t/{there}", tasks=stored)[0] == 400
        told = ask(profile_of(version), "POST", f"/tasks/t/{there}", tasks=stored)[1]
        assert told[1] == "The task ID you provided does not have any associated batch job"
    for path in not_there:
        status, told = ask(profile_of(version), "POST", f"/tasks/t/{path}", tasks=stored)
        assert status == 400
        assert "no handler found" in told["error"]


def test_a_model_can_be_updated_from_2_12_on() -> None:
    assert ask(before("2.12"), "PUT", "/models/m", {})[0] == 405
    assert ask(profile_of("2.12"), "PUT", "/models/m", {})[0] == 404


@pytest.mark.parametrize(
    ("version", "status"), [("2.19.1", 500), ("2.19.3", 400), ("3.0", 500), ("3.1", 400), (DEFAULT, 400)]
)
def test_a_number_out_of_range_has_the_status_of_its_version(version: str, status: int) -> None:
    assert ask(profile_of(version), "GET", "/out-of-range")[0] == status
