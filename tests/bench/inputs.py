"""100,000 requests that no well-behaved client would send: what they were answered with, and what memory they took."""

from __future__ import annotations

import argparse
import time
from collections import Counter

from tests.bench.report import Row, Section
from tests.fuzz import campaign, described
from tests.services import service

REQUESTS = 100_000
ROUNDS = 20
DESCRIBED = 200  #: requests to each operation of `docs/openapi.yaml`, of which half are not as described
MOST_GROWTH_MIB = 64
SHOWN = 20  #: wrong answers that are printed whole


def measure(options: argparse.Namespace) -> Section:
    """Send them, in rounds of another seed each, to a service over a node of its own."""
    section = Section(
        "Inputs",
        f"{REQUESTS:,} requests in {ROUNDS} rounds over a raw socket, made up by hypothesis: broken and odd request"
        " lines, paths, headers, framings and bodies for every emulated route; and those that schemathesis makes of"
        " `docs/openapi.yaml`. Memory is the service's processes (PSS), without the node's.",
        "first round",
    )
    with service() as running:
        section.versions["ours"] = running.ready["opensearch"]["version"]
        campaign.prepare(running.url)
        result, wrong, memory, rates = campaign.Result(), list[str](), list[float](), list[float]()
        sent = described.run(running.url, DESCRIBED, 1)
        for number in range(ROUNDS):
            began, before = time.perf_counter(), result.sent
            campaign.run(running.url, REQUESTS // ROUNDS, number + 10, result, wrong.append)
            rates.append((result.sent - before) / (time.perf_counter() - began))
            memory.append(campaign.memory_mib(int(running.ready["pid"])))
            print(
                f"inputs round {number + 1:2}: {result.sent:6} sent, {rates[-1]:4.0f} a second, {len(wrong)} wrong,"
                f" {memory[-1]:4.0f} MiB",
                flush=True,
            )
        log = running.log.read_text("utf-8", "replace")
    for text in wrong[:SHOWN]:
        print(text, flush=True)
    growth = memory[-1] - memory[0]
    section.rows += [
        Row("requests sent, raw and described", f"{result.sent:,} and {sent:,}", "", "all answered rightly", not wrong),
        Row("answers, by status class", _classes(result.statuses), "", "", True),
        Row("5xx that are not the plugin's, or other wrong answers", str(len(wrong)), "", "none", not wrong),
        Row("tracebacks in the log", str(log.count("Traceback")), "", "none", "Traceback" not in log),
        Row("the longest wait for an answer, s", f"{result.slowest_s:.2f}", "", "at most 20 s", True),
        Row(
            "memory after the last round, MiB",
            f"{memory[-1]:.0f}",
            f"{memory[0]:.0f}",
            f"{growth:+.0f} MiB, at most +{MOST_GROWTH_MIB}",
            growth <= MOST_GROWTH_MIB,
        ),
    ]
    listed = Counter[tuple[int, str]]()
    for (status, kind, _), count in result.server_errors.items():
        listed[status, kind] += count
    section.notes.append(
        "5xx that were seen, all of them the plugin's own (`tests/fuzz/server_errors.py` names their recordings): "
        + ", ".join(f"{count} × {status} {kind}" for (status, kind), count in listed.most_common())
        + "."
    )
    return section


def _classes(statuses: Counter[int]) -> str:
    classes = Counter[str]()
    for status, count in statuses.items():
        classes[f"{status // 100}xx" if status else "hung up, as Netty does"] += count
    return ", ".join(f"{count:,} {name}" for name, count in sorted(classes.items()))
