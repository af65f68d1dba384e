"""The two sides: a command each, a JSON line when it is ready, and what its processes hold. No judgement here."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.services import start, stopping

MIB = 1024 * 1024

OURS = f"{shlex.quote(sys.executable)} -m mlcommons_tasks serve --port 0"
PLUGIN = f"{shlex.quote(sys.executable)} -m mlcommons_tasks node start --ml-commons --port 0"


@dataclass
class Side:
    """A running server: where it is, how long it took to be ready, and since when it runs."""

    url: str
    ready_s: float
    began: float
    line: dict[str, Any]
    process: subprocess.Popen[str]

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request and return the parsed answer."""
        payload = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        kind = "application/x-ndjson" if isinstance(body, bytes) else "application/json"
        wanted = urllib.request.Request(self.url + path, payload, {"Content-Type": kind}, method=method)
        with urllib.request.urlopen(wanted, timeout=120) as answer:
            return json.loads(answer.read())

    def memory_mib(self, *, node_only: bool) -> float:
        """Return the proportional memory of the process tree, or of its JVM alone, in MiB."""
        root = psutil.Process(self.process.pid)
        tree = [root, *root.children(recursive=True)]
        counted = [process for process in tree if not node_only or "java" in process.name()]
        return sum(pss(process) for process in counted) / MIB


@contextlib.contextmanager
def running(command: str) -> Iterator[Side]:
    """Run a command that prints a JSON line with "url" when it is ready; stop it by SIGTERM."""
    began = time.monotonic()
    with stopping(start(shlex.split(command))) as service:
        yield Side(service.url, time.monotonic() - began, began, service.ready, service.process)


def pss(process: psutil.Process) -> int:
    """Return the proportional memory of a process in bytes, 0 if it is gone or not ours to look at."""
    try:
        info = process.memory_full_info()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
    return int(getattr(info, "pss", 0) or info.uss)


def folder_mib(path: str) -> float:
    """Return the size of what a folder holds, in MiB; a file with several names counts once."""
    seen: dict[tuple[int, int], int] = {}
    for folder, _, files in os.walk(path):
        for name in files:
            status = Path(folder, name).lstat()
            seen[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(seen.values()) / MIB
