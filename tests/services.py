"""A service as a user runs it, for tests: the command in a process of its own, its ready line, its end."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

READY_S = 300.0
STOP_S = 15.0


@dataclass
class Service:
    """A running `mlcommons-tasks serve`."""

    process: subprocess.Popen[str]
    ready: dict[str, Any]
    log: Path

    @property
    def url(self) -> str:
        return str(self.ready["url"])

    @property
    def opensearch_url(self) -> str:
        return str(self.ready["opensearch"]["url"])

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(signal_number)
        return self.process.wait(STOP_S)


def clean_environment(**more: str) -> dict[str, str]:
    """Return the environment without settings of ours that the person who runs the tests may have."""
    ours = ("MLCOMMONS_TASKS_", "OPENSEARCH_")
    keep = ("MLCOMMONS_TASKS_CACHE_DIR", "MLCOMMONS_TASKS_MAVEN_URL")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(ours) or key in keep}
    return {**kept, **more}


def start_service(*flags: str, environment: dict[str, str] | None = None) -> Service:
    """Start a service on a free port and wait for its ready line."""
    return start([sys.executable, "-m", "mlcommons_tasks", "serve", "--port", "0", *flags], environment)


def start(command: Sequence[str], environment: dict[str, str] | None = None) -> Service:
    """Start a command that says by a JSON line that it is ready, and wait for the line."""
    log = Path(tempfile.mkstemp(prefix="service-", suffix=".log")[1])
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=clean_environment(**(environment or {})),
        )
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], READY_S)
    line = process.stdout.readline() if readable else ""
    if not line:
        process.kill()
        process.wait()
        process.stdout.close()
        raise AssertionError(f"the service did not start; its log:\n{log.read_text()[-4000:]}")
    return Service(process, json.loads(line), log)


@contextlib.contextmanager
def service(*flags: str, environment: dict[str, str] | None = None) -> Iterator[Service]:
    """Run a service for the length of a block."""
    with stopping(start_service(*flags, environment=environment)) as running:
        yield running


@contextlib.contextmanager
def plugin_node(*flags: str) -> Iterator[Service]:
    """Run a node with the real plugin for the length of a block."""
    command = [sys.executable, "-m", "mlcommons_tasks", "node", "start", "--ml-commons", "--port", "0", *flags]
    with stopping(start(command)) as running:
        yield running


@contextlib.contextmanager
def stopping(running: Service) -> Iterator[Service]:
    """Stop a service at the end of a block, by force if it does not go."""
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.send_signal(signal.SIGTERM)
            try:
                running.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                running.process.kill()
                running.process.wait()
        assert running.process.stdout is not None
        running.process.stdout.close()
        running.log.unlink(missing_ok=True)


def wait_until(condition: Any, *, deadline_s: float = 30.0, what: str = "the condition") -> Any:
    """Return what `condition` gives once it is true; fail loudly after the deadline."""
    until = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError(f"{what} did not hold within {deadline_s:g} s")
        time.sleep(0.02)
