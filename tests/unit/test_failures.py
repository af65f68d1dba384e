"""Errors on their way out: those of handlers, too, and what Netty ends the connection for."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from flask import Blueprint, Response
from flask.testing import FlaskClient
from werkzeug.exceptions import ClientDisconnected

from mlcommons_tasks.errors import PayloadTooLarge, StoreUnavailable
from mlcommons_tasks.rest.exchange import BadContentType
from mlcommons_tasks.rest.failures import AnsweringFlask, handle_failures
from mlcommons_tasks.rest.passage import send_on
from mlcommons_tasks.rest.routing import RawPaths
from mlcommons_tasks.wire.content_encoding import BrokenContent


class WayOutError(Exception):
    """Something that a handler answers by asking OpenSearch."""


def client_of(raised: Exception) -> FlaskClient:
    """Return a client of an application whose handler of errors raises another."""
    app = AnsweringFlask("app", static_folder=None)
    routes = Blueprint("routes", __name__)

    @routes.errorhandler(WayOutError)
    def ask(_: WayOutError) -> Response:
        raise raised

    @routes.get("/asked")
    def asked() -> Response:
        raise WayOutError

    app.register_blueprint(routes)
    handle_failures(app, None)
    app.wsgi_app = RawPaths(app.wsgi_app)  # type: ignore[method-assign]
    return app.test_client()


def test_what_a_handler_of_errors_raises_is_answered_by_its_own_handler() -> None:
    """OpenSearch that goes away while the cluster's own answer is fetched is a 503 in its words, not a 500."""
    answer = client_of(StoreUnavailable("gone")).get("/asked")

    assert answer.status_code == 503
    assert answer.get_json()["error"]["reason"] == "gone"


def test_a_body_that_is_too_long_for_the_cluster_is_so_from_a_handler_too() -> None:
    """The status is Netty's, without a body."""
    answer = client_of(PayloadTooLarge(None)).get("/asked")

    assert (answer.status_code, answer.data) == (413, b"")


def test_a_handler_that_raises_what_it_looks_after_does_not_go_round() -> None:
    """The second time it is an unforeseen error, told once."""
    answer = client_of(WayOutError()).get("/asked")

    assert answer.status_code == 500
    assert answer.get_json()["error"]["type"] == "exception"


def test_a_client_that_went_away_in_the_middle_of_its_body_is_not_answered() -> None:
    """Netty closes the connection without a word."""
    with pytest.raises(ConnectionResetError):
        client_of(ClientDisconnected()).get("/asked")


class Gone:
    """An upstream whose OpenSearch ends every connection."""

    for_callers: Any
    timeout_s = 1.0
    identity_headers = frozenset[str]()

    def __init__(self) -> None:
        self.for_callers = self

    def open(self, *_: Any, **__: Any) -> Any:
        raise StoreUnavailable("it ended the connection")


@pytest.mark.parametrize(
    ("payload", "encoding", "raised"),
    [
        (b"not packed", "gzip", BrokenContent),
        (b"not packed", "", StoreUnavailable),
        (b"", "gzip", StoreUnavailable),
    ],
)
def test_a_broken_packed_body_ends_the_connection_as_it_does_in_opensearch(
    payload: bytes, encoding: str, raised: type[BaseException]
) -> None:
    """Where the body is to blame nobody says that OpenSearch is gone."""
    environ = {"REQUEST_METHOD": "POST", "HTTP_CONTENT_ENCODING": encoding}

    with pytest.raises(raised), contextlib.suppress(KeyError):
        send_on(Gone(), environ, "/_tasks", payload=payload)  # type: ignore[arg-type]


def test_a_content_type_that_is_none_is_to_blame_where_opensearch_hangs_up() -> None:
    """With a parameter that cannot be read beside it, OpenSearch ends the connection without an answer."""
    environ = {"REQUEST_METHOD": "GET", "CONTENT_TYPE": "application/json, text/plain"}

    with pytest.raises(BadContentType):
        send_on(Gone(), environ, "/_nodes?human=x", payload=b"")  # type: ignore[arg-type]
