"""What stands under a service in a test: an in-memory OpenSearch on a chosen port, servers that misbehave, TLS."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from osmem_server import OsmemServer

HOP_BY_HOP = ("connection", "transfer-encoding", "keep-alive", "host", "content-length")


def free_port() -> int:
    """Return a port that nobody listens on, for the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def osmem(port: int = 0) -> Iterator[OsmemServer]:
    """Run an in-memory OpenSearch."""
    server = OsmemServer.start(addr=f"127.0.0.1:{port}")
    try:
        yield server
    finally:
        server.close()
        server.process.wait()
        if server.process.stdout is not None:
            server.process.stdout.close()


class Request(BaseHTTPRequestHandler):
    """A request to a server of `answering`; reads bodies with and without a length."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def read_body(self, piece: int = 64 * 1024) -> Iterator[bytes]:
        """Yield the body as it comes."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            got = self.rfile.read(min(piece, left))
            left -= len(got)
            yield got

    def reply(self, status: int, payload: bytes = b"", **headers: str) -> None:
        """Send an answer with a length; underscores in names of headers stand for hyphens."""
        self.send_response(status)
        for name, value in {"Content_Type": "application/json; charset=UTF-8", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(payload)

    def refuse(self, status: int, kind: str, reason: str) -> None:
        """Send an error as OpenSearch words it."""
        error = {"type": kind, "reason": reason}
        self.reply(status, json.dumps({"error": {"root_cause": [error], **error}, "status": status}).encode())


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients of tests go away as they like."""


@contextlib.contextmanager
def answering(answer: Callable[[Request], None], *, port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Run a server that has `answer` deal with every request; yield its URL."""
    methods = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
    handler = type("Handler", (Request,), {f"do_{method}": answer for method in methods})
    server = _Server(("127.0.0.1", port), handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def passing_to(url: str, seen: list[dict[str, str]] | None = None) -> Callable[[Request], None]:
    """Return an answer that is that of the server at `url`; what was asked is noted in `seen`."""
    netloc = urlsplit(url).netloc

    def answer(request: Request) -> None:
        if seen is not None:
            headers = {name.lower(): value for name, value in request.headers.items()}
            seen.append({":method": request.command, ":path": request.path, **headers})
        body = b"".join(request.read_body())
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        with contextlib.closing(http.client.HTTPConnection(netloc, timeout=60)) as connection:
            connection.request(request.command, request.path, body or None, headers)
            reply = connection.getresponse()
            payload = reply.read()
        request.send_response(reply.status)
        for name, value in reply.getheaders():
            if name.lower() not in HOP_BY_HOP:
                request.send_header(name, value)
        request.send_header("Content-Length", reply.headers.get("Content-Length") or str(len(payload)))
        request.end_headers()
        request.wfile.write(payload)

    return answer


def chunks(total: int, piece: int = 64 * 1024) -> Iterator[bytes]:
    """Yield `total` bytes of white space, for a body that is sent without a length."""
    while total > 0:
        yield b" " * min(piece, total)
        total -= piece
