"""One service for several processes of a test run: who started them starts it when the first of them asks.

It asks over a socket that only this user can reach. Nothing is started in a run in which nobody asks.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import tempfile
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mlcommons_tasks.testing.process import READY_S, CannotStart, Service, ServiceProcess, default_opensearch

PREFIX = "mlct-"
LEFT_S = 600.0  #: after which a folder in which nobody listens was left by a run that was killed
LONGEST_PATH = 100  #: of a socket; macOS takes 103 characters
_GRACE_S = 30.0


class Landlord:
    """Has the service of a test run, once somebody asked for it."""

    def __init__(self, opensearch: str | None) -> None:
        """Wait for those who ask, in a thread; None is whichever OpenSearch is installed."""
        self._opensearch = opensearch
        self._mutex = threading.Lock()
        self._process: ServiceProcess | None = None
        self._answer: dict[str, Any] | None = None
        self._is_closed = False
        _sweep(Path(tempfile.gettempdir()))
        self._folder = tempfile.mkdtemp(prefix=PREFIX)
        if len(self._folder) > LONGEST_PATH - 2:
            Path(self._folder).rmdir()
            self._folder = tempfile.mkdtemp(prefix=PREFIX, dir="/tmp")
        self.address = str(Path(self._folder) / "s")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.address)
        self._listener.listen(128)
        self._thread = threading.Thread(target=self._serve, name="mlcommons-tasks-landlord", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the service, and let nobody ask any more."""
        with self._mutex:
            self._is_closed = True
            process = self._process
        if process is not None:
            process.stop()
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as wake:
            wake.connect(self.address)
        self._thread.join()
        self._listener.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _serve(self) -> None:
        while not self._is_closed:
            caller, _ = self._listener.accept()
            with caller, contextlib.suppress(OSError):
                if self._is_closed:
                    return
                if self._answer is None:
                    self._answer = self._start()
                caller.sendall(json.dumps(self._answer).encode())

    def _start(self) -> dict[str, Any]:
        """Start the service; a start that fails is not tried again: every test would wait for it."""
        try:
            opensearch = self._opensearch or default_opensearch()
            with self._mutex:
                if self._is_closed:
                    return {"error": "the run is over"}
                self._process = ServiceProcess(opensearch)
            return asdict(self._process.wait_ready())
        except (CannotStart, OSError) as error:
            return {"error": str(error)}


def _sweep(folder: Path) -> None:
    """Remove what runs left behind that were killed."""
    for left in folder.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as line:
            if time.time() - left.stat().st_mtime > LEFT_S:
                try:
                    line.connect(str(left / "s"))
                except (ConnectionRefusedError, FileNotFoundError):
                    shutil.rmtree(left, ignore_errors=True)


def ask(address: str) -> Service:
    """Return the service that a landlord has.

    Raises:
        CannotStart: it has none.
    """
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(READY_S + _GRACE_S)
        try:
            line.connect(address)
            answer = json.loads(b"".join(iter(lambda: line.recv(65_536), b"")) or b"{}")
        except (OSError, ValueError) as error:
            raise CannotStart(f"the process that runs the tests does not answer: {error}") from error
    if "url" not in answer:
        raise CannotStart(answer.get("error", "the run is over"))
    return Service(**answer)
