"""Paths, methods and early refusals on an application without OpenSearch; expectations were asked of 3.6.0."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask import Blueprint, Flask, Response
from flask.testing import FlaskClient

from mlcommons_tasks.rest.exchange import RestRequest, reply
from mlcommons_tasks.rest.failures import handle_failures
from mlcommons_tasks.rest.gate import refuse_early
from mlcommons_tasks.rest.routing import (
    EVERY_METHOD,
    ML_PREFIX,
    ElsewhereConverter,
    ExactMethodsRule,
    RawPaths,
    SegmentConverter,
)


@pytest.fixture
def client() -> FlaskClient:
    """An application with two routes of ours; the others say `elsewhere`."""
    app = Flask("test", static_folder=None)
    app.url_rule_class = ExactMethodsRule
    app.url_map.merge_slashes = False
    app.url_map.converters.update(segment=SegmentConverter, elsewhere=ElsewhereConverter)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    ours, proxy = Blueprint("ours", __name__), Blueprint("proxy", __name__)

    @ours.route(f"{ML_PREFIX}/tasks/<segment:task_id>", methods=["GET", "DELETE"])
    def task(task_id: str) -> Response:
        RestRequest.current().finish("task_id")
        return reply({"id": task_id})

    @ours.route(f"{ML_PREFIX}/tasks/_search", methods=["GET", "POST"])
    def search() -> Response:
        return reply({"search": True})

    @proxy.route("/<elsewhere:_path>", methods=EVERY_METHOD)
    def forward(_path: str) -> Response:
        return Response("elsewhere")

    app.register_blueprint(ours)
    app.register_blueprint(proxy)
    refuse_early(app, elsewhere={"proxy"})
    handle_failures(app, None)
    app.wsgi_app = RawPaths(app.wsgi_app)  # type: ignore[method-assign]
    return app.test_client()


def ask(client: FlaskClient, method: str, target: str, **more: Any) -> tuple[int, Any, str | None]:
    """Return status, body and `Allow` of an answer."""
    answer = client.open("/", method=method, environ_overrides={"RAW_URI": target}, **more)
    return answer.status_code, json.loads(answer.data) if answer.data else None, answer.headers.get("Allow")


@pytest.mark.parametrize(
    ("target", "task_id"),
    [("t1", "t1"), ("t1//", "t1"), ("a%2Fb", "a/b"), ("a%20b", "a b"), ("_searching", "_searching"), ("a+b", "a+b")],
)
def test_an_id_is_one_segment(client: FlaskClient, target: str, task_id: str) -> None:
    """Cut out first, decoded then; slashes at the end do not count."""
    assert ask(client, "GET", f"/_plugins/_ml/tasks/{target}") == (200, {"id": task_id}, None)


def test_a_fixed_segment_is_no_id(client: FlaskClient) -> None:
    """`_search` has methods of its own, and no others."""
    assert ask(client, "POST", "/_plugins/_ml/tasks/_search")[0] == 200

    status, body, allow = ask(client, "DELETE", "/_plugins/_ml/tasks/_search?x=1")

    uri = "/_plugins/_ml/tasks/_search?x=1"
    reason = f"Incorrect HTTP method for uri [{uri}] and method [DELETE], allowed: [GET, POST]"
    assert (status, body, allow) == (405, {"error": reason, "status": 405}, "GET,POST")


@pytest.mark.parametrize(
    ("method", "target", "status", "error"),
    [
        (
            "GET",
            "/_plugins/_ml/nope?pretty=false",
            400,
            "no handler found for uri [/_plugins/_ml/nope] and method [GET]",
        ),
        ("PUT", "/_plugins/_ml/a%20b", 400, "no handler found for uri [/_plugins/_ml/a b] and method [PUT]"),
        ("GET", "/_plugins/_ml/tasks//t1", 400, "no handler found for uri [/_plugins/_ml/tasks//t1] and method [GET]"),
        ("GET", "/_plugins/_ml/a|b", 400, "invalid uri has been requested"),
        ("GET", "/_plugins/_ml/tasks/a%zz", 405, "Unexpected HTTP method, allowed: [DELETE, GET]"),
        ("GET", "/_plugins/_ml/a%zz", 405, "Unexpected HTTP method"),
    ],
)
def test_paths_without_a_handler(client: FlaskClient, method: str, target: str, status: int, error: str) -> None:
    """The error is a sentence, and says what Java makes of the path."""
    found, body, _ = ask(client, method, target)

    assert (found, body["error"]) == (status, error)


@pytest.mark.parametrize(("target", "allow"), [("tasks/t1", "DELETE,GET"), ("tasks/_search", "GET,POST"), ("x", None)])
def test_options(client: FlaskClient, target: str, allow: str | None) -> None:
    """Every path of ours has options, if only none."""
    assert ask(client, "OPTIONS", f"/_plugins/_ml/{target}") == (200, None, allow)


@pytest.mark.parametrize("target", ["//_plugins/_ml/tasks/t1", "/_plugins//_ml/tasks/t1", "/_plugins/_mlx", "/a%zz"])
def test_elsewhere(client: FlaskClient, target: str) -> None:
    """What is not below `/_plugins/_ml` is none of our business, however it is written."""
    answer = client.open("/", environ_overrides={"RAW_URI": target}, headers={"Content-Type": "nonsense"})

    assert answer.data == b"elsewhere"


@pytest.mark.parametrize(
    ("target", "headers", "error_type"),
    [
        ("/_plugins/_ml/tasks/t1?pretty=x", {}, "illegal_argument_exception"),
        ("/_plugins/_ml/nope?human=x", {}, "illegal_argument_exception"),
        ("/_plugins/_ml/tasks/t1?a=%zz", {}, "bad_parameter_exception"),
        ("/_plugins/_ml/nope", {"Content-Type": "nonsense"}, "content_type_header_exception"),
        ("/_plugins/_ml/tasks/t1?source=x", {}, "illegal_argument_exception"),
    ],
)
def test_early_refusals(client: FlaskClient, target: str, headers: dict[str, str], error_type: str) -> None:
    """Most of them come before anything is said of the path."""
    status, body, _ = ask(client, "GET", target, headers=headers)

    assert (status, body["error"]["type"]) == (400, error_type)


def test_a_body_of_no_format(client: FlaskClient) -> None:
    """It is refused where there is a handler, and not looked at where there is none."""
    form = {"data": b"a=1", "headers": {"Content-Type": "text/plain"}}

    assert ask(client, "GET", "/_plugins/_ml/tasks/t1", **form)[:2] == (
        406,
        {"error": "Content-Type header [text/plain] is not supported", "status": 406},
    )
    assert ask(client, "POST", "/_plugins/_ml/nope", **form)[0] == 400


def test_a_reply_is_filtered_and_an_error_is_not(client: FlaskClient) -> None:
    """`filter_path` is for what was asked for."""
    assert ask(client, "GET", "/_plugins/_ml/tasks/t1?filter_path=nope")[1] == {}
    assert "error" in ask(client, "PUT", "/_plugins/_ml/tasks/t1?filter_path=nope")[1]


def test_errors_come_in_the_format_asked_for(client: FlaskClient) -> None:
    """Unless it cannot be said how it is asked for: then only the header counts."""
    path = "/_plugins/_ml/tasks/t1"
    asked = client.open("/", environ_overrides={"RAW_URI": f"{path}?foo=1&format=yaml"})
    unclear = client.open("/", environ_overrides={"RAW_URI": f"{path}?pretty=x&format=yaml"})
    by_header = client.open("/", environ_overrides={"RAW_URI": f"{path}?foo=%"}, headers={"Accept": "application/yaml"})

    assert asked.data.startswith(b"---\nerror:\n")
    assert unclear.data.startswith(b'{"error":')
    assert by_header.content_type == "application/yaml"
