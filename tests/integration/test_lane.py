"""The short way of polls and searches: every byte is that of the usual way, whatever a connection is like."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

import pytest

from tests.bench.hammer import hammer, request
from tests.clients import TASKS, Client, rows_body
from tests.integration.test_transparency import exchange
from tests.lanes import logged, short_ways
from tests.services import Service, service

pytestmark = pytest.mark.embedded

#: Tasks as they may be stored, by whoever wrote them.
SOURCES = {
    "plain": b'{"task_type":"TRAINING","state":"RUNNING","function_name":"KMEANS","is_async":true}',
    "spaced": b'{ "state" : "CREATED",\n "worker_node":[ "a", "b" ] , "create_time":1 }',
    "unknown-fields": b'{"state":"FAILED","more":{"a":[{"b":"]}}"}]},"error":"\\u00e9 \xc3\xa9 \\ud83d\\ude00"}',
    "progress": b'{"state":"RUNNING","progress":0.1,"last_update_time":1234567890123}',
    "twice": b'{"state":"RUNNING","user":{"name":"a","backend_roles":[],"roles":["x"],"custom_attribute_names":[]}}',
    "unreadable-state": b'{"state":"NO_STATE"}',
    "remote": b'{"task_type":"BATCH_PREDICTION","function_name":"REMOTE","remote_job":{"a":1}}',
    "empty": b"{}",
    "_underscored": b'{"state":"COMPLETED"}',
    "-dashed-": b'{"state":"COMPLETED"}',
    "long": b'{"state":"FAILED","error":"' + b"x" * 100_000 + b'"}',
}
HOST = "Host: localhost\r\n"


@dataclass
class Ways:
    """The same node behind the short way and behind the usual one."""

    short: Service
    usual: Service

    def both(self, sent: bytes, answers: int = 1) -> tuple[bytes, bytes]:
        """Send the same to both; return what each says."""
        return tuple(_talk(each, sent, answers) for each in (self.short, self.usual))  # type: ignore[return-value]

    def agree(self, sent: bytes, answers: int = 1) -> bytes:
        """Send the same to both, who must say the same; return that."""
        short, usual = self.both(sent, answers)
        assert _timeless(short) == _timeless(usual)
        return short


@pytest.fixture(scope="module")
def ways() -> Iterator[Ways]:
    with contextlib.ExitStack() as stack:
        short = stack.enter_context(service(environment=logged()))
        usual = stack.enter_context(service("--no-fast-lane", "--opensearch", short.opensearch_url))
        client = Client(short.url)
        client.ended(client.train_async(rows_body()))
        for task_id, source in SOURCES.items():
            client.ok("PUT", f"/.plugins-ml-task/_doc/{task_id}?refresh=true", source, JSON)
        yield Ways(short, usual)


JSON = {"Content-Type": "application/json"}


def _talk(running: Service, sent: bytes, answers: int) -> bytes:
    parts = urlsplit(running.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        connection.sendall(sent)
        return b"".join(_answer(connection) for _ in range(answers))


def _answer(connection: socket.socket) -> bytes:
    """Read one answer with a length, and not a byte more."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = connection.recv(1)
        assert piece, head
        head += piece
    found = re.search(rb"\r\ncontent-length: (\d+)", head.lower())
    left = int(found[1]) if found else 0
    body = b""
    while len(body) < left:
        piece = connection.recv(left - len(body))
        assert piece, head + body
        body += piece
    return head + body


def _timeless(answer: bytes) -> bytes:
    answer, changed = re.subn(rb'"took":\d+', b'"took":0', answer)
    return re.sub(rb"(?i)content-length: \d+", b"", answer) if changed else answer


def poll(task_id: str, headers: str = "", *, version: str = "1.1") -> bytes:
    return f"GET {TASKS}/{task_id} HTTP/{version}\r\n{HOST}{headers}\r\n".encode()


def search(body: str, headers: str = "") -> bytes:
    head = f"POST {TASKS}/_search HTTP/1.1\r\n{HOST}Content-Type: application/json\r\n{headers}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


@pytest.mark.parametrize("headers", ["", "Accept-Encoding: gzip\r\n", "Accept-Encoding: deflate;q=0.5, br\r\n"])
@pytest.mark.parametrize("task_id", [*SOURCES, "missing", "not.plain", "a%2Fb"])
def test_a_poll_says_the_same(ways: Ways, task_id: str, headers: str) -> None:
    """Status, headers, their order and the body are the same, for tasks that can be shown and those that cannot."""
    ways.agree(poll(task_id, headers))


def test_polls_that_come_together_say_the_same(ways: Ways) -> None:
    """A read for many tasks, odd and missing ones among them, gives each caller what a read of its own gives."""
    task_ids = [*SOURCES, "missing", *SOURCES]
    usual = {task_id: exchange_one(ways.usual, poll(task_id)) for task_id in task_ids}
    parts = urlsplit(ways.short.url)
    for _ in range(5):
        with contextlib.ExitStack() as stack:
            callers = [
                stack.enter_context(socket.create_connection((parts.hostname, parts.port), timeout=30))
                for _ in task_ids
            ]
            for caller, task_id in zip(callers, task_ids, strict=True):
                caller.sendall(poll(task_id))
            for caller, task_id in zip(callers, task_ids, strict=True):
                assert _answer(caller) == usual[task_id]


def exchange_one(running: Service, sent: bytes) -> bytes:
    return _talk(running, sent, 1)


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        '{"size":3,"query":{"match_all":{}}}',
        '{"size":1,"_source":["state"],"query":{"term":{"state":"RUNNING"}}}',
        '{"_source":{"excludes":["state"]}}',
        '{"size":0,"aggs":{"a":{"terms":{"field":"state"}}}}',
        '{"size":2,"terminate_after":1}',
        '{"query":{"nonsense":{}}}',
        '{"size":',
        '{"size":1} // a comment',
        "[]",
    ],
)
@pytest.mark.parametrize("headers", ["", "Accept-Encoding: gzip\r\n", "User-Agent: OpenSearch Dashboards\r\n"])
def test_a_search_says_the_same(ways: Ways, body: str, headers: str) -> None:
    """Plain searches and others, good and bad, have one answer."""
    if headers.startswith("Accept"):  # how long it took changes what it is packed to
        assert [answer[:15] for answer in ways.both(search(body, headers))] == [ways.agree(search(body))[:15]] * 2
    else:
        ways.agree(search(body, headers))


@pytest.mark.parametrize(
    "headers",
    [
        "Accept: application/yaml\r\n",
        "Accept: text/html\r\n",
        "X-Opaque-Id: mine\r\n",
        "Content-Type: application/yaml\r\n",
        "Content-Type: nonsense\r\n",
        "Content-Type: text/plain\r\n",
        "Content-Length: 2\r\n\r\n{}GET / HTTP/1.0\r\n",
        "Accept-Encoding: gzip\r\nAccept-Encoding: identity\r\n",
        "Host: again\r\n",
        "A: b\r\n folded\r\n",
        "nocolon\r\n",
        "Connection: close\r\n",
        "Connection: Upgrade\r\nUpgrade: h2c\r\n",
        "Expect: 100-continue\r\n",
        f"X-Long: {'x' * 17_000}\r\n",
    ],
)
def test_headers_that_matter_matter(ways: Ways, headers: str) -> None:
    """What shapes an answer, or makes a request none, does so behind the short way too."""
    ways.agree(poll("plain", headers))


def test_other_versions_methods_and_parameters(ways: Ways) -> None:
    """HTTP/1.0, other methods, parameters and slashes are what they are without the short way."""
    for sent in (
        poll("plain", version="1.0"),
        poll("plain?pretty"),
        poll("plain?x=1"),
        poll("plain/"),
        poll("plain").replace(b"GET", b"PUT"),
        b"\r\n" + poll("plain"),
        poll("plain").replace(b"GET /", b"GET //"),
        poll("plain").replace(b"\r\nHost", b"\nHost"),
    ):
        ways.agree(sent)
    head = poll("plain", "Connection: close\r\n").replace(b"GET", b"HEAD")
    assert exchange(ways.short, head) == exchange(ways.usual, head)


def test_requests_on_one_connection_are_answered_in_their_order(ways: Ways) -> None:
    """Polls, searches and others, sent in one piece, come back one after the other; a broken one ends it."""
    other = f"GET /.plugins-ml-task/_doc/plain HTTP/1.1\r\n{HOST}\r\n".encode()
    long_body = f'{{"size":1,"query":{{"ids":{{"values":["{"y" * 70_000}"]}}}}}}'
    sent = [
        poll("plain"),
        other,
        poll("missing"),
        poll("spaced"),
        search('{"size":1}'),
        search(long_body),
        poll("plain"),
    ]
    assert ways.agree(b"".join(sent), len(sent)).count(b"HTTP/1.1 ") == len(sent)
    ways.agree(b"".join(sent * 10), len(sent) * 10)
    assert ways.agree(poll("plain") * 200, 200).count(b'"RUNNING"') == 200
    both = [exchange(each, poll("plain") + b"GARBAGE\r\n\r\n" + poll("plain")) for each in (ways.short, ways.usual)]
    assert both[0] == both[1]
    assert both[0].count(b"HTTP/1.") == 2


@pytest.mark.parametrize("sent", [poll("plain"), search('{"size":1}')], ids=["poll", "search"])
def test_a_request_may_come_in_pieces(ways: Ways, sent: bytes) -> None:
    """Wherever a request is split, its answer is the same."""
    wanted = _timeless(ways.agree(sent))
    parts = urlsplit(ways.short.url)
    with contextlib.ExitStack() as stack:
        callers = [
            stack.enter_context(socket.create_connection((parts.hostname, parts.port), timeout=30))
            for _ in range(1, len(sent))
        ]
        for at, caller in enumerate(callers, 1):
            caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            caller.sendall(sent[:at])
        exchange_one(ways.short, poll("plain"))  # by then the first pieces were read
        for at, caller in enumerate(callers, 1):
            caller.sendall(sent[at:])
        for caller in callers:
            assert _timeless(_answer(caller)) == wanted


def test_a_sender_may_close_its_half(ways: Ways) -> None:
    """Who asks and says no more is answered, and then the connection ends; half a request gets nothing."""
    for sent, answers in ((poll("plain"), 1), (poll("plain") * 3, 3), (poll("plain")[:-1], 0), (search("{}")[:-1], 0)):
        for each in (ways.short, ways.usual):
            parts = urlsplit(each.url)
            with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
                connection.sendall(sent)
                connection.shutdown(socket.SHUT_WR)
                received = b"".join(iter(partial(connection.recv, 65536), b""))
                assert received.count(b"HTTP/1.1 200 OK") == answers


def test_callers_who_go_away_leave_nothing(ways: Ways) -> None:
    """Connections that are reset before, in and after a request cost nobody anything, and no file stays open."""
    parts = urlsplit(ways.short.url)
    for sent in (b"", poll("plain")[:20], poll("plain"), poll("plain") * 50, search("{}")[:-1], search("{}")) * 20:
        with socket.create_connection((parts.hostname, parts.port)) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.sendall(sent)
    ways.agree(poll("plain"))
    assert "Traceback" not in ways.short.log.read_text()


def test_who_reads_slowly_gets_all_and_holds_nobody_up(ways: Ways) -> None:
    """An answer of several megabytes waits for its reader, while others are answered."""
    body = search('{"query":{"ids":{"values":["long"]}},"size":1}')
    parts = urlsplit(ways.short.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        slow.sendall(body * 40)
        for _ in range(20):
            exchange_one(ways.short, poll("plain"))
            exchange_one(ways.short, search("{}"))
        for _ in range(40):
            assert b"x" * 100_000 in _answer(slow)


def test_a_task_is_seen_as_it_is_now(ways: Ways) -> None:
    """Who is told that a write is done polls what was written, each time: nothing is kept."""
    client = Client(ways.short.url)
    for number in range(100):
        client.ok("PUT", "/.plugins-ml-task/_doc/changing", b'{"state":"RUNNING","create_time":%d}' % number, JSON)
        assert client.task("changing")["create_time"] == number
    client.ok("DELETE", "/.plugins-ml-task/_doc/changing")
    assert client.send("GET", f"{TASKS}/changing").status == 404


def test_the_short_way_is_what_answered(ways: Ways) -> None:
    """The service counts what went the short way: all plain polls and searches, and nothing without it."""
    over = ("--opensearch", ways.short.opensearch_url)
    with service(*over, environment=logged()) as short, service("--no-fast-lane", *over, environment=logged()) as usual:
        client = Client(short.url)
        task_id = client.train_async(rows_body())
        client.ended(task_id)
        polls = [request("GET", f"{TASKS}/{task_id}"), request("GET", f"{TASKS}/{task_id}?pretty")]
        hammer(short.url, polls, connections=8, requests=400)
        hammer(short.url, search("{}"), connections=1, requests=50)
        hammer(usual.url, polls[0], connections=8, requests=100)
        usual.stop()
        assert short_ways(usual) is None
        short.stop()
        found = short_ways(short)
        assert found is not None
        assert found[0] >= 180, found
        assert found[1] >= 40, found


def test_a_stop_while_polling_is_clean(ways: Ways) -> None:
    """Pollers on kept connections get whole answers until the service ends; the exit code is 0."""
    with service("--opensearch", ways.short.opensearch_url) as running:
        client = Client(running.url)
        task_id = client.train_async(rows_body())
        client.ended(task_id)
        broken: list[bytes] = []
        began = threading.Barrier(9)

        def keep_polling() -> None:
            parts = urlsplit(running.url)
            with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
                answered = 0
                while True:
                    received = b""
                    try:
                        connection.sendall(poll(task_id))
                        while not _is_whole(received) and (piece := connection.recv(65536)):
                            received += piece
                    except OSError:
                        return
                    if received and not _is_whole(received):
                        broken.append(received)
                    if not received or b"Connection: close" in received or broken:
                        return
                    answered += 1
                    if answered == 50:
                        began.wait(30)

        threads = [threading.Thread(target=keep_polling) for _ in range(8)]
        for thread in threads:
            thread.start()
        began.wait(30)
        assert running.stop() == 0
        for thread in threads:
            thread.join(30)
        assert broken == []
        assert "Traceback" not in running.log.read_text()


def _is_whole(answer: bytes) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    whole = head.startswith(b"HTTP/1.1 200 OK\r\n") and f"Content-Length: {len(body)}\r\n".encode() in head
    return whole and isinstance(json.loads(body), dict)
