"""The service's worker processes, by gunicorn: threads, raw paths, a clean end, and no worker without its master."""

from __future__ import annotations

import dataclasses
import os
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

from gunicorn.app.base import BaseApplication

from mlcommons_tasks.app import EXTENSION, create_app
from mlcommons_tasks.config import Settings

DRAIN_S = 2  #: how long running requests and trainings may take once the service is told to stop
KEEP_ALIVE_S = 75
LONGEST_REQUEST_LINE = 8190


def run_workers(settings: Settings, listener: socket.socket, announce: Callable[[], None]) -> None:
    """Run workers on `listener` until a signal ends them, and close it; leaves by SystemExit.

    A worker ends here for good: what the caller holds, such as a node, is its master's to stop.
    """
    master = os.getpid()
    try:
        _Workers(settings, listener.detach(), announce).run()
    except SystemExit as end:
        if os.getpid() == master:
            raise
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else 0)


class _Workers(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's master, configured from our settings."""

    def __init__(self, settings: Settings, listener: int, announce: Callable[[], None]) -> None:
        self._settings = settings
        self._listener = listener
        self._announce = announce
        self._lifeline = os.pipe()
        self._app: Any = None
        super().__init__()

    def load_config(self) -> None:
        """Tell gunicorn what to do."""
        settings = {
            "bind": f"fd://{self._listener}",
            "worker_class": "gthread",
            "workers": self._settings.workers,
            "threads": self._settings.threads,
            "keepalive": KEEP_ALIVE_S,
            "timeout": 120,
            "graceful_timeout": DRAIN_S,
            "limit_request_line": LONGEST_REQUEST_LINE,
            "loglevel": "warning",
            "control_socket_disable": True,
            "post_fork": self._after_fork,
            "post_worker_init": self._after_start,
            "worker_exit": self._before_end,
        }
        for name, value in settings.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Any:
        """Build the application, in the worker."""
        self._app = create_app(dataclasses.replace(self._settings, wait=max(self._settings.wait, 5.0)))
        return self._app

    def _after_fork(self, _server: Any, _worker: Any) -> None:
        """End this worker when its master, which alone holds the pipe's other end, is gone."""
        reading, writing = self._lifeline
        os.close(writing)

        def end_with_master() -> None:
            os.read(reading, 1)
            os._exit(1)

        threading.Thread(target=end_with_master, name="end-with-master", daemon=True).start()

    def _after_start(self, worker: Any) -> None:
        self._app.extensions[EXTENSION].pool.start()
        if worker.age == 1:
            self._announce()

    def _before_end(self, _server: Any, _worker: Any) -> None:
        if self._app is not None:
            self._app.extensions[EXTENSION].close(DRAIN_S)
