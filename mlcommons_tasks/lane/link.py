"""A connection to OpenSearch that never waits: what is there is sent and read, the rest when the loop says so.

Stricter than `store/http1`: an answer without one certain length ends the link.
"""

from __future__ import annotations

import functools
import re
import socket
from typing import NamedTuple

from mlcommons_tasks.store.http1 import HEADER_LINES, Broken

PIECE = 256 * 1024
LONGEST_HEAD = 64 * 1024
LONGEST_ANSWER = 64 * 1024 * 1024

_HEAD = re.compile(rb"HTTP/1\.1 ([2-5][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?\r\n(" + HEADER_LINES + rb")\r\n")
_LENGTH = re.compile(r"[0-9]{1,9}")


class Answer(NamedTuple):
    """A whole answer; the names of its headers are in lower case."""

    status: int
    headers: dict[str, str]
    payload: bytes


class Link:
    """One connection, on which one request at a time is under way."""

    def __init__(self, connection: socket.socket, authority: str, headers: dict[str, str]) -> None:
        """Take over a connection; `headers` go with each request."""
        connection.setblocking(False)
        self.socket = connection
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._always = f" HTTP/1.1\r\nHost: {authority}\r\n{lines}".encode("latin-1")
        self._unsent = b""
        self._pieces: list[bytes] = []
        self._length = 0
        self._wanted = 0
        self._head: tuple[int, dict[str, str], int] | None = None

    @property
    def has_more_to_send(self) -> bool:
        """Whether the connection did not take all of the request yet."""
        return bool(self._unsent)

    def ask(self, method: str, target: str, payload: bytes | None) -> None:
        """Send a request, as much of it as goes.

        Raises:
            OSError: the connection is gone.
        """
        body = b"\r\n"
        if payload is not None:
            body = b"Content-Type: application/json; charset=UTF-8\r\nContent-Length: %d\r\n\r\n%b" % (
                len(payload),
                payload,
            )
        self._pieces, self._length, self._wanted, self._head = [], 0, 0, None
        self._unsent = f"{method} {target}".encode("latin-1") + self._always + body
        self.send_more()

    def send_more(self) -> None:
        """Send what is left of the request.

        Raises:
            OSError: the connection is gone.
        """
        try:
            self._unsent = self._unsent[self.socket.send(self._unsent) :]
        except BlockingIOError:
            return

    def receive(self) -> Answer | None:
        """Read what is there; return the answer once it is whole.

        Raises:
            OSError: the connection is gone, or what came is nothing clear.
        """
        try:
            data = self.socket.recv(PIECE)
        except BlockingIOError:
            return None
        if not data:
            raise Broken("it ended the connection")
        self._pieces.append(data)
        self._length += len(data)
        if self._head is None:
            self._read_head()
        if self._head is None or self._length < self._wanted:
            return None
        if self._length > self._wanted or self._unsent:
            raise Broken("it said more than was asked")
        status, headers, start = self._head
        payload = data[start:] if len(self._pieces) == 1 else b"".join(self._pieces)[start:]
        self._pieces = []
        return Answer(status, headers, payload)

    def _read_head(self) -> None:
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces = [data]
        end = data.find(b"\r\n\r\n") + 4
        if end < 4:
            if len(data) > LONGEST_HEAD:
                raise Broken("its answer has too long a head")
            return
        status, headers, length = _head_of(data[:end])
        self._head = status, headers, end
        self._wanted = end + length

    def close(self) -> None:
        """Close it, whatever is under way."""
        self.socket.close()


@functools.lru_cache(256)
def _head_of(head: bytes) -> tuple[int, dict[str, str], int]:
    """Return an answer's status, its headers and the length of its body; heads are much alike, and remembered."""
    found = _HEAD.fullmatch(head)
    if found is None:
        raise Broken("its answer is no HTTP")
    pairs = [line.partition(":") for line in found[2].decode("latin-1").split("\r\n")[:-1]]
    headers = {name.lower(): value.strip(" \t") for name, _, value in pairs}
    length = headers.get("content-length", "")
    if len(headers) < len(pairs) or not _LENGTH.fullmatch(length) or headers.keys() & {"transfer-encoding"}:
        raise Broken("its answer does not say plainly where it ends")
    if int(length) > LONGEST_ANSWER or headers.get("connection", "keep-alive").lower() != "keep-alive":
        raise Broken("its answer is none for a link")
    return int(found[1]), headers, int(length)
