"""What two servers could read in two ways: refused on the service's edge, and nothing of it reaches OpenSearch."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.clients import Client
from tests.integration.test_transparency import exchange
from tests.raw_upstream import RawUpstream, ok
from tests.services import Service, service

INNER = b"GET /raw/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
LINE = b"POST /raw/x HTTP/1.1\r\nHost: x\r\n"
CHUNKED = LINE + b"Transfer-Encoding: chunked\r\n\r\n"

REFUSED = {
    "length and chunked": LINE + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + INNER,
    "chunked and length": LINE + b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n" + INNER,
    "two lengths": LINE + b"Content-Length: 0\r\nContent-Length: 40\r\n\r\n" + INNER,
    "two lengths alike": LINE + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}" + INNER,
    "two lengths in one": LINE + b"Content-Length: 0, 40\r\n\r\n" + INNER,
    "a length with a sign": LINE + b"Content-Length: +2\r\n\r\n{}" + INNER,
    "a length below 0": LINE + b"Content-Length: -1\r\n\r\n" + INNER,
    "a length in hex": LINE + b"Content-Length: 0x2\r\n\r\n{}" + INNER,
    "a length with a gap": LINE + b"Content-Length: 1 0\r\n\r\n{}" + INNER,
    "a length with an underscore": LINE + b"Content-Length: 1_0\r\n\r\n{}" + INNER,
    "a length of other digits": LINE + b"Content-Length: \xb2\r\n\r\n{}" + INNER,
    "no length at all": LINE + b"Content-Length:\r\n\r\n{}" + INNER,
    "a length too long": LINE + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n{}" + INNER,
    "a folded header": LINE + b"X-A: b\r\n Content-Length: 40\r\n\r\n" + INNER,
    "a folded coding": LINE + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + INNER,
    "a fold with a tab": LINE + b"Transfer-Encoding: x\r\n\tchunked\r\n\r\n0\r\n\r\n" + INNER,
    "a fold first": b"POST /raw/x HTTP/1.1\r\n Host: x\r\n\r\n" + INNER,
    "a bare LF in the head": LINE + b"X-A: b\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + INNER,
    "a bare LF after the line": b"POST /raw/x HTTP/1.1\nHost: x\r\n\r\n" + INNER,
    "bare LFs only": b"POST /raw/x HTTP/1.1\nHost: x\n\n" + INNER,
    "a bare CR in a value": LINE + b"X-A: b\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + INNER,
    "a bare CR in the line": b"POST /raw/x\rHTTP/1.1 HTTP/1.1\r\nHost: x\r\n\r\n" + INNER,
    "a NUL in a value": LINE + b"X-A: b\0c\r\n\r\n" + INNER,
    "a NUL in a name": LINE + b"X-\0A: b\r\n\r\n" + INNER,
    "a NUL in the line": b"POST /raw/x\0 HTTP/1.1\r\nHost: x\r\n\r\n" + INNER,
    "a control in a value": LINE + b"X-A: b\x0bc\r\n\r\n" + INNER,
    "a space before the colon": LINE + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + INNER,
    "a tab before the colon": LINE + b"Content-Length\t: 40\r\n\r\n" + INNER,
    "no name": LINE + b": chunked\r\n\r\n" + INNER,
    "no colon": LINE + b"Transfer-Encoding chunked\r\n\r\n" + INNER,
    "a name of other letters": LINE + b"Tr\xe4nsfer-Encoding: chunked\r\n\r\n" + INNER,
    "a parenthesis in a name": LINE + b"X(A): 1\r\n\r\n" + INNER,
    "two hosts": LINE + b"Host: y\r\n\r\n" + INNER,
    "identity, chunked": LINE + b"Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n" + INNER,
    "chunked, identity": LINE + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + INNER,
    "identity": LINE + b"Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}" + INNER,
    "xchunked": LINE + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + INNER,
    "chunked twice": LINE + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + INNER,
    "chunked in two headers": LINE
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + INNER,
    "chunked and a second coding": LINE
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n\r\n0\r\n\r\n"
    + INNER,
    "a coding and then chunked": LINE
    + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + INNER,
    "chunked in quotes": LINE + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n' + INNER,
    "chunked with a parameter": LINE + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n" + INNER,
    "chunked with a vertical tab": LINE + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + INNER,
    "chunked, and nothing": LINE + b"Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n" + INNER,
    "no coding at all": LINE + b"Transfer-Encoding:\r\nContent-Length: 2\r\n\r\n{}" + INNER,
    "gzip without chunked": LINE + b"Transfer-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}" + INNER,
    "chunked in HTTP/1.0": b"POST /raw/x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + INNER,
    "a size with 0x": CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n" + INNER,
    "a size with a sign": CHUNKED + b"+2\r\n{}\r\n0\r\n\r\n" + INNER,
    "a size below 0": CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n" + INNER,
    "a size with an underscore": CHUNKED + b"0_2\r\n{}\r\n0\r\n\r\n" + INNER,
    "a space before a size": CHUNKED + b" 2\r\n{}\r\n0\r\n\r\n" + INNER,
    "a space after a size": CHUNKED + b"2 \r\n{}\r\n0\r\n\r\n" + INNER,
    "no size": CHUNKED + b"\r\n{}\r\n0\r\n\r\n" + INNER,
    "a size of other letters": CHUNKED + b"g\r\n{}\r\n0\r\n\r\n" + INNER,
    "a size that ends with LF": CHUNKED + b"2\n{}\r\n0\r\n\r\n" + INNER,
    "a chunk that ends with LF": CHUNKED + b"2\r\n{}\n0\r\n\r\n" + INNER,
    "a chunk longer than it says": CHUNKED + b"2\r\n{}{}\r\n0\r\n\r\n" + INNER,
    "a bare CR in an extension": CHUNKED + b"2;a\rb\r\n{}\r\n0\r\n\r\n" + INNER,
    "a bare LF in an extension": CHUNKED + b"2;\n{}\r\n0\r\n\r\n" + INNER,
    "a NUL in an extension": CHUNKED + b"2;a\0b\r\n{}\r\n0\r\n\r\n" + INNER,
    "a length in the trailers": CHUNKED + b"2\r\n{}\r\n0\r\nContent-Length: 40\r\n\r\n" + INNER,
    "a coding in the trailers": CHUNKED + b"2\r\n{}\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n" + INNER,
    "a bare LF in the trailers": CHUNKED + b"2\r\n{}\r\n0\r\nX-A: b\n\r\n\r\n" + INNER,
    "a method in lower case": b"get /raw/x HTTP/1.1\r\nHost: x\r\n\r\n" + INNER,
    "a method of other letters": b"G@T /raw/x HTTP/1.1\r\nHost: x\r\n\r\n" + INNER,
    "two spaces in the line": b"GET  /raw/x HTTP/1.1\r\nHost: x\r\n\r\n" + INNER,
    "a tab in the line": b"GET\t/raw/x HTTP/1.1\r\nHost: x\r\n\r\n" + INNER,
    "a space in the target": b"GET /raw/x /raw/y HTTP/1.1\r\nHost: x\r\n\r\n" + INNER,
    "no version": b"GET /raw/x\r\nHost: x\r\n\r\n" + INNER,
    "another version": b"GET /raw/x HTTP/1.2\r\nHost: x\r\n\r\n" + INNER,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + INNER,
    "a host alone": b"GET 127.0.0.1:9200 HTTP/1.1\r\nHost: x\r\n\r\n" + INNER,
    "no slash": b"GET raw/x HTTP/1.1\r\nHost: x\r\n\r\n" + INNER,
}


@pytest.fixture(scope="module")
def running(upstream: RawUpstream) -> Iterator[Service]:
    with service("--opensearch", upstream.url) as started:
        yield started


@pytest.fixture(autouse=True)
def _forget(upstream: RawUpstream) -> None:
    upstream.forget()


@pytest.mark.parametrize("name", REFUSED)
def test_a_request_that_could_be_two_is_refused_whole(running: Service, upstream: RawUpstream, name: str) -> None:
    """It gets 400, or no answer at all, the connection ends, and neither it nor what hides in it goes to OpenSearch."""
    answer = exchange(running, REFUSED[name])
    assert answer == b"" or answer.split(b" ")[1] == b"400", answer
    assert answer.count(b"\r\n\r\n") <= 1, answer
    if answer:
        body = json.loads(answer.partition(b"\r\n\r\n")[2])
        assert body["status"] == 400
        assert body["error"]["root_cause"]
    assert (upstream.requests, upstream.junk) == ([], [])
    assert "Traceback" not in running.log.read_text()


def test_a_long_body_that_breaks_later_is_no_request_to_opensearch(running: Service, upstream: RawUpstream) -> None:
    """What was sent on of it has no end: OpenSearch drops it with the connection, and the inner request is not sent."""
    body = b"20000\r\n" + b" " * 0x20000 + b"\r\nzz\r\n"
    answer = exchange(running, CHUNKED + body + INNER)
    assert answer.split(b" ")[1] == b"400", answer
    until = time.monotonic() + 10
    while not upstream.junk and time.monotonic() < until:
        time.sleep(0.01)
    assert len(upstream.junk) == 1
    assert upstream.requests == []


def test_a_caller_who_leaves_in_mid_body_leaves_no_request(running: Service, upstream: RawUpstream) -> None:
    """A body that its sender never finished is none, whether it has a length or not."""
    parts = urlsplit(running.url)
    for head in (LINE + b"Content-Length: 10\r\n\r\n{}", CHUNKED + b"a\r\n{}"):
        with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
            connection.sendall(head)
        assert exchange(running, LINE + b"Content-Length: 0\r\nConnection: close\r\n\r\n") == ok()
    assert [request.body for request in upstream.requests] == [b"", b""]
    assert upstream.junk == []
    assert "Traceback" not in running.log.read_text()


#: Answers that could be two, or end who knows where.
BAD_ANSWERS = {
    "no HTTP": b"SSH-2.0-x\r\n\r\n",
    "another version": b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\ncontent-length: 0\r\n\r\n",
    "a bare LF in a value": b"HTTP/1.1 200 OK\r\nX-A: b\nSet-Cookie: c\r\ncontent-length: 0\r\n\r\n",
    "a bare CR in a value": b"HTTP/1.1 200 OK\r\nX-A: b\rSet-Cookie: c\r\ncontent-length: 0\r\n\r\n",
    "a bare LF in the reason": b"HTTP/1.1 200 OK\nSet-Cookie: c\r\ncontent-length: 0\r\n\r\n",
    "a NUL": b"HTTP/1.1 200 OK\r\nX-A: \0\r\ncontent-length: 0\r\n\r\n",
    "a folded header": b"HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\ncontent-length: 0\r\n\r\n",
    "a space before the colon": b"HTTP/1.1 200 OK\r\ncontent-length : 0\r\n\r\n",
    "no colon": b"HTTP/1.1 200 OK\r\nX\r\ncontent-length: 0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\ncontent-length: 5\r\n\r\nabcde",
    "two lengths in one": b"HTTP/1.1 200 OK\r\ncontent-length: 0, 5\r\n\r\nabcde",
    "a length with a sign": b"HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\nabcde",
    "length and chunked": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "an unknown coding": b"HTTP/1.1 200 OK\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "switching protocols": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "a head without an end": b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 150_000,
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_an_answer_that_is_no_http_is_a_502(running: Service, upstream: RawUpstream, name: str) -> None:
    """Nothing of it is passed on, and nobody else gets what follows it."""
    upstream.answers["/raw/bad"] = BAD_ANSWERS[name]
    answer = Client(running.url).send("POST", "/raw/bad", {})
    assert answer.status == 502, answer
    assert answer.body["error"]["type"] == "connect_transport_exception"
    assert answer.headers["Set-Cookie"] is None
    assert Client(running.url).send("GET", "/raw/other").payload == b"{}"


def test_what_follows_an_answer_is_nobodys(running: Service, upstream: RawUpstream) -> None:
    """Bytes behind an answer's end are not the answer to the next request."""
    upstream.answers["/raw/split"] = ok(b"mine") + ok(b"poison")
    for _ in range(5):
        assert Client(running.url).send("GET", "/raw/split").payload == b"mine"
        assert Client(running.url).send("GET", "/raw/other").payload == b"{}"


@pytest.mark.parametrize(
    "wire",
    [b"5\r\nabcde\r\nzz\r\n", b"5\r\nabcdefg\r\n0\r\n\r\n", b"5\r\nabcde\n0\r\n\r\n", b"5\r\nab"],
    ids=["a size that is none", "a chunk that is longer", "a bare LF", "the end"],
)
def test_chunks_that_break_end_the_callers_connection(running: Service, upstream: RawUpstream, wire: bytes) -> None:
    """No last chunk is made up for an answer that had none: the caller sees that it broke off."""

    def broken(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + wire)
        connection.shutdown(socket.SHUT_RDWR)

    upstream.answers["/raw/broken"] = broken
    answer = exchange(running, b"GET /raw/broken HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert not answer.endswith(b"0\r\n\r\n")
    answer = exchange(running, b"GET /raw/broken HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.0 502 "), answer
    assert "Traceback" not in running.log.read_text()
