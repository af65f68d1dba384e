"""Recording: one entry of each request, kept before its answer is whole, whatever becomes of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import Any

import pytest

from mlcommons_tasks.emulation.entries import MOST_REQUEST, Entry
from mlcommons_tasks.rest.journal_edge import BODY, FAULT, TASK_ID, recorded

SECRET = "hunter2"
TARGET = "/_plugins/_ml/tasks/abc"


class Answering:
    """An application that answers in pieces, and says when it was closed."""

    def __init__(
        self, pieces: Iterable[Any], headers: list[tuple[str, str]], status: str = "200 OK", early: bool = False
    ) -> None:
        self.pieces = pieces
        self.headers = headers
        self.status = status
        self.early = early
        self.closed = False

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        write = start_response(self.status, self.headers)
        if self.early:
            write(b"")
        return self

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, BaseException):
                raise piece
            yield piece

    def close(self) -> None:
        self.closed = True


def served(app: Any, kept: list[Entry], **environ: Any) -> Any:
    plain = {"REQUEST_METHOD": "GET", "RAW_URI": TARGET, "REMOTE_ADDR": "1.2.3.4", "wsgi.input": BytesIO()}
    named = {"HTTP_X_OPAQUE_ID": "me", "HTTP_AUTHORIZATION": SECRET}

    def start(*_: Any) -> Any:
        return lambda _piece: None

    return recorded(app, {**plain, **named, **environ}, start, kept.append, namespace="n", now_in_millis=lambda: 5)


@pytest.mark.parametrize("early", [False, True])
def test_an_entry_is_kept_before_the_last_piece(early: bool) -> None:
    """The entry is there when the server is given the piece with which the answer is whole, and not before."""
    kept: list[Entry] = []
    answer = iter(served(Answering([b"", b"ab", b"cd"], [("Content-Length", "4")], early=early), kept))

    assert [next(answer), next(answer), list(kept)] == [b"", b"ab", []]
    assert next(answer) == b"cd"
    [one] = kept
    assert (one.response_body, one.dropped, one.at, one.namespace, one.address) == (b"abcd", False, 5, "n", "1.2.3.4")
    assert one.took_in_millis >= 0
    assert SECRET not in repr(one)
    answer.close()
    assert len(kept) == 1


def test_a_stream_is_kept_at_its_end() -> None:
    """Of an answer without a length the entry is there before its end is; no piece waits for another."""
    kept: list[Entry] = []
    answer = iter(served(Answering([b"ab", b"cd"], []), kept))

    assert [next(answer), next(answer), kept] == [b"ab", b"cd", []]
    assert next(answer, None) is None
    assert (kept[0].response_body, kept[0].dropped) == (b"abcd", False)


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", "200 OK"), ("GET", "204 No Content"), ("GET", "304 Not Modified")]
)
def test_an_answer_without_a_body_is_kept_with_its_head(method: str, status: str) -> None:
    """Where the head is all there is, the entry is there before the head goes out."""
    kept: list[Entry] = []
    answer = served(Answering([b""], [("Content-Length", "9")], status, early=True), kept, REQUEST_METHOD=method)

    assert (len(kept), kept[0].dropped, kept[0].status) == (1, False, int(status[:3]))
    answer.close()


@pytest.mark.parametrize("pieces", [[b"ab", ConnectionResetError()], [b"ab"]])
def test_an_answer_that_breaks_off(pieces: list[Any]) -> None:
    """An answer that breaks off, or ends too early, is kept with what there was."""
    kept: list[Entry] = []
    with pytest.raises(ConnectionResetError) if len(pieces) > 1 else contextlib.nullcontext():
        list(served(Answering(pieces, [("Content-Length", "4")]), kept))

    assert (kept[0].response_body, kept[0].dropped, kept[0].status) == (b"ab", True, 200)


def test_an_application_that_raises() -> None:
    """Also what is never answered is kept, and raised on."""
    kept: list[Entry] = []

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        environ[FAULT] = "f"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        served(app, kept)
    assert (kept[0].status, kept[0].dropped, kept[0].fault) == (None, True, "f")


def test_a_caller_who_goes_away() -> None:
    """If the server closes an answer in the middle, it was not read to its end; the application is told."""
    kept: list[Entry] = []
    app = Answering([b"ab", b"cd"], [("Content-Length", "4")])
    answer = served(app, kept)
    next(iter(answer))
    answer.close()

    assert (kept[0].response_body, kept[0].dropped) == (b"ab", True)
    assert app.closed


def test_a_request_body_is_kept_as_it_is_read() -> None:
    """Of a body the first bytes are kept, of those that were read, by whatever way; nothing is read for that."""
    body = b"line 1\nline 2\n" + b"x" * (2 * MOST_REQUEST)
    for read, length in (
        (lambda stream: stream.read(), len(body)),
        (lambda stream: [stream.readline(), stream.read(1), stream.read(-1)], len(body)),
        (list, len(body)),
        (lambda stream: stream.readlines(), len(body)),
        (lambda stream: stream.read(10), 10),
        (lambda stream: None, 0),
    ):
        kept: list[Entry] = []
        stream = BytesIO(body)

        def app(environ: dict[str, Any], start_response: Any, read: Any = read) -> Any:
            read(environ["wsgi.input"])
            assert environ[BODY].first == body[: min(environ[BODY].length, MOST_REQUEST)]
            environ[TASK_ID] = "t"
            return Answering([], [("Content-Length", "0")])(environ, start_response)

        list(served(app, kept, **{"wsgi.input": stream, "CONTENT_LENGTH": str(len(body)), "REQUEST_METHOD": "POST"}))
        assert kept[0].request_body == body[: min(length, MOST_REQUEST)]
        assert kept[0].request_truncated
        assert kept[0].task_id == "t"
        assert stream.tell() == length
