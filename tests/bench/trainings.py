"""A thousand trainings from many clients: how many end, and how many of them in a second, against the plugin."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import dataclass, field

from tests.bench import loads, processes
from tests.bench.hammer import hammer, request
from tests.bench.report import Row, Section, spread
from tests.bench.servers import OURS, Side, running

TRAININGS = 1_000
RUNS = 2
RATE_LIMIT = 2.0
STILL_S = 10.0  #: the plugin is done when nothing was COMPLETED for so long
LOOK_S = 1.0
LONGEST_S = 300.0
CREATED = "create_time"
WRITTEN = "last_update_time"


@dataclass
class _Run:
    """What became of the trainings: how many are in which state, and the seconds until the last was COMPLETED."""

    accepted_s: float
    seconds: float
    states: dict[str, int]
    cpu_s: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        return self.states.get("COMPLETED", 0) / self.seconds

    @property
    def told(self) -> str:
        states = ", ".join(f"{count} {state}" for state, count in sorted(self.states.items()))
        return f"{states} after {self.seconds:.1f} s"


def measure(options: argparse.Namespace) -> Section:
    """Train on both sides in turn, each time on fresh processes."""
    section = Section(
        "A thousand trainings",
        f"{TRAININGS} asynchronous KMEANS of {loads.BURST_ROWS} inline rows from {loads.BURST_CLIENTS} clients, each of"
        f" which sends the next once the last is accepted, on a fresh service with its embedded node and on a fresh"
        f" node with the real plugin in turn, {RUNS} runs each. A rate is the number of COMPLETED tasks over the"
        " seconds from the first request to the last of their `last_update_time`s; ours is measured until all are over,"
        f" the plugin's until none was COMPLETED for {STILL_S:g} s. Smallest and largest in brackets; the ratio is the"
        " median of the ratios of the pairs.",
        "the plugin",
    )
    ours: list[_Run] = []
    theirs: list[_Run] = []
    for _ in range(RUNS):
        for name, command, runs in (("ours", OURS, ours), ("plugin", options.oracle, theirs)):
            with running(command) as side:
                section.versions[name] = side.line.get("version") or side.line["opensearch"]["version"]
                runs.append(_run(side, until_all=name == "ours"))
            print(f"{name:<7} {runs[-1].told}, {runs[-1].rate:.1f} a second, {runs[-1].cpu_s}", flush=True)
    ratio = statistics.median(a.rate / b.rate for a, b in zip(ours, theirs, strict=True))
    all_done = all(run.states == {"COMPLETED": TRAININGS} for run in ours)
    section.rows += [
        Row("how they end", _worst(ours).told, _worst(theirs).told, "all COMPLETED", all_done),
        Row(
            "COMPLETED tasks a second",
            spread([run.rate for run in ours]),
            spread([run.rate for run in theirs]),
            f"ratio {ratio:.2f}, at least {RATE_LIMIT:g}",
            ratio >= RATE_LIMIT,
        ),
        Row(
            "all accepted, s",
            spread([run.accepted_s for run in ours]),
            spread([run.accepted_s for run in theirs]),
            "",
            True,
        ),
    ]
    left = sum(count for run in theirs for state, count in run.states.items() if state in ("CREATED", "RUNNING"))
    section.notes.append(
        f"Of the plugin's {RUNS * TRAININGS} tasks {left} were left CREATED or RUNNING. Of a core, a training of ours"
        f" took {_cost(ours, processes.SERVICE)} in the service, {_cost(ours, processes.TRAINING)} where it trains, and"
        f" {_cost(ours, processes.JAVA)} in OpenSearch; one that the plugin COMPLETED took"
        f" {_cost(theirs, processes.JAVA)} in its node."
    )
    return section


def _worst(runs: list[_Run]) -> _Run:
    return min(runs, key=lambda run: run.states.get("COMPLETED", 0))


def _cost(runs: list[_Run], kind: str) -> str:
    each = [1000 * run.cpu_s.get(kind, 0.0) / max(1, run.states.get("COMPLETED", 0)) for run in runs]
    return f"{statistics.median(each):.1f} ms"


def _run(side: Side, *, until_all: bool) -> _Run:
    loads.first_completed_s(side)
    bodies = [json.dumps(loads.kmeans_body(loads.BURST_ROWS, seed)).encode() for seed in range(loads.BURST_CLIENTS)]
    sent = [request("POST", "/_plugins/_ml/_train/kmeans?async=true", body) for body in bodies]
    before, began_ms = processes.cpu_s(side), time.time() * 1000
    accepted = hammer(side.url, sent, connections=loads.BURST_CLIENTS, requests=TRAININGS)
    states, last_ms = _await_end(side, began_ms, until_all=until_all)
    after = processes.cpu_s(side)
    spent = {kind: round(after[kind] - before[kind], 2) for kind in after}
    return _Run(accepted.seconds, (last_ms - began_ms) / 1000, states, spent)


def _await_end(side: Side, began_ms: float, *, until_all: bool) -> tuple[dict[str, int], float]:
    """Return how many are in which state at the end, and when the last of them was COMPLETED."""
    until = time.monotonic() + LONGEST_S
    done, changed_at = -1, time.monotonic()
    while True:
        states, last_ms = _states(side, began_ms)
        if states.get("COMPLETED", 0) != done:
            done, changed_at = states.get("COMPLETED", 0), time.monotonic()
        now = time.monotonic()
        is_over = sum(states.get(state, 0) for state in loads.FINAL) == TRAININGS
        if is_over or now > until or (not until_all and now - changed_at > STILL_S):
            return states, last_ms
        time.sleep(LOOK_S)


def _states(side: Side, began_ms: float) -> tuple[dict[str, int], float]:
    last = {"filter": {"term": {"state": "COMPLETED"}}, "aggs": {"at": {"max": {"field": WRITTEN}}}}
    query = {
        "size": 0,
        "query": {"range": {CREATED: {"gte": int(began_ms)}}},
        "aggs": {"states": {"terms": {"field": "state"}}, "last": last},
    }
    found = side.request("POST", "/_plugins/_ml/tasks/_search", query)["aggregations"]
    states = {bucket["key"]: bucket["doc_count"] for bucket in found["states"]["buckets"]}
    return states, float(found["last"]["at"]["value"] or began_ms)
