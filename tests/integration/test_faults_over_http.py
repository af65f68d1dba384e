"""Faults on a service as users run it, under gunicorn and in a thread: what is struck, and the journal of it."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme
import urllib3

from mlcommons_tasks import running_service
from tests.emulators import Stand
from tests.services import service, wait_until

TASKS = "/_plugins/_ml/tasks"
NAMESPACE = "X-Emulator-Namespace"
POOL = urllib3.PoolManager(retries=False, timeout=30)


class Emulator:
    """A service, and a namespace of it."""

    def __init__(self, url: str, namespace: str) -> None:
        self.url = url
        self.namespace = namespace

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> urllib3.BaseHTTPResponse:
        named = {NAMESPACE: self.namespace, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return POOL.request(method, self.url + path, headers=named, json=body)

    def fault(self, effect: Any, **more: Any) -> None:
        answer = self.ask("POST", "/_emulator/faults", {"name": "f", "effect": effect, **more})
        assert answer.status == 200, answer.data

    def played(self, *steps: Any) -> str:
        told = {"task_type": "TRAINING", "function_name": "KMEANS", "scenario": {"name": "s", "steps": list(steps)}}
        answer = self.ask("POST", "/_emulator/tasks", told)
        assert answer.status == 200, answer.data
        return str(answer.json()["task_id"])

    def journal(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("GET", "/_emulator/requests").json()["requests"]
        return found

    def bytes_of(self, path: str, method: str = "GET", body: bytes = b"") -> bytes:
        """Return all bytes of an answer; raises as the socket does."""
        place = urlsplit(self.url)
        length = f"Content-Length: {len(body)}\r\nContent-Type: application/json\r\n" if body else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: {place.netloc}\r\n{NAMESPACE}: {self.namespace}\r\n{length}\r\n"
        with socket.create_connection((place.hostname, place.port), timeout=20) as connection:
            connection.sendall(head.encode() + body)
            return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.fixture(scope="module", params=["gunicorn", "two workers", "thread"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "thread":
        with running_service(opensearch="memory") as running:
            yield running.url
    else:
        workers = ("--workers", "2") if request.param == "two workers" else ()
        with service("--opensearch", "memory", *workers) as running:
            yield running.url


@pytest.fixture
def emulator(url: str, request: pytest.FixtureRequest) -> Emulator:
    return Emulator(url, f"n{abs(hash(request.node.name))}")


RUNNING = {"state": "RUNNING"}


def test_the_first_reads_are_refused(emulator: Emulator) -> None:
    """The first two polls are refused, whoever answers them, the third is not; the fault says how often it struck."""
    task = emulator.played(RUNNING)
    emulator.fault({"status": 503, "retry_after": 1}, when={"first": 2}, match={"path": f"{TASKS}/*"})

    answers = [emulator.ask("GET", f"{TASKS}/{task}", X_Opaque_Id="me") for _ in range(3)]
    assert [answer.status for answer in answers] == [503, 503, 200]
    assert answers[0].json()["error"]["type"] == "cluster_block_exception"
    assert (answers[0].headers["Retry-After"], answers[0].headers["X-Opaque-Id"]) == ("1", "me")
    shown = emulator.ask("GET", "/_emulator/faults/f").json()
    assert (shown["seen"], shown["applied"]) == (3, 2)
    assert [(entry["status"], entry["fault"]) for entry in emulator.journal()] == [(503, "f"), (503, "f"), (200, None)]


def test_any_route_is_struck(emulator: Emulator) -> None:
    """A fault is for any route: also for what is only passed on to OpenSearch, and what makes a task."""
    emulator.fault({"status": 429})
    for method, path in (
        ("GET", "/"),
        ("POST", "/_bulk"),
        ("POST", "/_plugins/_ml/_train/kmeans?async=true"),
        ("GET", "/x/_search"),
    ):
        assert emulator.ask(method, path, {} if method == "POST" else None).status == 429, path
    assert emulator.ask("HEAD", "/").data == b""
    assert emulator.ask("GET", "/_emulator/faults").status == 200
    assert len(emulator.journal()) == 5


def test_a_dropped_and_a_reset_connection(emulator: Emulator) -> None:
    """A dropped connection ends in peace and a reset one does not; the next request is answered."""
    emulator.fault({"drop": True}, times=2)
    assert emulator.bytes_of("/") == b""
    assert emulator.bytes_of("/_bulk", "POST", b"x" * 100_000) == b""
    emulator.fault({"reset": True}, times=2)
    for body in (b"", b"x" * 1000):
        with pytest.raises(ConnectionResetError):
            emulator.bytes_of("/", "POST" if body else "GET", body)

    assert [(entry["status"], entry["dropped"]) for entry in emulator.journal()] == [(None, True)] * 4
    assert emulator.ask("GET", "/").status == 200


@pytest.mark.parametrize("path", ["/", TASKS])
def test_a_truncated_answer(emulator: Emulator, path: str) -> None:
    """Of an answer of ours, and of one that is passed on, only the first bytes come."""
    path = f"{TASKS}/{emulator.played(RUNNING)}" if path == TASKS else path
    emulator.fault({"truncate": {"after": 9}})
    head, _, body = emulator.bytes_of(path).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 200 OK")
    assert len(body) == 9
    place = urlsplit(emulator.url)
    with contextlib.closing(http.client.HTTPConnection(place.hostname or "", place.port)) as connection:
        connection.request("GET", path, headers={NAMESPACE: emulator.namespace})
        with pytest.raises(http.client.IncompleteRead):
            connection.getresponse().read()


@pytest.mark.parametrize("encoding", ["identity", "gzip", "deflate"])
def test_a_malformed_answer(emulator: Emulator, encoding: str) -> None:
    """The answer comes whole and cannot be read, packed or not."""
    task = emulator.played(RUNNING)
    emulator.fault({"malformed": True})
    for path in (f"{TASKS}/{task}", "/"):
        answer = POOL.request(
            "GET",
            emulator.url + path,
            headers={NAMESPACE: emulator.namespace, "Accept-Encoding": encoding},
            decode_content=False,
        )
        assert answer.status == 200
        assert answer.data[:1] == b">"
        assert int(answer.headers["Content-Length"]) == len(answer.data)


def test_a_delayed_answer(emulator: Emulator) -> None:
    """The answer is late by what the fault says, and is the real one."""
    task = emulator.played(RUNNING)
    emulator.fault({"delay": {"fixed": 0.3}})
    began = time.monotonic()
    answer = emulator.ask("GET", f"{TASKS}/{task}")

    assert answer.json()["state"] == "RUNNING"
    assert 0.3 <= time.monotonic() - began < 5
    assert emulator.journal()[0]["took_in_millis"] >= 300


def test_a_stale_read(emulator: Emulator) -> None:
    """A read shows what one before it should have shown, while the task goes on."""
    steps = [{"state": state, "lasts": {"reads": 1}} for state in ("CREATED", "RUNNING", "CANCELLING")]
    task = emulator.played(*steps, {"state": "FAILED", "error": "no"})
    emulator.fault({"stale": {"reads": 1}}, match={"path": f"{TASKS}/*"})
    states = [emulator.ask("GET", f"{TASKS}/{task}").json()["state"] for _ in range(6)]

    assert states == ["CREATED", "CREATED", "RUNNING", "CANCELLING", "FAILED", "FAILED"]


def test_no_request_is_answered_before_it_is_in_the_journal(emulator: Emulator) -> None:
    """Who has an answer finds it in the journal, however soon; credentials are not there."""
    for number in range(20):
        emulator.ask("GET", f"/?n={number}&token=hunter2", Authorization="Basic aHVudGVyMjpodW50ZXIy")
        found = emulator.ask("GET", "/_emulator/requests", X_Whatever="x")
        assert found.json()["requests"][-1]["target"] == f"/?n={number}&token=***"
        assert b"hunter2" not in found.data
        assert b"aHVudGVyMjpodW50ZXIy" not in found.data


def test_the_closest_miss(emulator: Emulator) -> None:
    """A fault and a scenario that matched nothing say which request came closest, and why it did not match."""
    emulator.ask(
        "POST",
        "/_emulator/scenarios",
        {"name": "s", "match": {"function_name": "LINEAR_REGRESSION"}, "preset": "fails"},
    )
    emulator.fault({"drop": True}, match={"method": "GET", "path": "/_plugins/_ml/task/*"})
    emulator.ask("POST", "/_plugins/_ml/_train/kmeans?async=true", {"input_index": ["iris"], "parameters": {}})
    emulator.ask("GET", f"{TASKS}/abc")

    misses = {miss["kind"]: miss for miss in emulator.ask("GET", "/_emulator/requests/_misses").json()["misses"]}
    assert misses["fault"]["request"]["target"] == f"{TASKS}/abc"
    assert misses["fault"]["differs"] == [{"field": "path", "wanted": "/_plugins/_ml/task/*", "was": f"{TASKS}/abc"}]
    assert [each["field"] for each in misses["scenario"]["differs"]] == ["function_name"]
    assert json.dumps(misses)


def test_polls_of_the_short_way(url: str) -> None:
    """Plain polls, which one worker answers in its loop, are in the journal like all others, and are struck."""
    stand = Stand(url)
    stand.ok("POST", "/_emulator/_reset", {})
    task = stand.train()
    wait_until(lambda: stand.state(task) == "COMPLETED", what="the training")
    stand.ok("DELETE", "/_emulator/requests")
    place = urlsplit(url)
    with contextlib.closing(http.client.HTTPConnection(place.hostname or "", place.port)) as connection:
        headers = {"User-Agent": "plain", "Authorization": "Basic aHVudGVyMjpodW50ZXIy"}
        for number in range(1, 6):
            connection.request("GET", f"{TASKS}/{task}", headers=headers)
            assert json.loads(connection.getresponse().read())["state"] == "COMPLETED"
            found = stand.ok("GET", "/_emulator/requests?user_agent=plain")
            assert found["total"] == number
    entry = found["requests"][-1]
    assert (entry["status"], entry["task_id"], entry["namespace"]) == (200, task, "main")
    assert entry["request_headers"]["Authorization"] == "***"
    assert json.loads(entry["response_body"])["state"] == "COMPLETED"

    stand.ok("POST", "/_emulator/faults", {"name": "f", "when": {"first": 1}, "effect": {"status": 503}})
    assert [stand.send("GET", f"{TASKS}/{task}").status for _ in range(2)] == [503, 200]
    [client] = [each for each in stand.ok("GET", "/_emulator/audit")["clients"] if each["name"].startswith("plain")]
    assert (client["requests"], client["tasks"][0]["polls_after_final"]) == (5, 4)
    stand.ok("POST", "/_emulator/_reset", {})


@pytest.mark.parametrize("in_thread", [False, True])
def test_connections_end_under_tls(tmp_path: Path, in_thread: bool) -> None:
    """A reset or dropped connection that speaks TLS ends alone: those that are open meanwhile go on."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(cert)
    issued.private_key_pem.write_to_path(key)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    pool = urllib3.PoolManager(ssl_context=context, retries=False, timeout=30, maxsize=4)
    started: Any = (
        running_service(opensearch="memory", cert=cert, key=key)
        if in_thread
        else service("--opensearch", "memory", "--cert", str(cert), "--key", str(key))
    )

    with started as running:
        statuses: list[int] = []

        def ask_on() -> None:
            for _ in range(30):
                statuses.append(pool.request("GET", f"{running.url}/?pretty").status)

        for effect in ({"reset": True}, {"drop": True}, {"truncate": {"after": 0}}):
            fault = {"name": "f", "effect": effect, "match": {"path": "/struck"}}
            assert pool.request("POST", f"{running.url}/_emulator/faults", json=fault).status == 200
            others = [threading.Thread(target=ask_on) for _ in range(2)]
            for thread in others:
                thread.start()
            for _ in range(20):
                with pytest.raises(urllib3.exceptions.HTTPError):
                    pool.request("GET", f"{running.url}/struck")
            for thread in others:
                thread.join()
        assert statuses == [200] * 180


@pytest.mark.parametrize("size", [200_000, 3_000_000])
def test_a_refused_body_is_read_to_its_end(emulator: Emulator, size: int) -> None:
    """A connection that is kept serves the next request, however long the one was that a fault refused."""
    emulator.fault({"status": 429}, match={"path": "/_bulk"})
    line = b'{"index":{"_index":"refused"}}\n{"text":"' + b"x" * size + b'"}\n'
    pool = urllib3.HTTPConnectionPool(urlsplit(emulator.url).netloc.split(":")[0], urlsplit(emulator.url).port)
    headers = {NAMESPACE: emulator.namespace, "Content-Type": "application/x-ndjson"}

    statuses = [pool.request("POST", "/_bulk", body=line, headers=headers, retries=False).status for _ in range(5)]
    pool.close()

    assert statuses == [429] * 5


def test_the_journal_goes_by_the_clock_that_was_moved(emulator: Emulator) -> None:
    """Whichever worker answers, a request after an advance is later than one before it by that much."""
    emulator.ask("POST", "/_emulator/clock/_stop")
    for _ in range(4):
        for _ in range(4):
            emulator.ask("GET", f"{TASKS}/none")
        emulator.ask("POST", "/_emulator/clock/_advance", {"by": "30s"})

    times = [entry["at"] for entry in emulator.journal()]

    assert [time - times[0] for time in times] == [moved * 30_000 for moved in range(4) for _ in range(4)]
