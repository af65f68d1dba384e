"""An OpenSearch made of sockets: keeps every byte that comes, and answers with the bytes that a test gives it."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.upstreams import osmem

WATCHED = "/raw"  #: requests below it are kept and answered as the test wants; others are a service's own
Act = Callable[[socket.socket], None]


@dataclass
class RawRequest:
    """A request as it came: its head with the empty line, and its body as it stood on the wire."""

    head: bytes
    body: bytes
    connection: int

    @property
    def line(self) -> bytes:
        return self.head.partition(b"\r\n")[0]

    @property
    def header_lines(self) -> list[bytes]:
        return self.head.split(b"\r\n")[1:-2]

    def header(self, name: str) -> list[bytes]:
        pairs = [line.partition(b":") for line in self.header_lines]
        return [value.strip() for found, _, value in pairs if found.lower() == name.lower().encode()]


@dataclass
class RawUpstream:
    """What came, and what is answered: by the path, bytes to send, None to hang up, or what to do with the socket."""

    url: str = ""
    requests: list[RawRequest] = field(default_factory=list)
    junk: list[bytes] = field(default_factory=list)  #: what came and was no whole request
    answers: dict[str, bytes | Act | None] = field(default_factory=dict)
    connections: int = 0
    hang: threading.Event = field(default_factory=threading.Event)  #: set, nothing is answered any more

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0

    def forget(self) -> None:
        """Begin anew: nothing has come, and nothing in particular is answered."""
        self.requests.clear()
        self.junk.clear()
        self.answers.clear()


def ok(body: bytes = b"{}", *lines: bytes) -> bytes:
    """Return an answer with a length."""
    head = [b"HTTP/1.1 200 OK", *lines, b"content-length: %d" % len(body)]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def reset(connection: socket.socket) -> None:
    """End a connection as a process that dies does."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@contextlib.contextmanager
def raw_upstream(*, port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[RawUpstream]:
    """Run one for the length of a block."""
    found = RawUpstream()
    stack = contextlib.ExitStack()
    behind = stack.enter_context(osmem())
    listener = socket.create_server(("127.0.0.1", port), backlog=100)
    found.url = f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
    open_ones: set[socket.socket] = set()
    over = threading.Event()

    def serve(raw: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError, ValueError):
            connection = tls.wrap_socket(raw, server_side=True) if tls else raw
            open_ones.add(connection)
            with contextlib.closing(connection):
                _serve(found, behind.url, connection, number)

    def accept() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError):
                raw, _ = listener.accept()
                found.connections += 1
                threading.Thread(target=serve, args=(raw, found.connections), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in list(open_ones):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        thread.join(10)
        stack.close()


def _serve(found: RawUpstream, behind: str, connection: socket.socket, number: int) -> None:
    received = b""
    while True:
        while b"\r\n\r\n" not in received:
            data = connection.recv(65536)
            if not data:
                if WATCHED.encode() in received:
                    found.junk.append(received)
                return
            received += data
        head, _, received = received.partition(b"\r\n\r\n")
        body, received, whole = _body(connection, head, received)
        request = RawRequest(head + b"\r\n\r\n", body, number)
        target = request.line.split(b" ")[1].decode("latin-1")
        watched = target.startswith((WATCHED, f"/{WATCHED}", "*")) or request.line.startswith(b"CONNECT")
        if watched:
            (found.requests.append if whole else lambda it: found.junk.append(it.head + it.body))(request)
        if not whole:
            return
        if found.hang.is_set():
            threading.Event().wait(60)
            return
        usual = ok() if watched else _usual(behind, request)
        answer = found.answers.get(target.partition("?")[0], usual) if watched else usual
        if answer is None:
            return
        if callable(answer):
            answer(connection)
        else:
            connection.sendall(answer)


def _usual(behind: str, request: RawRequest) -> bytes:
    """Return what the in-memory OpenSearch behind answers."""
    method, target, _ = request.line.decode("latin-1").split(" ")
    kinds = request.header("content-type")
    headers = {"Content-Type": kinds[0].decode()} if kinds else {}
    with contextlib.closing(http.client.HTTPConnection(urlsplit(behind).netloc, timeout=60)) as connection:
        connection.request(method, target, request.body or None, headers)
        reply = connection.getresponse()
        payload = reply.read()
        kind = reply.headers.get("Content-Type", "text/plain")
    length = reply.headers.get("Content-Length") or str(len(payload))
    head = f"HTTP/1.1 {reply.status} {reply.reason}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
    return head.encode("latin-1") + payload


def _body(connection: socket.socket, head: bytes, received: bytes) -> tuple[bytes, bytes, bool]:
    """Return a body as it stands on the wire, what follows it, and whether it came to its end."""

    def more() -> bool:
        nonlocal received
        data = connection.recv(65536)
        received += data
        return bool(data)

    if re.search(rb"(?im)^transfer-encoding:", head):
        while not re.search(rb"(?:^|\r\n)0\r\n\r\n\Z", received):
            if not more():
                return received, b"", False
        return received, b"", True
    length = re.search(rb"(?im)^content-length: *(\d+)", head)
    wanted = int(length[1]) if length else 0
    while len(received) < wanted:
        if not more():
            return received, b"", False
    return received[:wanted], received[wanted:], True
