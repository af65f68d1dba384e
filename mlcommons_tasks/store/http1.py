"""One connection to OpenSearch: HTTP/1.1 as bytes, nothing in them changed, nothing unclear in an answer believed.

Every target and header is sent as it was given, and every header comes as it was sent. Where an answer ends must be
beyond doubt: what follows it on the connection would be taken for the next one. Source: RFC 9112.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

CONNECT_S = 5.0
LONGEST_HEAD = 1024 * 1024
LONGEST_CHUNK_LINE = 4096
PIECE = 128 * 1024
WITHOUT_BODY = frozenset({204, 304})
MOST_INTERIM = 20  #: answers of 1xx before the one that counts

#: A pattern of the header lines of a request or an answer, each with its end.
HEADER_LINES = rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n)*"
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?")
_HEADER_LINES = re.compile(HEADER_LINES)
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
_LENGTH = re.compile(r"[0-9]{1,15}")


class Broken(OSError):
    """The connection is of no use any more: it ended too soon, or what came is no HTTP."""


class BodyLost(Exception):
    """A body could not be read to its end, for the reason that is its cause; the connection is closed."""


class ByteStream(Protocol):
    """A body that is read piece by piece."""

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` bytes, none at the end."""
        ...


@dataclass
class Body:
    """A request's body: what was read of it already, and what is still to come, if anything.

    Without a `length` it goes in chunks; `coding` is the whole `Transfer-Encoding` then.
    """

    first: bytes
    rest: ByteStream | None = None
    length: int | None = None
    coding: str = "chunked"

    @property
    def is_whole(self) -> bool:
        """Whether it can be sent again."""
        return self.rest is None

    def framing(self) -> str:
        """Return the header that says where it ends."""
        if self.length is None:
            return f"Transfer-Encoding: {self.coding}\r\n"
        return f"Content-Length: {self.length}\r\n"

    def start(self) -> bytes:
        """Return what is there of it, as it stands on the wire."""
        start = self._framed(self.first) if self.first else b""
        return start + self._end() if self.is_whole else start

    def following(self) -> Iterator[bytes]:
        """Yield what is still to come; what reading it raises is raised."""
        if self.rest is None:
            return
        while piece := self.rest.read(PIECE):
            yield self._framed(piece)
        if end := self._end():
            yield end

    def _end(self) -> bytes:
        return b"0\r\n\r\n" if self.length is None else b""

    def _framed(self, piece: bytes) -> bytes:
        return piece if self.length is not None else b"%x\r\n%b\r\n" % (len(piece), piece)


@dataclass(frozen=True)
class Address:
    """Where to connect, and how."""

    host: str
    port: int
    tls: ssl.SSLContext | None

    @property
    def authority(self) -> str:
        """What the `Host` header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = 443 if self.tls else 80
        return host if self.port == usual else f"{host}:{self.port}"


class Connection:
    """One connection, on which one request follows the other."""

    def __init__(self, address: Address) -> None:
        """Connect.

        Raises:
            OSError: nobody is there, or none who can be trusted.
        """
        raw = socket.create_connection((address.host, address.port), CONNECT_S)
        try:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            tls = address.tls
            self._socket: socket.socket = raw
            if tls is not None:  # an end that TLS did not announce is none
                self._socket = tls.wrap_socket(raw, server_hostname=address.host, suppress_ragged_eofs=False)
        except BaseException:
            raw.close()
            raise
        self._authority = address.authority
        self._left = b""  # read, and not used yet
        self.has_sent = False  #: whether anything of the request in hand may have arrived
        self.idle_since = time.monotonic()

    def is_usable(self) -> bool:
        """Say whether the other side has kept the connection; nothing may have come on it that nobody asked for."""
        try:
            if not _is_readable(self._socket):
                return True
            if not isinstance(self._socket, ssl.SSLSocket):
                return False
            self._socket.settimeout(0)
            try:
                self._socket.recv(1)
            except ssl.SSLWantReadError:
                return True  # only TLS itself had something to say
        except (OSError, ValueError):
            pass
        return False

    def send(
        self,
        method: str,
        target: str,
        headers: Iterable[tuple[str, str]],
        body: Body | None,
        timeout_s: float | None,
    ) -> None:
        """Send a request.

        Raises:
            OSError: the connection did not take all of it; there may be an answer already.
            BodyLost: the body could not be read.
        """
        self.has_sent = False
        self._socket.settimeout(timeout_s)
        lines = [f"{method} {target} HTTP/1.1\r\nHost: {self._authority}\r\n"]
        lines += [f"{name}: {value}\r\n" for name, value in headers]
        lines.append(f"{body.framing()}\r\n" if body else "\r\n")
        head, start = _head_of(lines), body.start() if body else b""
        if len(start) < PIECE:
            head, start = head + start, b""
        self._send_all(head)
        self._send_all(start)
        following = body.following() if body else iter(())
        while piece := self._next(following):
            self._send_all(piece)

    def _next(self, pieces: Iterator[bytes]) -> bytes | None:
        try:
            return next(pieces, None)
        except BaseException as error:
            self.close()
            raise BodyLost from error

    def _send_all(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            sent = self._socket.send(view)
            self.has_sent = True
            view = view[sent:]

    def answer(self, method: str, timeout_s: float | None) -> Answer:
        """Wait for the answer, and return it with its body unread.

        Raises:
            TimeoutError: nothing came in time.
            Broken: the connection ended, or what came cannot be understood.
        """
        self._socket.settimeout(timeout_s)
        for _ in range(MOST_INTERIM):
            answer = Answer(self, method, self._head())
            if answer.status == 101:
                break
            if answer.status >= 200:
                return answer
        raise Broken("it never came to an answer")

    def cut(self) -> None:
        """End a wait that another thread is in."""
        with contextlib.suppress(OSError):  # below TLS, which the other thread is reading
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it, whatever is under way."""
        self._socket.close()

    @property
    def buffered(self) -> int:
        """How many bytes have come that nobody has read."""
        pending = self._socket.pending() if isinstance(self._socket, ssl.SSLSocket) else 0
        return len(self._left) + pending

    def _head(self) -> bytes:
        head, searched = self._left, 0
        while (end := head.find(b"\r\n\r\n", searched)) < 0:
            if len(head) > LONGEST_HEAD:
                raise Broken("its answer has too long a head")
            searched = max(0, len(head) - 3)
            head += self._receive(65536)
        self._left = head[end + 4 :]
        return head[: end + 2]

    def line(self) -> bytes:
        """Return the next line of a body in chunks."""
        while (end := self._left.find(b"\r\n")) < 0:
            if len(self._left) > LONGEST_CHUNK_LINE:
                raise Broken("its answer has too long a line")
            self._left += self._receive(65536)
        line, self._left = self._left[:end], self._left[end + 2 :]
        return line

    def some(self, most: int) -> bytes:
        """Return at least one byte, and at most so many."""
        if self._left:
            piece, self._left = self._left[:most], self._left[most:]
            return piece
        return self._receive(min(most, PIECE))

    def rest(self) -> bytes:
        """Return the next bytes of a body that ends with the connection; none at its end."""
        piece, self._left = self._left, b""
        return piece or self._socket.recv(PIECE)

    def _receive(self, size: int) -> bytes:
        data = self._socket.recv(size)
        if not data:
            raise Broken("it ended the connection")
        return data


class Answer:
    """An answer: its status and headers as they came, and its body, which is read once.

    A body that was read to its end leaves its connection to the next request, by `kept`.
    """

    def __init__(self, connection: Connection, method: str, head: bytes) -> None:
        self._connection = connection
        line, _, lines = head.partition(b"\r\n")
        found = _STATUS_LINE.fullmatch(line)
        if found is None or not _HEADER_LINES.fullmatch(lines):
            raise Broken("its answer is no HTTP")
        self.status = int(found[2])
        self.reason = (found[3] or b"").decode("latin-1")
        pairs = [each.partition(":") for each in lines.decode("latin-1").split("\r\n")[:-1]]
        self.headers = [(name, value.strip(" \t")) for name, _, value in pairs]
        self._length, self._chunked, closes = _framing(self.headers)
        if self._length is not None:  # which may have been said twice
            first = next(pair for pair in self.headers if pair[0].lower() == "content-length")
            self.headers = [pair for pair in self.headers if pair is first or pair[0].lower() != "content-length"]
        self.is_bodiless = method == "HEAD" or self.status in WITHOUT_BODY or self.status < 200
        self._ends_with_connection = not (self.is_bodiless or self._chunked or self._length is not None)
        #: whether the connection may serve again after it
        self.stays = found[1] == b"1" and not closes and not self._ends_with_connection and method != "CONNECT"
        # to what is no HTTP for it Netty says so, and passes over all that comes after it on this connection
        self.stays = self.stays and self.status != HTTPStatus.BAD_REQUEST
        self._done = False
        self._closed = False
        self.kept: Callable[[], None] = lambda: None  #: called when the connection may serve again

    @property
    def is_endless(self) -> bool:
        """Whether it has a body that does not say beforehand how long it is."""
        return not self.is_bodiless and self._length is None

    @property
    def is_there(self) -> bool:
        """Whether the whole body was read with the head, or there is none."""
        if self.is_bodiless:
            return True
        return self._length is not None and self._length <= self._connection.buffered

    def pieces(self) -> Iterator[bytes]:
        """Yield the body as it comes.

        Raises:
            OSError: it broke off.
        """
        try:
            if self.is_bodiless:
                pass
            elif self._chunked:
                yield from self._chunks()
            elif self._length is not None:
                left = self._length
                while left:
                    piece = self._connection.some(left)
                    left -= len(piece)
                    yield piece
            else:
                while piece := self._connection.rest():
                    yield piece
            self._done = True
        finally:
            self.close()

    def read(self) -> bytes:
        """Return the whole body.

        Raises:
            OSError: it broke off.
        """
        return b"".join(self.pieces())

    def close(self) -> None:
        """Be done with it, wherever it is."""
        if self._closed:
            return
        self._closed = True
        if self._done and self.stays and not self._connection.buffered:
            self._connection.idle_since = time.monotonic()
            self.kept()
        else:
            self._connection.close()

    def _chunks(self) -> Iterator[bytes]:
        while True:
            found = _CHUNK_LINE.fullmatch(self._connection.line())
            if found is None:
                raise Broken("its answer has a chunk that is none")
            left = int(found[1], 16)
            if not left:
                break
            while left:
                piece = self._connection.some(left)
                left -= len(piece)
                yield piece
            if self._connection.line():
                raise Broken("its answer has a chunk that is none")
        while self._connection.line():
            pass  # trailers are for one connection


def _head_of(lines: list[str]) -> bytes:
    """Return a request's head, unless something in it is more than it says."""
    head = "".join(lines)
    ends = len(lines) + lines[0].count("\n") - 1 + lines[-1].count("\n") - 1
    if head.count("\n") != ends or head.count("\r") != ends or "\0" in head or lines[0].count(" ") != 3:
        raise ValueError("a line break, a NUL or a space where none may be")
    return head.encode("latin-1")


def _framing(headers: list[tuple[str, str]]) -> tuple[int | None, bool, bool]:
    """Return a body's length, whether it is in chunks, and whether the connection ends after it.

    Raises:
        Broken: it is not certain.
    """
    lengths, codings, closes = set(), [], False
    for name, value in headers:
        lowered = name.lower()
        if lowered == "content-length":
            lengths.add(value)
        elif lowered == "transfer-encoding":
            codings.append(value.lower())
        elif lowered == "connection":
            closes = closes or "close" in [each.strip() for each in value.lower().split(",")]
    if codings and (lengths or codings != ["chunked"]):
        raise Broken("its answer does not say where it ends")
    if len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
        raise Broken("its answer has no certain length")
    return (int(lengths.pop()) if lengths else None), bool(codings), closes


def _is_readable(connection: socket.socket) -> bool:
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))
