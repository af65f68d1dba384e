"""The short way while OpenSearch is slow, refuses, breaks off or is away, and among senders who take their time."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.bench.hammer import hammer, request
from tests.clients import TASKS, Client, rows_body
from tests.fault_proxy import Exchange, FaultProxy, fault_proxy
from tests.lanes import logged, short_ways
from tests.services import Service, service, wait_until
from tests.upstreams import free_port

READS = r"/\.plugins-ml-task/(_source|_mget)"
SEARCHES = r"/\.plugins-ml-task/_search"
CALLERS = 8

pytestmark = pytest.mark.embedded


class Seen(list[Exchange]):
    """What OpenSearch was asked."""

    def reads(self) -> int:
        return sum("_mget" in each.target or "_source" in each.target for each in self)


@pytest.fixture(scope="module")
def seen() -> Seen:
    return Seen()


@pytest.fixture(scope="module")
def proxy(opensearch_url: str, seen: Seen) -> Iterator[FaultProxy]:
    with fault_proxy(opensearch_url, watchers=[seen.append]) as running:
        yield running


@pytest.fixture(scope="module")
def running(proxy: FaultProxy) -> Iterator[Service]:
    with service("--opensearch", proxy.url, "--timeout", "5", environment=logged()) as started:
        yield started
        assert "Traceback" not in started.log.read_text()
        started.stop()
        assert short_ways(started) is not None


@pytest.fixture
def client(running: Service) -> Client:
    return Client(running.url)


@pytest.fixture
def task_ids(client: Client) -> list[str]:
    found = [client.train_async(rows_body()) for _ in range(3)]
    for task_id in found:
        client.ended(task_id)
    return found


def polled(running: Service, task_ids: list[str], requests: int = 100) -> None:
    """Poll on several connections; whatever is not the task ends the test."""
    polls = [request("GET", f"{TASKS}/{task_id}") for task_id in task_ids]
    try:
        hammer(running.url, polls, connections=CALLERS, requests=requests)
    except SystemExit as error:
        raise AssertionError(error) from error


def shares_reads(running: Service, seen: Seen, task_ids: list[str]) -> bool:
    """Say whether polls share reads, as they do the short way only."""
    seen.clear()
    polled(running, task_ids, 400)
    return seen.reads() < 300


def test_polls_that_come_together_share_a_read(running: Service, seen: Seen, task_ids: list[str]) -> None:
    """Eight pollers are answered by much fewer reads than they ask."""
    wait_until(lambda: shares_reads(running, seen, task_ids), what="sharing of reads")


@pytest.mark.parametrize(
    "fault",
    [
        {"delay_s": 0.7, "share": 0.3},
        {"status": 429, "share": 0.3},
        {"status": 503, "share": 0.3},
        {"cut_after": 0, "share": 0.2},
        {"cut_after": 60, "share": 0.2},
    ],
    ids=str,
)
def test_a_fault_is_dealt_with_the_usual_way(
    running: Service, proxy: FaultProxy, client: Client, task_ids: list[str], fault: dict[str, float]
) -> None:
    """A poll gets its task or the cluster's own error, never half an answer or silence; later all is as before."""
    with proxy.broken(**fault, only=READS):
        for _ in range(20):
            answer = client.send("GET", f"{TASKS}/{task_ids[0]}")
            assert answer.status in (200, fault.get("status", 503)), answer
            assert answer.body.get("state") == "COMPLETED" or answer.body["status"] == answer.status
    with proxy.broken(**fault, only=SEARCHES):
        for _ in range(20):
            answer = client.send("POST", f"{TASKS}/_search", {"size": 1})
            assert answer.status in (200, fault.get("status", 503)), answer
    polled(running, task_ids)


def test_the_short_way_is_taken_again(
    running: Service, proxy: FaultProxy, seen: Seen, client: Client, task_ids: list[str]
) -> None:
    """After OpenSearch was away for a moment polls share reads again, without anybody's doing."""
    with proxy.broken(refuse=True):
        assert client.send("GET", f"{TASKS}/{task_ids[0]}").status == 503
    wait_until(lambda: client.send("GET", f"{TASKS}/{task_ids[0]}").status == 200, what="an answer")
    wait_until(lambda: shares_reads(running, seen, task_ids), what="sharing of reads")


def test_an_index_that_goes(client: Client, running: Service, task_ids: list[str]) -> None:
    """A deleted task and a deleted index are missed at once, by the plugin's words."""
    polled(running, task_ids)
    client.ok("DELETE", f"{TASKS}/{task_ids[0]}")
    gone = client.send("GET", f"{TASKS}/{task_ids[0]}")
    assert (gone.status, gone.body["error"]["reason"]) == (404, "Failed to find task")
    polled(running, task_ids[1:])
    client.ok("DELETE", "/.plugins-ml-task")
    for task_id in task_ids:
        assert client.send("GET", f"{TASKS}/{task_id}").status == 404
    assert client.ok("POST", f"{TASKS}/_search", {})["hits"]["hits"] == []
    assert client.ended(client.train_async(rows_body()))["state"] == "COMPLETED"


def test_one_of_several_addresses_is_dead(opensearch_url: str) -> None:
    """Polls are answered by the address that is there."""
    with service("--opensearch", f"http://127.0.0.1:{free_port()},{opensearch_url}") as running:
        client = Client(running.url)
        task_id = client.train_async(rows_body())
        client.ended(task_id)
        polled(running, [task_id], 1000)


BEGINNINGS = [
    f"GET {TASKS}/x HTTP/1.1\r\nHost: x\r\nX-Slow: ",
    "POST /slow/_doc HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
    "\r",
    "",
]


def test_slow_senders_hold_up_nobody(opensearch_url: str) -> None:
    """With two threads, a hundred unfinished requests and three hundred silent connections, all is answered at once."""
    with service("--opensearch", opensearch_url, "--threads", "2") as running, contextlib.ExitStack() as stack:
        client = Client(running.url)
        parts = urlsplit(running.url)
        for number in range(400):
            connection = stack.enter_context(socket.create_connection((parts.hostname, parts.port), timeout=30))
            connection.sendall(BEGINNINGS[min(number // 33, 3)].encode())
        began = time.monotonic()
        for _ in range(20):
            assert client.send("GET", f"{TASKS}/none").status == 404
            assert client.send("GET", "/").status == 200
        assert client.ended(client.train_async(rows_body()))["state"] == "COMPLETED"
        assert time.monotonic() - began < 30


def test_streams_hold_up_only_streams(opensearch_url: str) -> None:
    """Bodies that are read as they come have threads of their own; what is whole is answered by others."""
    head = (
        "PUT /slow/_doc/1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5"
    )
    with service("--opensearch", opensearch_url, "--threads", "2") as running, contextlib.ExitStack() as stack:
        parts = urlsplit(running.url)
        for _ in range(10):
            connection = stack.enter_context(socket.create_connection((parts.hostname, parts.port), timeout=30))
            connection.sendall(head.encode())
        assert Client(running.url).send("GET", "/").status == 200
        assert Client(running.url).send("GET", f"{TASKS}/none").status == 404


def test_a_head_without_an_end_is_refused(running: Service) -> None:
    """Who sends headers for ever is told that they are too long, as soon as they are."""
    parts = urlsplit(running.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 70_000)
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"too_long_http_header_exception" in answer


def test_who_is_answered_for_good_may_be_slow_to_go(opensearch_url: str) -> None:
    """Connections that were closed on our side and stay open on the other cost nobody a wait."""
    with service("--opensearch", opensearch_url, "--threads", "2") as running, contextlib.ExitStack() as stack:
        parts = urlsplit(running.url)
        began = time.monotonic()
        for _ in range(20):
            connection = stack.enter_context(socket.create_connection((parts.hostname, parts.port), timeout=30))
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
        assert time.monotonic() - began < 20
