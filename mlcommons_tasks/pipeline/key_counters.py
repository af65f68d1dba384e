"""Values by key: exact for some thousands of keys, estimated in little room for more. Pure.

Source: ml-commons 3.6.0 `HybridCounter`, `CountMinSketch`, `CountSketch`. The sketches are random there, too.
"""

from __future__ import annotations

import random
import statistics
from typing import Protocol

Key = tuple[str, ...]

SKETCH_THRESHOLD = 10_000  #: from this many increments on values are estimated
HASHES = 7  #: ceil(log2(1 / 0.01))
BUCKETS = 1_000  #: ceil(1 / 0.001)


class Counter(Protocol):
    """Adds values up by key."""

    def increment(self, key: Key, value: float) -> None:
        """Add `value` to what the key has."""

    def estimate(self, key: Key) -> float:
        """Return what the key has, more or less."""


class HybridCounter:
    """Counts exactly until there is too much, then by a sketch that allows for negative values if there are any.

    `seed` None makes every counter's estimates its own, as the plugin's are.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._random = random.Random(seed)  # noqa: S311  # spreads keys, protects nothing
        self._values: dict[Key, float] = {}
        self._sketch: Counter | None = None
        self._increments = 0

    def increment(self, key: Key, value: float) -> None:
        """Add `value` to what the key has."""
        if self._sketch is not None:
            self._sketch.increment(key, value)
            return
        self._values[key] = self._values.get(key, 0.0) + value
        self._increments += 1
        if self._increments == SKETCH_THRESHOLD:
            self._move()

    def estimate(self, key: Key) -> float:
        """Return what the key has, exactly or by the sketch."""
        return self._values.get(key, 0.0) if self._sketch is None else self._sketch.estimate(key)

    def _move(self) -> None:
        has_negative = any(value < 0 for value in self._values.values())
        sketch = CountSketch(self._random) if has_negative else CountMinSketch(self._random)
        for key, value in self._values.items():
            sketch.increment(key, value)
        self._sketch, self._values = sketch, {}


class CountMinSketch:
    """Estimates values that are not negative: at least what they are."""

    def __init__(self, source: random.Random) -> None:
        self._counts = [[0.0] * BUCKETS for _ in range(HASHES)]
        self._hashes = [_any_int(source) for _ in range(HASHES)]

    def increment(self, key: Key, value: float) -> None:
        """Add `value` to what the key has."""
        hashed = java_hash(key)
        for counts, salt in zip(self._counts, self._hashes, strict=True):
            counts[(salt ^ hashed) % BUCKETS] += value

    def estimate(self, key: Key) -> float:
        """Return the least that a hash says of the key."""
        hashed = java_hash(key)
        return min(counts[(salt ^ hashed) % BUCKETS] for counts, salt in zip(self._counts, self._hashes, strict=True))


class CountSketch:
    """Estimates values of either sign: what collides cancels out, more or less."""

    def __init__(self, source: random.Random) -> None:
        self._counts = [[0.0] * BUCKETS for _ in range(HASHES)]
        self._hashes = [_any_int(source) for _ in range(HASHES)]
        self._signs = [_any_int(source) for _ in range(HASHES)]

    def increment(self, key: Key, value: float) -> None:
        """Add `value` to what the key has."""
        hashed = java_hash(key)
        for counts, salt, sign in zip(self._counts, self._hashes, self._signs, strict=True):
            counts[(salt ^ hashed) % BUCKETS] += _sign(sign ^ hashed) * value

    def estimate(self, key: Key) -> float:
        """Return the middle of what the hashes say of the key."""
        hashed = java_hash(key)
        rows = zip(self._counts, self._hashes, self._signs, strict=True)
        return statistics.median(
            counts[(salt ^ hashed) % BUCKETS] * _sign(sign ^ hashed) for counts, salt, sign in rows
        )


def java_hash(key: Key) -> int:
    """Return what `hashCode` of a list of strings gives in Java, 32 bits with a sign."""
    total = 1
    for text in key:
        code = 0
        units = text.encode("utf-16-be", "surrogatepass")
        for at in range(0, len(units), 2):
            code = (31 * code + (units[at] << 8 | units[at + 1])) & 0xFFFFFFFF
        total = (31 * total + code) & 0xFFFFFFFF
    return total - (1 << 32) if total >> 31 else total


def _any_int(source: random.Random) -> int:
    return source.getrandbits(32) - (1 << 31)


def _sign(number: int) -> int:
    return number % 2 * 2 - 1
