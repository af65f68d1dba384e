"""One anomaly localization: which searches follow which, and what they come to. Knows neither tasks nor HTTP.

Source: ml-commons 3.6.0 `AnomalyLocalizerImpl`. The plugin answers as soon as one aggregation is done and no other
has begun, with what there is then, and never where there is none. Here all of them are waited for, and of none the
output is empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mlcommons_tasks.java import java_order
from mlcommons_tasks.pipeline.key_counters import HybridCounter, Key
from mlcommons_tasks.pipeline.localization import Bucket, Contributors, Entity, differs, time_buckets
from mlcommons_tasks.store.aggregations import After, AggregationIndex
from mlcommons_tasks.wire.execute_input import Aggregation, Localization

Caller = Mapping[str, str]  #: the headers that say who asks


class Localizer:
    """Finds out by searches which keys changed an aggregate over time."""

    def __init__(self, index: AggregationIndex, counter: Callable[[], HybridCounter] = HybridCounter) -> None:
        self._index = index
        self._counter = counter

    def refuse_unreadable(self, body: bytes, caller: Caller) -> None:
        """Have OpenSearch look at a search body without running it; see `AggregationIndex`."""
        self._index.refuse_unreadable(body, caller)

    def localize(self, wanted: Localization, caller: Caller) -> dict[str, Any]:
        """Return `AnomalyLocalizationOutput` as it is rendered; an empty one if there is no aggregation.

        Raises:
            TaskPluginError: the plugin's own errors, OpenSearch's, or that OpenSearch is away.
        """
        results: dict[str, list[Bucket]] = {}
        for aggregation in wanted.aggregations:
            buckets = time_buckets(
                wanted.start_time, wanted.end_time, wanted.min_time_interval, wanted.anomaly_start_time
            )
            self._fill(wanted, aggregation, buckets, caller)
            results[aggregation.name] = buckets
        return {
            "results": [
                {"name": name, "result": {"buckets": [_rendered(bucket) for bucket in results[name]]}}
                for name in java_order(results)
            ]
        }

    def _fill(self, wanted: Localization, aggregation: Aggregation, buckets: list[Bucket], caller: Caller) -> None:
        totals = self._index.totals(wanted, aggregation, [(bucket.start, bucket.end) for bucket in buckets], caller)
        for bucket, total in zip(buckets, totals, strict=True):
            bucket.value = total
        base, *others = buckets
        changed = [bucket for bucket in others if differs(bucket, base, wanted.anomaly_start_time)]
        if not changed:
            return
        counter = self._counter()
        for key, value in self._entries(wanted, aggregation, base, caller):
            counter.increment(key, value)
        for bucket in changed:
            self._find_contributors(wanted, aggregation, bucket, base, counter, caller)

    def _find_contributors(
        self,
        wanted: Localization,
        aggregation: Aggregation,
        bucket: Bucket,
        base: Bucket,
        counter: HybridCounter,
        caller: Caller,
    ) -> None:
        """Choose by what is counted of the base, then look the chosen up there: an estimate may be wrong."""
        chosen = Contributors(bucket, wanted.num_outputs)
        for key, value in self._entries(wanted, aggregation, bucket, caller):
            chosen.offer(Entity(key, value, counter.estimate(key)))
        if chosen.entities:
            keys = [entity.key for entity in chosen.entities]
            found = self._index.values_of(wanted, aggregation, (base.start, base.end), keys, caller)
            for entity, value in zip(chosen.entities, found, strict=False):
                entity.base_value = value
        bucket.entities = chosen.output(bucket.value - base.value)

    def _entries(
        self, wanted: Localization, aggregation: Aggregation, bucket: Bucket, caller: Caller
    ) -> Iterator[tuple[Key, float]]:
        after: After | None = None
        while True:
            values, after = self._index.page(wanted, aggregation, (bucket.start, bucket.end), after, caller)
            yield from values
            if after is None:
                return


def _rendered(bucket: Bucket) -> dict[str, Any]:
    entities = [
        {
            "key": list(entity.key),
            "contribution_value": entity.contribution,
            "base_value": entity.base_value,
            "new_value": entity.new_value,
        }
        for entity in bucket.entities
    ]
    return {
        "start_time": bucket.start,
        "end_time": bucket.end,
        "overall_aggregate_value": bucket.value,
        **({"entities": entities} if entities else {}),
    }
