"""What each fault does to an answer, seen from a socket: under gunicorn with our worker, and under werkzeug."""

from __future__ import annotations

import gzip
import http.client
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mlcommons_tasks.emulation.entries import MOST_RESPONSE, Answer
from mlcommons_tasks.emulation.faults import Effect, Fault
from mlcommons_tasks.errors import StoreUnavailable
from mlcommons_tasks.rest.fault_effects import apply, error_of
from tests.faulty_application import VERSION, Server, under_gunicorn, under_werkzeug


@pytest.fixture(scope="module", params=[under_gunicorn, under_werkzeug], ids=["gunicorn", "werkzeug"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """The application with faults, under either server."""
    with request.param() as running:
        yield running


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 418])
def test_a_status_comes_in_the_envelope(server: Server, status: int) -> None:
    """A refusal is OpenSearch's envelope with the status in it, and says whose request it was."""
    response, body = server.get("/whole", {"status": status}, X_Opaque_Id="me")

    error = json.loads(body)
    assert response.status == error["status"] == status
    assert error["error"]["type"] == error["error"]["root_cause"][0]["type"]
    assert error["error"]["reason"]
    assert response.headers["X-Opaque-Id"] == "me"
    assert response.headers["X-OpenSearch-Version"] == VERSION
    assert response.headers["Content-Type"] == "application/json; charset=UTF-8"
    assert int(response.headers["Content-Length"]) == len(body)
    assert "Retry-After" not in response.headers


def test_a_status_is_told_otherwise(server: Server) -> None:
    """Type, reason and the time to wait are as the fault says."""
    effect = {"status": 429, "type": "circuit_breaking_exception", "reason": "too much", "retry_after": 7}
    response, body = server.get("/whole", effect)

    error = json.loads(body)["error"]
    assert (error["type"], error["reason"], error["bytes_limit"]) == (
        "circuit_breaking_exception",
        "too much",
        1020054732,
    )
    assert response.headers["Retry-After"] == "7"


def test_a_refused_head_has_no_body(server: Server) -> None:
    """HEAD is refused with the length that GET's refusal has, and no body."""
    whole_answer = server.bytes_of("/whole", {"status": 503})
    head = server.bytes_of("/whole", {"status": 503}, method="HEAD")

    assert head.endswith(b"\r\n\r\n")
    length = b"Content-Length: %d\r\n" % len(whole_answer.partition(b"\r\n\r\n")[2])
    assert length in head
    assert length in whole_answer


@pytest.mark.parametrize(
    ("path", "accept", "begins"),
    [
        ("/whole", "application/yaml", b"---\nerror:"),
        ("/whole?format=yaml", "*/*", b"---\nerror:"),
        ("/whole?pretty", "*/*", b'{\n  "error"'),
        ("/whole?pretty=%zz", "*/*", b'{"error"'),
    ],
)
def test_a_refusal_is_in_the_format_that_is_wanted(server: Server, path: str, accept: str, begins: bytes) -> None:
    """A refusal is rendered as every other answer, whatever is wrong with the request."""
    assert server.get(path, {"status": 503}, Accept=accept)[1].startswith(begins)


def test_defaults_are_opensearchs_words() -> None:
    """A status alone is told as OpenSearch tells it; a reason that is given counts, be it empty."""
    told = {status: error_of(Effect(status=status)) for status in (429, 500, 502, 503, 504, 507)}

    assert {status: error.type for status, error in told.items()} == {
        429: "rejected_execution_exception",
        500: "exception",
        502: "connect_transport_exception",
        503: "cluster_block_exception",
        504: "receive_timeout_transport_exception",
        507: "status_exception",
    }
    assert told[503].reason == "blocked by: [SERVICE_UNAVAILABLE/2/no cluster-manager];"
    assert told[507].reason == "Insufficient Storage"
    assert error_of(Effect(status=503, reason="")).reason == ""


def test_a_delay_goes_on_with_the_answer(server: Server) -> None:
    """The answer comes as it is, after the delay."""
    response, body = server.get("/whole", {"delay": {"fixed": 12.5}})

    assert response.status == 200
    assert json.loads(body)["state"] == "RUNNING"
    assert json.loads(server.get("/journal")[1])["slept"][-1] == 12.5


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_dropped_connection_ends_without_a_byte(server: Server, method: str) -> None:
    """The connection is closed in peace, body or not, also if the client would keep it; the journal has it at once."""
    path = f"/echo?drop={method}"
    assert server.bytes_of(path, {"drop": True}, method=method, body=b"x" * 200_000 if method == "POST" else b"") == b""

    [entry] = server.entries(path)
    assert (entry.status, entry.dropped, entry.fault) == (None, True, "f")

    with server.connect() as connection:
        connection.sendall(b'GET /whole HTTP/1.1\r\nHost: x\r\nX-Effect: {"drop": true}\r\n\r\n')
        assert connection.recv(1) == b""


@pytest.mark.parametrize("body", [b"", b"x" * 1000])
def test_a_reset_connection_is_reset(server: Server, body: bytes) -> None:
    """The client's socket says that the connection was reset, and the journal has it at once."""
    path = f"/echo?reset={len(body)}"
    with pytest.raises(ConnectionResetError):
        server.bytes_of(path, {"reset": True}, method="POST" if body else "GET", body=body)

    [entry] = server.entries(path)
    assert (entry.status, entry.dropped) == (None, True)
    assert server.get("/whole")[0].status == 200


@pytest.mark.parametrize("after", [0, 3, 5, 7])
def test_a_truncated_body_ends_early(server: Server, after: int) -> None:
    """The head tells of the whole body, of which only the first bytes come."""
    path = f"/whole?truncate={after}"
    head, _, body = server.bytes_of(path, {"truncate": {"after": after}}).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 200 OK")
    assert body == b'{"number'[:after]
    announced = [line for line in head.split(b"\r\n") if line.startswith(b"Content-Length: ")]
    assert int(announced[0][16:]) > 20
    [entry] = server.entries(path)
    assert (entry.status, entry.dropped, entry.response_body) == (200, True, b'{"number'[:after])
    with pytest.raises(http.client.IncompleteRead):
        server.get(path, {"truncate": {"after": after}})


def test_a_truncated_stream_has_no_end(server: Server) -> None:
    """A body without a length is cut before the chunk that would end it, or before the connection's end."""
    answer = server.bytes_of("/stream", {"truncate": {"after": 7}})

    assert b'{"num' in answer
    assert b"RUNNING" not in answer
    assert not answer.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("path", ["/whole", "/stream"])
def test_a_body_that_is_shorter_comes_whole(server: Server, path: str) -> None:
    """A body with no more bytes than the fault lets through is as it is."""
    response, body = server.get(path, {"truncate": {"after": 1000}})

    assert response.status == 200
    assert json.loads(body)["state"] == "RUNNING"
    assert server.get("/empty", {"truncate": {"after": 0}})[0].status == 204
    assert server.get("/whole", {"truncate": {"after": 0}}, method="HEAD")[0].status == 200


@pytest.mark.parametrize("path", ["/whole", "/stream"])
def test_a_malformed_body_is_no_json(server: Server, path: str) -> None:
    """The body comes to its end, as long as it says, and cannot be read."""
    response, body = server.get(path, {"malformed": True})

    assert response.status == 200
    assert b"RUNNING" in body
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(body)


def test_a_malformed_packed_body_cannot_be_unpacked(server: Server) -> None:
    """A compressed body is spoilt as well."""
    with pytest.raises(gzip.BadGzipFile):
        gzip.decompress(server.get("/gzip", {"malformed": True})[1])


def numbers(server: Server, path: str, behind: int, times: int) -> list[int]:
    """Return the numbers that reads show, less the first one."""
    found = [json.loads(_unpacked(server.get(path, {"stale": {"reads": behind}})[1]))["number"] for _ in range(times)]
    return [number - found[0] for number in found]


def _unpacked(body: bytes) -> bytes:
    return gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body


@pytest.mark.parametrize("path", ["/whole", "/stream", "/gzip"])
@pytest.mark.parametrize("behind", [1, 2])
def test_a_stale_answer_is_so_many_reads_behind(server: Server, path: str, behind: int) -> None:
    """Reads go on behind the real answers, and never backwards."""
    path = f"{path}?stale={behind}"
    assert numbers(server, path, behind, 5) == [max(0, read - behind) for read in range(5)]

    entries = server.entries(path)
    assert [entry.instead_of is None for entry in entries] == [True, False, False, False, False]


def test_a_stale_answer_is_of_the_same_request(server: Server) -> None:
    """The body counts, and an answer is given back with the asker's own id."""
    effect = {"stale": {"reads": 1}}
    for body, opaque_id in ((b'{"a":1}', "one"), (b'{"a":2}', "two"), (b'{"a":1}', "three")):
        more = f"X-Opaque-Id: {opaque_id}\r\n"
        answer = server.bytes_of("/echo?same", effect, method="POST", body=body, more=more)
        assert answer.endswith(body)


def test_a_stale_head_tells_the_length(server: Server) -> None:
    """A HEAD's stale answer has the length that the first one had, and no body."""
    heads = [server.bytes_of("/whole?head", {"stale": {"reads": 1}}, method="HEAD") for _ in range(2)]
    lengths = [[line for line in head.split(b"\r\n") if line.startswith(b"Content-Length: ")] for head in heads]

    assert lengths[0] == lengths[1]
    assert len(lengths[0]) == 1
    assert heads[1].endswith(b"\r\n\r\n")


def test_an_earlier_answer_that_cannot_be_read() -> None:
    """Where nobody can say what was answered before, the real answer is shown."""
    fault = Fault.read({"name": "f", "effect": {"stale": {"reads": 1}}})

    def earlier(_: int) -> Answer:
        raise StoreUnavailable("away")

    log: list[str] = []
    answer = apply(fault, 1, _environ(), lambda *_: None, _logged(log), earlier=earlier)
    assert b"".join(answer) == b"123"


def test_an_answer_too_long_to_keep_is_never_stale(server: Server) -> None:
    """Of a long answer the real one is shown, whole."""
    first, second = (json.loads(server.get("/long", {"stale": {"reads": 1}})[1]) for _ in range(2))

    assert len(first) == len(second) == MOST_RESPONSE + 1
    assert first[-1] < second[-1]


def test_pieces_pass_one_by_one() -> None:
    """A delayed, cut or spoilt answer is not read ahead, and is closed when it is not wanted any more."""
    for effect in ({"delay": {"fixed": 0}}, {"truncate": {"after": 100}}, {"malformed": True}):
        log: list[str] = []
        fault = Fault.read({"name": "f", "effect": effect})
        answer = apply(fault, 1, _environ(), lambda *_: None, _logged(log), sleep=lambda _: None)
        pieces = iter(answer)

        assert next(pieces)
        assert log == ["1"]
        assert next(pieces)
        assert log == ["1", "2"]
        answer.close()  # type: ignore[attr-defined]
        assert log == ["1", "2", "closed"]


def _environ() -> dict[str, Any]:
    return {"REQUEST_METHOD": "GET", "RAW_URI": "/x", "wsgi.input": None}


def _logged(log: list[str]) -> Callable[..., Any]:
    class Answering:
        def __iter__(self) -> Iterator[bytes]:
            for number in ("1", "2", "3"):
                log.append(number)
                yield number.encode()

        def close(self) -> None:
            log.append("closed")

    def app(_environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return Answering()

    return app
