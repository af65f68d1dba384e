"""`python -m tests.bench`: measures both sides in turn, prints the figures, and writes docs/benchmarks.md."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
from collections.abc import Callable
from pathlib import Path

from mlcommons_tasks import __version__
from tests.bench import cluster_tasks, faults, idle, inputs, polling, proxy, starts
from tests.bench.report import Section
from tests.bench.servers import PLUGIN

ROOT = Path(__file__).parents[2]
PARTS: dict[str, Callable[[argparse.Namespace], Section]] = {
    "starts": starts.measure,
    "cluster_tasks": cluster_tasks.measure,
    "proxy": proxy.measure,
    "inputs": inputs.measure,
    "polling": polling.measure,
    "idle": idle.measure,
    "faults": faults.measure,
}


def main() -> int:
    """Measure, and say by the exit code whether all figures are what is wanted."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--oracle", default=PLUGIN, help='a command that prints a JSON line with "url"')
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", choices=PARTS, help="measure one part, and write no file")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks.md")
    options = parser.parse_args()

    wanted = [options.only] if options.only else list(PARTS)
    sections = [PARTS[name](options) for name in wanted]
    versions = {side: version for section in sections for side, version in section.versions.items()}
    plugin = f"; ML Commons of OpenSearch {versions['plugin']}" if "plugin" in versions else ""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`, both sides of each figure on the same machine in one run.",
        "",
        f"- {datetime.date.today().isoformat()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores,"
        f" Python {platform.python_version()}",
        f"- mlcommons-tasks {__version__} over OpenSearch {versions['ours']}{plugin}"
        + (", started by a command of the caller's" if options.oracle != PLUGIN else ""),
        "",
        *(line for section in sections for line in section.lines()),
    ]
    text = "\n".join(lines).rstrip() + "\n"
    print(text)
    if not options.only:
        options.out.parent.mkdir(exist_ok=True)
        options.out.write_text(text)
    return 0 if all(section.holds for section in sections) else 1


if __name__ == "__main__":
    raise SystemExit(main())
