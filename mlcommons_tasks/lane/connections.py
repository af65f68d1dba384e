"""gunicorn's threaded worker, whose loop reads: a thread sees a connection once a whole request is there.

So neither idle connections nor slow senders cost a thread, and what the desk answers needs none either.
"""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from gunicorn.http.errors import LimitRequestHeaders
from gunicorn.workers import gthread

from mlcommons_tasks.lane.arrival import arrival_of
from mlcommons_tasks.lane.desk import Desk

#: Takes note of a request and its reply: the caller's address, both as they were on the wire, milliseconds.
Note = Callable[[str, bytes, bytes, float], None]
RECEIVED = 64 * 1024  #: bytes that are read at once
MOST_BEHIND = 256 * 1024  #: bytes that a caller may send while an answer is under way
MOST_KEPT = 64 * 1024 * 1024  #: bytes of bodies that are waited for, of all callers together
MOST_DRAINED = 64 * 1024  #: bytes that are read of a caller who is answered for good
ACCEPTED_AT_ONCE = 64
LINGER_S = 2.0
SWEEP_S = 1.0
NOTIFY_S = 1.0


class Caller(gthread.TConn):  # type: ignore[misc]  # gunicorn has no types
    """A connection, and what of its bytes was not used yet."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.data: bytes | bytearray = b""  #: from the first byte of the request in hand on
        self.wanted: int | None = None  #: bytes of that request, once that is known
        self.taken = 0  #: bytes of a request that the desk has in hand
        self.taken_at = 0.0  #: since when, by `time.monotonic`
        self.unsent = b""  #: of a reply
        self.watched = False
        self.ended = False  #: its sender says no more
        self.closing = False
        self.drained = 0
        self.refused: Exception | None = None


class LoopWorker(gthread.ThreadWorker):  # type: ignore[misc]  # likewise
    """Watches connections and gives whole requests to threads, or to a desk if there is one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.now = time.monotonic()
        self.desk: Desk | None = None
        self.journal: Note | None = None  #: told of every request that the desk answers
        self._callers: set[Caller] = set()
        self._kept = 0
        self._swept = self._notified = 0.0
        self._is_ssl, self._keepalive_s = bool(self.cfg.is_ssl), float(self.cfg.keepalive)  # which cost time to ask
        #: threads of their own for bodies that are read as they come; none is started before it is needed
        self._streams = ThreadPoolExecutor(self.cfg.threads, thread_name_prefix="streams")

    # what the desk and its links need of a loop

    def watch(self, connection: socket.socket, then: Callable[[socket.socket], None], *, write: bool = False) -> None:
        """Call `then` in each turn in which there is something to read, or with `write` room to send instead."""
        self.poller.register(connection, selectors.EVENT_WRITE if write else selectors.EVENT_READ, then)

    def unwatch(self, connection: socket.socket) -> None:
        """Call nobody for a connection any more."""
        with contextlib.suppress(KeyError, ValueError, OSError):
            self.poller.unregister(connection)

    def aside(self, work: Callable[[], object], then: Callable[[object], None]) -> None:
        """Do `work` in a thread, and call `then` in the loop with what it returned, None if it failed."""

        def done(future: Future[object]) -> None:
            failed = future.cancelled() or future.exception() is not None
            self.method_queue.defer(then, None if failed else future.result())

        self.tpool.submit(work).add_done_callback(done)

    def answer(self, caller: Caller, reply: bytes) -> None:
        """Send a reply to a caller, and look at what they sent behind the request."""
        if self.journal is not None:
            took_in_millis = (time.monotonic() - caller.taken_at) * 1000
            self.journal(caller.client[0], bytes(caller.data[: caller.taken]), reply, took_in_millis)
        try:
            sent = caller.sock.send(reply)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self._drop(caller)
            return
        if sent < len(reply):
            caller.unsent = reply[sent:]
            self._unwatch(caller)
            self.watch(caller.sock, partial(self._on_writable, caller), write=True)
            caller.watched = True
            return
        self._answered(caller)

    def decline(self, caller: Caller) -> None:
        """Let a thread answer a caller's request."""
        caller.taken = 0
        self._hand_over(caller)

    # the loop

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wait for events and see to each, and then to what they have in common."""
        if self.desk is not None and (patience_s := self.desk.patience_s()) is not None:
            timeout = min(timeout, patience_s)
        try:
            events = self.poller.select(timeout if self.alive else min(timeout, 0.1))
        except InterruptedError:
            return
        self.now = time.monotonic()
        for key, _ in events:
            try:
                key.data(key.fileobj)
            except Exception:  # of one connection; the others' loop goes on
                self.log.exception("a connection broke the loop's turn")
        if self.desk is not None:
            self.desk.turn_ends()
            self.desk.give_up_slow()

    def accept(self, listener: Any) -> None:
        """Take the connections that wait to be, a few at a time."""
        for _ in range(ACCEPTED_AT_ONCE):
            if self.nr_conns >= self.worker_connections:
                return
            try:
                connection, address = listener.accept()
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    self.log.warning("no more connections can be opened: %s", error.strerror)
                    return
                if error.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                    raise
                return
            caller = Caller(self.cfg, connection, address, listener.getsockname())
            self.nr_conns += 1
            self._callers.add(caller)
            self._wait_for(caller)

    def _wait_for(self, caller: Caller) -> None:
        """Wait for a caller's next bytes."""
        self._heard_of(caller)
        self._watch(caller)

    def _heard_of(self, caller: Caller) -> None:
        caller.timeout = self.now + (self._keepalive_s if self.alive else LINGER_S)

    def _watch(self, caller: Caller) -> None:
        self.watch(caller.sock, partial(self._on_readable, caller))
        caller.watched = True

    def _unwatch(self, caller: Caller) -> None:
        if caller.watched:
            caller.watched = False
            self.unwatch(caller.sock)

    def _on_readable(self, caller: Caller, connection: socket.socket) -> None:
        if not caller.watched:  # it was an event of this turn, and was seen to already
            return
        if self._is_ssl and not caller.closing:
            self._hand_over(caller)
            return
        try:
            data = connection.recv(RECEIVED)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data, caller.data = b"", caller.data if caller.taken else b""
        if caller.closing:
            caller.drained += len(data)
            if not data or caller.drained > MOST_DRAINED:
                self._drop(caller)
        elif caller.taken:
            self._came_behind(caller, data)
        elif data:
            self._heard_of(caller)
            caller.data = caller.data + data if caller.data else data
            self._consider(caller)
        elif caller.data:
            self._hand_over(caller)  # the parser meets the end
        else:
            self._drop(caller)

    def _came_behind(self, caller: Caller, data: bytes) -> None:
        """Keep what comes while a reply is under way."""
        caller.data += data
        if not data:
            caller.ended = True
        if not data or len(caller.data) > MOST_BEHIND:
            self._unwatch(caller)

    def _on_writable(self, caller: Caller, connection: socket.socket) -> None:
        if not caller.watched:
            return
        try:
            sent = connection.send(caller.unsent)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._drop(caller)
            return
        self._heard_of(caller)
        caller.unsent = caller.unsent[sent:]
        if not caller.unsent:
            self._unwatch(caller)
            self._answered(caller)

    def _answered(self, caller: Caller) -> None:
        caller.data = caller.data[caller.taken :]
        caller.taken = 0
        if caller.ended:
            if caller.data:
                self._hand_over(caller)
            else:
                self._drop(caller)
            return
        if not caller.watched:
            self._watch(caller)
        if caller.data:
            self._consider(caller)

    def _consider(self, caller: Caller) -> None:
        """See whether a request is there, and who answers it."""
        if caller.wanted is not None and len(caller.data) < caller.wanted:
            return
        data = bytes(caller.data)
        whole, self._kept = caller.wanted is not None, self._kept - (caller.wanted or 0)
        caller.wanted = None
        if self.desk is not None and self.alive:
            caller.taken = self.desk.take(caller, data)
            if caller.taken:
                caller.data, caller.taken_at = data, self.now
                return
        arrival = arrival_of(data)
        if whole or arrival.ready:
            caller.refused = LimitRequestHeaders("all headers together") if arrival.too_long else None
            self._hand_over(caller, streams=arrival.streams)
        elif arrival.length is not None:
            if self._kept + arrival.length > MOST_KEPT:
                self._hand_over(caller, streams=True)
                return
            caller.wanted, caller.data = arrival.length, bytearray(data)
            self._kept += arrival.length

    def _hand_over(self, caller: Caller, *, streams: bool = False) -> None:
        """Let a thread answer what is there."""
        self._unwatch(caller)
        self._kept -= caller.wanted or 0
        caller.wanted = None
        pool = self._streams if streams else self.tpool
        future = pool.submit(self.handle, caller)
        future.add_done_callback(lambda done: self.method_queue.defer(self.finish_request, caller, done))

    def handle(self, caller: Caller) -> Any:
        """Answer a request, in a thread."""
        caller.data_ready = True
        if caller.data and not self._is_ssl:
            caller.init()
            caller.parser.unreader.unread(bytes(caller.data))
            caller.data = b""
        if caller.refused is not None:
            caller.sock.setblocking(True)
            self.handle_error(None, caller.sock, caller.client, caller.refused)
            return False
        return super().handle(caller)

    def finish_request(self, caller: Caller, done: Future[Any]) -> None:
        """Wait for the caller's next request, or let the connection end."""
        try:
            keep = done.result() if not done.cancelled() else False
            if not keep:
                self._let_go(caller)
                return
            caller.sock.setblocking(False)
            buffered = caller.parser.unreader.take_buffered()
            if buffered and self._is_ssl:
                caller.parser.unreader.unread(buffered)
                self._hand_over(caller)
                return
            caller.data = buffered
            self._wait_for(caller)
            if buffered:
                self._consider(caller)
        except Exception:
            self._drop(caller)

    def _let_go(self, caller: Caller) -> None:
        """End a connection so that its last answer arrives: what still comes is read for a while."""
        try:
            caller.sock.setblocking(False)
            caller.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(caller)
            return
        caller.closing = True
        self._watch(caller)
        caller.timeout = self.now + LINGER_S

    def _drop(self, caller: Caller) -> None:
        """Close a connection; doing so again does nothing."""
        if caller not in self._callers:
            return
        self._callers.remove(caller)
        self._unwatch(caller)
        self._kept -= caller.wanted or 0
        self.nr_conns -= 1
        caller.close()

    # what gunicorn's own loop calls

    def notify(self) -> None:
        """Say that the loop goes on, often enough for the master."""
        if self.now >= self._notified + NOTIFY_S or not self.alive:
            self._notified = self.now
            super().notify()

    def is_parent_alive(self) -> bool:
        """Look for the master, as often as it is told that the loop goes on."""
        return self.now != self._notified or bool(super().is_parent_alive())

    def murder_keepalived(self, force: bool = False) -> None:
        """Close the connections that were silent for too long, or all that wait."""
        if not force and self.alive and self.now < self._swept + SWEEP_S:
            return
        now = self._swept = time.monotonic()
        waiting = [caller for caller in self._callers if caller.watched and (not caller.taken or caller.unsent)]
        for caller in waiting:
            if force or caller.timeout < now:
                self._drop(caller)

    def murder_pending(self) -> None:
        """Do nothing: who has sent nothing yet waits like everybody."""

    def _cap_keepalive(self, deadline: float) -> None:
        for caller in self._callers:
            if caller.timeout is not None:
                caller.timeout = min(caller.timeout, deadline)
