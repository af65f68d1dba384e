"""What is answered to requests that are none, and which headers count."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.http import errors

from mlcommons_tasks.netty import broken_body, prepare, refusal, served

VERSION = "OpenSearch/3.6.0 (opensearch)"


def lengths(*values: str) -> errors.InvalidHeader:
    request = SimpleNamespace(headers=[("CONTENT-LENGTH", value) for value in values])
    return errors.InvalidHeader("CONTENT-LENGTH", req=request)


@pytest.mark.parametrize(
    ("error", "line", "reason"),
    [
        (errors.InvalidRequestLine("x"), b"HTTP/1.0 400 Bad Request", "text is empty (possibly HTTP/0.9)"),
        (errors.InvalidHTTPVersion("X"), b"HTTP/1.0 400 Bad Request", "invalid version format: X"),
        (errors.InvalidHeader("nocolon"), b"HTTP/1.1 400 Bad Request", "No colon found"),
        (lengths("2", "3"), b"HTTP/1.1 400 Bad Request", "Multiple Content-Length values found: [2, 3]"),
        (lengths("abc"), b"HTTP/1.1 400 Bad Request", "Content-Length value is not a number: abc"),
        (
            errors.InvalidHeaderName("Foo "),
            b"HTTP/1.1 400 Bad Request",
            'a header name can only contain "token" characters, but found invalid character 0x20 at index 3 of header'
            " 'Foo '.",
        ),
        (errors.LimitRequestHeaders(""), b"HTTP/1.1 400 Bad Request", "HTTP header is larger than 16384 bytes."),
        (ValueError(), b"HTTP/1.1 500 Internal Server Error", "an unforeseen error; the service's log tells more"),
    ],
)
def test_what_is_no_request(error: Exception, line: bytes, reason: str) -> None:
    """A request that is none is told so in OpenSearch's envelope."""
    answer = refusal(error, VERSION)

    assert answer is not None
    head, _, payload = answer.partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[:2] == [line, b"X-OpenSearch-Version: " + VERSION.encode()]
    assert json.loads(payload)["error"]["reason"] == reason
    assert f"Content-Length: {len(payload)}".encode() in head


def test_versions_and_methods_of_nobody() -> None:
    """What Netty does not know ends without a word, an expectation it does not know with 417."""
    assert refusal(errors.InvalidHTTPVersion((2, 0)), VERSION) is None
    assert refusal(errors.InvalidRequestMethod("get"), VERSION) is None
    assert refusal(errors.ExpectationFailed("x"), VERSION) == (
        b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n"
    )
    for method, protocol in (("FOO", "HTTP/1.1"), ("GET", "HTTP/1.2")):
        with pytest.raises(ConnectionResetError):
            served(pytest.fail, {"REQUEST_METHOD": method, "SERVER_PROTOCOL": protocol}, None)


def test_broken_chunks() -> None:
    """Of chunks Netty says what it could not read."""
    assert broken_body(errors.InvalidChunkSize(b"zz")).reason == "Invalid character in chunk size"


def asked(*headers: tuple[str, str]) -> Any:
    request = SimpleNamespace(headers=list(headers), _expected_100_continue=True)
    prepare(request, 100)
    return request


def test_the_first_of_some_headers_counts() -> None:
    """Where gunicorn would join values, the first counts; one that has one value and was sent with two is marked."""
    assert asked(("ACCEPT", "a"), ("X-A", "1"), ("ACCEPT", "b"), ("X-A", "2")).headers == [
        ("ACCEPT", "a"),
        ("X-A", "1"),
        ("X-A", "2"),
    ]
    assert asked(("X-OPAQUE-ID", "a"), ("X-OPAQUE-ID", "a")).headers == [("X-OPAQUE-ID", "a")]
    assert asked(("X-OPAQUE-ID", "a"), ("X-OPAQUE-ID", "b")).headers[1:] == [("REPEATED HEADER", "X-Opaque-Id")]


def test_long_requests() -> None:
    """Nobody is told to go on with a body that is too long, and all headers together have a length."""
    assert asked(("CONTENT-LENGTH", "100"))._expected_100_continue is True
    assert asked(("CONTENT-LENGTH", "101"))._expected_100_continue is False
    with pytest.raises(errors.LimitRequestHeaders):
        asked(*[(f"X-{number}", "a" * 3000) for number in range(6)])


class Response:
    """A stand-in for gunicorn's."""

    def __init__(self, *, asked_to_close: bool = False) -> None:
        self.must_close = False
        self.req = SimpleNamespace(should_close=lambda: asked_to_close)

    def force_close(self) -> None:
        self.must_close = True

    def default_headers(self) -> list[str]:
        state = "close" if self.must_close or self.req.should_close() else "keep-alive"
        return ["HTTP/1.1 200 OK\r\n", "Server: s\r\n", "Date: d\r\n", f"Connection: {state}\r\n"]

    def start_response(self, _status: str, _headers: list[tuple[str, str]]) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    ("asked_to_close", "headers", "expected"),
    [
        (False, [], ["HTTP/1.1 200 OK\r\n"]),
        (True, [], ["HTTP/1.1 200 OK\r\n"]),
        (False, [("Connection", "close")], ["HTTP/1.1 200 OK\r\n", "Connection: close\r\n"]),
    ],
)
def test_headers_that_opensearch_does_not_send(
    asked_to_close: bool, headers: list[tuple[str, str]], expected: list[str]
) -> None:
    """No server, no time; the connection's end only where it is the server's wish."""
    response = Response(asked_to_close=asked_to_close)

    def app(_environ: Any, start: Any) -> list[bytes]:
        start("200 OK", headers)
        return []

    served(app, {"REQUEST_METHOD": "GET", "SERVER_PROTOCOL": "HTTP/1.1"}, response.start_response)
    assert response.default_headers() == expected


@pytest.mark.parametrize(
    ("error", "has_body"),
    [
        (errors.InvalidHeader("(a)", req=SimpleNamespace(method="HEAD", headers=[])), False),
        (errors.InvalidHeader("(a)", req=SimpleNamespace(method="GET", headers=[])), True),
        (errors.InvalidRequestLine("HEAD \xe9 HTTP/1.1"), False),
        (errors.InvalidRequestLine("GET \xe9 HTTP/1.1"), True),
    ],
)
def test_a_head_that_is_refused_has_no_body(error: Exception, has_body: bool) -> None:
    """What follows its headers would be taken for the next answer; the length is said all the same."""
    answer = refusal(error, VERSION) or b""

    head, _, payload = answer.partition(b"\r\n\r\n")
    assert bool(payload) is has_body
    assert b"Content-Length: " in head
