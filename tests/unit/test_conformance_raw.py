"""Raw conversations: what is read of a connection, and what is told of it."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import cases, raw

OK = b'HTTP/1.1 200 OK\r\nContent-Length: 7\r\nAllow: GET,DELETE\r\n\r\n{"a":1}'


@contextmanager
def serving(*answers: bytes) -> Iterator[str]:
    """Serve one connection: an answer for each thing that comes, then the end."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            for answer in answers:
                connection.recv(65536)
                connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        thread.join()
        listener.close()


def told(*answers: bytes, script: list[Any], **options: Any) -> dict[str, Any]:
    with serving(*answers) as url:
        return dict(json.loads(raw.converse(url, script, ("Content-Encoding", "Allow"), **options)))


def test_an_open_connection_answers_once_more() -> None:
    """A reply is told with its headers; the connection is open where the probe is answered."""
    found = told(OK, OK, script=[b"x", 1])
    reply = {"version": "HTTP/1.1", "status": 200, "reason": "OK", "headers": {"Allow": "DELETE,GET"}, "body": {"a": 1}}
    assert found == {"replies": [reply], "connection": "open"}


def test_a_closed_connection() -> None:
    """What closes without a word has no replies."""
    assert told(script=[b"x", 1]) == {"replies": [], "connection": "closed"}
    assert told(OK, script=[b"x", 1])["connection"] == "closed"
    assert "connection" not in told(OK, script=[b"x", 1], probe=False)


def test_bodies() -> None:
    """An interim reply has none, a packed one is unpacked, and what is no JSON is a text."""
    packed = gzip.compress(b"text")
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    found = told(b"HTTP/1.1 100 Continue\r\n\r\n" + head + packed, script=[b"x", 2], probe=False)
    assert [reply.get("body") for reply in found["replies"]] == ["", "text"]


def step_of(tmp_path: Path, **written: Any) -> cases.Step:
    (tmp_path / "topic.json").write_text(json.dumps([{"name": "a", "steps": [written]}]))
    return cases.load("topic", tmp_path)[0].steps[0]


def test_raw_steps(tmp_path: Path) -> None:
    """A raw step is bytes and numbers; one reply is read unless it says otherwise."""
    assert step_of(tmp_path, request="GET /", raw=["${a*3}", {"base64": "AA=="}]).raw == (b"aaa", b"\0", 1)
    assert step_of(tmp_path, request="GET /", raw=["a", 1, "b", 2]).raw == (b"a", 1, b"b", 2)
    with pytest.raises(cases.CaseError, match="raw"):
        step_of(tmp_path, request="GET /", raw=["a"], json={})


def test_packed_steps(tmp_path: Path) -> None:
    """A step's body is packed as it says, the same each time."""
    step = step_of(tmp_path, request="POST /", json={"a": 1}, encoding="gzip")
    assert gzip.decompress(step.body or b"") == b'{"a":1}'
    assert step.headers["Content-Encoding"] == "gzip"
    assert step_of(tmp_path, request="POST /", json={"a": 1}, encoding="gzip").body == step.body
