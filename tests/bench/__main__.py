"""`python -m tests.bench`: measures both sides in turn, prints the figures, and writes docs/benchmarks.md.

With `--only` some parts are measured anew, and the sections of the others stay as they are.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from mlcommons_tasks import __version__
from tests.bench import (
    algorithms,
    cluster_tasks,
    costs,
    faults,
    idle,
    inputs,
    pipelines,
    polling,
    proxy,
    soak,
    starts,
    trainings,
)
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
    "costs": costs.measure,
    "trainings": trainings.measure,
    "pipelines": pipelines.measure,
    "algorithms": algorithms.measure,
    "soak": soak.measure,
    "faults": faults.measure,
}

HEAD = """# Benchmarks

Written by `make bench`, both sides of each figure on the same machine in one run. Each section says when and with what
it was measured; `make bench ONLY=polling` measures one anew.
"""
MARKED = re.compile(r"<!-- (\w+) -->\n(.*?)(?=<!-- \w+ -->|\Z)", re.DOTALL)


def main() -> int:
    """Measure, and say by the exit code whether all figures are what is wanted."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--oracle", default=PLUGIN, help='a command that prints a JSON line with "url"')
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", action="append", choices=PARTS, help="measure this part; may be given again")
    parser.add_argument("--soak-seconds", type=float, default=soak.SOAK_S)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks.md")
    options = parser.parse_args()

    wanted = options.only or list(PARTS)
    sections = {name: PARTS[name](options) for name in PARTS if name in wanted}
    text = written({name: (section, _where(section, options)) for name, section in sections.items()}, options.out)
    print("\n".join(line for section in sections.values() for line in section.lines()))
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(text)
    return 0 if all(section.holds for section in sections.values()) else 1


def _where(section: Section, options: argparse.Namespace) -> str:
    """Return when, on what and with which versions a section was measured."""
    versions = section.versions
    plugin = f"; ML Commons of OpenSearch {versions['plugin']}" if "plugin" in versions else ""
    oracle = ", started by a command of the caller's" if options.oracle != PLUGIN and plugin else ""
    return (
        f"{datetime.date.today().isoformat()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores,"
        f" Python {platform.python_version()}; mlcommons-tasks {__version__} over OpenSearch"
        f" {versions['ours']}{plugin}{oracle}."
    )


def written(measured: Mapping[str, tuple[Section, str]], out: Path) -> str:
    """Return the file's new text: sections that were measured, and those of other parts as the file has them."""
    kept = dict(MARKED.findall(out.read_text())) if out.exists() else {}
    texts = kept | {name: "\n".join(section.lines(where)) for name, (section, where) in measured.items()}
    parts = [f"<!-- {name} -->\n{texts[name].strip()}\n" for name in PARTS if name in texts]
    return "\n".join([HEAD, *parts])


if __name__ == "__main__":
    raise SystemExit(main())
