"""`python -m tests.bench`: measures both sides in turn, prints the figures, and writes docs/benchmarks.md."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shlex
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

from mlcommons_tasks import __version__
from mlcommons_tasks.node.distribution import default_cache_dir
from tests.bench import loads
from tests.bench.servers import OURS, PLUGIN, Side, folder_mib, running

ROOT = Path(__file__).parents[2]
READY_LIMIT_S = 4.0
FIRST_TRAINING_LIMIT = 0.4
MEMORY_LIMIT = 1.0


@dataclass
class Start:
    """One start of one side."""

    ready_s: float
    first_s: float
    memory_mib: float


def measure(command: str, *, node_only: bool) -> tuple[Start, Side]:
    """Start a side, train once, and say what it took."""
    with running(command) as side:
        first_s = loads.first_completed_s(side)
        return Start(side.ready_s, first_s, side.memory_mib(node_only=node_only)), side


def spread(values: list[float]) -> str:
    """Return the median with the smallest and the largest."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def verdict(ok: bool) -> str:
    return "yes" if ok else "**no**"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--oracle", default=PLUGIN, help='a command that prints a JSON line with "url"')
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks.md")
    options = parser.parse_args()

    ours: list[Start] = []
    theirs: list[Start] = []
    versions = {}
    for run in range(options.runs):
        for name, command, starts in (("ours", OURS, ours), ("plugin", options.oracle, theirs)):
            start, side = measure(command, node_only=name == "plugin")
            starts.append(start)
            versions[name] = side.line.get("version") or side.line["opensearch"]["version"]
            print(
                f"run {run + 1} {name:<7} ready {start.ready_s:6.2f} s, first COMPLETED {start.first_s:6.2f} s,"
                f" {start.memory_mib:5.0f} MiB",
                flush=True,
            )
    bursts = {}
    for name, command in (("ours", OURS), ("plugin", options.oracle)):
        with running(command) as side:
            loads.first_completed_s(side)
            bursts[name] = loads.burst(side)
        print(f"burst {name:<7} {bursts[name][0]} after {bursts[name][1]:.1f} s", flush=True)

    ready = statistics.median(start.ready_s for start in ours)
    first = statistics.median(a.first_s / b.first_s for a, b in zip(ours, theirs, strict=True))
    memory = statistics.median(a.memory_mib / b.memory_mib for a, b in zip(ours, theirs, strict=True))
    lost = sum(count for state, count in bursts["ours"][0].items() if state != "COMPLETED")
    holds = [ready <= READY_LIMIT_S, first <= FIRST_TRAINING_LIMIT, memory <= MEMORY_LIMIT, lost == 0]
    rows = [
        (
            "ready, s",
            spread([start.ready_s for start in ours]),
            spread([start.ready_s for start in theirs]),
            f"{ready:.2f} s of ours, at most {READY_LIMIT_S:g} s",
            holds[0],
        ),
        (
            "start to first COMPLETED KMEANS, s",
            spread([start.first_s for start in ours]),
            spread([start.first_s for start in theirs]),
            f"ratio {first:.2f}, at most {FIRST_TRAINING_LIMIT:g}",
            holds[1],
        ),
        (
            "memory after the first training (PSS), MiB",
            spread([start.memory_mib for start in ours]),
            spread([start.memory_mib for start in theirs]),
            f"ratio {memory:.2f}, at most {MEMORY_LIMIT:g}",
            holds[2],
        ),
        (
            f"{loads.BURST} trainings of {loads.BURST_ROWS} rows by {loads.BURST_CLIENTS} clients",
            described(bursts["ours"]),
            described(bursts["plugin"]),
            "all COMPLETED within 60 s",
            holds[3],
        ),
    ]
    cache = default_cache_dir()
    venv = Path(sys.prefix)
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`: the service with its embedded node and the real plugin's node, one after the other,",
        f"{options.runs} starts each, on the same machine in one run. Medians, smallest and largest in brackets;",
        "a ratio is the median of the ratios of the pairs. Both sides' downloads were there already.",
        "Ours is the whole process tree of the service and its node; the plugin's is its JVM alone.",
        "",
        f"- {datetime.date.today().isoformat()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores,"
        f" Python {platform.python_version()}",
        f"- mlcommons-tasks {__version__} over OpenSearch {versions['ours']}; ML Commons of OpenSearch"
        f" {versions['plugin']}" + (", started by a command of the caller's" if options.oracle != PLUGIN else ""),
        "",
        "| figure | ours | the plugin | wanted | holds |",
        "|---|---|---|---|---|",
        *(f"| {what} | {a} | {b} | {wanted} | {verdict(ok)} |" for what, a, b, wanted, ok in rows),
        "",
        f"On disk: the cache {folder_mib(str(cache)):.0f} MiB (with what the plugin's node needs, if it was fetched),"
        f" of which a service needs {service_mib(cache):.0f}; `.venv` {folder_mib(str(venv)):.0f} MiB, with all that"
        " tests and checks need.",
        "",
    ]
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text("\n".join(lines))
    print("\n".join(lines))
    return 0 if all(holds) else 1


def described(result: tuple[dict[str, int], float]) -> str:
    """Return the states of a burst in words."""
    states, seconds = result
    return ", ".join(f"{count} {state}" for state, count in sorted(states.items())) + f" after {seconds:.1f} s"


def service_mib(cache: Path) -> float:
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


if __name__ == "__main__":
    print(f"ours: {OURS.replace(shlex.quote(sys.executable), 'python')}")
    sys.exit(main())
