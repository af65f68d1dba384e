"""OpenSearch is slow, dead, or one of several: who is told what, what is sent again, and what never is."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from tests.clients import TASKS, Client, as_envelope, rows_body
from tests.integration.test_transparency import exchange
from tests.raw_upstream import RawUpstream, ok, raw_upstream, reset
from tests.services import Service, clean_environment, service, wait_until
from tests.upstreams import free_port

TIMEOUT_S = 0.5
WAITING_S = 1.2  #: longer than that


@pytest.fixture(scope="module")
def running(upstream: RawUpstream) -> Iterator[Service]:
    with service("--opensearch", upstream.url, "--timeout", str(TIMEOUT_S)) as started:
        yield started


@pytest.fixture
def client(running: Service, upstream: RawUpstream) -> Client:
    upstream.forget()
    return Client(running.url)


def after(seconds: float) -> bytes | object:
    """Return what answers after a while."""

    def answer(connection: socket.socket) -> None:
        threading.Event().wait(seconds)
        connection.sendall(ok())

    return answer


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_too_slow_is_a_504_in_the_envelope(client: Client, upstream: RawUpstream, method: str) -> None:
    """A forwarded request that is not answered in time gets 504, soon after that time, and is not sent again."""
    upstream.answers["/raw/slow"] = after(30)  # type: ignore[assignment]
    began = time.monotonic()
    error = as_envelope(answer := client.send(method, "/raw/slow"))
    assert answer.status == 504
    assert error["type"] == "receive_timeout_transport_exception"
    assert error["reason"] == f"OpenSearch at {upstream.url} did not answer within {TIMEOUT_S:g} s"
    assert TIMEOUT_S <= time.monotonic() - began < TIMEOUT_S + 3
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/raw/x?wait_for_completion=true"),
        ("PUT", "/raw/x?a=b&wait_for_completion"),
        ("POST", "/raw/_reindex"),
        ("POST", "/raw/_update_by_query?pretty"),
        ("POST", "/raw/_delete_by_query"),
        ("POST", "/raw/_forcemerge"),
        ("GET", "/raw/x?timeout=5s"),
        ("GET", "/raw/x?cluster_manager_timeout=1m"),
        ("GET", "/raw/x?timeout=-1"),
    ],
)
def test_who_waits_on_purpose_is_not_cut_short(client: Client, upstream: RawUpstream, method: str, path: str) -> None:
    """Work that answers when it is done takes as long as it takes, and a request's own time-out counts as well."""
    upstream.answers[path.partition("?")[0]] = after(WAITING_S)  # type: ignore[assignment]
    assert client.ok(method, path) == {}


@pytest.mark.parametrize(
    "path", ["/raw/_reindex?wait_for_completion=false", "/raw/x?timeout=100ms", "/raw/x?timeout=x"]
)
def test_who_does_not_wait_is(client: Client, upstream: RawUpstream, path: str) -> None:
    """What is told not to wait has the usual time."""
    upstream.answers[path.partition("?")[0]] = after(WAITING_S)  # type: ignore[assignment]
    assert client.send("POST", path).status == 504


def test_an_answer_that_stalls_ends_the_callers_connection(
    client: Client, running: Service, upstream: RawUpstream
) -> None:
    """A body that stops coming is cut off for the caller as well, after the same time."""

    def stalled(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this")
        threading.Event().wait(30)

    upstream.answers["/raw/stalled"] = stalled
    began = time.monotonic()
    answer = exchange(running, b"GET /raw/stalled HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.endswith(b"only this")
    assert time.monotonic() - began < TIMEOUT_S + 3


def test_routes_of_ours_are_503_when_opensearch_is_slow_or_gone() -> None:
    """What stores or merges says that the store is unavailable, not that a gateway is bad."""
    with raw_upstream() as upstream, service("--opensearch", upstream.url, "--timeout", "2") as running:
        client = Client(running.url)
        client.ended(client.train_async(rows_body()))
        upstream.hang.set()
        for method, path in [("GET", "/_tasks"), ("GET", "/_cat/tasks"), ("POST", f"{TASKS}/_search")]:
            error = as_envelope(answer := client.send(method, path, {} if method == "POST" else None))
            assert answer.status == 503, (method, path, answer.payload)
            assert error["type"] == "cluster_block_exception"


@pytest.mark.parametrize("how", ["reset", "closed"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE"])
def test_a_connection_that_dies_under_a_request_repeats_reads_only(
    client: Client, upstream: RawUpstream, how: str, method: str
) -> None:
    """OpenSearch got it and said nothing: a read goes once more, a write gets 502, for nobody knows what it did."""
    client.ok("GET", "/raw/warm")
    upstream.requests.clear()
    upstream.answers["/raw/dies"] = reset if how == "reset" else None
    answer = client.send(method, "/raw/dies", b"{}")
    assert answer.status == 502
    assert len(upstream.requests) == (2 if method in ("GET", "HEAD") else 1)


def test_a_write_on_a_connection_that_was_closed_meanwhile_goes_by_another(
    client: Client, upstream: RawUpstream
) -> None:
    """However often OpenSearch closes idle connections, each write arrives, and arrives once."""
    closed = threading.Semaphore(0)

    def last(connection: socket.socket) -> None:
        connection.sendall(ok())
        reset(connection)
        closed.release()

    upstream.answers["/raw/last"] = last
    for number in range(1, 30):
        assert client.send("POST", "/raw/last", b"{}").status == 200
        assert len(upstream.requests) == number
        assert closed.acquire(timeout=5)  # one that closes while a write is on its way nobody can be saved from


def test_a_413_before_the_end_of_a_body_reaches_the_caller(running: Service, client: Client) -> None:
    """An answer that comes while a body is still on its way is the answer."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

        def refuse() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    head = connection.recv(65536)
                    if b" /raw/" in head:
                        connection.sendall(b"HTTP/1.1 413 Request Entity Too Large\r\ncontent-length: 0\r\n\r\n")
                        connection.shutdown(socket.SHUT_WR)
                        while connection.recv(65536):
                            pass
                    else:
                        connection.sendall(ok(b'{"version":{"number":"3.6.0"}}'))
                    connection.close()

        threading.Thread(target=refuse, daemon=True).start()
        stack.callback(listener.shutdown, socket.SHUT_RDWR)
        with service("--opensearch", url) as other:
            answer = exchange(
                other,
                b"POST /raw/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3000000\r\n\r\n"
                + b" " * 3000000,
            )
    assert answer.startswith(b"HTTP/1.1 413 "), answer


@contextlib.contextmanager
def over(*urls: str) -> Iterator[Client]:
    with service("--opensearch", ",".join(urls)) as running:
        assert running.opensearch_url == ",".join(urls)
        yield Client(running.url)


def test_several_addresses_take_turns_and_a_dead_one_is_skipped() -> None:
    """Requests go round; with one address dead none fails, it is hardly tried, and it is used again once it is back."""
    port = free_port()
    with contextlib.ExitStack() as one, raw_upstream() as two:
        first = one.enter_context(raw_upstream(port=port))
        with over(first.url, two.url) as client:
            for _ in range(20):
                client.ok("GET", "/raw/x")
            assert (len(first.requests), len(two.requests)) == (10, 10)
            one.close()
            for method in ("GET", "POST", "PUT", "DELETE") * 10:
                assert client.send(method, "/raw/x", b"{}").status == 200
            assert len(two.requests) == 50
            assert client.ended(client.train_async(rows_body()))["state"] == "COMPLETED"
            with raw_upstream(port=port) as first:
                wait_until(lambda: client.ok("GET", "/raw/x") == {} and first.requests, what="its return")


def test_a_read_that_one_address_loses_is_answered_by_another() -> None:
    """A read goes to another address, a write that was sent does not."""
    with raw_upstream() as one, raw_upstream() as two, over(one.url, two.url) as client:
        one.answers["/raw/dies"] = reset
        for _ in range(4):
            assert client.send("GET", "/raw/dies", b"{}").status == 200
        one.requests.clear()
        two.requests.clear()
        answered = sorted(client.send("POST", "/raw/dies", b"{}").status for _ in range(4))
        assert answered == [200, 200, 502, 502]
        assert (len(one.requests), len(two.requests)) == (2, 2)


def test_all_addresses_dead_is_a_502_and_over_as_soon_as_one_is_back() -> None:
    """No pause stands between a caller and the only OpenSearch that is there."""
    ports = [free_port(), free_port()]
    with contextlib.ExitStack() as stack:
        urls = [stack.enter_context(raw_upstream(port=port)).url for port in ports]
        with over(*urls) as client:
            client.ok("GET", "/raw/x")
            stack.close()
            for _ in range(10):
                assert client.send("GET", "/raw/x").status == 502
                assert client.send("GET", f"{TASKS}/x").status == 503
            with raw_upstream(port=ports[1]):
                assert client.send("POST", "/raw/x", b"{}").status == 200


def test_the_service_starts_while_one_address_is_dead() -> None:
    """One that lives is enough."""
    with raw_upstream() as alive, over(f"http://127.0.0.1:{free_port()}", alive.url) as client:
        assert client.ok("GET", "/raw/x") == {}
        assert client.ended(client.train_async(rows_body()))["state"] == "COMPLETED"


@pytest.mark.parametrize(
    "urls",
    [
        "http://me:hush@one:9200,http://you:hush@two:9200",
        "http://me:hush@one:9200,http://two:9200",
        "http://one:9200,https://two:9200",
        "http://one:9200/a,http://two:9200/b",
    ],
)
def test_urls_of_more_than_one_cluster_are_refused(urls: str) -> None:
    """Another account, scheme or path is no second address; the refusal shows no password."""
    ended = subprocess.run(
        [sys.executable, "-m", "mlcommons_tasks", "serve", "--port", "0"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        env=clean_environment(MLCOMMONS_TASKS_OPENSEARCH=urls),
        check=False,
    )
    assert ended.returncode == 2, ended.stderr
    assert "several URLs of opensearch must be of one cluster" in ended.stderr
    assert "hush" not in ended.stderr
