"""What the lane reads from OpenSearch and makes of it, and how it takes an answer that is odd."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from mlcommons_tasks.lane.answers import LONGEST_SHOWN, MOST_REMEMBERED, Answers
from mlcommons_tasks.lane.link import Answer, Link
from mlcommons_tasks.versions import CURRENT
from mlcommons_tasks.wire.content_encoding import encoded
from mlcommons_tasks.wire.rendering import render_json
from mlcommons_tasks.wire.task_document import render_task

VERSION = "OpenSearch/3.6.0 (opensearch)"
SOURCE = b'{"state":"RUNNING","task_type":"TRAINING","other":"}]} \\" \xc3\xa9","function_name":"KMEANS"}'


def document(task_id: str, source: bytes, more: bytes = b"") -> bytes:
    where = b'{"_index":".plugins-ml-task","_id":"%b","_version":3,"_seq_no":9,"_primary_term":1,' % task_id.encode()
    return where + more + b'"found":true,"_source":' + source + b"}"


def missing(task_id: str) -> bytes:
    return b'{"_index":".plugins-ml-task","_id":"%b","found":false}' % task_id.encode()


def mget(*documents: bytes) -> bytes:
    return b'{"docs":[' + b",".join(documents) + b"]}"


@pytest.fixture
def answers() -> Answers:
    return Answers(CURRENT, VERSION)


def test_a_reply_is_the_rendering_with_opensearchs_headers(answers: Answers) -> None:
    """The head is as gunicorn sends Flask's, the body as the route renders it, compressed if that is asked for."""
    body = render_json(render_task(SOURCE))

    for _ in range(2):
        assert answers.of_source("a", SOURCE, None) == (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\nContent-Length: %d\r\n"
            b"X-OpenSearch-Version: %b\r\n\r\n%b" % (len(body), VERSION.encode(), body)
        )
        packed = encoded(body, "gzip")
        reply = answers.of_source("a", SOURCE, "gzip")
        assert reply is not None
        assert reply.endswith(b"\r\nContent-Encoding: gzip\r\n\r\n" + packed)
        assert b"Content-Length: %d\r\n" % len(packed) in reply
    assert b"X-OpenSearch" not in (Answers(CURRENT, None).of_source("a", SOURCE, None) or b"X-OpenSearch")


def test_a_changed_source_is_rendered_anew(answers: Answers) -> None:
    """What is remembered is of a source, not of a task."""
    for state in ("CREATED", "RUNNING", "COMPLETED", "RUNNING"):
        reply = answers.of_source("a", b'{"state":"%b"}' % state.encode(), None)
        assert reply is not None
        assert json.loads(reply.partition(b"\r\n\r\n")[2])["state"] == state


@pytest.mark.parametrize(
    "source",
    [
        b'{"state":"NO SUCH STATE"}',
        b'{"task_type":"BATCH_PREDICTION","function_name":"REMOTE"}',
        b'{"error":"%b"}' % (b"x" * LONGEST_SHOWN),
    ],
)
def test_a_task_with_more_to_it_is_not_answered_here(answers: Answers, source: bytes) -> None:
    """One that cannot be read, one whose model is looked for, and one that takes long go the usual way."""
    assert answers.of_source("a", source, None) is None
    assert answers.of_source("a", source, None) is None


def test_what_is_remembered_is_bounded(answers: Answers) -> None:
    """So many tasks may be polled as there are."""
    for number in range(MOST_REMEMBERED + 10):
        answers.of_source(str(number), b"{}", None)
    assert len(answers._renderings) == MOST_REMEMBERED


def test_sources_are_found_byte_for_byte(answers: Answers) -> None:
    """A source is what stands between its marks, known before or not; a missing document has none."""
    other = b'{ "a" : [1, {"b":"]}"}] , "state":"CREATED"}'
    payload = mget(document("a", SOURCE), missing("b"), document("c", other, b'"_routing":"r",'), document("d", SOURCE))

    for _ in range(2):
        found = answers.sources_in(payload, ["a", "b", "c", "d"])
        assert found == {"a": SOURCE, "c": other, "d": SOURCE}
        for task_id, source in found.items():
            answers.of_source(task_id, source, None)


def test_a_source_that_begins_like_the_one_before_is_not_taken_for_it(answers: Answers) -> None:
    """A task that was deleted and made again, or grew, is read as it is now."""
    answers.of_source("a", b"{}", None)
    answers.of_source("b", b'{"state":"CREATED"}', None)
    now = {"a": b"{}  ", "b": b'{"state":"CREATED","model_id":"m"}'}

    found = answers.sources_in(mget(document("a", now["a"]), document("b", now["b"])), ["a", "b"])

    assert found == {}, "white space behind a source is odd: the usual way reads it"
    assert answers.sources_in(mget(document("b", now["b"])), ["b"]) == {"b": now["b"]}


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b'{"docs":[]}',
        mget(document("b", SOURCE)),
        mget(b'{"_index":".plugins-ml-task","_id":"a","error":{"type":"index_not_found_exception"}}'),
        mget(document("a", b'{"a":/* a comment */1}')),
        mget(document("a", b'{"a":NOTHING}')),
        mget(document("a", b'{"a":"\xff"}')),
        mget(document("a", SOURCE))[:-30],
    ],
)
def test_what_is_odd_is_not_read(answers: Answers, payload: bytes) -> None:
    """From what is not as expected on, nothing is found."""
    assert answers.sources_in(payload, ["a"]) == {}


def test_what_stands_before_something_odd_is_read(answers: Answers) -> None:
    """One document that only OpenSearch can read keeps those behind it from being read, not those before."""
    payload = mget(document("a", SOURCE), document("b", b"{/**/}"), document("c", SOURCE))

    assert answers.sources_in(payload, ["a", "b", "c"]) == {"a": SOURCE}


def test_where_a_search_goes(answers: Answers) -> None:
    """A plain search has the parameters that the route gives it; one with more to it has no target."""
    target = answers.search_target(b'{"size":10,"_source":["state"]}', "curl")

    assert target is not None
    assert target.startswith("/.plugins-ml-task/_search?format=json&version=true&seq_no_primary_term=true&")
    assert "_source_includes=state&_source_excludes=ui_metadata" in target
    assert "ui_metadata" not in (answers.search_target(b"{}", "OpenSearch Dashboards") or "ui_metadata")
    assert answers.search_target(b'{"query":{"terms":{"a":[%b1]}}}' % (b"1," * 4000), "curl") is not None
    for body in (b"", b"[]", b"{", b'{"pit":{"id":"a"}}', b'{"terminate_after":1}'):
        assert answers.search_target(body, "curl") is None


def test_a_searchs_answer_is_passed_on(answers: Answers) -> None:
    """The bytes are OpenSearch's, and so is its version; what it warns of or gave up on goes the usual way."""
    headers = {"content-type": "application/json; charset=UTF-8", "x-opensearch-version": "OpenSearch/3.8.0"}
    payload = b'{"took":1,"timed_out":false,"terminated_early":true,"hits":{}}'

    assert answers.of_search(payload, headers) == (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\nContent-Length: 38\r\n"
        b'X-OpenSearch-Version: OpenSearch/3.8.0\r\n\r\n{"took":1,"timed_out":false,"hits":{}}'
    )
    assert answers.of_search(payload, {**headers, "warning": "299"}) is None
    assert answers.of_search(payload.replace(b"false", b"true"), headers) is None
    assert answers.of_search(payload, {}) is None


@pytest.fixture
def ends() -> Iterator[tuple[Link, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Link(ours, "a:9200", {"authorization": "Basic x"}), theirs


GOOD = b"HTTP/1.1 200 OK\r\nX-OpenSearch-Version: v\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


def test_a_link_asks_and_reads_in_pieces(ends: tuple[Link, socket.socket]) -> None:
    """An answer is whole when all of it is there, byte by byte if that is how it comes."""
    link, theirs = ends
    for _ in range(2):
        link.ask("POST", "/a/_mget", b"{}")
        assert theirs.recv(65536) == (
            b"POST /a/_mget HTTP/1.1\r\nHost: a:9200\r\nauthorization: Basic x\r\n"
            b"Content-Type: application/json; charset=UTF-8\r\nContent-Length: 2\r\n\r\n{}"
        )
        assert link.receive() is None
        for byte in GOOD[:-1]:
            theirs.sendall(bytes([byte]))
            assert link.receive() is None
        theirs.sendall(GOOD[-1:])
        headers = {"x-opensearch-version": "v", "content-type": "application/json", "content-length": "2"}
        assert link.receive() == Answer(200, headers, b"{}")


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"SSH-2.0\r\n\r\n",
        GOOD + b"H",
        GOOD.replace(b"1.1", b"1.0"),
        GOOD.replace(b"200 OK", b"100 Continue"),
        GOOD.replace(b"content-length: 2", b"transfer-encoding: chunked"),
        GOOD.replace(b"content-length: 2", b"content-length: 2\r\ntransfer-encoding: chunked"),
        GOOD.replace(b"content-length: 2", b"content-length: 2\r\nContent-Length: 2"),
        GOOD.replace(b"content-length: 2", b"content-length: -2"),
        GOOD.replace(b"content-length: 2", b"content-length: 9999999999"),
        GOOD.replace(b"content-length: 2", b"content-length: 2\r\nconnection: close"),
        b"HTTP/1.1 200 OK\r\n" + b"a" * 70_000,
    ],
)
def test_an_unclear_answer_ends_a_link(ends: tuple[Link, socket.socket], said: bytes) -> None:
    """What does not plainly say where it ends is believed in nothing."""
    link, theirs = ends
    link.ask("GET", "/", None)
    theirs.sendall(said)
    theirs.shutdown(socket.SHUT_WR)

    with pytest.raises(OSError, match="it"):
        read_on(link)


def read_on(link: Link) -> None:
    while True:
        assert link.receive() is None
