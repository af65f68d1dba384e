"""Which requests are plain, and how much of a request has arrived."""

from __future__ import annotations

import pytest

from mlcommons_tasks.lane.arrival import LONGEST_HEAD, LONGEST_KEPT_BODY, LONGEST_LINE, Arrival, arrival_of
from mlcommons_tasks.lane.plain import MOST_VERDICTS, Plain, Poll, Search

ID = "6XpcVp-_BjxGZlAD4Q7y"
LINE = f"GET /_plugins/_ml/tasks/{ID} HTTP/1.1\r\n"
SEARCH = "POST /_plugins/_ml/tasks/_search HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"


def poll(*headers: str, line: str = LINE, host: str = "Host: localhost:9201\r\n") -> bytes:
    return (line + host + "".join(f"{header}\r\n" for header in headers) + "\r\n").encode("latin-1")


@pytest.mark.parametrize(
    ("headers", "encoding"),
    [
        ((), None),
        (("User-Agent: opensearch-py/3.0.0 (Python 3.11.7)", "connection: keep-alive"), None),
        (("Accept: */*", "Accept-Encoding: gzip, deflate"), "gzip"),
        (("Accept: application/json", "Accept-Encoding: identity"), None),
        (("ACCEPT-ENCODING:deflate",), "deflate"),
        (("content-type: application/json", "Authorization: Basic YTpi"), None),
        (("Content-Type: application/json; charset=UTF-8", "Cache-Control: no-cache", "Pragma: no-cache"), None),
    ],
)
def test_a_poll_is_recognised(headers: tuple[str, ...], encoding: str | None) -> None:
    """What clients send when they poll is plain, the first time and the next."""
    plain, sent = Plain(), poll(*headers)

    for _ in range(2):
        assert plain.request_in(sent) == Poll(ID, encoding, len(sent))
        assert plain.request_in(sent + b"GET / HT") == Poll(ID, encoding, len(sent))


@pytest.mark.parametrize(
    "sent",
    [
        poll(line=LINE.replace(ID, "_search")),
        poll(line=LINE.replace(ID, "a%2Fb")),
        poll(line=LINE.replace(ID, f"{ID}/")),
        poll(line=LINE.replace(ID, f"{ID}?pretty")),
        poll(line=LINE.replace(ID, "")),
        poll(line=LINE.replace(ID, "a" * 129)),
        poll(line=LINE.replace("1.1", "1.0")),
        poll(line=LINE.replace("GET", "HEAD")),
        poll(line=LINE.replace("/_plugins", "//_plugins")),
        poll(line="\r\n" + LINE),
        poll(line=LINE.replace("\r\n", "\n")),
        poll(host=""),
        poll("Host: b"),
        poll(host="Host: a b\r\n"),
        poll("Accept: application/yaml"),
        poll("Accept: application/json", "Accept: */*"),
        poll("Content-Type: application/yaml"),
        poll("Content-Type: text/plain"),
        poll("Connection: close"),
        poll("Content-Length: 0"),
        poll("Content-Length: 2", "Content-Type: application/json"),
        poll("Transfer-Encoding: chunked"),
        poll("Expect: 100-continue"),
        poll("X-Opaque-Id: me"),
        poll("X-Proxy-User: me"),
        poll("User-Agent : me"),
        poll("User-Agent: a", " folded"),
        poll("User-Agent:"),
        poll("User-Agent: \x01"),
        poll("User-Agent: caf\xe9"),
        poll("nocolon"),
        poll("Upgrade: h2c"),
        poll(*[f"User-Agent: {'a' * 4096}"]),
        poll()[:-1],
        LINE.encode(),
        b"",
    ],
)
def test_what_is_not_plain_is_left_alone(sent: bytes) -> None:
    """Whatever could be answered in another way than with the task goes the usual way, however often it is asked."""
    plain = Plain()

    assert plain.request_in(sent) is None
    assert plain.request_in(sent) is None


def test_a_search_is_recognised_when_its_body_is_there() -> None:
    """A search is its whole body; of one that is not there yet, is compressed or too long nothing is taken."""
    plain, body = Plain(), b'{"size":1}'
    sent = f"{SEARCH}User-Agent: me\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    assert plain.request_in(sent + b"GET") == Search(body, "me", len(sent))
    assert plain.request_in(sent.replace(b"POST", b"GET")) == Search(body, "me", len(sent) - 1)
    assert plain.request_in(sent[:-1]) is None
    assert plain.request_in(sent.replace(b"User-Agent: me", b"Accept-Encoding: gzip")) is None
    assert plain.request_in(sent.replace(b"_search", b"_search?size=2")) is None
    assert plain.request_in(f"{SEARCH}\r\n".encode() + body) is None
    assert plain.request_in(f"{SEARCH}Content-Length: 99999\r\n\r\n".encode() + b" " * 99999) is None
    assert plain.request_in(sent.replace(b"Content-Type: application/json\r\n", b"")) is None


def test_the_headers_of_a_search_make_no_poll() -> None:
    """Headers that announce a body are remembered, and still no poll's."""
    plain = Plain()
    head = "Host: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"

    assert plain.request_in(f"POST /_plugins/_ml/tasks/_search HTTP/1.1\r\n{head}{{}}".encode()) is not None
    assert plain.request_in(f"{LINE}{head}".encode()) is None
    assert plain.request_in(f"{LINE}{head}{{}}".encode()) is None


def test_what_is_remembered_is_bounded() -> None:
    """Callers whose headers differ each time fill no memory."""
    plain = Plain()
    for number in range(3 * MOST_VERDICTS):
        assert plain.request_in(poll(f"User-Agent: {number}")) is not None
    assert len(plain._verdicts) <= MOST_VERDICTS


HEAD = b"PUT /a HTTP/1.1\r\nHost: x\r\n"
LONG = str(LONGEST_KEPT_BODY + 1).encode()


@pytest.mark.parametrize(
    ("data", "arrival"),
    [
        (b"", Arrival(ready=False)),
        (b"G", Arrival(ready=False)),
        (b"\r", Arrival(ready=False)),
        (b"\r\n", Arrival(ready=False)),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r", Arrival(ready=False)),
        (b"GET / HTTP/1.1\r\n\r\n", Arrival(ready=True, length=18)),
        (b"\r\nGET / HTTP/1.1\r\n\r\n", Arrival(ready=True, length=20)),
        (HEAD + b"Content-Length: 3\r\n\r\nab", Arrival(ready=False, length=50)),
        (HEAD + b"CONTENT-LENGTH:3 \r\n\r\nabcGET", Arrival(ready=True, length=50)),
        (HEAD + b"Content-Length: " + LONG + b"\r\n\r\n", Arrival(ready=True, streams=True)),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", Arrival(ready=True, streams=True)),
        (HEAD + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n", Arrival(ready=True, streams=True)),
        (b"a" * LONGEST_LINE, Arrival(ready=False)),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * LONGEST_HEAD, Arrival(ready=True, too_long=True)),
    ],
)
def test_how_much_is_there(data: bytes, arrival: Arrival) -> None:
    """A request is waited for as long as it may still become one."""
    assert arrival_of(data) == arrival
    assert arrival_of(bytearray(data)) == arrival


@pytest.mark.parametrize(
    "data",
    [
        b"a" * (LONGEST_LINE + 3),
        b"GET / HTTP/1.1\n",
        b"GET / HTTP/1.1\r\nHost: a\n",
        b"\r\n\r\n",
        b"GET /\r\n\r\n",
        HEAD + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\n",
        HEAD + b"Content-Length\t: 3\r\n\r\n",
        HEAD + b"Content-Length: +3\r\n\r\n",
        HEAD + b"Content-Length: 3\r\nno colon\r\n\r\n",
        HEAD + b"A: b\r\n folded\r\nContent-Length: 3\r\n\r\n",
    ],
)
def test_what_is_no_request_is_not_waited_for(data: bytes) -> None:
    """gunicorn's parser says at once what is wrong."""
    assert arrival_of(data) == Arrival(ready=True)
