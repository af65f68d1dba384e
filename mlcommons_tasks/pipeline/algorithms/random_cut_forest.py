"""A random cut forest over krcf, and how a model holds one; what BATCH_RCF and FIT_RCF share. Pure and seedable.

Source: AWS RandomCutForest 3.0-rc3 `RandomCutForest`, `RandomCutTree`, `PointStore`; ml-commons 3.6.0 `rcf/*`.
A model holds the rows that its forest was fed and the seed: feeding them again gives the same forest, at some 20 µs a
row. A forest's own state is never read back: its trees point into each other, and krcf follows them wherever they lead.
"""

from __future__ import annotations

import base64
import math
import secrets
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlcommons_tasks.cancellation import Cancelled
from mlcommons_tasks.data_frame import NUMERIC, DataFrame
from mlcommons_tasks.errors import IllegalArgument, ServerError
from mlcommons_tasks.pipeline.algorithms.model_json import dump_model, load_model, wrong_model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.float32]

#: Rows between two looks at `cancelled` and two words of `progress`: about a hundredth of a second.
STEP = 256
#: What the trees of a forest may take; the plugin's node would run out of heap, we must not.
_MAX_FOREST_BYTES = 400_000_000
#: The point store of a smaller sample cannot grow by a tenth: it is full with the first rows that differ.
_LEAST_GROWING_SAMPLE = 5
_INT = 2**31
#: Weights of points stay below 1e217, and so do their sums.
_MAX_EXPONENT = 500.0


@dataclass(frozen=True)
class ForestOptions:
    """How a forest is made: `dimensions` numbers a point, `shingle_size` rows of which make one."""

    dimensions: int
    number_of_trees: int
    sample_size: int
    output_after: int
    time_decay: float
    shingle_size: int = 1
    #: the part of a tree's sample that the first points fill without exception
    initial_accept_fraction: float = 1.0

    @property
    def width(self) -> int:
        """How many numbers a row has."""
        return self.dimensions // self.shingle_size

    def check(self) -> None:
        """Raise IllegalArgument as the plugin's forest does, and ServerError for one that fits in no heap."""
        if self.number_of_trees <= 0:
            raise IllegalArgument("numberOfTrees must be greater than 0")
        if self.sample_size <= 0:
            raise IllegalArgument("sampleSize must be greater than 0")
        if self.output_after <= 0:
            raise IllegalArgument("outputAfter must be greater than 0")
        if self.output_after > self.sample_size:
            raise IllegalArgument("outputAfter must be smaller or equal to sampleSize")
        if self.dimensions <= 0:
            raise IllegalArgument("dimensions must be greater than 0")
        if self.time_decay < 0:
            raise IllegalArgument("timeDecay must be greater than or equal to 0")
        if self.sample_size == 1:
            raise IllegalArgument("incorrect parameters")
        if self.number_of_trees * self.sample_size * (8 * self.dimensions + 64) > _MAX_FOREST_BYTES:
            raise ServerError("Java heap space", type="out_of_memory_error")


class Forest:
    """A forest that scores points and takes rows in."""

    def __init__(self, options: ForestOptions, seed: int) -> None:
        from krcf import RandomCutForest

        self.options = options
        self.seen = 0
        made: Any = {
            "dimensions": options.width,
            "shingle_size": options.shingle_size,
            "num_trees": options.number_of_trees,
            "sample_size": max(options.sample_size, 3),  # krcf holds no tree of one cut
            "output_after": options.output_after,
            "random_seed": seed,
            "parallel_execution_enabled": False,
            "lambda": options.time_decay,
            "internal_shingling": options.shingle_size > 1,
            "initial_accept_fraction": options.initial_accept_fraction,
            "bounding_box_cache_fraction": 1.0,
        }
        self._krcf = RandomCutForest(made)
        self._last_shingle = [0.0] * options.dimensions
        self._copies = _Copies(options)

    @property
    def ready(self) -> bool:
        """Whether there are scores: the trees hold `output_after` points."""
        return self.seen - (self.options.shingle_size - 1) >= self.options.output_after

    def score(self, point: Sequence[float]) -> float:
        """Return the score of a row or of a whole shingle, 0 before the forest is ready.

        Raises IllegalArgument for a point of another length, once it is ready.
        """
        if not self.ready:
            return 0.0
        shingle = self.shingle(point)
        return self._copies.mended(float(self._ask("score", shingle)), shingle)

    def attribution(self, shingle: Sequence[float]) -> tuple[list[float], list[float]]:
        """Return how much each number of a shingle adds to its score, by being too high and by being too low."""
        found = self._ask("attribution", shingle)
        return found["high"], found["low"]

    def shingle(self, point: Sequence[float]) -> Sequence[float]:
        """Return a row behind those before it; a whole shingle as it is."""
        if len(point) == self.options.dimensions:
            return point
        if len(point) != self.options.width:
            raise IllegalArgument(f"point.length must equal {self.options.dimensions}")
        return [*self._last_shingle[len(point) :], *point]

    def update(self, row: Sequence[float]) -> None:
        """Take a row in.

        Raises ServerError `illegal_state_exception` where the plugin's forest gives up: too small a sample, numbers
        that are infinitely far apart.
        """
        self.seen += 1
        self._last_shingle = [*self._last_shingle[len(row) :], *row]
        self._ask("update", row)
        if self.seen >= self.options.shingle_size:
            different = self._copies.add(self._last_shingle)
            small = self.options.sample_size < _LEAST_GROWING_SAMPLE and self.options.shingle_size == 1
            if small and different > 2 * self.options.sample_size and self.options.number_of_trees > 2:
                raise ServerError("out of space", type="illegal_state_exception")

    def feed(
        self,
        rows: Rows,
        cancelled: Callable[[], bool] = lambda: False,
        progress: Callable[[int, int], None] = lambda _row, _rows: None,
    ) -> None:
        """Take many rows in; Cancelled once `cancelled()`, asked every few hundred rows, says so."""
        for i, row in enumerate(rows.tolist()):
            if i % STEP == 0:
                if cancelled():
                    raise Cancelled
                progress(i, len(rows))
            self.update(row)

    def _ask(self, what: str, point: Sequence[float]) -> Any:
        try:
            return getattr(self._krcf, what)(point)
        except RuntimeError as error:
            raise _cut_failed() from error
        except BaseException as error:
            if type(error).__name__ == "PanicException":  # below BaseException: nobody else would catch it
                raise _cut_failed() from error
            raise


class _Copies:
    """Mends krcf's scores of points that its trees hold more than once: it counts one copy too few of them.

    `NodeStore.increase_leaf_mass` of rcflib 4 counts the second copy as the first (AWS's Rust library as well, the
    Java one does not). How many copies a tree's sample holds is what is expected of it, not what is in it.
    """

    def __init__(self, options: ForestOptions) -> None:
        self._options = options
        self._pack = struct.Struct(f"{options.dimensions}f").pack
        self._weights: dict[bytes, float] = {}
        self._weight = 0.0
        self._points = 0
        self._mass = 0.0  # of a tree

    def add(self, shingle: Sequence[float]) -> int:
        """Count a point that was taken in; return how many different ones there were."""
        options = self._options
        filled, surely = self._mass / options.sample_size, options.initial_accept_fraction
        if filled < surely:
            self._mass += 1.0
        elif surely < 1.0:
            self._mass += max(0.0, 1.0 - (filled - surely) / (1.0 - surely))
        weight = math.exp(min(options.time_decay * self._points, _MAX_EXPONENT))
        self._points += 1
        self._weight += weight
        key = self._pack(*shingle)
        self._weights[key] = self._weights.get(key, 0.0) + weight
        return len(self._weights)

    def mended(self, score: float, shingle: Sequence[float]) -> float:
        """Return a score as it is with all copies counted."""
        weight = self._weights.get(self._pack(*shingle))
        mass = self._mass
        if weight is None or not score > 0:
            return score
        copies = mass * weight / self._weight
        counted = max(1.0, copies - 1)
        if copies <= 1:
            return score
        scale = math.log2(mass + 1)
        depth = (1 - counted / (2 * mass)) * scale / score + math.log2((1 + copies) / (1 + counted))
        return (1 - copies / (2 * mass)) * scale / depth


def new_seed(seed: int | None) -> int:
    """Return a seed for a forest; without one a number that nobody can foresee."""
    return secrets.randbits(63) if seed is None else seed & (2**63 - 1)


def require_numbers(types: Sequence[Any], columns: Sequence[int]) -> None:
    """Check that a row has numbers in these columns.

    Raises IllegalArgument for a cell that is not there, ServerError `runtime_exception` for one that is no number.
    """
    for column in columns:
        if column >= len(types):
            raise IllegalArgument(f"index is out of scope, index:{column}; row size:{len(types)}")
        if types[column] not in NUMERIC:
            raise ServerError("the value isn't Double type", type="runtime_exception")


def rows_of(frame: DataFrame) -> Rows:
    """Return the frame's numbers as the forest's floats, (rows, columns), in the order of the columns.

    Cells beyond the columns are left out. Raises what `require_numbers` raises, for the first row that is odd.
    """
    import numpy as np

    columns = range(len(frame.columns))
    for types in frame.kinds():
        require_numbers(types, columns)
    rows = np.empty((frame.size, len(columns)), dtype=np.float32)
    with np.errstate(over="ignore"):
        for column in columns:
            rows[:, column] = np.asarray(frame.cells[column], dtype=np.float64)
    if (np.isneginf(rows) & (rows != rows[0])).any() or np.isnan(rows).any():
        raise _cut_failed()
    return rows


def dump(name: str, options: ForestOptions, seed: int, rows: Rows, **more: Any) -> bytes:
    """Write a model: the forest's options, its seed, the rows it was fed, and what else the algorithm keeps."""
    fields = {
        "number_of_trees": options.number_of_trees,
        "sample_size": options.sample_size,
        "output_after": options.output_after,
        "shingle_size": options.shingle_size,
        "time_decay": options.time_decay,
        "columns": options.width,
        "seed": seed,
        "rows": base64.b64encode(rows.astype("<f4").tobytes()).decode(),
        **more,
    }
    return dump_model(name, fields)


def load(name: str, content: bytes, accept_fraction: Callable[[int, int], float]) -> tuple[Any, ForestOptions, Rows]:
    """Read a model: its JSON, its forest's options and rows; nothing is fed yet.

    `accept_fraction` is asked with `output_after` and `sample_size`. Raises IllegalArgument for anything but a model
    that `dump` could have written.
    """
    import numpy as np

    body = load_model(name, content)
    for field in ("number_of_trees", "sample_size", "output_after", "shingle_size", "columns"):
        if type(body.get(field)) is not int or not 0 < body[field] < _INT:
            raise wrong_model(name, f"{field} must be a positive number")
    if type(body.get("seed")) is not int or not 0 <= body["seed"] < 2**63:
        raise wrong_model(name, "seed must be a number")
    if not is_finite(body.get("time_decay")):
        raise wrong_model(name, "time_decay must be a number")
    options = ForestOptions(
        dimensions=body["columns"] * body["shingle_size"],
        number_of_trees=body["number_of_trees"],
        sample_size=body["sample_size"],
        output_after=body["output_after"],
        time_decay=float(body["time_decay"]),
        shingle_size=body["shingle_size"],
        initial_accept_fraction=accept_fraction(body["output_after"], body["sample_size"]),
    )
    try:
        options.check()
    except (IllegalArgument, ServerError) as error:
        raise wrong_model(name, str(error.reason)) from error
    try:
        packed = base64.b64decode(str(body.get("rows")), validate=True)
    except ValueError as error:
        raise wrong_model(name, "rows must be base64") from error
    if len(packed) % (4 * options.width):
        raise wrong_model(name, "rows are not complete")
    rows = np.frombuffer(packed, dtype="<f4").reshape(-1, options.width).astype(np.float32)
    if np.isnan(rows).any() or np.isneginf(rows).any():
        raise wrong_model(name, "rows must be numbers")
    return body, options, rows


def is_finite(value: Any) -> bool:
    """Return whether a JSON value is a number that a double can hold."""
    return type(value) in (int, float) and abs(value) < 1e300  # NaN and infinite ones are not below


def _cut_failed() -> ServerError:
    return ServerError(" cut failed ", type="illegal_state_exception")
