"""Starts, the first training, memory, and a burst of trainings: the service beside the real plugin."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from mlcommons_tasks.node.distribution import default_cache_dir
from tests.bench import loads
from tests.bench.report import Row, Section, spread
from tests.bench.servers import OURS, Side, folder_mib, running

READY_LIMIT_S = 3.0
IN_MEMORY_LIMIT_S = 1.0
IMPORT_LIMIT_S = 0.15
HELP_LIMIT_S = 0.3
TIMES = 10  #: for what takes no time to speak of
TIMED_IMPORT = "import time; b = time.perf_counter(); import mlcommons_tasks; print(time.perf_counter() - b)"
FIRST_TRAINING_LIMIT = 0.4
MEMORY_LIMIT = 1.0


@dataclass
class Start:
    """One start of one side."""

    ready_s: float
    first_s: float
    memory_mib: float


def measure(options: argparse.Namespace) -> Section:
    """Start both sides in turn, train once each time, and then many times at once."""
    section = Section(
        "Start, memory, trainings",
        f"The service with its embedded node and the real plugin's node, one after the other, {options.runs} starts"
        " each. Medians, smallest and largest in brackets; a ratio is the median of the ratios of the pairs. Both"
        " sides' downloads were there already. Ours is the whole process tree of the service and its node; the"
        " plugin's is its JVM alone.",
        "the plugin",
    )
    ours: list[Start] = []
    theirs: list[Start] = []
    for run in range(options.runs):
        for name, command, starts in (("ours", OURS, ours), ("plugin", options.oracle, theirs)):
            start, side = _start(command, node_only=name == "plugin")
            starts.append(start)
            section.versions[name] = side.line.get("version") or side.line["opensearch"]["version"]
            print(
                f"run {run + 1} {name:<7} ready {start.ready_s:6.2f} s, first COMPLETED {start.first_s:6.2f} s,"
                f" {start.memory_mib:5.0f} MiB",
                flush=True,
            )
    ready = statistics.median(start.ready_s for start in ours)
    first = statistics.median(a.first_s / b.first_s for a, b in zip(ours, theirs, strict=True))
    memory = statistics.median(a.memory_mib / b.memory_mib for a, b in zip(ours, theirs, strict=True))
    section.rows += [
        Row(
            "ready, s",
            spread([start.ready_s for start in ours]),
            spread([start.ready_s for start in theirs]),
            f"{ready:.2f} s of ours, at most {READY_LIMIT_S:g} s",
            ready <= READY_LIMIT_S,
        ),
        Row(
            "start to first COMPLETED KMEANS, s",
            spread([start.first_s for start in ours]),
            spread([start.first_s for start in theirs]),
            f"ratio {first:.2f}, at most {FIRST_TRAINING_LIMIT:g}",
            first <= FIRST_TRAINING_LIMIT,
        ),
        Row(
            "memory after the first training (PSS), MiB",
            spread([start.memory_mib for start in ours]),
            spread([start.memory_mib for start in theirs]),
            f"ratio {memory:.2f}, at most {MEMORY_LIMIT:g}",
            memory <= MEMORY_LIMIT,
        ),
        _burst(options.oracle),
        *_small_starts(options.runs),
    ]
    cache, venv = default_cache_dir(), Path(sys.prefix)
    section.notes.append(
        f"On disk: the cache {folder_mib(str(cache)):.0f} MiB (with what the plugin's node needs, if it was fetched),"
        f" of which a service needs {_service_mib(cache):.0f}; `.venv` {folder_mib(str(venv)):.0f} MiB, with all that"
        " tests and checks need."
    )
    return section


def _small_starts(runs: int) -> list[Row]:
    """Return what a test run and a person at a terminal wait for."""
    imports = [float(_output("-c", TIMED_IMPORT)) for _ in range(TIMES)]
    helps = []
    for _ in range(TIMES):
        began = time.perf_counter()
        _output("-m", "mlcommons_tasks", "--help")
        helps.append(time.perf_counter() - began)
    ready = []
    for _ in range(runs):
        with running(f"{OURS} --opensearch memory") as side:
            ready.append(side.ready_s)
    return [
        _small("ready in memory", ready, IN_MEMORY_LIMIT_S),
        _small("`import mlcommons_tasks`", imports, IMPORT_LIMIT_S),
        _small("`mlcommons-tasks --help`", helps, HELP_LIMIT_S),
    ]


def _small(what: str, seconds: list[float], limit_s: float) -> Row:
    millis = [each * 1000 for each in seconds]
    holds = statistics.median(seconds) <= limit_s
    return Row(f"{what}, ms", spread(millis), "", f"at most {limit_s * 1000:g} ms", holds)


def _output(*arguments: str) -> str:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True).stdout


def _start(command: str, *, node_only: bool) -> tuple[Start, Side]:
    with running(command) as side:
        first_s = loads.first_completed_s(side)
        return Start(side.ready_s, first_s, side.memory_mib(node_only=node_only)), side


def _burst(oracle: str) -> Row:
    bursts = {}
    for name, command in (("ours", OURS), ("plugin", oracle)):
        with running(command) as side:
            loads.first_completed_s(side)
            bursts[name] = loads.burst(side)
        print(f"burst {name:<7} {bursts[name][0]} after {bursts[name][1]:.1f} s", flush=True)
    lost = sum(count for state, count in bursts["ours"][0].items() if state != "COMPLETED")
    return Row(
        f"{loads.BURST} trainings of {loads.BURST_ROWS} rows by {loads.BURST_CLIENTS} clients",
        _described(bursts["ours"]),
        _described(bursts["plugin"]),
        "all COMPLETED within 60 s",
        lost == 0,
    )


def _described(result: tuple[dict[str, int], float]) -> str:
    states, seconds = result
    return ", ".join(f"{count} {state}" for state, count in sorted(states.items())) + f" after {seconds:.1f} s"


def _service_mib(cache: Path) -> float:
    """Return what the default version's node needs of the cache, in MiB: its jars and its AOT cache."""
    from mlcommons_tasks.node import aot
    from mlcommons_tasks.node.distribution import DEFAULT_VERSION, fetch
    from mlcommons_tasks.node.process import JVM_FLAGS

    distribution = fetch(DEFAULT_VERSION)
    files = [distribution.path(file) for file in distribution.lock.files]
    recorded = aot.cache_file(distribution, JVM_FLAGS)
    if recorded is not None:
        files.append(recorded)
    return sum(file.stat().st_size for file in files if file.is_file()) / (1024 * 1024)
