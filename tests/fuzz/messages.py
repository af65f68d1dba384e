"""One request as bytes, one answer as it came: a client that tidies nothing up, and never waits for ever."""

from __future__ import annotations

import io
import socket
import time
import zlib
from dataclasses import dataclass, field
from urllib.parse import urlsplit

DEADLINE_S = 20.0  #: until an answer or an end of the connection; nothing that is sent here may wait on purpose
LONGEST_SHOWN = 2_000
BODILESS = frozenset({204, 304})


class HungError(AssertionError):
    """Neither an answer nor an end of the connection came within the deadline."""


@dataclass(frozen=True)
class Message:
    """A request; `target` and the parts of `headers` are sent as they are."""

    method: bytes
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    version: bytes = b"HTTP/1.1"
    #: False: the body's length is not what the headers say, so the sender ends its half of the connection after it
    well_framed: bool = True

    def encoded(self) -> bytes:
        """Return the bytes that are sent."""
        lines = [b" ".join((self.method, self.target, self.version))]
        lines += [b": ".join(pair) for pair in self.headers]
        if self.well_framed and self.body:
            lines.append(b"Content-Length: %d" % len(self.body))
        return b"\r\n".join(lines) + b"\r\n\r\n" + self.body

    def __str__(self) -> str:
        """Give it as a Python literal that can be sent again, cut in the middle if it is very long."""
        sent = self.encoded()
        if len(sent) <= LONGEST_SHOWN:
            return repr(sent)
        half = LONGEST_SHOWN // 2
        return f"{sent[:half]!r} + ({len(sent) - 2 * half} bytes more) + {sent[-half:]!r}; {self!r}"[
            : 4 * LONGEST_SHOWN
        ]


@dataclass(frozen=True)
class Answer:
    """What came: status 0 says that the connection was ended without a word."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    seconds: float = 0.0

    @property
    def content(self) -> bytes:
        """The body, decompressed."""
        encoding = self.headers.get("content-encoding")
        if encoding not in ("gzip", "deflate") or not self.body:
            return self.body
        return zlib.decompress(self.body, 16 + zlib.MAX_WBITS if encoding == "gzip" else zlib.MAX_WBITS)


class Caller:
    """One connection at a time to a server, kept while the server keeps it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._socket: socket.socket | None = None
        self._reader: io.BufferedReader | None = None

    def send(self, message: Message) -> Answer:
        """Send a request and return its answer.

        Raises:
            HungError: nothing came within the deadline.
        """
        if not message.well_framed:
            self.close()
        for _ in range(2):  # a connection that was kept may have been ended meanwhile: then once more on a new one
            is_new = self._socket is None
            answer = self._exchange(message)
            if answer.status or is_new:
                return answer
        return answer

    def close(self) -> None:
        """End the connection."""
        if self._socket is not None:
            self._socket.close()
        if self._reader is not None:
            self._reader.close()
        self._socket = self._reader = None

    def _exchange(self, message: Message) -> Answer:
        began = time.perf_counter()
        try:
            if self._socket is None:
                self._socket = socket.create_connection(self._address, DEADLINE_S)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._reader = self._socket.makefile("rb")
            try:
                self._socket.sendall(message.encoded())
                if not message.well_framed:
                    self._socket.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it may have been answered before it was read to its end
            answer, keeps = self._read(message, began)
        except TimeoutError as error:
            self.close()
            raise HungError(f"no answer within {DEADLINE_S:g} s to {message}") from error
        except (EOFError, BrokenPipeError, ConnectionResetError):
            self.close()
            return Answer(0, seconds=time.perf_counter() - began)
        if not keeps or not message.well_framed:
            self.close()
        return answer

    def _read(self, message: Message, began: float) -> tuple[Answer, bool]:
        reader = self._reader
        assert reader is not None
        while True:
            status, headers = _head(reader)
            if status >= 200:
                break
        length = headers.get("content-length")
        chunked = "chunked" in headers.get("transfer-encoding", "").lower()
        if message.method == b"HEAD" or status in BODILESS:
            body = b""
        elif chunked:
            body = _chunks(reader)
        else:
            body = reader.read() if length is None else reader.read(int(length))
            if length is not None and len(body) < int(length):
                raise AssertionError(f"{len(body)} of {length} bytes came in answer to {message}")
        keeps = (length is not None or chunked) and headers.get("connection", "").lower() != "close"
        keeps = keeps and (
            message.method != b"HEAD" or status < 400
        )  # some are refused before it is known what they are
        return Answer(status, headers, body, time.perf_counter() - began), keeps


def _head(reader: io.BufferedReader) -> tuple[int, dict[str, str]]:
    line = reader.readline()
    if not line:
        raise EOFError
    parts = line.split(b" ", 2)
    if not line.endswith(b"\r\n") or not parts[0].startswith(b"HTTP/1.") or len(parts) < 2:
        raise AssertionError(f"no status line: {line[:200]!r}")
    headers = {}
    while (line := reader.readline()) not in (b"\r\n", b""):
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    return int(parts[1]), headers


def _chunks(reader: io.BufferedReader) -> bytes:
    pieces = []
    while size := int(reader.readline().split(b";")[0], 16):
        pieces.append(reader.read(size))
        reader.readline()
    reader.readline()
    return b"".join(pieces)
