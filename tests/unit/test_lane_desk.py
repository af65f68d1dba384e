"""The desk, by a loop and a counter of the test's own: who is answered, who is declined, and when."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mlcommons_tasks.lane.answers import Answers
from mlcommons_tasks.lane.desk import MOST_IDS, PAUSE_S, SLOW_POLL_S, SLOW_SEARCH_S, Desk
from mlcommons_tasks.lane.links import PAUSE_S as LINK_PAUSE_S
from mlcommons_tasks.lane.links import Place, places_of
from mlcommons_tasks.store.endpoint import Endpoint
from mlcommons_tasks.store.http1 import Address
from mlcommons_tasks.versions import CURRENT

SOURCE = b'{"state":"RUNNING"}'


class Loop:
    """A loop whose turns and threads are the test's: what is to be done aside is done at once."""

    def __init__(self) -> None:
        self.now = 100.0
        self.watched: dict[socket.socket, Callable[[socket.socket], None]] = {}
        self.answered: list[tuple[Any, bytes]] = []
        self.declined: list[Any] = []

    def watch(self, connection: socket.socket, then: Callable[[socket.socket], None], *, write: bool = False) -> None:
        self.watched[connection] = then

    def unwatch(self, connection: socket.socket) -> None:
        self.watched.pop(connection, None)

    def aside(self, work: Callable[[], object], then: Callable[[object], None]) -> None:
        try:
            found = work()
        except OSError:
            found = None
        then(found)

    def answer(self, caller: Any, reply: bytes) -> None:
        self.answered.append((caller, reply))

    def decline(self, caller: Any) -> None:
        self.declined.append(caller)


class Upstream:
    """An OpenSearch of one connection at a time."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.opened: list[socket.socket] = []
        self.again()

    def asked(self) -> bytes:
        return self.connection.recv(65536)

    def say(self, payload: bytes, status: bytes = b"200 OK") -> None:
        self.connection.sendall(b"HTTP/1.1 %b\r\ncontent-length: %d\r\n\r\n%b" % (status, len(payload), payload))

    def again(self) -> None:
        self.connection = self._listener.accept()[0]
        self.connection.settimeout(5)
        self.opened.append(self.connection)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as found:
        found.settimeout(5)
        yield found


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def desk(loop: Loop, listener: socket.socket) -> Iterator[Desk]:
    place = Place(Address("127.0.0.1", listener.getsockname()[1], None), "/prefix")
    found = Desk(loop, loop, Answers(CURRENT, None), [place], {})
    yield found
    found.close()


@pytest.fixture
def upstream(desk: Desk, listener: socket.socket) -> Iterator[Upstream]:
    found = Upstream(listener)
    yield found
    for connection in found.opened:
        connection.close()


def poll(task_id: str) -> bytes:
    return f"GET /_plugins/_ml/tasks/{task_id} HTTP/1.1\r\nHost: a\r\n\r\n".encode()


SEARCH = (
    b"POST /_plugins/_ml/tasks/_search HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    b"Content-Length: 2\r\n\r\n{}"
)


def hear(loop: Loop) -> None:
    """Do what the loop does when there is something to read."""
    for connection, then in list(loop.watched.items()):
        connection.setblocking(True)
        connection.settimeout(0.5)
        then(connection)


def document(task_id: str) -> bytes:
    where = b'{"_index":"i","_id":"%b","_version":1,"_seq_no":1,"_primary_term":1,' % task_id.encode()
    return where + b'"found":true,"_source":' + SOURCE + b"}"


def test_polls_of_one_turn_share_a_read_begun_after_them(desk: Desk, loop: Loop, upstream: Upstream) -> None:
    """Nothing is asked before the turn ends; who comes while a read is under way waits for the next one."""
    assert desk.take(1, poll("a")) == len(poll("a"))
    assert desk.take(2, poll("b") + b"more") == len(poll("b"))
    assert desk.take(3, poll("a")) == len(poll("a"))
    desk.turn_ends()
    asked = upstream.asked()
    assert asked.startswith(b"POST /prefix/.plugins-ml-task/_mget?preference=mlcommons_tasks HTTP/1.1\r\n")
    assert asked.endswith(b'{"ids":["a","b"]}')
    desk.take(4, poll("a"))
    desk.turn_ends()
    upstream.say(b'{"docs":[' + document("a") + b"," + document("b") + b"]}")
    hear(loop)
    assert [caller for caller, _ in loop.answered] == [1, 2, 3]
    assert all(reply.endswith(b'{"state":"RUNNING","is_async":false}') for _, reply in loop.answered)

    desk.turn_ends()
    asked = upstream.asked()
    assert asked.startswith(b"GET /prefix/.plugins-ml-task/_source/a?preference=mlcommons_tasks HTTP/1.1\r\n")
    upstream.say(SOURCE)
    hear(loop)
    assert [caller for caller, _ in loop.answered] == [1, 2, 3, 4]
    assert (loop.declined, desk.polls) == ([], 4)


def test_a_read_has_so_many_tasks_at_most(desk: Desk, loop: Loop, upstream: Upstream) -> None:
    """More polls than that wait for the next read."""
    for number in range(MOST_IDS + 1):
        desk.take(number, poll(str(number)))
    desk.turn_ends()
    assert upstream.asked().count(b'","') == MOST_IDS - 1
    upstream.say(b'{"docs":[]}')
    hear(loop)
    assert loop.declined == list(range(MOST_IDS))
    desk.turn_ends()
    assert upstream.asked().startswith(b"GET /prefix/.plugins-ml-task/_source/256?")


@pytest.mark.parametrize("status", [b"404 Not Found", b"503 Service Unavailable", b"429 Too Many Requests"])
def test_what_is_no_plain_answer_is_declined(desk: Desk, loop: Loop, upstream: Upstream, status: bytes) -> None:
    """A task that is not there goes the usual way; after any other status all polls do, for a while."""
    desk.take(1, poll("a"))
    desk.turn_ends()
    upstream.say(b"{}", status)
    hear(loop)
    assert (loop.answered, loop.declined) == ([], [1])
    paused = not status.startswith(b"404")
    assert bool(desk.take(2, poll("a"))) != paused
    loop.now += PAUSE_S
    assert desk.take(3, poll("a"))


def test_a_slow_read_is_given_up(desk: Desk, loop: Loop, upstream: Upstream) -> None:
    """Polls wait half a second, those behind them as well; then all go the usual way for a while."""
    desk.take(1, poll("a"))
    desk.turn_ends()
    desk.take(2, poll("b"))
    desk.turn_ends()
    assert desk.patience_s() == SLOW_POLL_S
    desk.give_up_slow()
    assert loop.declined == []
    loop.now += SLOW_POLL_S + 0.01
    assert desk.patience_s() == 0
    desk.give_up_slow()
    assert loop.declined == [1, 2]
    assert desk.take(3, poll("a")) == 0
    assert desk.patience_s() is None
    loop.now += PAUSE_S
    desk.take(4, poll("a"))
    desk.turn_ends()
    desk.turn_ends()
    upstream.again()
    if 4 in loop.declined:  # the link was being opened
        desk.take(5, poll("a"))
        desk.turn_ends()
    assert b"_source/a" in upstream.asked()


def test_a_link_that_breaks_loses_nobody(desk: Desk, loop: Loop, upstream: Upstream) -> None:
    """Who waits for an answer that breaks off goes the usual way."""
    desk.take(1, poll("a"))
    desk.turn_ends()
    upstream.asked()
    upstream.connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
    upstream.connection.close()
    for _ in range(2):
        hear(loop)
    assert loop.declined == [1]


def test_a_link_that_ends_while_idle_is_opened_anew(desk: Desk, loop: Loop, upstream: Upstream) -> None:
    """OpenSearch may close what nobody uses: the next poll goes the usual way or waits, and then all is as before."""
    upstream.connection.close()
    hear(loop)
    assert loop.watched == {}
    desk.take(1, poll("a"))
    desk.turn_ends()
    desk.take(2, poll("a"))
    desk.turn_ends()
    upstream.again()
    assert b"_source/a" in upstream.asked()
    upstream.say(SOURCE)
    hear(loop)
    assert len(loop.answered) + len(loop.declined) == 2
    assert loop.answered


def test_nobody_there(loop: Loop, listener: socket.socket) -> None:
    """Without OpenSearch every poll is declined, and an address is tried once in a while."""
    port = listener.getsockname()[1]
    listener.close()
    tries: list[int] = []
    aside = loop.aside
    loop.aside = lambda work, then: (tries.append(1), aside(work, then))[1]  # type: ignore[method-assign, assignment]
    desk = Desk(loop, loop, Answers(CURRENT, None), [Place(Address("127.0.0.1", port, None), "")], {})
    for number in range(10):
        if desk.take(number, poll("a")):
            desk.turn_ends()
    assert len(tries) == 1
    loop.now += LINK_PAUSE_S
    desk.take(11, poll("a"))
    desk.turn_ends()
    assert len(tries) == 2
    assert loop.answered == []
    desk.close()


def test_searches_go_one_by_one(desk: Desk, loop: Loop, upstream: Upstream) -> None:
    """The first opens a link and may go the usual way; its answer is passed on, a slow one is left to others."""
    first = desk.take(1, SEARCH)
    upstream.again()
    assert first or desk.take(1, SEARCH) == len(SEARCH)
    assert upstream.asked().startswith(b"POST /prefix/.plugins-ml-task/_search?format=json&")
    upstream.connection.sendall(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=UTF-8\r\ncontent-length: 2\r\n\r\n{}"
    )
    hear(loop)
    assert loop.answered[0][1].endswith(b"Content-Length: 2\r\n\r\n{}")
    assert desk.take(2, SEARCH) == len(SEARCH)
    loop.now += SLOW_SEARCH_S + 0.01
    desk.give_up_slow()
    assert loop.declined == [2]
    assert desk.take(3, SEARCH) == 0
    assert desk.take(4, poll("a")), "polls go on"


@pytest.mark.parametrize(("status", "goes_on"), [(b"200 OK", False), (b"400 Bad Request", True)])
def test_an_odd_answer_to_a_search_is_declined(
    desk: Desk, loop: Loop, upstream: Upstream, status: bytes, goes_on: bool
) -> None:
    """What OpenSearch refuses is asked again by a thread; where it warns with its answers, all searches go that way."""
    first = desk.take(1, SEARCH)
    upstream.again()
    assert first or desk.take(1, SEARCH)
    upstream.asked()
    upstream.connection.sendall(
        b"HTTP/1.1 %b\r\nWarning: 299 x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}" % status
    )
    hear(loop)
    assert (loop.answered, loop.declined) == ([], [1])
    assert bool(desk.take(2, SEARCH)) == goes_on
    loop.now += PAUSE_S
    assert desk.take(3, SEARCH) or goes_on


def test_places_are_those_of_plain_http() -> None:
    """Links speak no TLS; prefixes and ports are the addresses' own."""
    assert places_of(Endpoint.at("https://a:9200")) == []
    assert places_of(Endpoint.at("http://a:9200/x,http://b/x")) == [
        Place(Address("a", 9200, None), "/x"),
        Place(Address("b", 80, None), "/x"),
    ]
