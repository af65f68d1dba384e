"""OpenSearch goes away and comes back, bodies are too long, requests make no sense: what callers then see."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from mlcommons_tasks.node.distribution import fetch
from mlcommons_tasks.node.process import EmbeddedNode
from mlcommons_tasks.server import RunningService
from tests.clients import MODELS, NOBODY, TASKS, TRAIN, Answer, Client, as_envelope, long_body, query_body, rows_body
from tests.services import Service, service, wait_until
from tests.upstreams import chunks, free_port, osmem

LONGEST = 100 * 1024 * 1024


def requests_of_ours() -> list[tuple[str, str, Any]]:
    """List a request to every emulated route that needs OpenSearch."""
    return [
        ("GET", f"{TASKS}/a", None),
        ("DELETE", f"{TASKS}/a", None),
        ("POST", f"{TASKS}/a/_cancel", None),
        ("GET", f"{TASKS}/_search", NOBODY),
        ("POST", f"{TASKS}/_search", NOBODY),
        ("POST", TRAIN, rows_body()),
        ("POST", f"{TRAIN}?async=true", rows_body()),
        ("POST", TRAIN, query_body("iris", ["a"], 10)),
        ("POST", f"{TRAIN}?async=true", query_body("iris", ["a"], 10)),
        ("GET", f"{MODELS}/a", None),
        ("DELETE", f"{MODELS}/a", None),
        ("POST", f"{MODELS}/_search", NOBODY),
    ]


def test_while_opensearch_is_gone_ours_are_503_and_forwarded_502_and_both_recover() -> None:
    """Every route answers in the envelope while OpenSearch is away, and as before once it is back."""
    port = free_port()
    with contextlib.ExitStack() as first:
        url = first.enter_context(osmem(port)).url
        with service("--opensearch", url) as running:
            client = Client(running.url)
            client.ended(client.train_async(rows_body()))
            first.close()
            for method, path, body in requests_of_ours():
                began = time.monotonic()
                error = as_envelope(answer := client.send(method, path, body))
                assert answer.status == 503, (method, path, answer.payload)
                assert error["type"] == "cluster_block_exception"
                assert "OpenSearch" in error["reason"]
                assert "cannot be reached" in error["reason"]
                assert time.monotonic() - began < 15, f"{method} {path} took too long to say so"
            for method, path in [("GET", "/"), ("PUT", "/a/_doc/1"), ("GET", "/_cat/indices"), ("DELETE", "/a")]:
                error = as_envelope(answer := client.send(method, path, {} if method == "PUT" else None))
                assert answer.status == 502, (method, path, answer.payload)
                assert error["type"] == "connect_transport_exception"
            assert client.send("HEAD", "/").status == 502
            with osmem(port):
                assert client.ok("GET", "/")["version"]
                assert client.ended(client.train_async(rows_body()))["state"] == "COMPLETED"
                wait_until(lambda: list(client.states().values()) == ["COMPLETED"], what="a search that finds it")
                assert client.send("GET", f"{TASKS}/a").status == 404
            assert "Traceback" not in running.log.read_text()


@pytest.mark.embedded
def test_a_running_training_outlives_an_opensearch_that_is_gone_for_five_seconds(tmp_path: Path) -> None:
    """What runs while OpenSearch is away is COMPLETED when it is back, and nothing that was stored is lost."""
    distribution = fetch()
    port = free_port()
    node = EmbeddedNode(distribution, tmp_path, port=port)
    node.start()
    try:
        node.wait_ready()
        with service("--opensearch", node.url) as running:
            client = Client(running.url)
            done = client.train_async(rows_body())
            before = client.ended(done)
            ids = [client.train_async(long_body(120_000)) for _ in range(4)]
            wait_until(lambda: "RUNNING" in client.states().values(), what="RUNNING")
            node.stop()
            gone = time.monotonic()
            while time.monotonic() < gone + 5:
                assert client.send("GET", f"{TASKS}/{done}").status == 503
                assert client.send("GET", "/").status == 502
                time.sleep(0.1)
            node = EmbeddedNode(distribution, tmp_path, port=port)
            node.start()
            node.wait_ready()
            assert client.task(done) == before
            for task_id in ids:
                assert client.ended(task_id, deadline_s=90)["state"] == "COMPLETED", running.log.read_text()[-3000:]
            assert client.ended(client.train_async(rows_body()))["state"] == "COMPLETED"
            print(running.log.read_text()[-2000:])
    finally:
        node.stop()


def announced(url: str, path: str, length: int) -> tuple[int, bytes]:
    """Announce a body, send none of it; return the status and the body of the answer."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        connection.sendall(head.encode())
        return whole_answer(connection)


def sent_in_chunks(url: str, path: str, length: int) -> tuple[int, bytes]:
    """Send a body without a length; return the status and the body of the answer."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as connection:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        connection.sendall(head.encode())
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for chunk in chunks(length):
                connection.sendall(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
            connection.sendall(b"0\r\n\r\n")
        return whole_answer(connection)


def whole_answer(connection: socket.socket) -> tuple[int, bytes]:
    import http.client

    answer = http.client.HTTPResponse(connection)
    answer.begin()
    with contextlib.closing(answer):
        return answer.status, answer.read()


@pytest.mark.embedded
@pytest.mark.parametrize("path", ["/big/_doc/1", TRAIN, f"{TASKS}/_search"])
def test_a_body_over_100_mb_is_a_413_without_a_body(embedded_service: Service, path: str) -> None:
    """Too long a body, announced or sent, emulated or forwarded, is answered as OpenSearch does: 413 and nothing."""
    url = embedded_service.url
    assert announced(url, path, LONGEST + 1) == (413, b"")
    assert sent_in_chunks(url, path, LONGEST + 1) == (413, b"")
    if path == "/big/_doc/1":
        assert announced(embedded_service.opensearch_url, path, LONGEST + 1) == (413, b"")
        assert sent_in_chunks(embedded_service.opensearch_url, path, LONGEST + 1) == (413, b"")
    assert Client(url).send("GET", f"{TASKS}/none").status == 404


@pytest.mark.embedded
def test_a_body_of_100_mb_is_none_too_many(embedded_service: Service) -> None:
    """The longest body that OpenSearch takes is passed on; it is white space only, which it then refuses."""
    refusals = (400, 429)  # a node with a small heap may call it too much for now
    assert sent_in_chunks(embedded_service.opensearch_url, "/big/_doc/1", LONGEST)[0] in refusals
    assert sent_in_chunks(embedded_service.url, "/big/_doc/1", LONGEST)[0] in refusals


@pytest.mark.parametrize(
    "junk",
    [
        b"NONSENSE\r\n\r\n",
        b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n" % (b"a" * 9000),
        b"GET / HTTP/1.1\r\nHost: x\r\nA: %s\r\n\r\n" % (b"a" * 20000),
        b"GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: nonsense\r\n\r\n",
        b"POST /_plugins/_ml/_train/kmeans HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=lambda junk: junk[:20].decode(),
)
def test_what_is_no_request_is_answered_in_the_envelope(worker: Service, junk: bytes) -> None:
    """Broken HTTP gets JSON in OpenSearch's envelope: no page, no traceback."""
    parts = urlsplit(worker.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        connection.sendall(junk)
        status, payload = whole_answer(connection)
    body = json.loads(payload)
    assert body["status"] == status == 400
    assert set(body["error"]) == {"root_cause", "type", "reason"}
    assert "Traceback" not in worker.log.read_text()


@pytest.mark.parametrize("junk", [b"GET / HTTP/9.9\r\n\r\n", b"FOO / HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_what_netty_does_not_know_ends_without_a_word(worker: Service, junk: bytes) -> None:
    """A version or a method of nobody's closes the connection, as OpenSearch does."""
    parts = urlsplit(worker.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        connection.sendall(junk)
        assert connection.recv(1000) == b""
    assert "Traceback" not in worker.log.read_text()


@pytest.fixture(scope="module")
def worker() -> Iterator[Service]:
    """A service in processes of its own, as users have it."""
    with service("--opensearch", "memory") as running:
        yield running


def plausible(answer: Answer) -> None:
    """Check that an answer is one that OpenSearch or the plugin could give."""
    kind = answer.headers.get("Content-Type", "")
    shown = (answer.status, kind, answer.payload[:500])
    assert b"unforeseen" not in answer.payload, shown
    assert b"Traceback" not in answer.payload, shown
    assert b"<html" not in answer.payload.lower(), shown
    assert answer.status not in (501, 502, 503, 504), shown
    if not answer.payload:
        return
    if kind.startswith("application/json"):
        body = json.loads(answer.payload)
        if answer.status >= 400:
            assert body.get("status", answer.status) == answer.status, shown  # "no handler found" has none
            assert isinstance(body["error"], str) or body["error"]["root_cause"], shown
    else:
        assert kind.startswith(("application/yaml", "application/cbor", "application/smile", "text/plain")), shown


BODIES: list[Any] = [rows_body(4), query_body("iris", ["petal_width"], 20), NOBODY, {}]
JUNK: list[Any] = [None, True, -1, 0, 2**70, 1e308, "", "x", "nul\0", "ä€𝄞", [], {}, [[]], [None], {"a": {"b": []}}]
PATHS = [TRAIN, f"{TRAIN}?async=true", f"{TASKS}/_search", f"{MODELS}/_search", f"{TASKS}/x", f"{MODELS}/x"]
SUFFIXES = [
    "",
    "",
    "",
    "",
    "/",
    "//",
    "?pretty",
    "?pretty=maybe",
    "?format=yaml",
    "?async=maybe",
    "?x=%zz",
    "%00",
    "/%2F",
]


def mutated(value: Any, dice: random.Random) -> Any:
    """Return a body with one thing in it changed for junk, dropped or repeated."""
    if isinstance(value, dict) and value and dice.random() < 0.8:
        key = dice.choice(list(value))
        copy = dict(value)
        if dice.random() < 0.2:
            del copy[key]
        elif dice.random() < 0.2:
            copy[dice.choice(["", "x", key.upper()])] = dice.choice(JUNK)
        else:
            copy[key] = mutated(copy[key], dice)
        return copy
    if isinstance(value, list) and value and dice.random() < 0.8:
        at = dice.randrange(len(value))
        return [*value[:at], mutated(value[at], dice), *value[at + dice.randrange(2) :]]
    return dice.choice(JUNK)


def broken(payload: bytes, dice: random.Random) -> bytes:
    """Return bytes with a few of them cut, changed or added."""
    at = dice.randrange(len(payload) + 1)
    return dice.choice([payload[:at], payload[:at] + b"\xff\xfe" + payload[at:], payload[at:], payload + payload])


@pytest.mark.parametrize("seed", range(8))
def test_no_mutation_of_a_request_is_answered_by_anything_but_the_plugins_errors(
    memory_service: RunningService, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    """200 odd requests in all to every emulated route: each gets JSON, YAML or nothing, and none breaks a handler."""
    client = Client(memory_service.url)
    if not seed:
        client.load_iris()
    dice = random.Random(seed)
    for _ in range(25):
        body = mutated(dice.choice(BODIES), dice)
        payload = json.dumps(body).encode()
        if dice.random() < 0.25:
            payload = broken(payload, dice)
        method = dice.choice(["GET", "POST", "POST", "POST", "DELETE", "PUT", "HEAD", "PATCH", "OPTIONS"])
        path = dice.choice(PATHS) + dice.choice(SUFFIXES)
        kind = dice.choice(["application/json"] * 6 + ["text/plain", "application/yaml", "", "application/x-ndjson"])
        answer = client.send(method, path, payload, {"Content-Type": kind})
        try:
            plausible(answer)
        except AssertionError as error:
            raise AssertionError(f"{method} {path} {kind} {payload!r}") from error
    assert [record for record in caplog.records if "broke" in record.getMessage()] == []


@pytest.mark.parametrize("index", ["nowhere", "hollow"])
def test_an_unknown_and_an_empty_index_fail_as_the_plugin_says(memory_service: RunningService, index: str) -> None:
    """Sync the caller gets the error, async the task ends FAILED with the same sentence."""
    client = Client(memory_service.url)
    client.send("PUT", "/hollow")
    body = query_body(index, ["a"], 10)
    error = as_envelope(answer := client.send("POST", TRAIN, body))
    task = client.ended(client.train_async(body))
    assert task["state"] == "FAILED"
    assert task["error"] == error["reason"]
    assert "model_id" not in task
    if index == "nowhere":
        assert (answer.status, error["reason"]) == (404, "no such index [nowhere]")
    else:
        assert (answer.status, error["reason"]) == (400, "No document found")
