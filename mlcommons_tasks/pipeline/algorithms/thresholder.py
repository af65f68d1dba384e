"""From a forest's scores to grades: which are high for this stream, and whose fault is it. Pure.

Source: AWS RandomCutForest 3.0-rc3 `parkservices`: `PredictorCorrector`, `BasicThresholder`, `Deviation`, as
ml-commons 3.6.0 sets them up (no transform of the input, STANDARD mode). krcf has none of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Point = Sequence[float]
#: How much each number of a shingle adds to its score: by being too high, by being too low.
Attribution = tuple[list[float], list[float]]

MINIMUM_SCORES = 10
UPPER_THRESHOLD = 2.0
INITIAL_THRESHOLD = 1.5
Z_FACTOR = 2.5
UPPER_Z_FACTOR = 5.0
#: a score that follows a high one may be lower by this and still be high
ELASTICITY = 0.01
#: what a repeated anomaly must exceed
TRIGGER_Z_FACTOR = 3.5
IGNORE_SIMILAR_FACTOR = 0.3
MAX_ATTRIBUTORS = 5
#: rows before anything can be expected, and numbers in a shingle
MINIMUM_ROWS = 100
MINIMUM_SHINGLE = 4


@dataclass
class Deviation:
    """The mean and the deviation of numbers, of which older ones count less."""

    discount: float
    weight: float = 0.0
    total: float = 0.0
    squares: float = 0.0
    count: int = 0

    @property
    def mean(self) -> float:
        """The mean, 0 without numbers."""
        return self.total / self.weight if self.weight > 0 else 0.0

    @property
    def deviation(self) -> float:
        """The standard deviation, 0 without numbers."""
        if self.weight <= 0:
            return 0.0
        return math.sqrt(max(self.squares / self.weight - self.mean * self.mean, 0.0))

    def update(self, number: float) -> None:
        """Take a number in."""
        factor = min(1 - self.discount, 1 - 1.0 / (self.count + 2)) if self.discount else 1.0
        self.total = self.total * factor + number
        self.squares = self.squares * factor + number * number
        self.weight = self.weight * factor + 1.0
        self.count += 1


@dataclass
class Thresholder:
    """Grades a score by the scores before it: 0 for an ordinary one, up to 1."""

    primary: Deviation
    secondary: Deviation
    #: below this no score is high
    lower: float
    #: how much the scores themselves count for the deviation, beside the corrected ones
    horizon: float
    in_anomaly: bool = False

    @classmethod
    def of(cls, anomaly_rate: float, *, one_column: bool) -> Thresholder:
        """Return one that has seen no score."""
        lower, horizon = (1.1, 0.75) if one_column else (1.0, 0.5)
        return cls(Deviation(anomaly_rate), Deviation(anomaly_rate), lower, horizon)

    def grade(self, score: float, previous: bool, factor: float = Z_FACTOR) -> float:
        """Return a score's grade; `previous` is whether the one before was high."""
        count = self.primary.count
        fraction = min(max((count - MINIMUM_SCORES) / MINIMUM_SCORES, 0.0), 1.0)
        elastic = ELASTICITY if previous else 0.0
        spread = self.horizon * self.primary.deviation + (1 - self.horizon) * self.secondary.deviation
        long_term = max(self.lower, self.primary.mean + factor * spread)
        if fraction == 1.0:
            if score < long_term - elastic:
                return 0.0
            times = min(UPPER_Z_FACTOR, (score - self.primary.mean) / spread) if spread > 0 else UPPER_Z_FACTOR
            return (times - Z_FACTOR) / (UPPER_Z_FACTOR - Z_FACTOR)
        threshold = INITIAL_THRESHOLD
        if count >= MINIMUM_SCORES:
            threshold = max(self.lower, fraction * long_term + (1 - fraction) * INITIAL_THRESHOLD)
        if score < threshold - elastic:
            return 0.0
        upper = max(UPPER_THRESHOLD, 2 * threshold)
        return (min(score, upper) - threshold) / (upper - threshold)

    def update(self, score: float, corrected: float, high: bool) -> None:
        """Take a score in, and what it would be had the past been ordinary."""
        self.primary.update(score)
        self.secondary.update(corrected)
        self.in_anomaly = high


@dataclass
class Anomaly:
    """The last one: its row's number, its score, its shingle, and what the shingle should have been."""

    row: int
    score: float
    attribution: Attribution
    shingle: list[float]
    expected: list[float] | None


@dataclass
class Corrector:
    """Grades each row of a stream by its score, and by whether an earlier anomaly explains it.

    `score` and `attribution` ask the forest about a shingle; `impute` gives a shingle with the numbers at some places
    replaced by what the forest expects there.
    """

    thresholder: Thresholder
    shingle_size: int
    columns: int
    score: Callable[[Point], float]
    attribution: Callable[[Point], Attribution]
    impute: Callable[[Point, list[int]], list[float]]
    last: Anomaly | None = None
    rows: int = field(default=0)

    def grade(self, shingle: list[float], score: float) -> float:
        """Return the grade of the row that ends a shingle and take its score in; 0 for a forest that is not ready."""
        row, self.rows = self.rows, self.rows + 1
        if score == 0:
            return 0.0
        known = self.thresholder
        previous = known.in_anomaly
        if known.grade(score, previous) == 0:
            known.update(score, score, False)
            return 0.0
        gap = row - (self.last.row if self.last else 0)
        foreseeable = row > MINIMUM_ROWS and self.shingle_size * self.columns >= MINIMUM_SHINGLE
        if foreseeable and self.last and self.last.expected and 0 < gap <= self.shingle_size:
            corrected = self.score(self._without(self.last.expected, shingle, gap))
            if known.grade(corrected, True) == 0:
                known.update(score, corrected, False)
                return 0.0
        attribution = self.attribution(shingle)
        newest = (self.shingle_size - 1) * self.columns
        if not previous and self._triggers(attribution, gap, None, False):
            grade = known.grade(score, False)
            known.update(score, score, True)
            culprit = self._most_to_blame(attribution)
        else:
            expected = self._expected(attribution, newest, shingle) if foreseeable else None
            new_score = score if expected is None else self.score(expected)
            new_attribution = None if expected is None else self.attribution(expected)
            if not (self._triggers(attribution, gap, new_attribution, previous) and score > new_score):
                known.update(score, new_score, True)
                return 0.0
            grade = known.grade(score, previous)
            known.update(score, new_score, True)
            culprit = newest
        if grade > 0:
            foreseen = self._expected(attribution, culprit, shingle) if foreseeable else None
            self.last = Anomaly(row, score, attribution, list(shingle), foreseen)
        return grade

    def _without(self, expected: list[float], shingle: Point, gap: int) -> list[float]:
        """Return a shingle whose part from the last anomaly's time is what was expected then."""
        past = expected[gap * self.columns :]
        return [*past, *shingle[len(past) :]]

    def _most_to_blame(self, attribution: Attribution) -> int:
        """Return where in the shingle the row begins that adds most to its score, the first of equal ones."""
        starts = range(0, self.shingle_size * self.columns, self.columns)
        return max(starts, key=lambda start: sum(_both(attribution, i) for i in range(start, start + self.columns)))

    def _expected(self, attribution: Attribution, start: int, shingle: Point) -> list[float] | None:
        """Return the shingle with the culprits of one of its rows as expected; None if there are too many."""
        culprits = [start]
        if self.columns > 1:
            values = [_both(attribution, start + i) for i in range(self.columns)]
            ranked = sorted(values, reverse=True)
            tenth = 0.1 * sum(values)
            if ranked[0] < tenth:
                return None
            pick = 1
            while pick < self.columns and ranked[pick] >= tenth:
                pick += 1
            if pick > MAX_ATTRIBUTORS:
                return None
            culprits = []
            for i, value in enumerate(values):
                if len(culprits) < pick and value >= ranked[pick - 1] and (not culprits or value > tenth):
                    culprits.append(start + i)
            culprits += [0] * (pick - len(culprits))  # as an int array that was not filled
        if len(culprits) > 0.5 * self.shingle_size * self.columns:
            return None
        return self.impute(shingle, culprits)

    def _triggers(self, found: Attribution, gap: int, ideal: Attribution | None, previous: bool) -> bool:
        """Return whether the part of a shingle since the last anomaly is high by itself."""
        if self.last is None:
            return True
        size = self.shingle_size * self.columns
        newer = self.columns * gap
        if newer >= size:
            return True
        places = range(size - newer, size)
        if ideal is None:
            rest = sum(_both(found, i) for i in places)
            return self._is_high(rest * size / newer, previous)
        rest = sum(abs(side[i] - other[i]) for side, other in zip(found, ideal, strict=True) for i in places)
        return rest > IGNORE_SIMILAR_FACTOR * self.last.score and self._is_high(rest * size / newer, previous)

    def _is_high(self, score: float, previous: bool) -> bool:
        return self.thresholder.grade(score, previous, TRIGGER_Z_FACTOR) > 0


def _both(attribution: Attribution, place: int) -> float:
    return attribution[0][place] + attribution[1][place]
