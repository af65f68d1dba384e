"""An application that a thread of the test's own process serves, under werkzeug's plain server."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server

from mlcommons_tasks.app import EXTENSION
from tests.clients import Client


class Quiet(WSGIRequestHandler):
    """Logs nothing."""

    def log(self, type: str, message: str, *args: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def listening(application: Any) -> Iterator[int]:
    """Serve any WSGI application; the port is given."""
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Quiet)
    server.daemon_threads = True  # type: ignore[attr-defined]  # of ThreadingMixIn
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def served(app: Any) -> Iterator[Client]:
    """Serve an application of ours, and end what it started."""
    try:
        with listening(app) as port:
            yield Client(f"http://127.0.0.1:{port}")
    finally:
        app.extensions[EXTENSION].close()
