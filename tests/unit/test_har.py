"""The journal as an HTTP archive that other tools can read: HAR 1.2, with all that its specification requires."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest

from mlcommons_tasks.emulation.entries import Entry
from mlcommons_tasks.emulation.har import har

#: name → type, of what HAR 1.2 requires of each object; a list has the type of its items.
REQUIRED: dict[str, dict[str, Any]] = {
    "log": {"version": str, "creator": "creator", "entries": ["entry"]},
    "creator": {"name": str, "version": str},
    "entry": {
        "startedDateTime": str,
        "time": (int, float),
        "request": "request",
        "response": "response",
        "cache": dict,
        "timings": "timings",
    },
    "request": {
        "method": str,
        "url": str,
        "httpVersion": str,
        "cookies": [dict],
        "headers": ["pair"],
        "queryString": ["pair"],
        "headersSize": int,
        "bodySize": int,
    },
    "response": {
        "status": int,
        "statusText": str,
        "httpVersion": str,
        "cookies": [dict],
        "headers": ["pair"],
        "content": "content",
        "redirectURL": str,
        "headersSize": int,
        "bodySize": int,
    },
    "pair": {"name": str, "value": str},
    "content": {"size": int, "mimeType": str},
    "timings": {"send": (int, float), "wait": (int, float), "receive": (int, float)},
    "postData": {"mimeType": str, "text": str},
}
OPTIONAL = {
    "log": {"comment"},
    "entry": {"comment"},
    "request": {"postData"},
    "content": {"text", "encoding", "comment"},
    "postData": {"comment"},
}
ISO_8601 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def validate(value: Any, kind: str) -> None:
    required = REQUIRED[kind]
    assert set(required) <= set(value) <= set(required) | OPTIONAL.get(kind, set()), kind
    for name, wanted in required.items():
        found = value[name]
        if isinstance(wanted, list):
            assert isinstance(found, list)
            for each in found:
                validate(each, wanted[0]) if isinstance(wanted[0], str) else None
        elif isinstance(wanted, str):
            validate(found, wanted)
        else:
            assert isinstance(found, wanted), (kind, name, found)
    if kind == "entry":
        assert ISO_8601.fullmatch(value["startedDateTime"])
        assert value["time"] == sum(value["timings"].values())
    if kind == "request" and "postData" in value:
        validate(value["postData"], "postData")


def entry(**more: Any) -> Entry:
    fields: dict[str, Any] = {
        "at": 1_700_000_000_123,
        "took_in_millis": 2.5,
        "namespace": "main",
        "method": "GET",
        "target": "/a",
        "status": 200,
    }
    return Entry(**{**fields, **more})


FULL = entry(
    method="POST",
    target="/a/b?x=1&y=%C3%A4+z&flag",
    request_headers=(("Host", "h:9201"), ("Content-Type", "application/json"), ("content-length", "7")),
    request_body=b'{"a":1}',
    response_headers=(("Content-Type", "application/json"), ("Content-Length", "9"), ("Location", "/c")),
    response_body=b'{"b":"x"}',
    fault="slow",
    scenario="s",
)


def exported(one: Entry) -> dict[str, Any]:
    archive = json.loads(json.dumps(har([one], "1.0")))
    validate(archive["log"], "log")
    found: dict[str, Any] = archive["log"]["entries"][0]
    return found


@pytest.mark.parametrize(
    "one",
    [
        FULL,
        entry(),
        entry(status=None, dropped=True),
        entry(request_body=b"\xff", response_body=b"\xfe", request_truncated=True, response_truncated=True),
        entry(target="*", method="OPTIONS", status=599),
        entry(method="HEAD", response_headers=(("Content-Length", "99"),)),
    ],
)
def test_an_archive_has_what_is_required(one: Entry) -> None:
    """Every object has all required fields, of their types, and none that the specification does not know."""
    exported(one)


def test_nothing_is_an_archive_too() -> None:
    """A journal without requests is an archive without entries."""
    archive = har([], "1.0")

    validate(archive["log"], "log")
    assert archive["log"]["version"] == "1.2"


def test_a_request_and_its_answer() -> None:
    """Method, URL, parameters, headers, bodies, sizes and times stand where tools look for them."""
    found = exported(FULL)
    request, response = found["request"], found["response"]

    assert (found["startedDateTime"], found["time"]) == ("2023-11-14T22:13:20.123Z", 2.5)
    assert (request["method"], request["url"]) == ("POST", "http://h:9201/a/b?x=1&y=%C3%A4+z&flag")
    assert request["queryString"] == [
        {"name": "x", "value": "1"},
        {"name": "y", "value": "ä z"},
        {"name": "flag", "value": ""},
    ]
    assert request["postData"] == {"mimeType": "application/json", "text": '{"a":1}'}
    assert (request["bodySize"], response["bodySize"]) == (7, 9)
    assert request["headers"][0] == {"name": "Host", "value": "h:9201"}
    assert (response["status"], response["statusText"], response["redirectURL"]) == (200, "OK", "/c")
    assert response["content"] == {"size": 9, "mimeType": "application/json", "text": '{"b":"x"}'}
    assert found["comment"] == "fault slow; scenario s"


def test_https() -> None:
    """A service that speaks TLS has URLs that say so."""
    assert har([FULL], "1", scheme="https")["log"]["entries"][0]["request"]["url"].startswith("https://h:9201/a")


def test_bodies_that_are_no_text() -> None:
    """Bytes are in base64 and say so, and what was cut off says that."""
    found = exported(
        entry(request_body=b"\xff", response_body=b"\xfe", request_truncated=True, response_truncated=True)
    )

    assert found["response"]["content"]["encoding"] == "base64"
    assert base64.b64decode(found["response"]["content"]["text"]) == b"\xfe"
    assert found["response"]["content"]["comment"] == "truncated"
    assert base64.b64decode(found["request"]["postData"]["text"]) == b"\xff"
    assert found["request"]["postData"]["comment"] == "in base64, truncated"
    assert exported(entry(response_body="aä".encode()[:-1]))["response"]["content"]["text"] == "a"


def test_no_answer() -> None:
    """A request that was never answered has the status 0, and says why."""
    found = exported(entry(status=None, dropped=True, fault="f"))

    assert (found["response"]["status"], found["response"]["bodySize"]) == (0, -1)
    assert found["comment"] == "fault f; the connection ended before the answer did"
