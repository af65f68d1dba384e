"""What a replica and the cluster pay for a task, a poll, a training in line: the figures behind docs/scaling.md."""

from __future__ import annotations

import argparse
import json
import secrets
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mlcommons_tasks.node.distribution import fetch
from mlcommons_tasks.node.process import EmbeddedNode
from mlcommons_tasks.store.mappings import CLUSTER_TASK_INDEX, TASK_INDEX
from tests.bench import loads, processes
from tests.bench.hammer import hammer, request
from tests.bench.report import Row, Section
from tests.bench.servers import MIB, OURS, Side, pss, running
from tests.clients import Client, long_body, query_body
from tests.fault_proxy import Exchange, fault_proxy
from tests.services import service, wait_until

STORED = 100_000  #: documents whose size is looked at
AT_ONCE = 10_000
WAITING = 1_000
TRAININGS = 200
POLLS = 20_000
POLLERS = 64
IDLE_S = 30.0
SETTLE_S = 5.0  #: until what a start or a training began is over
ENDLESS = 100_000_000
FIELDS = ["sepal_length", "petal_length"]


def measure(_: argparse.Namespace) -> Section:
    """Count bytes, requests and seconds of a core."""
    section = Section(
        "Costs",
        "One service over its embedded node; what it asks of OpenSearch is counted by a proxy between the two. Bytes on"
        f" disk are those of {STORED:,} copies of a real document under ids of their own, merged into one segment."
        " Seconds of a core are the operating system's count, so they say the same on a busy machine.",
        "counted over",
    )
    with running(OURS) as side:
        section.versions["ours"] = side.line["opensearch"]["version"]
        Client(side.url).load_iris()
        loads.first_completed_s(side)
        section.rows += [*_polls(side, "few tasks"), *_waiting(side)]
        section.rows += [*_on_disk(side), *_polls(side, f"{STORED:,} more tasks")]
    with EmbeddedNode(fetch()) as node:
        node.wait_ready()
        section.rows += _asked(node.url)
    return section


def _row(what: str, ours: str, over: str) -> Row:
    print(f"{what}: {ours}; {over}", flush=True)
    return Row(what, ours, over, "", True)


def _polls(side: Side, among: str) -> list[Row]:
    found = side.request("POST", "/_plugins/_ml/tasks/_search", {"size": 1, "query": {"match_all": {}}})
    poll = request("GET", f"/_plugins/_ml/tasks/{found['hits']['hits'][0]['_id']}")
    search = request("POST", "/_plugins/_ml/tasks/_search", b'{"size":10,"query":{"term":{"state":"COMPLETED"}}}')
    rows = []
    for what, sent, connections, count in (
        ("poll", poll, 1, POLLS // 4),
        ("poll", poll, POLLERS, POLLS),
        ("search of 10", search, 16, POLLS // 4),
    ):
        hammer(side.url, sent, connections=connections, requests=count // 4)  # uncounted
        before = processes.cpu_s(side)
        load = hammer(side.url, sent, connections=connections, requests=count)
        rows.append(
            _row(
                f"a {what} on {connections} connections among {among}: µs of a core, service and OpenSearch",
                _cpu(side, before, count, 1e6),
                f"{count:,} at {load.rate:,.0f} a second",
            )
        )
    return rows


def _cpu(side: Side, before: dict[str, float], count: int, scale: float) -> str:
    after = processes.cpu_s(side)
    kinds = (processes.SERVICE, processes.JAVA)
    return " and ".join(f"{(after[kind] - before[kind]) * scale / count:.0f}" for kind in kinds)


def _waiting(side: Side) -> list[Row]:
    """Return what each training in line holds; none of them ends, for those before them do not."""
    client = Client(side.url)
    for _ in range(4):
        client.train_async(long_body(ENDLESS))
    rows = []
    bodies: dict[str, dict[str, Any]] = {
        f"on {loads.BURST_ROWS} inline rows": loads.kmeans_body(loads.BURST_ROWS),
        "by query": query_body("iris", FIELDS, 100),
    }
    for what, body in bodies.items():
        before = _service_mib(side)
        with ThreadPoolExecutor(loads.BURST_CLIENTS // 4) as callers:
            list(callers.map(lambda _, body=body: client.train_async(body), range(WAITING)))
        grown = (_service_mib(side) - before) * MIB / WAITING / 1024
        rows.append(_row(f"a training in line, {what}: KiB of the service's memory", f"{grown:.1f}", f"{WAITING:,}"))
    client.ok("POST", "/_tasks/_cancel?actions=*ml/train&wait_for_completion=true")
    return rows


def _service_mib(side: Side) -> float:
    found = processes.kinds(side)
    return sum(pss(process) for kind, process in found if kind == processes.SERVICE) / MIB


def _on_disk(side: Side) -> list[Row]:
    """Return what a document takes of each index, and leave the copies of tasks there."""
    opensearch = Client(side.line["opensearch"]["url"])
    task_id = loads.start_training(side, loads.kmeans_body(loads.BURST_ROWS))
    task = Client(side.url).ended(task_id)
    trace = wait_until(lambda: _trace_of(opensearch, task_id), what="the training's entry of _tasks")
    rows = []
    for what, index, source in (
        ("a task that is COMPLETED", TASK_INDEX, task),
        ("what `_tasks` keeps of its training", CLUSTER_TASK_INDEX, trace),
    ):
        text = json.dumps(source, separators=(",", ":"))
        on_disk = _bytes_each(opensearch, index, text, [task_id, task["model_id"]])
        rows.append(_row(f"{what}: bytes of JSON, and on disk", f"{len(text)} and {on_disk:.0f}", f"{STORED:,}"))
    return rows


def _trace_of(opensearch: Client, task_id: str) -> dict[str, Any] | None:
    wanted = {"size": 10, "query": {"term": {"completed": True}}, "sort": [{"ended": "desc"}]}
    hits = opensearch.ok("POST", f"/{CLUSTER_TASK_INDEX}/_search", wanted)["hits"]["hits"]
    return next((hit["_source"] for hit in hits if task_id in json.dumps(hit["_source"])), None)


def _bytes_each(opensearch: Client, index: str, text: str, volatile: list[str]) -> float:
    """Index copies, each with ids of its own in the place of those that are `volatile`; return the bytes of one."""
    opensearch.ok("POST", f"/{index}/_forcemerge?max_num_segments=1&flush=true")
    before = _bytes(opensearch, index)
    for _ in range(0, STORED, AT_ONCE):
        lines = []
        for _ in range(AT_ONCE):
            copy = text
            for each in volatile:
                copy = copy.replace(each, secrets.token_urlsafe(15))
            lines.append(f'{{"index":{{"_id":"{secrets.token_urlsafe(15)}"}}}}\n{copy}\n')
        kind = {"Content-Type": "application/x-ndjson"}
        answer = opensearch.ok("POST", f"/{index}/_bulk", "".join(lines).encode(), kind)
        assert answer["errors"] is False, "a copy was not taken"
    opensearch.ok("POST", f"/{index}/_refresh")
    opensearch.ok("POST", f"/{index}/_forcemerge?max_num_segments=1&flush=true")
    return (_bytes(opensearch, index) - before) / STORED


def _bytes(opensearch: Client, index: str) -> int:
    found = opensearch.ok("GET", f"/{index}/_segments")  # `_stats` may be ten seconds old
    shards = [shard for shards in found["indices"][index]["shards"].values() for shard in shards]
    return sum(int(segment["size_in_bytes"]) for shard in shards for segment in shard["segments"].values())


def _asked(opensearch: str) -> list[Row]:
    """Return what a service asks of OpenSearch, while nothing happens and for what callers want."""
    seen: Counter[str] = Counter()

    def watch(exchange: Exchange) -> None:
        path = exchange.target.partition("?")[0]
        seen[f"{exchange.method} {'_source' if '/_source/' in path else path.rpartition('/')[2]}"] += 1

    with fault_proxy(opensearch, watchers=[watch]) as proxy:
        behind = f"http://127.0.0.1:{proxy.port}"
        with service("--opensearch", behind) as one:
            client = Client(one.url)
            time.sleep(SETTLE_S)
            rows = [_row("requests a second, an idle replica that is alone", *_over(seen, _idle, IDLE_S))]
            with service("--opensearch", opensearch) as other:
                Client(other.url).ended(Client(other.url).train_async(loads.kmeans_body(100)))
                client.ended(client.train_async(loads.kmeans_body(100)))
                time.sleep(SETTLE_S)
                rows.append(_row("requests a second, an idle replica of two", *_over(seen, _idle, IDLE_S)))
        with service("--opensearch", behind) as one:
            client = Client(one.url)
            direct = Client(opensearch)

            def train(_: int) -> None:
                task_id = client.train_async(loads.kmeans_body(loads.BURST_ROWS))
                path = f"/{TASK_INDEX}/_doc/{task_id}"  # past the proxy: only the service is counted
                wait_until(lambda: direct.ok("GET", path)["_source"]["state"] in loads.FINAL, what="an end")

            def one_by_one() -> None:
                for number in range(TRAININGS // 4):
                    train(number)

            def crowd() -> None:
                with ThreadPoolExecutor(loads.BURST_CLIENTS) as callers:
                    list(callers.map(train, range(TRAININGS)))

            train(0)
            rows.append(
                _row(
                    "requests a training, one after the other",
                    *_over(seen, one_by_one, TRAININGS // 4),
                )
            )
            rows.append(
                _row(
                    f"requests a training, {loads.BURST_CLIENTS} callers who wait for theirs",
                    *_over(seen, crowd, TRAININGS),
                )
            )
            task_ids = [client.train_async(loads.kmeans_body(50)) for _ in range(POLLERS)]
            for task_id in task_ids:
                client.ended(task_id)
            polls = [request("GET", f"/_plugins/_ml/tasks/{task_id}") for task_id in task_ids]
            for connections in (1, POLLERS):
                count = POLLS // 10
                rows.append(
                    _row(
                        f"requests a poll, {connections} connections with a task each",
                        *_over(
                            seen,
                            lambda connections=connections, count=count: hammer(  # type: ignore[misc]
                                one.url, polls, connections=connections, requests=count
                            ),
                            count,
                        ),
                    )
                )
    return rows


def _idle() -> None:
    time.sleep(IDLE_S)


def _over(seen: Counter[str], action: Callable[[], Any], count: float) -> tuple[str, str]:
    """Act; return how many requests each of `count` took, and what they were."""
    seen.clear()
    action()
    found = Counter(seen)
    kinds = ", ".join(f"{times} `{what}`" for what, times in found.most_common(5) if times * 100 >= found.total())
    return f"{found.total() / count:.2f}", f"{count:g}: {kinds}"
