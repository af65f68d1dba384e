"""ANOMALY_LOCALIZATION, the maths: time buckets, which of them differ from the first, who contributed most. Pure.

Source: ml-commons 3.6.0 `AnomalyLocalizerImpl`; numbers of time are Java's longs, whose overflow is silent. What
`java.util.PriorityQueue` does shows where contributions are equal: its order in memory is the order of the output.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field

from mlcommons_tasks.errors import IllegalArgument, ServerError
from mlcommons_tasks.pipeline.key_counters import Key

MAX_TIME_BUCKETS = 8
MIN_DIFFERENCE = 0.01  #: of the base's value, from which on a bucket is looked into

_ENTITY = "org.opensearch.ml.common.output.execute.anomalylocalization.AnomalyLocalizationOutput$Entity"


@dataclass
class Entity:
    """A key with the value it has in a bucket, and had in the base."""

    key: Key
    new_value: float
    base_value: float

    @property
    def contribution(self) -> float:
        """How much of the change is this key's."""
        return self.new_value - self.base_value


@dataclass
class Bucket:
    """A stretch of time, both ends in millis and part of it, with its aggregate and who changed that."""

    start: int
    end: int
    value: float = 0.0
    entities: list[Entity] = field(default_factory=list)


def time_buckets(start: int, end: int, interval: int, anomaly_start: int | None) -> list[Bucket]:
    """Return the buckets of a range of time, the base first; all of one length, `interval` at least.

    Raises:
        IllegalArgument: there is no room for two of them.
        ServerError: the interval is nothing.
    """
    if _long(end - start) < _long(2 * interval):
        raise IllegalArgument("Time range is too short")
    if anomaly_start is None:
        span = _long(end - start)
        count = min(_int(_quotient(span, interval)), MAX_TIME_BUCKETS)
        length = _quotient(span, count)
        starts = [start, *(start + n * length for n in range(1, count))]
    else:
        span = _long(max(end, _long(anomaly_start + interval)) - anomaly_start)
        count = min(_int(_quotient(span, interval)), MAX_TIME_BUCKETS - 1)
        length = _quotient(span, count)
        starts = [
            min(start, _long(anomaly_start - length)),
            *(anomaly_start + n * length for n in range(count)),
        ]
    return [Bucket(_long(begin), _long(begin + length)) for begin in starts]


def differs(bucket: Bucket, base: Bucket, anomaly_start: int | None) -> bool:
    """Say whether to look for those who made a bucket other than the base."""
    if anomaly_start is not None:
        return bucket.end > anomaly_start
    if base.value == 0:  # Java divides all the same: by nothing there is no number, or one beyond all
        return bucket.value != 0
    return abs(1.0 - bucket.value / base.value) > MIN_DIFFERENCE


class Contributors:
    """The entities of a bucket that contribute most, `most` of them: the least one goes when another is more.

    "Most" is upwards where the bucket's value is positive, downwards elsewhere, as in the plugin.
    """

    def __init__(self, bucket: Bucket, most: int) -> None:
        self._direction = 1.0 if bucket.value > 0 else -1.0
        self._most = most
        self.entities: list[Entity] = []  #: a heap, in the order of Java's

    def offer(self, entity: Entity) -> None:
        """Take an entity, or leave it.

        Raises:
            ServerError: there is no room for any.
        """
        if len(self.entities) < self._most:
            self.entities.append(entity)
            self._sift_up(len(self.entities) - 1)
        elif not self.entities:
            problem = f'Cannot invoke "{_ENTITY}.getContributionValue()" because "a" is null'
            raise ServerError(problem, type="null_pointer_exception")
        elif self._compare(self.entities[0], entity) < 0:
            last = self.entities.pop()
            if self.entities:
                self._sift_down(last)
            self.entities.append(entity)
            self._sift_up(len(self.entities) - 1)

    def output(self, change: float) -> list[Entity]:
        """Return the entities that changed in the direction of the whole, the largest contribution first."""
        chosen = [entity for entity in self.entities if _sign(entity.contribution) == _sign(change)]
        return sorted(chosen, key=functools.cmp_to_key(self._descending))

    def _descending(self, one: Entity, other: Entity) -> int:
        return self._compare(other, one)

    def _compare(self, one: Entity, other: Entity) -> int:
        difference = self._direction * (one.contribution - other.contribution)
        return 0 if math.isnan(difference) else _sign(difference)

    def _sift_up(self, at: int) -> None:
        entity = self.entities[at]
        while at > 0:
            parent = (at - 1) >> 1
            if self._compare(entity, self.entities[parent]) >= 0:
                break
            self.entities[at] = self.entities[parent]
            at = parent
        self.entities[at] = entity

    def _sift_down(self, entity: Entity) -> None:
        at, size = 0, len(self.entities)
        while at < size >> 1:
            child = 2 * at + 1
            if child + 1 < size and self._compare(self.entities[child], self.entities[child + 1]) > 0:
                child += 1
            if self._compare(entity, self.entities[child]) <= 0:
                break
            self.entities[at] = self.entities[child]
            at = child
        self.entities[at] = entity


def _sign(number: float) -> int:
    return (number > 0) - (number < 0)


def _long(number: int) -> int:
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


def _int(number: int) -> int:
    return (number + (1 << 31)) % (1 << 32) - (1 << 31)


def _quotient(dividend: int, divisor: int) -> int:
    if divisor == 0:
        raise ServerError("/ by zero", type="arithmetic_exception")
    return _long(abs(dividend) // abs(divisor) * (1 if (dividend < 0) == (divisor < 0) else -1))
