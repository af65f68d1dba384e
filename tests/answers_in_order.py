"""What a test of waiting plays on: a server that gives answers in order, and time that passes by sleeping only."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

NOT_FOUND = (404, {"error": {"type": "status_exception", "reason": "Failed to find task"}, "status": 404})
BUSY = (503, {"error": {"type": "cluster_block_exception", "reason": "not now"}, "status": 503})
DROP = (0, None)  #: the connection is closed without an answer
CUT = (-1, None)  #: of the answer's body only the first byte comes


def task(state: str, **more: Any) -> tuple[int, Any]:
    """Return the answer that shows a task in a state."""
    return 200, {"task_type": "TRAINING", "function_name": "KMEANS", "state": state, "is_async": True, **more}


class AnswersInOrder:
    """A server that gives answers in order, the last one for ever, and keeps the requests."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any]] = []
        self.headers: dict[str, str] = {}
        self.requests: list[tuple[str, str | None]] = []
        played = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                played.requests.append((self.path, self.headers.get("Authorization")))
                status, body = played.answers[0] if len(played.answers) == 1 else played.answers.pop(0)
                if status == 0:
                    return
                payload = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status if status > 0 else 200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(payload)))
                for name, value in played.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(payload if status > 0 else payload[:1])

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@contextlib.contextmanager
def answers_in_order() -> Iterator[AnswersInOrder]:
    """Run such a server."""
    played = AnswersInOrder()
    thread = threading.Thread(target=played.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield played
    finally:
        played.server.shutdown()
        thread.join()
        played.server.server_close()


class Sleeps(list[float]):
    """The seconds that were slept, and the time that passed by them."""


class _Time:
    def __init__(self, sleeps: Sleeps) -> None:
        self.sleep = sleeps.append
        self.monotonic = lambda: 1000.0 + sum(sleeps)


def time_by_sleeping(monkeypatch: pytest.MonkeyPatch) -> Sleeps:
    """Have no time pass in `wait_for_task` but by sleeping."""
    sleeps = Sleeps()
    monkeypatch.setattr("mlcommons_tasks.waiting.time", _Time(sleeps))
    return sleeps
