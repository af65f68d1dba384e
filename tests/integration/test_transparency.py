"""A forwarded request and its answer, byte for byte: what a raw socket sends is what a raw socket sees, and back."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.raw_upstream import RawRequest, RawUpstream, ok
from tests.services import Service, service

PER_CONNECTION = (b"host:", b"content-length:", b"transfer-encoding:")
EVERY_BYTE = bytes(range(256)) * 300  # longer than what is read of a body before anything is sent on


@pytest.fixture(scope="module")
def running(upstream: RawUpstream) -> Iterator[Service]:
    with service("--opensearch", upstream.url) as started:
        yield started


@pytest.fixture(autouse=True)
def _forget(upstream: RawUpstream) -> None:
    upstream.forget()


def exchange(running: Service, sent: bytes, *, until: bytes | None = None) -> bytes:
    """Send bytes on a connection of their own and return all that comes back, up to `until` if that is given."""
    parts = urlsplit(running.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        connection.sendall(sent)
        received = b""
        while until is None or not received.endswith(until):
            data = connection.recv(65536)
            if not data:
                break
            received += data
    return received


def seen(upstream: RawUpstream) -> RawRequest:
    (request,) = upstream.requests
    return request


def end_to_end(lines: list[bytes]) -> list[bytes]:
    return [line for line in lines if not line.lower().startswith(PER_CONNECTION)]


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def dechunked(wire: bytes) -> bytes:
    body = b""
    while True:
        size, _, wire = wire.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            return body
        body, wire = body + wire[:length], wire[length + 2 :]


HEADERS = [
    b"X-lower-UPPER: As It Is",
    b"x-repeated: one",
    b"X-Repeated: two, three",
    b"X-REPEATED:four",
    b"X_Under_Score: kept",
    b"X-Empty:",
    b"X-Latin: \xe4\xf6\xff",
    b'X-Quoted: "a,b"; c="\\""',
    b"Accept: application/json",
    b"Accept: */*;q=0.1",
    b"Cookie: a=1",
    b"Cookie: b=2",
    b"Authorization: Basic bWU6OnNlY3JldA==",
    b"User-Agent: opensearch-dashboards/3 (node)",
    b"Accept-Encoding: gzip;q=0.5, br",
    b"X-Forwarded-For: 192.0.2.7",
    b"Via: 1.1 other",
    b'If-None-Match: "x"',
    b"Range: bytes=0-1",
    b'Warning: 299 - "w"',
    b"Priority: u=1",
]


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE"])
@pytest.mark.parametrize("body", [None, b"", b'{"a":1}', EVERY_BYTE], ids=["none", "empty", "short", "long"])
def test_line_headers_and_body_come_as_they_were_sent(
    running: Service, upstream: RawUpstream, method: bytes, body: bytes | None
) -> None:
    """Every method, with every kind of body: request line, names, case, order and repeats of headers, and each byte."""
    line = method + b" /raw/a%2fb//./../%zz[x]{y}|<z>?q=a+b%20c&q=a&&=&q[]=1 HTTP/1.1"
    length = [] if body is None else [b"Content-Length: %d" % len(body)]
    head = b"\r\n".join([line, b"Host: other:1", *HEADERS, *length, b"Connection: close"])
    answer = exchange(running, head + b"\r\n\r\n" + (body or b""))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer
    request = seen(upstream)
    assert request.line == line
    assert [each.replace(b":four", b": four") for each in end_to_end(HEADERS)] == end_to_end(
        [each.rstrip() if each == b"X-Empty: " else each for each in request.header_lines]
    )
    assert request.header("host") == [urlsplit(upstream.url).netloc.encode()]
    assert request.header("content-length") == ([] if body is None else [b"%d" % len(body)])
    assert request.header("transfer-encoding") == []
    assert request.body == (body or b"")


@pytest.mark.parametrize(
    "pieces",
    [(), (b"{}",), (b'{"index":{}}\n', b'{"a":1}\n'), (EVERY_BYTE, b"x", EVERY_BYTE)],
    ids=["nothing", "one", "ndjson", "long"],
)
def test_a_body_in_chunks_stays_in_chunks(running: Service, upstream: RawUpstream, pieces: tuple[bytes, ...]) -> None:
    """How it is cut may change, its bytes and that it has no length do not; trailers are for one connection."""
    head = b"POST /raw/_bulk HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    exchange(running, head + chunked(*pieces)[:-2] + b"X-Trailer: 1\r\n\r\n")
    request = seen(upstream)
    assert request.header("transfer-encoding") == [b"chunked"]
    assert request.header("content-length") == []
    assert dechunked(request.body) == b"".join(pieces)


def test_packed_bodies_pass_packed_in_both_directions(running: Service, upstream: RawUpstream) -> None:
    """gzip in, gzip out: nobody unpacks anything, whether the content is said to be packed or its transfer."""
    packed = gzip.compress(b'{"index":{}}\n{"a":1}\n', mtime=0)
    upstream.answers["/raw/_bulk"] = ok(packed, b"Content-Encoding: gzip", b"Content-Type: application/json")
    head = b"POST /raw/_bulk HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Encoding: gzip\r\n"
    answer = exchange(running, head + b"Content-Length: %d\r\n\r\n" % len(packed) + packed)
    assert seen(upstream).body == packed
    assert answer.endswith(b"\r\n\r\n" + packed)
    upstream.requests.clear()
    head = b"POST /raw/_bulk HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
    exchange(running, head + chunked(packed))
    assert seen(upstream).header("transfer-encoding") == [b"gzip, chunked"]
    assert dechunked(seen(upstream).body) == packed


ANSWERS = {
    "repeated headers": b"HTTP/1.1 200 OK\r\nWarning: 299 a\r\nwarning: 299 b\r\nX-MiXed: As It Is\r\nSet-Cookie: a\r\n"
    b"Set-Cookie: b\r\nX-Latin: \xe4\r\nX-Empty:\r\ncontent-length: 2\r\n\r\n{}",
    "who says so": b"HTTP/1.1 200 OK\r\nserver: theirs\r\nDate: today\r\nVia: 1.1 lb\r\ncontent-length: 2\r\n\r\n{}",
    "another reason": b"HTTP/1.1 299 All Is Well, Mostly\r\nContent-Length: 0\r\n\r\n",
    "no reason": b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
    "a redirect": b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/x\r\nContent-Length: 0\r\n\r\n",
    "not modified": b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n',
    "no content": b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n",
    "binary": ok(EVERY_BYTE, b"content-type: application/smile"),
    "an error": b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json; charset=UTF-8\r\n"
    b'Retry-After: 1\r\ncontent-length: 29\r\n\r\n{"error":"no","status": 503 }',
    "401": b'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm="a"\r\nWWW-Authenticate: Bearer\r\n'
    b"content-type: text/plain\r\ncontent-length: 12\r\n\r\nUnauthorized",
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_comes_back_as_it_was_sent(running: Service, upstream: RawUpstream, name: str) -> None:
    """Status, reason, names, case, order and repeats of headers, and each byte of the body: none added, none lost."""
    upstream.answers["/raw/x"] = ANSWERS[name]
    answer = exchange(running, b"GET /raw/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer == ANSWERS[name].replace(b"X-Empty:\r", b"X-Empty: \r")


def test_an_answer_in_chunks_and_one_that_ends_with_the_connection(running: Service, upstream: RawUpstream) -> None:
    """Both come in chunks, or with a length to a client of HTTP/1.0 that could not tell a break from an end."""
    upstream.answers["/raw/c"] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"one", b"two")

    def until_the_end(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nonetwo")
        connection.shutdown(socket.SHUT_RDWR)

    upstream.answers["/raw/e"] = until_the_end
    for path in (b"/raw/c", b"/raw/e"):
        answer = exchange(running, b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head == b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked"
        assert dechunked(body) == b"onetwo"
        assert exchange(running, b"GET " + path + b" HTTP/1.0\r\n\r\n") == (
            b"HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nonetwo"
        )


def test_interim_answers_are_for_one_connection(running: Service, upstream: RawUpstream) -> None:
    """100 and 103 before an answer are passed over; a caller who expects 100 gets the service's own."""
    upstream.answers["/raw/i"] = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok()
    head = b"POST /raw/i HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    assert exchange(running, head + b"{}") == b"HTTP/1.1 100 Continue\r\n\r\n" + ok()
    assert seen(upstream).header("expect") == []


def test_the_head_of_an_answer_comes_before_its_body(running: Service, upstream: RawUpstream) -> None:
    """What OpenSearch has sent is with the caller while OpenSearch works on the rest."""
    go_on = threading.Event()

    def in_two(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n")
        assert go_on.wait(30)
        connection.sendall(b"abc")

    upstream.answers["/raw/two"] = in_two
    parts = urlsplit(running.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        connection.sendall(b"GET /raw/two HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(1000) == b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
        go_on.set()
        assert connection.recv(1000) == b"abc"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"GET http://192.0.2.1:9/raw/x?a=%2f HTTP/1.1", b"GET /raw/x?a=%2f HTTP/1.1"),
        (b"GET HTTPS://me:pw@192.0.2.1/raw/x HTTP/1.1", b"GET /raw/x HTTP/1.1"),
        (b"GET gopher://192.0.2.1/raw/x HTTP/1.1", b"GET /raw/x HTTP/1.1"),
        (b"CONNECT 192.0.2.1:443 HTTP/1.1", b"CONNECT / HTTP/1.1"),
        (b"OPTIONS * HTTP/1.1", b"OPTIONS * HTTP/1.1"),
    ],
)
def test_no_request_line_makes_the_service_call_another_host(
    running: Service, upstream: RawUpstream, line: bytes, expected: bytes
) -> None:
    """The host that a request line names is never asked: only the path goes on, to OpenSearch."""
    answer = exchange(running, line + b"\r\nHost: 192.0.2.1\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer
    assert seen(upstream).line == expected
    assert seen(upstream).header("host") == [urlsplit(upstream.url).netloc.encode()]


def test_many_requests_follow_each_other_on_one_connection(running: Service, upstream: RawUpstream) -> None:
    """Pipelined requests are answered in order, and use one connection to OpenSearch."""
    for number in range(20):
        upstream.answers[f"/raw/{number}"] = ok(b"answer %d" % number)
    sent = b"".join(
        b"POST /raw/%d HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc" % number for number in range(20)
    )
    received = exchange(running, sent, until=b"answer 19")
    assert received == b"".join(ok(b"answer %d" % number) for number in range(20))
    assert len({request.connection for request in upstream.requests}) == 1


def test_a_hop_by_hop_header_of_the_caller_takes_no_framing_away(running: Service, upstream: RawUpstream) -> None:
    """`Connection: Content-Length` and the like change nothing about where a body ends."""
    head = b"POST /raw/x HTTP/1.1\r\nHost: x\r\nConnection: close, Content-Length, Host\r\nContent-Length: 2\r\n\r\n{}"
    with contextlib.suppress(OSError):
        exchange(running, head, until=ok())
    assert (seen(upstream).header("content-length"), seen(upstream).body) == ([b"2"], b"{}")
