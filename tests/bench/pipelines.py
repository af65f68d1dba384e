"""A pipeline's own test suite of 50 trainings: how long it takes here, where nobody waits, and on the plugin."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mlcommons_tasks.pytest_plugin import URL, VARIABLES
from tests.bench import loads
from tests.bench import pipeline_suite as suite
from tests.bench.report import Row, Section, spread
from tests.bench.servers import OURS, running
from tests.services import clean_environment

RATIO_LIMIT = 10.0
RUNS = 2  #: of ours; the plugin's suite sleeps for a minute, and so is run once
LONGEST_S = 180.0
IN_MEMORY = f"{OURS} --opensearch memory"
PYTEST = (sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--noconftest", "-p", "no:cacheprovider")
WAYS = {
    suite.IMMEDIATE: "every state `immediate`",
    suite.CLOCK: "RUNNING for 2 reads, `sleep` moves a stopped clock",
}


@dataclass(frozen=True)
class _Setting:
    """What the suite runs on: an OpenSearch, and a namespace for each test or one for all."""

    opensearch: str
    command: str
    namespaces: str
    what: str
    #: whether it has to be so much quicker; else it is only shown
    is_required: bool = True


SETTINGS = (
    _Setting("memory", IN_MEMORY, suite.EACH, "in memory, a namespace for each test"),
    _Setting("embedded", OURS, suite.ONE, "embedded node, one namespace"),
    _Setting("embedded", OURS, suite.EACH, "embedded node, a namespace for each test", is_required=False),
)


@dataclass(frozen=True)
class _Run:
    """One run of the suite: the whole command, and what its tests saw."""

    seconds: float
    #: from the request that starts a training to the poll that shows its end
    trainings_s: list[float]
    seen: list[list[str]]

    @property
    def polls(self) -> str:
        """How many polls a training needed, and how many needed so many."""
        numbers = Counter(len(states) for states in self.seen)
        return ", ".join(f"{polls} ({count}×)" for polls, count in sorted(numbers.items()))


def measure(options: argparse.Namespace) -> Section:
    """Run the suite on the plugin, and on the service in each documented way."""
    section = Section(
        "A pipeline's test suite",
        f"`pytest` on {suite.TRAININGS} tests, one after the other: each has opensearch-py train KMEANS on"
        f" {suite.ROWS:,} indexed rows asynchronously, and waits by the common loop, which gets the task, leaves if it"
        " is COMPLETED or FAILED, and sleeps for a second; then it looks whether the model is there"
        " (`tests/bench/pipeline_suite.py`). Models are real on both sides. Seconds are those of the whole command;"
        " node and service run already, and each has trained once. Each test tells ours what to do, with the fixtures"
        f" of the pytest plugin or `Emulator`. One run on the plugin, {RUNS} of each on ours, smallest and largest in"
        " brackets; the ratio is the plugin's to our median.",
        "the plugin",
    )
    ready: list[str] = []
    with running(options.oracle) as plugin:
        section.versions["plugin"] = plugin.line.get("version") or plugin.line["opensearch"]["version"]
        loads.first_completed_s(plugin)
        theirs = _run({suite.URL: plugin.url})
        ready.append(f"{plugin.ready_s:.1f} s (the plugin's node)")
    _tell("plugin", theirs)
    loops = [f"{_loop([theirs])} on the plugin"]
    for setting in SETTINGS:
        with running(setting.command) as ours:
            section.versions["ours"] = ours.line["opensearch"]["version"]
            loads.first_completed_s(ours)
            ready.append(f"{ours.ready_s:.1f} s ({setting.opensearch})")
            for way, told in WAYS.items():
                environment = {suite.WAY: way, suite.SPACES: setting.namespaces, VARIABLES[URL]: ours.url}
                runs = [_run(environment) for _ in range(RUNS)]
                for run in runs:
                    _tell(f"{setting.opensearch}, {setting.namespaces}, {way}", run)
                section.rows.append(_row(f"{setting.what}: {told}, s", runs, theirs, is_required=setting.is_required))
                loops.append(f"{_loop(runs)} ({setting.what}, {told})")
    section.notes += [
        f"From a training's request to the poll that leaves the loop: {'; '.join(loops)}.",
        f"Not in the figures is the start: {', '.join(ready)}.",
        "A namespace has indices of its own, which an embedded node takes its time to create and delete.",
    ]
    return section


def _row(what: str, runs: list[_Run], theirs: _Run, *, is_required: bool) -> Row:
    ratio = theirs.seconds / statistics.median(run.seconds for run in runs)
    return Row(
        what,
        spread([run.seconds for run in runs]),
        f"{theirs.seconds:.2f}",
        f"ratio {ratio:.1f}" + (f", at least {RATIO_LIMIT:g}" if is_required else ""),
        not is_required or ratio >= RATIO_LIMIT,
    )


def _run(told: dict[str, str]) -> _Run:
    """Run the suite as a command in an empty folder, where no settings of this project are."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        began = time.monotonic()
        done = subprocess.run(
            [*PYTEST, "--rootdir", folder, suite.__file__],
            cwd=folder,
            env=clean_environment(**told, **{suite.REPORT: str(report)}),
            capture_output=True,
            text=True,
            timeout=LONGEST_S,
            check=False,
        )
        seconds = time.monotonic() - began
        if done.returncode != 0:
            raise SystemExit(f"bench: the pipeline's suite failed\n{done.stdout[-4000:]}{done.stderr[-2000:]}")
        tests = json.loads(report.read_text())
    return _Run(seconds, [test["seconds"] for test in tests], [test["seen"] for test in tests])


def _loop(runs: list[_Run]) -> str:
    seconds = statistics.median(each for run in runs for each in run.trainings_s)
    return f"{seconds:.3f} s, polls {runs[0].polls}"


def _tell(who: str, run: _Run) -> None:
    each = spread([seconds * 1000 for seconds in run.trainings_s], "ms")
    states = Counter(" ".join(seen) for seen in run.seen).most_common(3)
    print(f"{who:<26} {run.seconds:6.2f} s, a training {each}, polls {run.polls}, {states}", flush=True)
