"""A random cut forest and a thresholder over one stream of rows, and how a model holds both. Pure and seedable.

Source: AWS RandomCutForest 3.0-rc3 `ThresholdedRandomCutForest`, `Preprocessor`, `ImputeVisitor`.
What a forest expects at some places of a shingle is the median, over the trees, of what their sample's shingle has
there that is nearest in all other places. krcf does not say which that is; it is looked for in samples drawn anew.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mlcommons_tasks.errors import IllegalArgument, ServerError
from mlcommons_tasks.pipeline.algorithms.model_json import wrong_model
from mlcommons_tasks.pipeline.algorithms.random_cut_forest import (
    Forest,
    ForestOptions,
    dump,
    is_finite,
    load,
)
from mlcommons_tasks.pipeline.algorithms.thresholder import Anomaly, Corrector, Deviation, Point, Thresholder

if TYPE_CHECKING:
    from mlcommons_tasks.pipeline.algorithms.random_cut_forest import Rows

#: Room for numbers that is made before there is a row.
_FIRST_CELLS = 1_000_000


class ThresholdedForest:
    """Scores and grades rows one after the other, each before it is taken in."""

    def __init__(self, options: ForestOptions, anomaly_rate: float, seed: int) -> None:
        """Make one that has seen no row; IllegalArgument for a rate or a decay that is not below 1."""
        if not (0 <= anomaly_rate < 1 and 0 <= options.time_decay < 1):
            raise IllegalArgument("incorrect discount parameter")
        self.options = options
        self.anomaly_rate = anomaly_rate
        self.seed = seed
        self.forest = Forest(options, seed)
        self._corrector = Corrector(
            Thresholder.of(anomaly_rate, one_column=options.width == 1),
            options.shingle_size,
            options.width,
            self.forest.score,
            self.forest.attribution,
            self._impute,
        )
        self._rows = _zeros(max(1, min(1024, _FIRST_CELLS // options.width)), options.width)

    def process(self, point: Sequence[float]) -> tuple[float, float]:
        """Return the score and the grade of a row, or of a whole shingle that stands for it, and take the row in.

        Raises IllegalArgument or ServerError for a point of another length or that is not finite.
        """
        width, dimensions = self.options.width, self.options.dimensions
        if len(point) not in (width, dimensions):
            if self.forest.ready:
                raise IllegalArgument(f"point.length must equal {dimensions}")
            if len(point) > dimensions:
                raise IllegalArgument(" incorrect operation ")
            if len(point) < width:
                source = f"source index {len(point) - width} out of bounds for double[{len(point)}]"
                raise ServerError(f"arraycopy: {source}", type="array_index_out_of_bounds_exception")
        point = _singles(point)
        if not all(map(math.isfinite, point)):
            raise ServerError(" cut failed ", type="illegal_state_exception")
        score = self.forest.score(point)
        grade = self._corrector.grade(list(self.forest.shingle(point)) if score else [], score)
        self._take(list(point[len(point) - width :]))
        return score, grade

    def dump(self, name: str) -> bytes:
        """Write the model's content."""
        corrector = self._corrector
        state = {
            "primary": asdict(corrector.thresholder.primary),
            "secondary": asdict(corrector.thresholder.secondary),
            "in_anomaly": corrector.thresholder.in_anomaly,
            "last": asdict(corrector.last) if corrector.last else None,
        }
        rows = self._rows[: self.forest.seen]
        return dump(name, self.options, self.seed, rows, anomaly_rate=self.anomaly_rate, thresholder=state)

    @classmethod
    def load(cls, name: str, content: bytes) -> ThresholdedForest:
        """Read a model's content; IllegalArgument for anything that `dump` could not have written."""
        body, options, rows = load(name, content, lambda output_after, sample_size: output_after / sample_size)
        if not is_finite(body.get("anomaly_rate")):
            raise wrong_model(name, "anomaly_rate must be a number")
        try:
            found = cls(options, float(body["anomaly_rate"]), body["seed"])
        except IllegalArgument as error:
            raise wrong_model(name, str(error.reason)) from error
        if not found._restore(body.get("thresholder"), len(rows)):
            raise wrong_model(name, "thresholder is not complete")
        try:
            for row in rows.tolist():
                found._take(row)
        except ServerError as error:
            raise wrong_model(name, str(error.reason)) from error
        return found

    def _restore(self, state: Any, rows: int) -> bool:
        """Take over a model's thresholder; False if it is not one."""
        if not isinstance(state, dict) or type(state.get("in_anomaly")) is not bool:
            return False
        for side in ("primary", "secondary"):
            numbers = state.get(side)
            if not isinstance(numbers, dict) or numbers.keys() != asdict(Deviation(0.0)).keys():
                return False
            if not all(map(is_finite, numbers.values())) or type(numbers["count"]) is not int or numbers["count"] < 0:
                return False
            if not 0 <= numbers["discount"] < 1:
                return False
            setattr(self._corrector.thresholder, side, Deviation(**numbers))
        self._corrector.thresholder.in_anomaly = state["in_anomaly"]
        self._corrector.rows = rows
        last = state.get("last")
        if last is None:
            return True
        self._corrector.last = self._anomaly(last, rows)
        return self._corrector.last is not None

    def _anomaly(self, last: Any, rows: int) -> Anomaly | None:
        if not isinstance(last, dict) or last.keys() != {"row", "score", "attribution", "shingle", "expected"}:
            return None
        if type(last["row"]) is not int or not 0 <= last["row"] < rows or not is_finite(last["score"]):
            return None
        if not isinstance(last["attribution"], list) or len(last["attribution"]) != 2:
            return None
        points = [*last["attribution"], last["shingle"], [0.0] * self.options.dimensions]
        if last["expected"] is not None:
            points[-1] = last["expected"]
        for point in points:
            if not isinstance(point, list) or len(point) != self.options.dimensions or not all(map(is_finite, point)):
                return None
        high, low = last["attribution"]
        return Anomaly(last["row"], last["score"], (high, low), last["shingle"], last["expected"])

    def _take(self, row: list[float]) -> None:
        if self.forest.seen == len(self._rows):
            import numpy as np

            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
        self._rows[self.forest.seen] = row
        self.forest.update(row)

    def _impute(self, shingle: Point, places: list[int]) -> list[float]:
        """Return a shingle with the numbers at some places as the forest expects them."""
        import numpy as np

        options, rows = self.options, self._rows[: self.forest.seen]
        seen = np.lib.stride_tricks.sliding_window_view(rows.ravel(), options.dimensions)[:: options.width]
        point = np.array(shingle, dtype=np.float32)
        others = np.setdiff1d(np.arange(options.dimensions), places)
        distances = np.abs(seen[:, others] - point[others]).sum(axis=1)
        random = np.random.default_rng([self.seed, self.forest.seen])
        drawn = random.random((options.number_of_trees, min(options.sample_size, len(seen))))
        if options.time_decay > 0:  # older shingles are less likely in a sample
            gone = 1 - math.exp(-options.time_decay * len(seen))
            drawn = -np.log(1 - drawn * gone) / options.time_decay / len(seen)
        picked = np.minimum(len(seen) - 1, ((1 - drawn) * len(seen)).astype(np.intp))
        nearest = np.take_along_axis(picked, distances[picked].argmin(axis=1)[:, None], axis=1)[:, 0]
        point[places] = np.median(seen[nearest][:, places], axis=0)
        found: list[float] = point.tolist()
        return found


def _singles(point: Sequence[float]) -> list[float]:
    import numpy as np

    with np.errstate(over="ignore"):
        found: list[float] = np.array(point, dtype=np.float64).astype(np.float32).tolist()
        return found


def _zeros(rows: int, width: int) -> Rows:
    import numpy as np

    return np.zeros((rows, width), dtype=np.float32)
