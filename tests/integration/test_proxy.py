"""What is not ours is forwarded byte for byte: paths, bodies, headers, streams, and what happens when it breaks."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.client
import json
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import psutil
import pytest

from tests.clients import Client, as_envelope
from tests.services import Service, service, wait_until
from tests.upstreams import Request, answering, chunks, osmem, passing_to

MANY = 100 * 1024 * 1024  #: what OpenSearch takes at most
SLACK = 25 * 1024 * 1024


@dataclass
class Seen:
    """A request as it came to OpenSearch."""

    line: str
    headers: list[tuple[str, str]]
    length: int
    digest: str
    body: bytes

    def header(self, name: str) -> list[str]:
        return [value for found, value in self.headers if found.lower() == name.lower()]


@dataclass
class Upstream:
    """An OpenSearch that answers paths below /echo as the tests want, and notes them."""

    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)

    def answer(self, request: Request) -> None:
        """Note what came and answer by the name in the path."""
        digest, length, body = hashlib.sha256(), 0, b""
        for piece in request.read_body():
            digest.update(piece)
            length += len(piece)
            body = (body + piece)[:1000]
        self.seen.append(Seen(request.requestline, list(request.headers.items()), length, digest.hexdigest(), body))
        name = request.path.partition("?")[0].split("/")[2] if request.path.startswith("/echo/") else ""
        if name == "chunked":
            request.send_response(200)
            request.send_header("Transfer-Encoding", "chunked")
            request.send_header("Content-Type", "text/plain")
            request.end_headers()
            request.wfile.write(b"5\r\nfirst\r\n")
            request.wfile.flush()
            self.hold.wait(30)
            request.wfile.write(b"6\r\nsecond\r\n0\r\n\r\n")
        elif name == "gzip":
            request.reply(200, gzip.compress(b'{"a":1}'), Content_Encoding="gzip")
        elif name == "moved":
            request.reply(302, Location="http://127.0.0.1:1/elsewhere")
        elif name == "none":
            request.send_response(204)
            request.end_headers()
        elif name == "hops":
            request.reply(200, b"{}", Connection="X-Hop", X_Hop="1", Keep_Alive="timeout=5", X_End="2", Warning="299 w")
        elif name == "broken":
            request.send_response(200)
            request.send_header("Content-Length", "1000")
            request.end_headers()
            request.wfile.write(b"only this")
            request.close_connection = True
        elif name == "huge":
            request.send_response(200)
            request.send_header("Content-Length", str(MANY))
            request.end_headers()
            for piece in chunks(MANY):
                request.wfile.write(piece)
        elif name == "odd":
            request.reply(418, b"\xff\x00 not json", Content_Type="application/x-odd")
        else:
            request.reply(200, b"{}")


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    """An OpenSearch in front of which the paths below /echo are taken."""
    found = Upstream()
    with osmem() as server:
        passed = passing_to(server.url)

        def answer(request: Request) -> None:
            (found.answer if request.path.startswith(("/echo", "//echo")) else passed)(request)

        with answering(answer) as url:
            found.url = url
            yield found


@pytest.fixture(scope="module")
def running(upstream: Upstream) -> Iterator[Service]:
    """A service over it, in processes of its own."""
    with service("--opensearch", upstream.url) as started:
        yield started


@pytest.fixture
def client(running: Service, upstream: Upstream) -> Client:
    upstream.seen.clear()
    upstream.hold.clear()
    return Client(running.url)


@pytest.mark.parametrize(
    "target",
    [
        "/echo/_doc/a%2Fb",
        "/echo/_doc/a%2fb",
        "/echo/%3Clogs-%7Bnow%2Fd%7D%3E/_search",
        "/echo//double///slashes/",
        "/echo/./dots/../stay",
        "/echo/plus+and%20space?q=a+b%20c&empty=&flag",
        "/echo/%C3%A4%E2%82%AC?q=%F0%9D%84%9E",
        "/echo/a,b,-c*;x=1?expand_wildcards=open,hidden&q=field:[1+TO+*]",
        "//echo/twice",
        "//echo/../twice",
        "/echo/[a]{b}|c^`<logstash-{now/d}>",
        "/echo/%zz/%/%2?%zz=%",
        "/echo/q?a=1&a=2&&b&=c&a=1",
        "/echo/#fragment?x#y",
        "/echo/a;b=c/@:$&'()*+,;=~-._!\"\\",
    ],
)
def test_a_path_comes_as_it_was_sent(client: Client, upstream: Upstream, target: str) -> None:
    """Nothing in a path or a query is decoded, escaped, joined or put in order."""
    client.ok("GET", target)
    assert upstream.seen[-1].line == f"GET {target} HTTP/1.1"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_every_method_is_forwarded_with_its_body(client: Client, upstream: Upstream, method: str) -> None:
    """A body goes with any method, GET and DELETE among them, with its type and length."""
    client.send(method, "/echo/any", b'{"query":1}', {"Content-Type": "application/json"})
    (seen,) = upstream.seen
    assert seen.line.startswith(f"{method} /echo/any ")
    assert seen.body == b'{"query":1}'
    assert seen.header("content-type") == ["application/json"]
    assert seen.header("content-length") == ["11"]
    assert seen.header("transfer-encoding") == []


def test_headers_of_one_connection_stay_there(client: Client, upstream: Upstream) -> None:
    """Hop-by-hop headers, and those that Connection names, are not passed on, in either direction; others are."""
    answer = client.send(
        "GET",
        "/echo/hops",
        headers={
            "Connection": "X-Mine",
            "X-Mine": "1",
            "Keep-Alive": "5",
            "TE": "trailers",
            "Proxy-Authorization": "no",
            "X-Opaque-Id": "me",
            "Accept-Encoding": "br",
        },
    )
    (seen,) = upstream.seen
    for name in ("x-mine", "keep-alive", "te", "proxy-authorization", "connection"):
        assert seen.header(name) == [], name
    assert seen.header("x-opaque-id") == ["me"]
    assert seen.header("accept-encoding") == ["br"]
    assert seen.header("host") == [urlsplit(upstream.url).netloc]
    assert (answer.headers["X-End"], answer.headers["Warning"]) == ("2", "299 w")
    assert answer.headers["X-Hop"] is None
    assert answer.headers["Keep-Alive"] is None


def test_nothing_is_added_to_a_forwarded_request_or_answer(client: Client, upstream: Upstream) -> None:
    """No User-Agent, Accept-Encoding or Authorization that the caller did not send, no header of ours in the answer."""
    parts = urlsplit(client.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        connection.sendall(b"GET /echo/bare HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        with contextlib.closing(answer):
            assert answer.read() == b"{}"
    (seen,) = upstream.seen
    assert {name.lower() for name, _ in seen.headers} == {"host"}
    assert answer.headers["X-OpenSearch-Version"] is None
    assert client.send("GET", "/_plugins/_ml/tasks/none").headers["X-OpenSearch-Version"].startswith("OpenSearch/3.")


def test_a_head_has_the_length_of_a_get_and_no_body(client: Client) -> None:
    """HEAD is answered as OpenSearch answers it, again and again on the same connection."""
    connection = http.client.HTTPConnection(client.netloc, timeout=30)
    with contextlib.closing(connection):
        for _ in range(3):
            connection.request("HEAD", "/echo/odd")
            answer = connection.getresponse()
            assert (answer.status, answer.headers["Content-Length"]) == (418, "11")
            assert answer.read() == b""


def test_answers_come_as_they_are(client: Client) -> None:
    """Compressed bytes stay compressed, redirects are not followed, odd types and statuses and no content stay so."""
    packed = client.send("GET", "/echo/gzip", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(packed.payload)) == {"a": 1}
    moved = client.send("GET", "/echo/moved")
    assert (moved.status, moved.headers["Location"]) == (302, "http://127.0.0.1:1/elsewhere")
    none = client.send("DELETE", "/echo/none")
    assert (none.status, none.payload) == (204, b"")
    odd = client.send("GET", "/echo/odd")
    assert (odd.status, odd.payload, odd.headers["Content-Type"]) == (418, b"\xff\x00 not json", "application/x-odd")


def test_a_chunked_answer_comes_piece_by_piece(client: Client, upstream: Upstream) -> None:
    """The first piece is there while OpenSearch still works on the next."""
    connection = http.client.HTTPConnection(client.netloc, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", "/echo/chunked")
        answer = connection.getresponse()
        assert answer.headers["Transfer-Encoding"] == "chunked"
        assert answer.read(5) == b"first"
        upstream.hold.set()
        assert answer.read() == b"second"


def memory_of(running: Service) -> int:
    """Return the bytes of the largest process of a service."""
    family = [psutil.Process(running.process.pid), *psutil.Process(running.process.pid).children(recursive=True)]
    return max(process.memory_info().rss for process in family)


@pytest.mark.parametrize("chunked", [True, False])
def test_a_hundred_megabytes_go_up_in_bounded_memory(
    client: Client, running: Service, upstream: Upstream, chunked: bool
) -> None:
    """A long upload is passed on as it comes, whole, and is never held in memory."""
    client.ok("PUT", "/echo/warm", b"x")
    before = memory_of(running)
    most = [before]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            most.append(memory_of(running))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        length = {} if chunked else {"Content-Length": str(MANY)}
        client.ok("PUT", "/echo/up", chunks(MANY), {"Content-Type": "application/octet-stream", **length})
    finally:
        done.set()
        watcher.join()
    seen = upstream.seen[-1]
    assert seen.length == MANY
    assert seen.digest == hashlib.sha256(b" " * MANY).hexdigest()
    assert seen.header("transfer-encoding") == (["chunked"] if chunked else [])
    assert max(most) - before < SLACK, f"{(max(most) - before) / 2**20:.0f} MB more"


def test_a_hundred_megabytes_come_down_in_bounded_memory(client: Client, running: Service) -> None:
    """A long answer is passed on as it comes."""
    before = memory_of(running)
    assert len(client.send("GET", "/echo/huge").payload) == MANY
    assert memory_of(running) - before < SLACK


def test_a_caller_who_leaves_spoils_no_connection(client: Client) -> None:
    """When callers hang up in the middle of answers, others still get whole ones of their own."""
    parts = urlsplit(client.url)
    for _ in range(5):
        with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
            connection.sendall(b"GET /echo/huge HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(1000)
    for _ in range(20):
        assert client.send("GET", "/echo/odd").payload == b"\xff\x00 not json"


def test_a_broken_answer_is_not_taken_for_a_whole_one(client: Client) -> None:
    """An answer that OpenSearch does not finish is cut off for the caller too."""
    with pytest.raises(http.client.IncompleteRead):
        client.send("GET", "/echo/broken")
    assert client.ok("GET", "/echo/after") == {}


def test_a_connection_that_was_closed_meanwhile_is_not_the_callers_problem() -> None:
    """When OpenSearch closed a kept connection, the next request of any kind goes by a new one."""

    def answer(request: Request) -> None:
        b"".join(request.read_body())
        if request.path == "/":
            request.reply(200, b'{"version":{"number":"2.19.1"}}')
        else:
            request.reply(200, b"{}")
        request.close_connection = True  # without saying so: the next request on it meets a closed one

    with answering(answer) as url, service("--opensearch", url) as running:
        client = Client(running.url)
        family = psutil.Process(running.process.pid).children(recursive=True)

        def closed_by_them() -> bool:
            found = [connection for process in family for connection in process.net_connections("tcp")]
            theirs = [one for one in found if one.raddr and one.raddr.port == urlsplit(url).port]
            return all(one.status == psutil.CONN_CLOSE_WAIT for one in theirs)

        for method in ("GET", "POST", "PUT", "DELETE", "GET"):
            for _ in range(5):
                wait_until(closed_by_them, what="the end of the connections")
                answered = client.send(method, "/echo", b"{}" if method in ("POST", "PUT") else None)
                assert answered.status == 200, (method, answered.payload)
        version = client.send("GET", "/_plugins/_ml/nonsense").headers["X-OpenSearch-Version"]
        assert version is None, "OpenSearch 2 has no such header"


def test_an_opensearch_that_hangs_up_is_a_502_in_the_envelope() -> None:
    """A request that gets no answer is answered in OpenSearch's envelope."""

    def answer(request: Request) -> None:
        b"".join(request.read_body())
        if request.path.startswith("/hang"):
            request.connection.shutdown(socket.SHUT_RDWR)
            request.close_connection = True
        elif request.path == "/":
            request.reply(200, b'{"version":{"number":"3.6.0"}}')
        else:
            request.reply(200, b"{}")

    with answering(answer) as url, service("--opensearch", url) as running:
        error = as_envelope(answered := Client(running.url).send("POST", "/hang", {"a": 1}))
        assert answered.status == 502
        assert error["type"] == "connect_transport_exception"
        assert answered.headers["X-OpenSearch-Version"] == "OpenSearch/3.6.0 (opensearch)"


def test_connections_are_kept(client: Client, running: Service) -> None:
    """Many requests one after the other leave few open connections and files."""
    family = psutil.Process(running.process.pid).children(recursive=True)

    def files() -> int:
        return sum(process.num_fds() for process in family)

    for _ in range(20):
        client.ok("GET", "/echo/x")
    before = files()
    for _ in range(200):
        client.ok("GET", "/echo/x")
        client.send("HEAD", "/echo/x")
    wait_until(lambda: files() <= before + 5, what=f"{before} open files again, not {files()}, in {os.getpid()}")
