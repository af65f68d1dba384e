"""Polling a task and searching tasks, against the plugin; what was tried, and where the time goes."""

from __future__ import annotations

import argparse
import contextlib
import pstats
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench import loads
from tests.bench.hammer import Load, hammer, request
from tests.bench.report import Row, Section
from tests.bench.servers import OURS, Side, running

WARM_S = 10.0
RUN_S = 4.0
RUNS = 3
TASKS = 64
POLLERS = 64
SEARCHERS = 16
POLL_LIMIT = 0.3
SEARCH_LIMIT = 0.25
LATENCY_LIMIT = 4.0
SINGLE = 3000
PROFILED = 40_000
STEPS = 12  #: lines of the profile

Sent = bytes | Sequence[bytes]


@dataclass
class _Kind:
    """A kind of load, and what is wanted of it."""

    name: str
    what: str
    connections: int
    limit: float | None


KINDS = [
    _Kind("one", f"`GET` of one task on {POLLERS} connections, a second", POLLERS, POLL_LIMIT),
    _Kind("many", f"`GET` of {TASKS} tasks, each connection its own, a second", POLLERS, POLL_LIMIT),
    _Kind("search", f"`_search` of 10 hits on {SEARCHERS} connections, a second", SEARCHERS, SEARCH_LIMIT),
]


def measure(options: argparse.Namespace) -> Section:
    """Ask both sides in turn, then ours as it could be otherwise."""
    section = Section(
        "Polling",
        "The service with its embedded node and the real plugin's node, both running, asked in turn: each warmed"
        f" {WARM_S:g} s for each load, then {RUNS} runs of about {RUN_S:g} s, of which the best counts; {TASKS} tasks"
        " are stored. The load comes from one Python process with raw sockets (tests/bench/hammer.py) on the same two"
        " cores as both; in brackets how much of a core it took.",
        "the plugin",
    )
    with _with_tasks(OURS) as ours, _with_tasks(options.oracle) as plugin:
        section.versions["ours"] = ours.side.line["opensearch"]["version"]
        section.versions["plugin"] = plugin.side.request("GET", "/")["version"]["number"]
        for kind in KINDS:
            section.rows.append(_rates(kind, ours, plugin))
        section.rows.append(_latency(ours, plugin))
        opensearch = ours.side.line["opensearch"]["url"]
        section.notes += [_otherwise(ours, opensearch), _profile(ours, opensearch)]
    for row in section.rows:
        print(f"{row.what}: {row.ours}; {row.other}; {row.wanted}", flush=True)
    return section


@dataclass
class _Stored:
    """A running side with tasks in it, and what is asked of it."""

    side: Side
    sent: dict[str, Sent]

    def load(self, kind: _Kind, requests: int) -> Load:
        """Ask so many times."""
        return hammer(self.side.url, self.sent[kind.name], connections=kind.connections, requests=requests)

    def warmed(self, kind: _Kind, seconds: float = WARM_S) -> int:
        """Ask for some seconds; return how many requests a run has."""
        until, load = time.monotonic() + seconds, self.load(kind, 1000)
        while time.monotonic() < until:
            load = self.load(kind, max(1000, int(load.rate)))
        return max(1000, int(load.rate * RUN_S))


@contextlib.contextmanager
def _with_tasks(command: str) -> Iterator[_Stored]:
    with running(command) as side:
        task_ids = [loads.start_training(side, loads.kmeans_body(50, seed)) for seed in range(TASKS)]
        for task_id in task_ids:
            _ended(side, task_id)
        yield _Stored(side, _asked(task_ids))


def _ended(side: Side, task_id: str) -> None:
    until = time.monotonic() + loads.BURST_S
    while side.request("GET", f"/_plugins/_ml/tasks/{task_id}")["state"] not in loads.FINAL:
        if time.monotonic() > until:
            return  # the plugin leaves some hanging, which can be polled as well
        time.sleep(0.05)


def _asked(task_ids: Sequence[str]) -> dict[str, Sent]:
    polls = [request("GET", f"/_plugins/_ml/tasks/{task_id}") for task_id in task_ids]
    body = b'{"size":10,"query":{"term":{"function_name":"KMEANS"}}}'
    return {"one": polls[0], "many": polls, "search": request("POST", "/_plugins/_ml/tasks/_search", body)}


def _shown(load: Load) -> str:
    return f"{load.rate:,.0f} ({load.busy:.2f})"


def _rates(kind: _Kind, ours: _Stored, plugin: _Stored) -> Row:
    sizes = [(side, side.warmed(kind)) for side in (ours, plugin)]
    found: dict[int, list[Load]] = {id(side): [] for side, _ in sizes}
    for _ in range(RUNS):
        for side, requests in sizes:
            found[id(side)].append(side.load(kind, requests))
    mine, theirs = (max(found[id(side)], key=lambda load: load.rate) for side in (ours, plugin))
    ratio = mine.rate / theirs.rate
    wanted = f"ratio {ratio:.2f}, at least {kind.limit:g}"
    return Row(kind.what, _shown(mine), _shown(theirs), wanted, kind.limit is None or ratio >= kind.limit)


def _latency(ours: _Stored, plugin: _Stored) -> Row:
    found: dict[int, list[float]] = {id(ours): [], id(plugin): []}
    for number in range(RUNS + 1):
        for side in (ours, plugin):
            load = hammer(side.side.url, side.sent["one"], connections=1, requests=SINGLE)
            if number:
                found[id(side)].append(load.percentile_ms(50))
    mine, theirs = min(found[id(ours)]), min(found[id(plugin)])
    ratio = mine / theirs
    return Row(
        "`GET` of a task on one connection, p50, ms",
        f"{mine:.3f}",
        f"{theirs:.3f}",
        f"{ratio:.1f} times, at most {LATENCY_LIMIT:g}",
        ratio <= LATENCY_LIMIT,
    )


def _otherwise(ours: _Stored, opensearch: str) -> str:
    """Return a table of what the same loads give with other settings, over the same node."""
    lines = [
        "What was tried, over the same node in the same run, best of two runs each, a second:",
        "",
        "| the service | one task | 64 tasks | `_search` | p50 of one, ms |",
        "|---|---|---|---|---|",
    ]
    for name, flags in {
        "as it is: gunicorn, one worker whose loop reads, answers polls and plain searches": "",
        "all through gunicorn's threads and Flask (`--no-fast-lane`)": "--no-fast-lane",
        "two workers": "--workers 2",
        "two workers without the lane": "--workers 2 --no-fast-lane",
    }.items():
        with running(f"{OURS} --opensearch {opensearch} {flags}") as side:
            other = _Stored(side, ours.sent)
            figures = []
            for kind in KINDS:
                requests = other.warmed(kind, WARM_S / 4)
                best = max((other.load(kind, requests // 2) for _ in range(2)), key=lambda load: load.rate)
                figures.append(f"{best.rate:,.0f}")
            single = hammer(side.url, ours.sent["one"], connections=1, requests=SINGLE)
            lines.append(f"| {name} | {' | '.join(figures)} | {single.percentile_ms(50):.3f} |")
    return "\n".join(lines)


def _profile(ours: _Stored, opensearch: str) -> str:
    """Return a table of where the loop's time goes while 64 tasks are polled."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "loop.profile")
        command = f"{shlex.quote(sys.executable)} -m tests.bench.profiled {path} serve --port 0"
        with running(f"{command} --opensearch {opensearch}") as side:
            polls = _Stored(side, ours.sent)
            load = polls.load(KINDS[1], PROFILED)
        return _as_table(pstats.Stats(str(path)), load)


def _as_table(stats: pstats.Stats, load: Load) -> str:
    polls = len(load.latencies)
    # (file, line, name) → calls, calls that are not recursive, own seconds, seconds in all, callers
    entries = stats.stats.items()  # type: ignore[attr-defined]
    found = sorted(entries, key=lambda entry: entry[1][2], reverse=True)[:STEPS]
    lines = [
        f"A profile of the worker's loop, {polls:,} polls of {TASKS} tasks at {load.rate:,.0f} a second under cProfile,"
        " which makes it slower; own time of the costliest steps:",
        "",
        "| step | calls a poll | µs a poll |",
        "|---|---|---|",
    ]
    for (file, _, name), (_, calls, own, _, _) in found:
        where = "" if file == "~" else f"{Path(file).parent.name}/{Path(file).name} "
        lines.append(f"| `{where}{name}` | {calls / polls:.2f} | {own / polls * 1e6:.1f} |")
    return "\n".join(lines)
