"""What the processes of a running service are for, and what each kind of them takes. No judgement here."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

from tests.bench.servers import MIB, Side, pss

SERVICE, TRAINING, JAVA = "service", "training", "java"


@dataclass(frozen=True)
class Held:
    """What the service's own processes hold, those that train among them, and OpenSearch not."""

    memory_mib: float
    handles: int
    threads: int
    connections: int


def kinds(side: Side) -> list[tuple[str, psutil.Process]]:
    """Return the processes of a side, each with its kind."""
    root = psutil.Process(side.process.pid)
    found = []
    for process in [root, *root.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            found.append((_kind(process), process))
    return found


def _kind(process: psutil.Process) -> str:
    name, words = process.name(), " ".join(process.cmdline())
    if not name.startswith("python"):
        return JAVA  # or the shell that guards it
    return TRAINING if "popen_loky" in words else SERVICE


def cpu_s(side: Side) -> dict[str, float]:
    """Return the seconds of a core that each kind of process has had by now."""
    seconds: dict[str, float] = defaultdict(float)
    for kind, process in kinds(side):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            seconds[kind] += times.user + times.system
    return seconds


def held(side: Side) -> Held:
    """Return what the service's own processes hold now."""
    return Held(*(sum(column) for column in zip(*_each(side), strict=True)))


def _each(side: Side) -> Iterator[tuple[float, int, int, int]]:
    for kind, process in kinds(side):
        if kind != JAVA:
            with contextlib.suppress(psutil.Error):
                yield (
                    pss(process) / MIB,
                    process.num_fds(),
                    process.num_threads(),
                    len(process.net_connections()),
                )
