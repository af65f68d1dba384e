"""Few centres for many points: start with many, merge what overlaps most, and stop where clusters are apart. Pure.

Source: AWS RandomCutForest 3.0-rc3 `summarization/Summarizer`, `Center`, `util/Weighted`. Differences and weights are
32-bit floats and sums 64-bit, as Java's; a centre is the weighted median of its points.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from mlcommons_tasks.cancellation import Cancelled
from mlcommons_tasks.errors import IllegalArgument, ServerError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Doubles = NDArray[np.float64]
else:
    Floats = Doubles = Any

#: a point belongs also to centres that are this much farther than its nearest one
WEIGHT_ALLOCATION_THRESHOLD = 1.25
#: how much two clusters must overlap to become one
SEPARATION_RATIO_FOR_MERGE = 0.8
#: points are assigned anew after each merge once there are only so many times the centres allowed
PHASE2_THRESHOLD = 2
#: of more points a sample is taken
SAMPLE_SIZE = 5000
#: Numbers in the distances of all points to all centres; the plugin's node would run out of heap, we must not.
_MAX_CELLS = 50_000_000
#: The distances of a part of the points are made at a time, with as many numbers.
_CHUNK_CELLS = 2_000_000
_MAX_DOUBLE = 1.7976931348623157e308

#: Distances of points, along the last axis.
Distance = Callable[[Floats, Floats], Doubles]


def l1_distance(some: Floats, others: Floats) -> Doubles:
    """Return the sums of the differences."""
    import numpy as np

    with np.errstate(all="ignore"):
        found: Doubles = np.abs(some - others).sum(axis=-1, dtype=np.float64)
        return found


def l2_distance(some: Floats, others: Floats) -> Doubles:
    """Return the distances as the crow flies."""
    import numpy as np

    with np.errstate(all="ignore"):
        apart = (some - others).astype(np.float64)
        found: Doubles = np.sqrt((apart * apart).sum(axis=-1))
        return found


def summarize(
    points: Floats,
    max_k: int,
    initial_k: int,
    distance: Distance,
    *,
    reassign: bool,
    random: np.random.Generator,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] = lambda _merge, _merges: None,
) -> Floats:
    """Return at most `max_k` centres, (centres, columns), the heaviest first.

    `reassign` has the points assigned anew after every merge, not only the last ones. Raises IllegalArgument and
    ServerError with Java's words where points are so far apart that sums are infinite, ServerError
    `out_of_memory_error` for far too many centres, and Cancelled once `cancelled()`, asked at each merge, says so.
    """
    import numpy as np

    weights = np.ones(len(points), dtype=np.float32)
    if len(points) >= SAMPLE_SIZE:
        factor = np.float32(SAMPLE_SIZE / len(points))
        points = points[random.random(len(points)) < factor]
        weights = np.full(len(points), np.float32(1.0) / factor, dtype=np.float32)
    if len(points) < _int(10 * initial_k):
        chosen = np.arange(len(points))
    else:
        count = max(0, _int(2 * initial_k))
        if count == 0:
            raise IllegalArgument(" cannot be empty list of clusters")
        if count * max(1, points.shape[1]) > _MAX_CELLS:
            raise ServerError("Java heap space", type="out_of_memory_error")
        chosen = np.minimum((random.random(count) * len(points)).astype(np.intp), len(points) - 1)
    if len(chosen) * len(points) > _MAX_CELLS:
        raise ServerError("Java heap space", type="out_of_memory_error")
    with np.errstate(all="ignore"):
        clusters = _Clusters(points, weights, points[chosen].copy(), distance)
        clusters.assign()
        _merge(clusters, max_k, reassign=reassign, cancelled=cancelled, progress=progress)
        order = np.argsort(-clusters.weights, kind="stable")
        centers = clusters.centers[order]
    for column in range(centers.shape[1]):
        if not np.isfinite(points[:, column]).all():
            raise IllegalArgument(f" improper input, in coordinate {column}, must be finite, non-NaN values")
    return centers


def _merge(
    clusters: _Clusters,
    max_k: int,
    *,
    reassign: bool,
    cancelled: Callable[[], bool],
    progress: Callable[[int, int], None],
) -> None:
    """Merge clusters until there are few enough, and on while as near ones as those merged last overlap."""
    started = len(clusters.weights)
    last_distance = 0.0
    while started > max_k:
        if cancelled():
            raise Cancelled
        before = len(clusters.weights)
        progress(started - before, started)
        first, second, apart, overlap = clusters.nearest_pair(last_distance)
        if before <= max_k and apart != 0 and not overlap > SEPARATION_RATIO_FOR_MERGE:
            return
        if second < 0:
            raise _out_of_bounds(-1, before)
        clusters.absorb(second, first)
        if reassign or before - 1 <= PHASE2_THRESHOLD * max_k:
            clusters.assign()
        else:
            clusters.sort()
        if before > max_k >= len(clusters.weights):
            last_distance = apart


class _Clusters:
    """Centres, the lightest first: their weights, the sums of their points' distances, how far they are apart."""

    def __init__(self, points: Floats, weights: Floats, centers: Floats, distance: Distance) -> None:
        import numpy as np

        self._points = points
        self._point_weights = weights
        self._distance = distance
        #: each point's place among all, by each column
        self._ranks = [np.argsort(np.argsort(column, kind="stable"), kind="stable") for column in points.T]
        self.centers = centers
        self.weights: Doubles = np.zeros(len(centers))
        self.radii: Doubles = np.zeros(len(centers))
        self.apart: Doubles = np.zeros((0, 0))

    def assign(self) -> None:
        """Share the points among the centres nearest to each, move each centre to its points' median, and sort."""
        import numpy as np

        clusters, members, shares = self._shares()
        if len(clusters) == 0:
            raise _out_of_bounds(0, 0)
        count = len(self.centers)
        self.weights = np.bincount(clusters, weights=shares, minlength=count).astype(np.float64)
        sizes = np.bincount(clusters, minlength=count)
        empty = (sizes == 0) | (self.weights == 0)
        ends = np.cumsum(sizes)
        for column, ranks in enumerate(self._ranks):
            order = np.lexsort((ranks[members], clusters))
            reached = np.cumsum(shares[order])
            before = np.concatenate([[0.0], reached])[ends - sizes]
            places = np.minimum(np.searchsorted(reached, before + self.weights / 2), ends - 1)
            places = np.maximum(places, ends - sizes)
            medians = self._points[members[order[np.minimum(places, len(order) - 1)]], column]
            self.centers[:, column] = np.where(empty, np.float32(0), medians)
        apart = self._distance(self._points[members], self.centers[clusters]) * shares
        self.radii = np.where(empty, self.radii, np.bincount(clusters, weights=apart, minlength=count))
        self.apart = np.zeros((0, 0))
        self.sort()

    def sort(self) -> None:
        """Put the lightest first and drop those that weigh nothing."""
        import numpy as np

        order = np.argsort(self.weights, kind="stable")
        order = order[np.cumsum(self.weights[order] != 0) > 0]
        self.centers, self.weights, self.radii = self.centers[order], self.weights[order], self.radii[order]
        if len(order) == 0:
            raise _out_of_bounds(0, 0)
        if len(self.apart):
            self.apart = self.apart[np.ix_(order, order)]
        else:
            self.apart = self._distances(self.centers)

    def nearest_pair(self, reach: float) -> tuple[int, int, float, float]:
        """Return which cluster to merge into which other, how far they are apart and how much they overlap.

        Those on one spot come first, then those that overlap most, else the lightest and what is nearest to it.
        `reach` counts as a part of their radii.
        """
        import numpy as np

        count = len(self.weights)
        if count == 1:
            return 0, -1, _MAX_DOUBLE, 0.0
        nearest = int(np.where(self.apart[0, 1:] < _MAX_DOUBLE, self.apart[0, 1:], np.inf).argmin()) + 1
        found = (0, nearest, float(self.apart[0, nearest]))
        if not found[2] < _MAX_DOUBLE:
            found = (0, -1, _MAX_DOUBLE)
        radii = self.radii / self.weights
        columns = np.arange(count)
        overlap = 0.0
        step = max(1, _CHUNK_CELLS // count)
        for start in range(0, count - 1, step):
            rows = np.arange(start, min(start + step, count - 1))
            apart = self.apart[rows]
            later = columns > rows[:, None]
            on_one_spot = (apart == 0) & later
            if on_one_spot.any():
                row, column = np.unravel_index(on_one_spot.argmax(), apart.shape)
                return start + int(row), int(column), 0.0, overlap
            ratios = (radii[rows, None] + radii + reach) / apart
            ratios[~(later & (ratios > SEPARATION_RATIO_FOR_MERGE))] = 0.0
            row, column = np.unravel_index(ratios.argmax(), ratios.shape)
            if ratios[row, column] > overlap:
                overlap = float(ratios[row, column])
                if start + row > 0:  # the lightest one goes to its nearest, whatever it overlaps with
                    found = (start + int(row), int(column), float(apart[row, column]))
        return *found, overlap

    def absorb(self, heir: int, gone: int) -> None:
        """Merge one cluster into another, whose centre moves the more the lighter it is."""
        import numpy as np

        weight, other = float(self.weights[heir]), float(self.weights[gone])
        ratio = math.exp(2 * (weight - other) / (weight + other)) if weight + other else 1.0
        factor = ratio / (1.0 + ratio)
        moved = factor * self.centers[heir].astype(np.float64) + (1 - factor) * self.centers[gone].astype(np.float64)
        self.radii[heir] += (weight * (1.0 - factor) + other * factor) * float(self.apart[heir, gone])
        self.weights[heir] += other
        self.centers[heir] = moved.astype(np.float32)
        self.apart[heir] = self.apart[:, heir] = self._distance(self.centers, self.centers[heir])
        self.centers = np.delete(self.centers, gone, axis=0)
        self.weights, self.radii = np.delete(self.weights, gone), np.delete(self.radii, gone)
        self.apart = np.delete(np.delete(self.apart, gone, axis=0), gone, axis=1)

    def _shares(self) -> tuple[NDArray[np.intp], NDArray[np.intp], Doubles]:
        """Return clusters, their points, and how much of the point each gets; by cluster, then by point."""
        import numpy as np

        clusters, members, shares = [], [], []
        for start, distances in self._parts(self._points):
            known = np.where(np.isnan(distances), np.inf, distances)
            least = np.minimum(known.min(axis=1), _MAX_DOUBLE)[:, None]
            near = distances <= WEIGHT_ALLOCATION_THRESHOLD * least
            parts = np.where(near, least / distances, 0.0)
            parts = np.where(near, parts / parts.sum(axis=1, keepdims=True), 0.0)
            on_it = (least == 0)[:, 0]
            parts[on_it] = 0.0
            parts[on_it, known[on_it].argmin(axis=1)] = 1.0
            rows, columns = np.nonzero(parts)
            clusters.append(columns)
            members.append(rows + start)
            weights = self._point_weights[rows + start] * parts[rows, columns]
            shares.append(weights.astype(np.float32).astype(np.float64))
        by_cluster = np.concatenate(clusters)
        order = np.argsort(by_cluster, kind="stable")
        return by_cluster[order], np.concatenate(members)[order], np.concatenate(shares)[order]

    def _distances(self, points: Floats) -> Doubles:
        import numpy as np

        return np.concatenate([part for _start, part in self._parts(points)])

    def _parts(self, points: Floats) -> Iterator[tuple[int, Doubles]]:
        """Yield the distances to all centres of a part of the points, and where it begins."""
        step = max(1, _CHUNK_CELLS // (len(self.centers) * max(1, points.shape[1])))
        for start in range(0, len(points), step):
            yield start, self._distance(points[start : start + step, None, :], self.centers)


def _int(number: int) -> int:
    return (number + 2**31) % 2**32 - 2**31


def _out_of_bounds(index: int, length: int) -> ServerError:
    return ServerError(f"Index {index} out of bounds for length {length}", type="index_out_of_bounds_exception")
