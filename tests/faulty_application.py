"""An application of which every answer has a fault, served by gunicorn or werkzeug, and spoken to by bytes."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mlcommons_tasks.emulation.entries import MOST_RESPONSE, Answer, Entry
from mlcommons_tasks.emulation.faults import Fault
from mlcommons_tasks.emulation.journal import Journal
from mlcommons_tasks.rest.fault_effects import apply
from mlcommons_tasks.rest.journal_edge import BODY, recorded
from tests.served import listening

ROOT = Path(__file__).parents[1]
VERSION = "OpenSearch/3.6.0 (opensearch)"

journal = Journal()
slept: list[float] = []
reads = iter(range(1, 1_000_000))


def whole(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answer what the path names: a JSON body with or without a length, packed, empty, long, or an echo."""
    path = environ["PATH_INFO"]
    headers = [("Content-Type", "application/json; charset=UTF-8")]
    body = json.dumps({"number": next(reads), "state": "RUNNING"}).encode()
    if path == "/journal":
        body = json.dumps(
            {"requests": [entry.to_document() for entry in journal.find("main")], "slept": slept}
        ).encode()
    elif path == "/echo":
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    elif path == "/gzip":
        body = gzip.compress(body)
        headers.append(("Content-Encoding", "gzip"))
    elif path == "/long":
        body = b"[" + b"1," * MOST_RESPONSE + b"%d]" % next(reads)
    elif path == "/empty":
        start_response("204 No Content", [])
        return []
    if path == "/stream":
        start_response("200 OK", headers)
        return iter([body[:5], b"", body[5:]])
    start_response("200 OK", [*headers, ("Content-Length", str(len(body)))])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body[:5], body[5:]]


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answer with the effect that the header `X-Effect` says, and record it."""
    environ["mlcommons_tasks.target"] = environ.get("RAW_URI") or environ["REQUEST_URI"]
    effect = environ.get("HTTP_X_EFFECT")
    if effect is None:
        return whole(environ, start_response)
    fault = Fault.read({"name": "f", "effect": json.loads(effect)})

    def earlier(behind: int) -> Answer | None:
        target = environ["mlcommons_tasks.target"]
        found = journal.last_answers("main", environ["REQUEST_METHOD"], target, environ[BODY].first)
        return found[min(behind, len(found)) - 1].answer if found else None

    def faulty(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        more: dict[str, Any] = {"earlier": earlier, "sleep": slept.append, "version": VERSION}
        return apply(fault, 1, environ, start_response, whole, **more)

    return recorded(faulty, environ, start_response, journal.append, namespace="main", now_in_millis=lambda: 0)


class Server:
    """A running server, spoken to by bytes."""

    def __init__(self, port: int) -> None:
        self.port = port

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def bytes_of(self, path: str, effect: Any, *, method: str = "GET", body: bytes = b"", more: str = "") -> bytes:
        """Return all bytes of an answer; raises as the socket does."""
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nX-Effect: {json.dumps(effect)}\r\n{length}{more}"
        with self.connect() as connection:
            connection.sendall(head.encode() + b"Connection: close\r\n\r\n" + body)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def get(self, path: str, effect: Any = None, *, method: str = "GET", **headers: str) -> tuple[Any, bytes]:
        """Return an answer as Python's own client understands it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if effect is not None:
            named["X-Effect"] = json.dumps(effect)
        with contextlib.closing(connection):
            connection.request(method, path, headers=named)
            response = connection.getresponse()
            return response, response.read()

    def entries(self, path: str) -> list[Entry]:
        """Return what is in the journal of a path, at once."""
        body = json.loads(self.get("/journal")[1])
        return [Entry.from_document(each) for each in body["requests"] if each["target"] == path]


@contextlib.contextmanager
def under_werkzeug() -> Iterator[Server]:
    """Serve the application in a thread."""
    with listening(application) as port:
        yield Server(port)


@contextlib.contextmanager
def under_gunicorn() -> Iterator[Server]:
    """Serve the application in a process of its own with our worker, which must not log a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as listener, tempfile.TemporaryFile() as log:
        command = [
            *(sys.executable, "-m", "gunicorn", "--bind", f"fd://{listener.fileno()}", "--threads", "4"),
            *("--worker-class", "mlcommons_tasks.lane.connections.LoopWorker", "--keep-alive", "60"),
            *("--pythonpath", str(ROOT), "--log-level", "error", f"{__name__}:application"),
        ]
        process = subprocess.Popen(
            command, pass_fds=[listener.fileno()], stderr=log, stdout=log, env={**os.environ, "PYTHONWARNINGS": ""}
        )
        try:
            yield Server(listener.getsockname()[1])
        finally:
            process.terminate()
            process.wait(20)
            log.seek(0)
            assert b"Traceback" not in log.read()
