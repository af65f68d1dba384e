"""The maths of an anomaly localization: time, heaps and counters as Java has them, and which searches there are."""

from __future__ import annotations

import heapq
import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from mlcommons_tasks.errors import IllegalArgument, IndexNotFound, ServerError, TaskPluginError
from mlcommons_tasks.execution.localization import Localizer
from mlcommons_tasks.pipeline.key_counters import SKETCH_THRESHOLD, HybridCounter, java_hash
from mlcommons_tasks.pipeline.localization import Bucket, Contributors, Entity, differs, time_buckets
from mlcommons_tasks.store.aggregations import AggregationIndex
from mlcommons_tasks.store.upstream import Reply
from mlcommons_tasks.wire.aggregation_classes import class_cast_problem
from mlcommons_tasks.wire.execute_input import Aggregation, Localization

LONGEST = 2**63 - 1


def spans(*arguments: Any) -> list[tuple[int, int]]:
    return [(bucket.start, bucket.end) for bucket in time_buckets(*arguments)]


def test_a_range_has_eight_buckets_at_most() -> None:
    assert spans(0, 100, 30, None) == [(0, 33), (33, 66), (66, 99)]
    assert spans(0, 80, 1, None) == [(n * 10, n * 10 + 10) for n in range(8)]


def test_an_anomaly_begins_a_bucket() -> None:
    """The base lies at the start, or right before the anomaly; seven buckets follow at most."""
    assert spans(0, 100, 20, 60) == [(0, 20), (60, 80), (80, 100)]
    assert spans(50, 100, 20, 60) == [(40, 60), (60, 80), (80, 100)]
    assert spans(0, 100, 20, 100) == [(0, 20), (100, 120)]
    assert len(spans(0, 1000, 1, 100)) == 8


def test_java_divides_and_overflows() -> None:
    """Towards nothing, and silently."""
    assert spans(1000, 5000, -1, None) == [(1000, 999)]
    assert spans(-1, 79, 40, None) == [(-1, 39), (39, 79)]
    for interval in (0, 2**62):  # twice the latter is less than nothing
        with pytest.raises(ServerError, match="/ by zero"):
            spans(0, 100, interval, None)
    with pytest.raises(IllegalArgument, match="Time range is too short"):
        spans(-LONGEST, LONGEST, 1, None)  # the difference is -2


@pytest.mark.parametrize(("start", "end", "interval"), [(0, 39, 20), (5, 4, 1), (0, 0, 1)])
def test_a_range_may_be_too_short(start: int, end: int, interval: int) -> None:
    with pytest.raises(IllegalArgument, match="Time range is too short"):
        time_buckets(start, end, interval, None)


@pytest.mark.parametrize(
    ("base", "value", "expected"),
    [(100, 100.9, False), (100, 101.1, True), (100, 98.9, True), (0, 0, False), (0, -1, True), (-100, 100, True)],
)
def test_which_bucket_differs(base: float, value: float, expected: bool) -> None:
    """By more than a hundredth; of nothing everything differs but nothing."""
    assert differs(Bucket(1, 2, value), Bucket(0, 1, base), None) == expected


def test_after_an_anomaly_began_all_are_looked_into() -> None:
    assert differs(Bucket(10, 20, 5.0), Bucket(0, 10, 5.0), 19)
    assert not differs(Bucket(10, 20, 50.0), Bucket(0, 10, 5.0), 20)


def chosen(values: Sequence[float], most: int, bucket: float = 1.0) -> list[float]:
    contributors = Contributors(Bucket(0, 1, bucket), most)
    for number, value in enumerate(values):
        contributors.offer(Entity((str(number),), value, 0.0))
    return [entity.new_value for entity in contributors.entities]


@pytest.mark.parametrize("seed", range(5))
def test_the_most_are_kept_in_a_heap(seed: int) -> None:
    """The largest where the bucket is positive, the smallest elsewhere; the least of them is always at hand."""
    values = [float(value) for value in random.Random(seed).choices(range(-50, 50), k=200)]

    up, down = chosen(values, 9), chosen(values, 9, bucket=-1.0)

    assert sorted(up) == sorted(heapq.nlargest(9, values))
    assert sorted(down) == sorted(heapq.nsmallest(9, values))
    assert all(up[(at - 1) // 2] <= up[at] for at in range(1, 9))
    assert all(down[(at - 1) // 2] >= down[at] for at in range(1, 9))


def test_the_order_in_the_heap_is_javas() -> None:
    """As `PriorityQueue.toString` shows it after adding 5 3 8 1 9 2, and after 7 took the place of 1."""
    assert chosen([5, 3, 8, 1, 9, 2], 6) == [1, 3, 2, 5, 9, 8]
    assert chosen([5, 3, 8, 1, 9, 2, 7], 6) == [2, 3, 7, 5, 9, 8]


def test_only_those_who_changed_with_the_whole_are_shown() -> None:
    """The largest first; equal ones in the order of the heap."""
    contributors = Contributors(Bucket(0, 1, 10.0), 5)
    for key, value, base in (("a", 1, 3), ("b", 9, 2), ("c", 4, 4), ("d", 9, 2), ("e", 12, 3)):
        contributors.offer(Entity((key,), value, base))

    assert [entity.key for entity in contributors.output(5.0)] == [("e",), ("b",), ("d",)]
    assert [entity.key for entity in contributors.output(-5.0)] == [("a",)]
    assert [entity.key for entity in contributors.output(0.0)] == [("c",)]


def test_there_must_be_room_for_one() -> None:
    contributors = Contributors(Bucket(0, 1, 1.0), 0)
    assert contributors.output(1.0) == []
    with pytest.raises(ServerError, match="getContributionValue"):
        contributors.offer(Entity(("a",), 1.0, 0.0))


@pytest.mark.parametrize(
    ("key", "code"), [((), 1), (("",), 31), (("a",), 128), (("a", "b"), 4066), (("zzzzzzzz", "é😀"), -1_263_020_427)]
)
def test_a_key_has_javas_hash(key: tuple[str, ...], code: int) -> None:
    expected = 1
    for text in key:
        units = text.encode("utf-16-be")
        inner = 0
        for at in range(0, len(units), 2):
            inner = 31 * inner + units[at] * 256 + units[at + 1]
        expected = 31 * expected + inner
    assert java_hash(key) == (expected + 2**31) % 2**32 - 2**31
    if len(key) < 2 or key[0] == "a":
        assert java_hash(key) == code


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_counters_are_exact_until_there_are_many(sign: float) -> None:
    """From ten thousand increments on they estimate: never less than there is where nothing is negative."""
    counter = HybridCounter(seed=1)
    for number in range(SKETCH_THRESHOLD - 1):
        counter.increment((f"k{number}",), 1.0)
    assert counter.estimate(("k1",)) == 1.0
    assert counter.estimate(("none",)) == 0.0
    counter.increment(("big",), sign * 1e6)
    counter.increment(("big",), sign * 1e6)

    assert counter.estimate(("big",)) == pytest.approx(sign * 2e6, rel=1e-3)
    if sign > 0:
        assert all(counter.estimate((f"k{number}",)) >= 1.0 for number in range(100))


class Index:
    """An index in memory: rows of time, key and value, of which sums are asked, a few keys a page."""

    def __init__(self, rows: Sequence[tuple[int, str, float]], page: int = 2) -> None:
        self.rows, self.page_size, self.pages = rows, page, 0

    def totals(self, _: Any, __: Any, intervals: Any, caller: Mapping[str, str]) -> list[float]:
        assert caller == {"Authorization": "somebody"}
        return [sum(value for time, _, value in self.rows if begin <= time <= end) for begin, end in intervals]

    def page(self, _: Any, __: Any, interval: Any, after: Any, caller: Mapping[str, str]) -> Any:
        self.pages += 1
        sums = self._sums(interval)
        names = sorted(name for name in sums if after is None or name > after["k"])[: self.page_size]
        return [((name,), sums[name]) for name in names], {"k": names[-1]} if names else None

    def values_of(self, _: Any, __: Any, interval: Any, keys: Any, caller: Mapping[str, str]) -> list[float]:
        return [self._sums(interval).get(key[0], 0.0) for key in keys]

    def _sums(self, interval: tuple[int, int]) -> dict[str, float]:
        found: dict[str, float] = {}
        for time, name, value in self.rows:
            if interval[0] <= time <= interval[1]:
                found[name] = found.get(name, 0.0) + value
        return found


def test_who_changed_is_found_page_by_page() -> None:
    """Estimates that are wrong are put right: the chosen are looked up in the base."""
    rows = [(5, name, 10.0) for name in "abcdefg"] + [(15, name, 10.0) for name in "abcdefg"] + [(16, "e", 90.0)]
    index = Index(rows)

    class Liar(HybridCounter):
        def estimate(self, key: tuple[str, ...]) -> float:
            return super().estimate(key) + 7.0

    wanted = Localization(
        index_name="i",
        attributes=("k",),
        aggregations=(Aggregation("x", {}),),
        time_field="t",
        end_time=20,
        min_time_interval=10,
        num_outputs=2,
    )
    found = Localizer(index, Liar).localize(wanted, {"Authorization": "somebody"})  # type: ignore[arg-type]

    base, changed = found["results"][0]["result"]["buckets"]
    assert base == {"start_time": 0, "end_time": 10, "overall_aggregate_value": 70.0}
    assert changed["entities"] == [{"key": ["e"], "contribution_value": 90.0, "base_value": 10.0, "new_value": 100.0}]
    assert index.pages == 10, "seven keys in pages of two, and one that is empty, of two buckets"


def test_nobody_is_looked_for_where_nothing_changed() -> None:
    index = Index([(5, "a", 10.0), (15, "b", 10.05)])
    wanted = Localization("i", ("k",), (Aggregation("x", {}),), "t", 0, 20, 10, 5)

    found = Localizer(index).localize(wanted, {"Authorization": "somebody"})  # type: ignore[arg-type]

    assert index.pages == 0
    assert all("entities" not in bucket for bucket in found["results"][0]["result"]["buckets"])


def test_results_are_in_the_order_of_a_hash_map() -> None:
    """One for each name: of two that have the same, the later."""
    index = Index([])
    aggregations = tuple(Aggregation(name, {}) for name in ("s", "mx", "av", "n", "s"))
    wanted = Localization("i", ("k",), aggregations, "t", 0, 20, 10, 5)

    found = Localizer(index).localize(wanted, {"Authorization": "somebody"})  # type: ignore[arg-type]

    assert [result["name"] for result in found["results"]] == ["s", "av", "mx", "n"]


class Upstream:
    """An OpenSearch that gives prepared answers, and remembers what it was asked."""

    def __init__(self, *answers: Any, status: int = 200) -> None:
        self.answers, self.status = list(answers), status
        self.asked: list[tuple[str, list[Any], Any]] = []
        self.for_callers = self

    def request(self, _: str, target: str, headers: Any, body: bytes) -> Reply:
        lines = [json.loads(line) for line in body.splitlines()]
        self.asked.append((target, lines, dict(headers)))
        return Reply(self.status, [("Content-Type", "application/json")], json.dumps(self.answers.pop(0)).encode())


WANTED = Localization("i", ("k", "b"), (), "t", 0, 20, 10, 5, None, {"term": {"a": 1}})
TOTAL = Aggregation("x", {"sum": {"field": "v"}})
CALLER = {"Authorization": "somebody"}


def item(kind: str = "sum", value: Any = 1, shards: int = 1) -> dict[str, Any]:
    return {"_shards": {"total": shards}, "aggregations": {f"{kind}#x": {"value": value}}, "status": 200}


def of(upstream: Upstream) -> AggregationIndex:
    return AggregationIndex(upstream)  # type: ignore[arg-type]


def test_the_search_of_an_interval() -> None:
    """Both ends are part of it, the caller's filter and aggregation are as they came, and the caller asks."""
    upstream = Upstream({"responses": [item(value=2), item(value=None)]})

    assert of(upstream).totals(WANTED, TOTAL, [(0, 10), (10, 20)], CALLER) == [2.0, 0.0]
    target, lines, headers = upstream.asked[0]
    assert (target, headers["Authorization"]) == ("/_msearch?typed_keys=true", "somebody")
    assert lines[0] == {"index": ["i"]}
    query = {"bool": {"filter": [{"range": {"t": {"gte": 10, "lte": 20}}}, {"term": {"a": 1}}]}}
    assert lines[3] == {"size": 0, "query": query, "aggs": {"x": {"sum": {"field": "v"}}}}


def failed(kind: str) -> dict[str, Any]:
    return {"error": {"type": kind, "reason": "…"}, "status": 404}


@pytest.mark.parametrize(
    ("answer", "name", "error", "reason"),
    [
        (item(), "a,b", IndexNotFound, "no such index [Failed to find index: a,b]"),
        (item(), "", IndexNotFound, "no such index []"),
        (item(), None, ServerError, "index must not be null"),
        (failed("index_not_found_exception"), "i", IndexNotFound, "no such index [Failed to find index: i]"),
        (item(shards=0), "i*", IndexNotFound, "no such index [Failed to find index: i*]"),
        (failed("search_phase_execution_exception"), "i", ServerError, "Cannot invoke"),
        (item(kind="sterms"), "i", ServerError, class_cast_problem("sterms")),
        (item(kind="geo_bounds"), "i", ServerError, "class geo_bounds cannot be cast"),
    ],
)
def test_totals_that_there_are_not(answer: Any, name: str | None, error: type[TaskPluginError], reason: str) -> None:
    upstream = Upstream({"responses": [answer]}, {"blocks": {}})
    wanted = Localization(name, ("k",), (), "t")

    class WithBlocks(AggregationIndex):
        def _refuse_if_just_started(self) -> None:
            pass

    with pytest.raises(error) as raised:
        WithBlocks(upstream).totals(wanted, TOTAL, [(0, 10)], CALLER)  # type: ignore[arg-type]
    assert str(raised.value.reason).startswith(reason)


def test_a_page_by_key() -> None:
    """Keys are texts as Java's, an aggregation may be named like a part of the answer."""
    total = Aggregation("key", {"sum": {"field": "v"}})
    bucket = {"key": {"k": 1e8, "b": True}, "doc_count": 1, "sum#key": {"value": 3}}
    upstream = Upstream(
        {"aggregations": {"composite#key": {"after_key": {"k": 1e8, "b": True}, "buckets": [bucket]}}},
        {"aggregations": {"composite#key": {"buckets": []}}},
    )
    index = of(upstream)

    values, after = index.page(WANTED, total, (0, 10), None, CALLER)
    assert values == [(("1.0E8", "true"), 3.0)]
    assert index.page(WANTED, total, (0, 10), after, CALLER) == ([], None)
    composite = upstream.asked[1][1][0]["aggs"]["key"]["composite"]
    assert composite["after"] == {"k": 1e8, "b": True}
    assert composite["size"] == 65_535


@pytest.mark.parametrize(
    ("names", "reason"), [((), "Composite [sources]"), (("a", "b", "a"), "Composite source names")]
)
def test_attributes_that_cannot_be(names: tuple[str, ...], reason: str) -> None:
    with pytest.raises(IllegalArgument) as raised:
        of(Upstream()).page(Localization("i", names), TOTAL, (0, 1), None, CALLER)
    assert str(raised.value.reason).startswith(reason)


def test_values_of_keys() -> None:
    """Each key is a filter of its own, named by its place."""
    buckets = {"1": {"sum#x": {"value": 5}}, "0": {"sum#x": {"value": 4}}}
    upstream = Upstream({"aggregations": {"filters#x": {"buckets": buckets}}})

    assert of(upstream).values_of(WANTED, TOTAL, (0, 10), [("a", "true"), ("b", "false")], CALLER) == [4.0, 5.0]
    filters = upstream.asked[0][1][0]["aggs"]["x"]["filters"]["filters"]
    assert filters["1"] == {"bool": {"filter": [{"term": {"k": {"value": "b"}}}, {"term": {"b": {"value": "false"}}}]}}


def test_too_many_buckets_are_not_asked_for_again() -> None:
    """Their status is that of what passes; they do not."""
    error = {"type": "too_many_buckets_exception", "reason": "…"}
    upstream = Upstream({"error": error, "status": 503}, status=503)

    with pytest.raises(TaskPluginError) as raised:
        of(upstream).page(WANTED, TOTAL, (0, 10), None, CALLER)
    assert raised.value.status == 503
    assert len(upstream.asked) == 1
