"""Big data: KMEANS on many rows, trained and predicted with, against the plugin, and what a row costs."""

from __future__ import annotations

import argparse
import json
import random
import statistics
import threading
import time
import urllib.request
from collections.abc import Callable

from tests.bench.report import Row, Section, spread
from tests.bench.servers import OURS, Side, running

PREFIX = "/_plugins/_ml"
INDEXED = 10_000
TRAINED = 20_000
PREDICTED = 10_000
WARM_UP = 4
RUNS = 9
POLL_S = 0.002
LONGEST_BODY = 100 * 1024 * 1024
SIZES = (10_000, 50_000, 200_000)
MORE_A_ROW = 1.25  #: how much more a row may cost among the most that fit than among the fewest
PARAMETERS = {"centroids": 3, "iterations": 10}
FINAL = ("COMPLETED", "FAILED")


def measure(options: argparse.Namespace) -> Section:
    """Do the same in turn on both sides, both warm."""
    section = Section(
        "Many rows",
        f"KMEANS with 3 centroids and at most 10 rounds over rows of two doubles in three clouds, one request after the"
        f" other, on a service with its embedded node and a node with the real plugin in turn, {RUNS} pairs after"
        f" {WARM_UP} to warm up. Times are from the first byte sent to the last received, or to the poll that shows"
        f" COMPLETED. Smallest and largest in brackets; the ratio is the median of the ratios of the pairs.",
        "the plugin",
    )
    with running(OURS) as ours, running(options.oracle) as theirs:
        section.versions["ours"] = ours.line["opensearch"]["version"]
        section.versions["plugin"] = theirs.line["version"]
        for side in (ours, theirs):
            _load(side)
        models = {side.url: _trained(side) for side in (ours, theirs)}
        many, some = frame_body(TRAINED), frame_body(PREDICTED)
        both = _poster(f"{PREFIX}/_train_predict/kmeans", many)
        jobs: list[tuple[str, Callable[[Side], None], float]] = [
            (f"{INDEXED:,} indexed rows asynchronously, s to COMPLETED", _train_indexed, 1.0),
            (f"train and predict {TRAINED:,} rows in the request, s", both, 1.2),
            (f"train on {TRAINED:,} rows in the request, then predict them, s", _one_after_the_other(many), 1.2),
            (
                f"predict {PREDICTED:,} rows in the request, s",
                lambda side: _poster(f"{PREFIX}/_predict/kmeans/{models[side.url]}", some)(side),
                1.2,
            ),
        ]
        for what, job, limit in jobs:
            section.rows.append(_compared(what, job, limit, ours, theirs))
            print(section.rows[-1], flush=True)
    section.rows += _costs(section)
    return section


def frame_body(rows: int) -> bytes:
    """Return a request's body with so many rows of two doubles in three clouds."""
    chance = random.Random(rows)
    metas = [{"name": name, "column_type": "DOUBLE"} for name in ("x", "y")]
    frame = {"column_metas": metas, "rows": []}
    text = json.dumps({"parameters": PARAMETERS, "input_data": frame}, separators=(",", ":"))
    cell = '{{"column_type":"DOUBLE","value":{:.6f}}}'.format
    cells = ",".join(
        f'{{"values":[{cell(chance.gauss(10 * (n % 3), 1))},{cell(chance.gauss(-10 * (n % 3), 1))}]}}'
        for n in range(rows)
    )
    return text.replace('"rows":[]', f'"rows":[{cells}]').encode()


def _load(side: Side) -> None:
    side.request("PUT", "/points", {"settings": {"number_of_shards": 1, "number_of_replicas": 0}})
    chance = random.Random(1)
    lines = []
    for n in range(INDEXED):
        lines.append('{"index":{}}')
        lines.append(json.dumps({"x": chance.gauss(10 * (n % 3), 1), "y": chance.gauss(-10 * (n % 3), 1)}))
    side.request("POST", "/points/_bulk?refresh=true", ("\n".join(lines) + "\n").encode())


def _post(side: Side, path: str, body: bytes) -> dict[str, object]:
    wanted = urllib.request.Request(side.url + path, body, {"Content-Type": "application/json"}, method="POST")
    with urllib.request.urlopen(wanted, timeout=300) as answer:
        found: dict[str, object] = json.loads(answer.read())
    return found


def _trained(side: Side) -> str:
    return str(_post(side, f"{PREFIX}/_train/kmeans", frame_body(1000))["model_id"])


def _poster(path: str, body: bytes) -> Callable[[Side], None]:
    def post(side: Side) -> None:
        assert _post(side, path, body)["status"] == "COMPLETED"

    return post


def _one_after_the_other(body: bytes) -> Callable[[Side], None]:
    def work(side: Side) -> None:
        model_id = _post(side, f"{PREFIX}/_train/kmeans", body)["model_id"]
        assert _post(side, f"{PREFIX}/_predict/kmeans/{model_id}", body)["status"] == "COMPLETED"

    return work


def _train_indexed(side: Side) -> None:
    query = {"parameters": PARAMETERS, "input_index": ["points"], "input_query": {"size": INDEXED}}
    task_id = side.request("POST", f"{PREFIX}/_train/kmeans?async=true", query)["task_id"]
    while (state := side.request("GET", f"{PREFIX}/tasks/{task_id}")["state"]) not in FINAL:
        time.sleep(POLL_S)
    assert state == "COMPLETED", state


def _timed(job: Callable[[Side], None], side: Side) -> float:
    began = time.perf_counter()
    job(side)
    return time.perf_counter() - began


def _compared(what: str, job: Callable[[Side], None], limit: float, ours: Side, theirs: Side) -> Row:
    for _ in range(WARM_UP):
        job(ours)
        job(theirs)
    pairs = [(_timed(job, ours), _timed(job, theirs)) for _ in range(RUNS)]
    ratio = statistics.median(a / b for a, b in pairs)
    return Row(
        what,
        spread([a for a, _ in pairs]),
        spread([b for _, b in pairs]),
        f"ratio {ratio:.2f}, at most {limit:g}",
        ratio <= limit,
    )


def _costs(section: Section) -> list[Row]:
    """Train on more and more rows in the request, up to the most that fit; ours alone, a fresh service for each."""
    each = len(frame_body(2_000)) / 2_000
    most = int((LONGEST_BODY - 1000) / each / 1.01)
    found: list[tuple[int, int, float, float]] = []
    for size in (*SIZES, most):
        body = frame_body(size)
        with running(OURS) as side:
            _poster(f"{PREFIX}/_train/kmeans", frame_body(1000))(side)
            before = side.memory_mib(node_only=False) - side.memory_mib(node_only=True)
            with _Peak(side) as peak:
                seconds = statistics.median(
                    _timed(_poster(f"{PREFIX}/_train/kmeans", body), side) for _ in range(3 if size < most else 1)
                )
            found.append((size, len(body), seconds, peak.mib - before))
        print(f"{size} rows, {len(body) / 1e6:.0f} MB: {seconds:.2f} s, {peak.mib - before:.0f} MiB more", flush=True)
    per_row = [1e6 * seconds / size for size, _, seconds, _ in found]
    return [
        Row(
            f"train on {size:,} rows in the request ({length / 1e6:.0f} MB)",
            f"{cost:.1f} µs a row, {seconds:.2f} s, {mib:.0f} MiB more at its peak",
            "",
            f"at most {MORE_A_ROW:g} times the first's a row",
            cost <= MORE_A_ROW * per_row[0],
        )
        for (size, length, seconds, mib), cost in zip(found, per_row, strict=True)
    ]


class _Peak:
    """The most memory that the service's processes have while the block runs, without the node's."""

    def __init__(self, side: Side) -> None:
        self.mib = 0.0
        self._side = side
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._over.wait(0.1):
            self.mib = max(self.mib, self._side.memory_mib(node_only=False) - self._side.memory_mib(node_only=True))

    def __enter__(self) -> _Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
