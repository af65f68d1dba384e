"""KMEANS: Lloyd's algorithm started as the plugin starts it, over scipy's distances. Pure and seedable.

Source: ml-commons 3.6.0 `KMeans`, `KMeansParams`; Tribuo 4.2.1 `KMeansTrainer` with RANDOM initialisation: centroids
start uniformly inside each feature's range, so some may stay without rows; such a one moves to the origin. More
centroids than rows are fine. The centroid is the arithmetic mean for all three distances.

Model content is UTF-8 JSON with sorted keys and no white space:
`{"algorithm":"KMEANS","centroids":[[float,…],…],"distance_type":"EUCLIDEAN","features":["name",…],"version":1}`;
centroid `i` is `ClusterID` `i`, features are sorted by name, floats are the shortest that read back the same.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlcommons_tasks.cancellation import Cancelled
from mlcommons_tasks.data_frame import ColumnMeta, ColumnType, DataFrame
from mlcommons_tasks.errors import IllegalArgument, ServerError
from mlcommons_tasks.pipeline.algorithms.known_features import known_features
from mlcommons_tasks.pipeline.algorithms.model_json import are_names, dump_model, is_number, load_model, wrong_model
from mlcommons_tasks.pipeline.data_frame import feature_matrix, require_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]
    Labels = NDArray[np.intp]

#: What the request says of `centroids`, `iterations` and `distance_type` (EUCLIDEAN, COSINE, L1); all may be missing.
Parameters = Mapping[str, Any]

DEFAULT_CENTROIDS = 2
DEFAULT_ITERATIONS = 10
DEFAULT_DISTANCE_TYPE = "EUCLIDEAN"
#: scipy's name of each distance
_METRICS = {"EUCLIDEAN": "euclidean", "COSINE": "cosine", "L1": "cityblock"}
#: Distances held at a time: 4 million float64 are 32 MB.
_CHUNK_CELLS = 4_000_000
#: Numbers in all centroids together; the plugin's node would run out of heap, we must not.
_MAX_CENTROID_CELLS = 5_000_000


@dataclass(frozen=True)
class KMeansModel:
    """A loaded model: `centroids` is (clusters, features), features in the order of `features`."""

    features: tuple[str, ...]
    distance_type: str
    centroids: Matrix


def train(
    frame: DataFrame,
    parameters: Parameters | None,
    *,
    seed: int | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] = lambda _iteration, _iterations: None,
) -> bytes:
    """Cluster the rows and return the model's content; the same seed gives the same bytes.

    Raises IllegalArgument for an empty frame and then for parameters out of bounds (the plugin loses their sentence:
    `Unsupported algorithm: KMEANS`), what `feature_matrix` raises, ServerError `null_pointer_exception` where no
    distance of a row is finite and `out_of_memory_error` for far too many centroids, and Cancelled once
    `cancelled()`, asked every round and every 4 million distances, says so. `progress` is told each round's number,
    from 1, and how many there will be at most.
    """
    import numpy as np

    require_rows(frame)
    clusters, iterations, distance_type = _checked(parameters)
    features, rows = feature_matrix(frame)
    if clusters * len(features) > _MAX_CENTROID_CELLS:
        raise ServerError("Java heap space", type="out_of_memory_error")
    low, high = rows.min(axis=0), rows.max(axis=0)
    with np.errstate(over="ignore", invalid="ignore"):
        spread = high - low
    if not np.isfinite(spread).all():
        raise _no_cluster()
    centroids = low + np.random.default_rng(seed).random((clusters, rows.shape[1])) * spread
    labels: Labels | None = None
    for iteration in range(1, iterations + 1):
        progress(iteration, iterations)
        nearest = _nearest(rows, centroids, distance_type, cancelled)
        if (nearest < 0).any():
            raise _no_cluster()
        if labels is not None and np.array_equal(nearest, labels):
            break
        labels = nearest
        centroids = _means(rows, labels, clusters)
    return _dump(KMeansModel(tuple(features), distance_type, centroids))


def predict(content: bytes, frame: DataFrame, parameters: Parameters | None = None) -> DataFrame:
    """Return a column `ClusterID`, INTEGER: each row's nearest centroid, the first of equally near ones.

    It is -1 for a row that is infinitely far from all, as the plugin's is.
    Columns are matched by name: those the model does not know are left out, those it misses count as 0.
    Raises IllegalArgument for an empty frame and for parameters out of bounds, which count for nothing else, and what
    `load` and `known_features` raise.
    """
    import numpy as np

    require_rows(frame)
    _checked(parameters)
    model = load(content)
    parts = known_features(frame, model.features, output="-1")
    return _cluster_ids(np.concatenate([_nearest(rows, model.centroids, model.distance_type) for rows in parts]))


def train_and_predict(
    frame: DataFrame,
    parameters: Parameters | None,
    *,
    seed: int | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] = lambda _iteration, _iterations: None,
) -> DataFrame:
    """Return what `predict` says of the rows after `train` with them; raises what both raise."""
    return predict(train(frame, parameters, seed=seed, cancelled=cancelled, progress=progress), frame)


def load(content: bytes) -> KMeansModel:
    """Read a model's content; IllegalArgument for anything but a complete KMEANS model of our version."""
    import numpy as np

    body = load_model("KMEANS", content)
    problem = _problem(body)
    if problem is not None:
        raise wrong_model("KMEANS", problem)
    centroids = np.array(body["centroids"], dtype=np.float64).reshape(len(body["centroids"]), len(body["features"]))
    return KMeansModel(tuple(body["features"]), body["distance_type"], centroids)


def _checked(parameters: Parameters | None) -> tuple[int, int, str]:
    given = parameters or {}
    clusters, iterations = given.get("centroids", DEFAULT_CENTROIDS), given.get("iterations", DEFAULT_ITERATIONS)
    if clusters <= 0 or iterations <= 0:
        raise IllegalArgument("Unsupported algorithm: KMEANS")
    return clusters, iterations, given.get("distance_type", DEFAULT_DISTANCE_TYPE)


def _cluster_ids(labels: Labels) -> DataFrame:
    cells = array("q", labels.tolist())
    return DataFrame((ColumnMeta("ClusterID", ColumnType.INTEGER),), (cells,), (ColumnType.INTEGER,), len(labels))


def _chunks(rows: int, clusters: int) -> Iterator[slice]:
    step = max(1, _CHUNK_CELLS // clusters)
    for start in range(0, rows, step):
        yield slice(start, start + step)


def _nearest(
    rows: Matrix, centroids: Matrix, distance_type: str, cancelled: Callable[[], bool] = lambda: False
) -> Labels:
    """Return the first nearest centroid of each row or -1, with at most `_CHUNK_CELLS` distances in memory."""
    import numpy as np
    from scipy.spatial.distance import cdist

    labels = np.empty(len(rows), dtype=np.intp)
    with np.errstate(all="ignore"):
        for part in _chunks(len(rows), len(centroids)):
            if cancelled():
                raise Cancelled
            distances = cdist(centroids, rows[part], _METRICS[distance_type])  # a column a row: their minima are fast
            if distance_type == "COSINE":
                _mend_cosine(distances, rows[part], centroids)
            distances[np.isnan(distances)] = math.inf
            labels[part] = np.where(np.isinf(distances.min(axis=0)), -1, distances.argmin(axis=0))
    return labels


def _mend_cosine(distances: Matrix, rows: Matrix, centroids: Matrix) -> None:
    """A vector of length 0 is as far from everything as an orthogonal one: 1, where scipy says NaN."""
    distances[:, (rows * rows).sum(axis=1) == 0] = 1.0
    distances[(centroids * centroids).sum(axis=1) == 0] = 1.0


def _means(rows: Matrix, labels: Labels, clusters: int) -> Matrix:
    """Return each cluster's mean; the origin for a cluster without rows."""
    import numpy as np

    sizes = np.bincount(labels, minlength=clusters)
    sums = np.column_stack([np.bincount(labels, weights=column, minlength=clusters) for column in rows.T])
    means: Matrix = sums / np.maximum(sizes, 1)[:, None]
    return means


def _dump(model: KMeansModel) -> bytes:
    fields = {
        "features": list(model.features),
        "distance_type": model.distance_type,
        "centroids": model.centroids.tolist(),
    }
    return dump_model("KMEANS", fields)


def _problem(body: Any) -> str | None:
    """Return what is wrong with a model's JSON, None if nothing is."""
    features, centroids = body.get("features"), body.get("centroids")
    if not are_names(features):
        return "features must be names"
    if not isinstance(body.get("distance_type"), str) or body["distance_type"] not in _METRICS:
        return "unknown distance_type"
    if not (isinstance(centroids, list) and centroids):
        return "no centroids"
    for centroid in centroids:
        if not isinstance(centroid, list) or len(centroid) != len(features) or not all(map(is_number, centroid)):
            return "a centroid is a finite number for each feature"
    return None


def _no_cluster() -> ServerError:
    """Return the plugin's error when a row has no finite distance to any centroid (infinite or overflowing values)."""
    reason = (
        'Cannot invoke "java.util.List.add(Object)" because the return value of "java.util.Map.get(Object)" is null'
    )
    return ServerError(reason, type="null_pointer_exception")
