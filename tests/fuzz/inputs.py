"""Strategies for whole requests: a route or garbage, a method, headers that help, lie or break, a body."""

from __future__ import annotations

import functools
from typing import Any

from hypothesis import strategies as st

from .bodies import SEARCHES, SETTINGS, TRAININGS, Body, bodies
from .messages import Message
from .paths import ML, garbage, targets

#: The emulated routes: path, methods, what a body is for. What is async is here too, for one request in sixty-four.
ROUTES: list[tuple[bytes, list[bytes], list[Any]]] = [
    (ML + b"/tasks/{}", [b"GET", b"DELETE"], []),
    (ML + b"/tasks/_search", [b"GET", b"POST"], SEARCHES),
    (ML + b"/tasks/_search", [b"POST"], SEARCHES),
    (ML + b"/tasks/{}/_cancel", [b"POST"], []),
    (ML + b"/models/{}", [b"GET", b"DELETE", b"PUT"], [{"name": "a"}, {"description": 1}, {"is_enabled": False}]),
    (ML + b"/models/_search", [b"GET", b"POST"], SEARCHES),
    (ML + b"/_train/kmeans", [b"POST"], TRAININGS),
    (ML + b"/_train/{}", [b"POST"], TRAININGS),
    (b"/_tasks", [b"GET"], []),
    (b"/_tasks/_cancel", [b"POST"], []),
    (b"/_tasks/{}", [b"GET", b"DELETE"], []),
    (b"/_tasks/{}/_cancel", [b"POST"], []),
    (b"/_cat/tasks", [b"GET"], []),
    (b"/_cat/plugins", [b"GET"], []),
    (b"/_nodes", [b"GET"], []),
    (b"/_nodes/{}", [b"GET"], []),
    (b"/_nodes/{}/{}", [b"GET"], []),
    (b"/_nodes/{}/info/{}", [b"GET"], []),
    (b"/_cluster/settings", [b"GET", b"PUT"], SETTINGS),
    (b"/_cluster/settings", [b"PUT"], SETTINGS),
]
METHODS = [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"CONNECT"]
ODD_METHODS = [b"BREW", b"get", b"G", b"GET/", b"PROPFIND", b"GE T", b"\xc3\xa9", b"X" * 40, b"PRI"]
CONTENT_TYPES = [
    b"application/json", b"application/json; charset=utf-8", b"application/yaml", b"application/cbor",
    b"application/smile", b"application/x-ndjson", b"application/vnd.opensearch+json", b"application/*", b"text/plain",
    b"text/html", b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=x", b"", b"json", b"a/b/c",
    b"application/json;;", b"application/json, text/plain", b"application/json; charset=utf-99", b"*/*", b";", b"/",
    b"APPLICATION/JSON", b"application/ json", b"application/json\xff", b"x" * 9_000,
]  # fmt: skip
ACCEPTS = [
    b"*/*", b"application/json", b"application/yaml", b"application/cbor", b"application/smile", b"text/html", b"",
    b"text/plain", b"application/xml;q=0.9, */*;q=0.1", b"application/vnd.opensearch+yaml", b"/", b"nope", b"\xff",
]  # fmt: skip
ODD = st.sampled_from(
    [
        b"", b"a", b"gzip", b"gzip;q=0, *", b"identity;q=0", b"deflate, br;q=1.0", b"gzip;q=nope", b"close",
        b"keep-alive", b"keep-alive, close", b"upgrade", b"h2c", b"websocket", b"100-continue", b"100-nope",
        b"Basic YTpi", b"Basic \xff", b"Bearer x", b"Basic", b"none", b"\xc3\xa9", b"\xff\xfe", b"\x01", b"a\tb",
        b"x" * 7_000, b"x" * 17_000, b"chunked", b"identity", b"bytes=0-1", b"*", b"Thu, 01 Jan 1970 00:00:00 GMT",
        b"127.0.0.1", b"a, b", b"0", b"-1", b"1e3", b"18446744073709551616", b"<script>", b"%00", b'"', b"{}",
        b"localhost:99999", b"[::1", b"a b", b"\x7f",
    ]
)  # fmt: skip
HEADER_NAMES = [
    b"Host", b"X-Opaque-Id", b"Accept", b"Accept-Encoding", b"Accept-Language", b"Authorization", b"User-Agent",
    b"Connection", b"Upgrade", b"Expect", b"Cookie", b"Range", b"If-None-Match", b"If-Modified-Since", b"Referer",
    b"X-Forwarded-For", b"X-Forwarded-Proto", b"Forwarded", b"X-HTTP-Method-Override", b"X-Original-URL",
    b"securitytenant", b"opendistro_security_impersonate_as", b"Content-Encoding", b"X-Request-Id", b"TE", b"Trailer",
    b"Origin", b"SCRIPT_NAME", b"PATH_INFO", b"Proxy", b"Content_Length", b"Via", b"Max-Forwards", b"HTTP2-Settings",
    b"Content-Type", b"Date",
]  # fmt: skip
ODD_NAMES = [b"", b" ", b"a b", b"a\x00", b"\xff", b"(a)", b"x" * 300, b"A:", b":", b" folded", b"a;"]
#: Headers that make the length of a body something else than it is.
FRAMINGS: list[tuple[tuple[bytes, bytes], ...]] = [
    ((b"Content-Length", b"5"),),
    ((b"Content-Length", b"100"),),
    ((b"Content-Length", b"0"),),
    ((b"Content-Length", b"-1"),),
    ((b"Content-Length", b"1e2"),),
    ((b"Content-Length", b"0x10"),),
    ((b"Content-Length", b" 5 "),),
    ((b"Content-Length", b"5,5"),),
    ((b"Content-Length", b"5"), (b"Content-Length", b"6")),
    ((b"Content-Length", b"99999999999999999999999"),),
    ((b"Content-Length", b"104857601"),),
    ((b"Transfer-Encoding", b"chunked"),),
    ((b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"5")),
    ((b"Transfer-Encoding", b"xchunked"),),
    ((b"Transfer-Encoding", b"gzip, chunked"),),
    ((b"Transfer-Encoding", b"identity"),),
    (),
]
CHUNKED = [
    b"0\r\n\r\n", b"2\r\n{}\r\n0\r\n\r\n", b"2;a=b\r\n{}\r\n0\r\n\r\n", b"2\r\n{}", b"zz\r\n{}\r\n0\r\n\r\n",
    b"ffffffffffffffff\r\n{}", b"2\n{}\n0\n\n", b"2\r\n{}\r\n0\r\nA: b\r\n\r\n", b"2\r\n{}XX0\r\n\r\n", b"\r\n\r\n",
    b"2\r\n{}\r\n0\r\nA b\r\n\r\n", b" 2\r\n{}\r\n0\r\n\r\n", b"0x2\r\n{}\r\n0\r\n\r\n",
]  # fmt: skip
VERSIONS = [b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/0.9", b"", b"http/1.1", b"HTTP/1.1 x", b"FTP/1.1", b"HTTP/1"]

Pair = tuple[bytes, bytes]
HEADERS = st.one_of(
    st.tuples(st.just(b"Accept"), st.sampled_from(ACCEPTS)),
    st.tuples(st.sampled_from(HEADER_NAMES), ODD),
    st.tuples(st.sampled_from(HEADER_NAMES), st.text(max_size=10).map(lambda text: text.encode("utf-8", "replace"))),
    st.tuples(st.sampled_from(ODD_NAMES), ODD),
).filter(lambda pair: b"\n" not in pair[1] and b"\r" not in pair[1])
HOST: Pair = (b"Host", b"fuzz")
ONE_IN = 64  #: trainings that leave a task behind


@functools.cache
def _bodies_of(index: int) -> st.SearchStrategy[Body]:
    return bodies(ROUTES[index][2] or SEARCHES)


@functools.cache
def _targets_of(index: int) -> st.SearchStrategy[bytes]:
    return targets(ROUTES[index][0])


@st.composite
def _route(draw: st.DrawFn) -> tuple[bytes, bytes, Body | None]:
    """Return a method and a target of an emulated route, and a body if there is reason for one, or none."""
    index = draw(st.integers(0, len(ROUTES)))
    if index == len(ROUTES):
        body = draw(st.one_of(st.none(), _bodies_of(1)))
        return draw(st.sampled_from(METHODS)), draw(garbage()), body
    _, methods, values = ROUTES[index]
    chance = draw(st.integers(0, 15))
    method = draw(st.sampled_from(METHODS if chance == 0 else methods))
    wants = chance != 1 if values else chance <= 2
    return method, draw(_targets_of(index)), draw(_bodies_of(index)) if wants else None


def _content_type(body: Body, chance: int, odd: bytes) -> list[Pair]:
    """Say what a body is: mostly the truth, at times something else or nothing."""
    if chance == 0:
        return []
    return [(b"Content-Type", odd if chance <= 2 else body.content_type)]


@st.composite
def messages(draw: st.DrawFn) -> Message:
    """Return requests, most of which reach a handler."""
    method, target, body = draw(_route())
    headers: list[Pair] = [HOST]
    if body is not None:
        headers += _content_type(body, draw(st.integers(0, 15)), draw(st.sampled_from(CONTENT_TYPES)))
        if body.encoding is not None:
            headers.append((b"Content-Encoding", body.encoding))
    if draw(st.integers(0, 2)) == 0:
        headers += draw(st.lists(HEADERS, min_size=1, max_size=3))
    payload = b"" if body is None else body.payload
    if b"async" in target.lower() and draw(st.integers(0, ONE_IN - 1)):
        target = target.replace(b"async", b"sync")
    broken = draw(st.integers(0, 39))
    if broken == 0:
        return _misframed(draw, Message(method, target, tuple(headers), payload))
    if broken == 1:
        return Message(draw(st.sampled_from(ODD_METHODS)), target, tuple(headers), payload, well_framed=not payload)
    if broken == 2:
        return Message(method, target, tuple(headers), payload, draw(st.sampled_from(VERSIONS)), well_framed=False)
    return Message(method, target, tuple(headers), payload, well_framed=_is_well_framed(headers))


def _misframed(draw: st.DrawFn, message: Message) -> Message:
    framing = draw(st.sampled_from(FRAMINGS))
    chunked = any(value.endswith(b"chunked") for _, value in framing)
    body = draw(st.sampled_from(CHUNKED)) if chunked else message.body
    return Message(message.method, message.target, (*message.headers, *framing), body, well_framed=False)


def _is_well_framed(headers: list[Pair]) -> bool:
    """Say whether the server, too, knows where the request ends; what waits for a word first does not count."""
    names = {name.strip().lower() for name, _ in headers}
    return not names & {b"expect", b"connection", b"upgrade", b"content_length"} and not any(
        name not in HEADER_NAMES for name, _ in headers if name not in (b"Content-Type", b"Content-Encoding", b"Host")
    )
