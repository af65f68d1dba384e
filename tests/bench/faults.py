"""A thousand trainings in flight through each fault of OpenSearch and each death of a service: how all of them end."""

from __future__ import annotations

import argparse
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlcommons_tasks.node.distribution import DEFAULT_VERSION
from tests import crashes, crowds
from tests.bench.report import Row, Section
from tests.clients import Client
from tests.fault_proxy import FaultProxy
from tests.histories import TASK_INDEX, WRITES, stored_tasks
from tests.stages import Crowd, Stage, hold, proxied_stage, restarted_stage, stage
from tests.three_nodes import several_nodes

TASKS = 1_000
ITERATIONS = 1_000
LASTS_S = 20.0
ENDS_S = 60.0  #: after the fault
LEASE_S = 15.0
TAKEOVER_S = 15.0  #: after the lease's end
STORMS: dict[str, dict[str, Any]] = {
    "all requests answered 429": {"status": 429},
    "all requests answered 503": {"status": 503},
    "every second item of bulk requests refused with 429": {"status": 429, "items": True, "share": 0.5},
    "replies delayed by 5 s": {"delay_s": 5.0},
    "connections cut before the reply": {"cut_after": 0},
    "every second connection cut in mid reply": {"cut_after": 150, "share": 0.5},
    "nothing passes, nobody is told": {"partition": True},
    "connections refused": {"refuse": True},
}


def measure(_: argparse.Namespace) -> Section:
    """Let each fault happen once."""
    section = Section(
        "Faults",
        f"{TASKS} trainings of 24 rows, half of them on inline rows, half on an index, none of them over when the fault"
        f" begins; storms last {LASTS_S:g} s. Beside the states in which they ended: the seconds from the end of the"
        " fault to the last end. A fault holds if all are COMPLETED in time, each task was written once at its end, no"
        " state went backwards, and no model is left that no task names.",
        "seconds",
    )
    section.versions["ours"] = DEFAULT_VERSION
    with proxied_stage() as (played, proxy):
        played.serve()
        for name, fault in STORMS.items():
            section.rows.append(_row(name, lambda fault=fault: _storm(played, proxy, fault)))  # type: ignore[misc]
        section.rows.append(_row("task index read-only, then released", lambda: _read_only(played)))
    section.rows.append(_row("the only node stopped and started", lambda: _restart(signal.SIGTERM)))
    section.rows.append(_row("the only node killed and started", lambda: _restart(signal.SIGKILL)))
    section.rows.append(_row("one of three nodes killed", _lost_node))
    section.rows.append(_row("one of three services killed", lambda: _dead(sleeps=False), takeover=True))
    section.rows.append(
        _row("one of three services stopped for twice its lease", lambda: _dead(sleeps=True), takeover=True)
    )
    return section


def _row(name: str, play: Callable[[], tuple[Counter[str], float]], *, takeover: bool = False) -> Row:
    half = TASKS // 2
    wanted = Counter({"COMPLETED": half, "FAILED": half}) if takeover else Counter({"COMPLETED": TASKS})
    limit_s = LEASE_S + TAKEOVER_S if takeover else ENDS_S
    try:
        ends, seconds = play()
        shown, holds = _told(ends), ends == wanted and seconds <= limit_s
    except AssertionError as error:
        seconds, shown, holds = float("nan"), str(error).partition("\n")[0][:200], False
    row = Row(name, shown, f"{seconds:.1f}", f"{_told(wanted)} within {limit_s:g} s", holds)
    print(f"{row.what}: {row.ours}; {row.other} s; {row.wanted}; {'holds' if holds else 'DOES NOT HOLD'}", flush=True)
    return row


def _told(ends: Counter[str]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(ends.items()))


def _ended(
    played: Stage, crowd: Crowd, *, deadline_s: float = 2 * ENDS_S, most: int = WRITES
) -> tuple[Counter[str], float]:
    began = time.monotonic()
    crowds.await_ends(played.direct, crowd.task_ids, deadline_s=deadline_s, log=played.log)
    seconds = time.monotonic() - began
    return played.ended(crowd, most=most), seconds


def _storm(played: Stage, proxy: FaultProxy, fault: dict[str, Any]) -> tuple[Counter[str], float]:
    crowd = played.accepted(crowds.mixed(TASKS, ITERATIONS))
    played.release(crowd)
    with proxy.broken(**fault):
        hold(LASTS_S)
    return _ended(played, crowd)


def _read_only(played: Stage) -> tuple[Counter[str], float]:
    crowd = played.accepted(crowds.mixed(TASKS, ITERATIONS))
    played.release(crowd)
    block = "index.blocks.read_only_allow_delete"
    played.direct.ok("PUT", f"/{TASK_INDEX}/_settings", {block: True})
    hold(LASTS_S)
    played.direct.ok("PUT", f"/{TASK_INDEX}/_settings", {block: None})
    return _ended(played, crowd)


def _restart(number: int) -> tuple[Counter[str], float]:
    with (
        tempfile.TemporaryDirectory(prefix="bench-faults-") as folder,
        restarted_stage(Path(folder), crowds.mixed(TASKS, ITERATIONS), number) as (played, crowd),
    ):
        return _ended(played, crowd)


def _lost_node() -> tuple[Counter[str], float]:
    with several_nodes() as cluster:
        crowds.load(cluster.client(), replicas=1)
        with stage(cluster.urls[0], cluster.url) as played:
            played.serve()
            crowd = played.accepted(crowds.mixed(TASKS, ITERATIONS))
            cluster.await_nodes(3, status="green")
            played.release(crowd)
            rows = cluster.client().ok("GET", f"/_cat/shards/{TASK_INDEX}?format=json&h=prirep,node")
            cluster.kill(cluster.names.index(next(row["node"] for row in rows if row["prirep"] == "p")))
            played.direct = cluster.client()
            return _ended(played, crowd)


def _dead(*, sleeps: bool) -> tuple[Counter[str], float]:
    with proxied_stage() as (played, _):
        for _ in range(3):
            played.serve("--lease", f"{LEASE_S:g}")
        victim = played.services.pop(0)
        crowd = played.accepted(crowds.mixed(TASKS, ITERATIONS), Client(victim.url))
        began = time.monotonic()
        if not sleeps:
            crashes.kill(victim)
            crowds.await_ends(played.direct, crowd.task_ids, deadline_s=4 * LEASE_S, log=played.log)
            seconds = time.monotonic() - began
        else:
            with crashes.asleep(victim):
                crowds.await_ends(played.direct, crowd.task_ids, deadline_s=4 * LEASE_S, log=played.log)
                seconds = time.monotonic() - began
                hold(max(0.0, 2 * LEASE_S - seconds))
                before = stored_tasks(played.direct, crowd.task_ids)
            client = Client(victim.url)
            assert client.ended(client.train_async(crowds.query(1)))["state"] == "COMPLETED"
            assert stored_tasks(played.direct, crowd.task_ids) == before, "who woke up wrote over what others ended"
        return played.ended(crowd, most=WRITES + 2), seconds
