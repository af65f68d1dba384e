"""RCF_SUMMARIZE: clusters, whose number is found by merging many into few. Pure and seedable.

Source: ml-commons 3.6.0 `RCFSummarize`, `RCFSummarizeParams`, `MathUtil`; AWS RandomCutForest 3.0-rc3
`summarization/Summarizer`. It has no forest: only the library's name.

Model content is UTF-8 JSON with sorted keys and no white space:
`{"algorithm":"RCF_SUMMARIZE","centers":[[float,…],…],"version":1}`; centre `i` is `ClusterID` `i`, the numbers are
32-bit floats in the order of the columns.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mlcommons_tasks.data_frame import NUMERIC, ColumnMeta, ColumnType, DataFrame
from mlcommons_tasks.errors import IllegalArgument, ServerError
from mlcommons_tasks.pipeline.algorithms.model_json import dump_model, load_model, wrong_model
from mlcommons_tasks.pipeline.algorithms.summarizer import Distance, Floats, l1_distance, l2_distance, summarize
from mlcommons_tasks.pipeline.data_frame import require_rows

if TYPE_CHECKING:
    from mlcommons_tasks.pipeline.algorithms import Parameters

NAME = "RCF_SUMMARIZE"
DEFAULT_MAX_K = 10
DEFAULT_DISTANCE_TYPE = "L2"
_MAX_SUMMARY = 100
_MAX_FLOAT = 3.5e38
#: Distances held at a time: 2 million float64 are 16 MB.
_CHUNK_CELLS = 2_000_000


def train(
    frame: DataFrame,
    parameters: Parameters | None,
    *,
    seed: int | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] = lambda _merge, _merges: None,
) -> bytes:
    """Summarize the rows and return the model's content; the same seed gives the same bytes.

    Raises IllegalArgument for an empty frame, then `Unsupported algorithm: RCF_SUMMARIZE` for parameters that are not
    positive, ServerError `runtime_exception` for a cell that is no number, and what `summarize` raises.
    """
    import numpy as np

    require_rows(frame)
    max_k, initial_k, distance_type, reassign = _checked(parameters)
    rows = _rows(frame)
    if max_k >= _MAX_SUMMARY:
        raise IllegalArgument("are you sure you want more elements in the summary?")
    if max_k > initial_k:
        raise IllegalArgument("initial parameter should be at least maximum allowed in final result")
    shortest = min(map(len, rows))
    if any(len(row) != shortest for row in rows):
        raise _out_of_bounds(shortest)
    centers = summarize(
        _floats(rows),
        max_k,
        initial_k,
        _DISTANCES[distance_type],
        reassign=reassign,
        random=np.random.default_rng(seed),
        cancelled=cancelled,
        progress=progress,
    )
    return dump_model(NAME, {"centers": centers.tolist()})


def predict(content: bytes, frame: DataFrame, parameters: Parameters | None = None) -> DataFrame:
    """Return each row's `ClusterID`: the nearest centre, the first of equally near ones; -1 if it is infinitely far.

    The distance is the request's. Columns are matched by their place, those that a row lacks do not count. Raises
    IllegalArgument for an empty frame, for parameters as `train` does and for a content that is no model, ServerError
    `runtime_exception` for a cell that is no number and `array_index_out_of_bounds_exception` for a longer row.
    """
    import numpy as np

    require_rows(frame)
    _max_k, _initial_k, distance_type, _reassign = _checked(parameters)
    centers = _load(content)
    rows = _rows(frame)
    width = centers.shape[1]
    if any(len(row) > width for row in rows):
        raise _out_of_bounds(width)
    labels = np.empty(len(rows), dtype=np.int64)
    lengths = np.array([len(row) for row in rows])
    for length in np.unique(lengths).tolist():
        of_length = np.flatnonzero(lengths == length)
        matrix = _floats([rows[i] for i in of_length.tolist()])
        labels[of_length] = _nearest(matrix, centers[:, :length], _DISTANCES[distance_type])
    column = (ColumnMeta("ClusterID", ColumnType.INTEGER),)
    return DataFrame(column, (array("q", labels.tolist()),), (ColumnType.INTEGER,), len(rows))


def train_and_predict(
    frame: DataFrame,
    parameters: Parameters | None,
    *,
    seed: int | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] = lambda _merge, _merges: None,
) -> DataFrame:
    """Return each row's `ClusterID` in the summary of all; raises as `train` does."""
    content = train(frame, parameters, seed=seed, cancelled=cancelled, progress=progress)
    return predict(content, frame, parameters)


def _checked(parameters: Parameters | None) -> tuple[int, int, str, bool]:
    said = {} if parameters is None else parameters
    max_k = said.get("max_k", DEFAULT_MAX_K)
    initial_k = said.get("initial_k", max_k)
    if max_k <= 0 or initial_k <= 0:
        raise IllegalArgument(f"Unsupported algorithm: {NAME}")
    reassign = parameters is None or bool(said.get("phase1_reassign", False))
    return max_k, initial_k, said.get("distance_type", DEFAULT_DISTANCE_TYPE), reassign


def _rows(frame: DataFrame) -> list[list[Any]]:
    """Return the cells row by row; a row has as many as it has, whatever the columns are."""
    if any(kind not in NUMERIC for types in frame.kinds() for kind in types):
        raise ServerError("the value isn't Double type", type="runtime_exception")
    if not isinstance(frame.row_types, list):
        width = len(frame.row_types)
        return [list(row) for row in zip(*frame.cells[:width], strict=True)] if width else [[]] * frame.size
    return [frame.row(i) for i in range(frame.size)]


def _floats(rows: Sequence[Sequence[float]]) -> Floats:
    import numpy as np

    with np.errstate(over="ignore"):
        return np.array(rows, dtype=np.float64).reshape(len(rows), -1).astype(np.float32)


def _nearest(rows: Floats, centers: Floats, distance: Distance) -> Any:
    import numpy as np

    labels = np.empty(len(rows), dtype=np.int64)
    step = max(1, _CHUNK_CELLS // centers.size) if centers.size else len(rows)
    for start in range(0, len(rows), step):
        part = distance(rows[start : start + step, None, :], centers)
        part[np.isnan(part)] = np.inf
        labels[start : start + step] = np.where(np.isinf(part.min(axis=1)), -1, part.argmin(axis=1))
    return labels


_DISTANCES = {"L1": l1_distance, "L2": l2_distance}


def _load(content: bytes) -> Floats:
    """Return a model's centres, (centres, columns); IllegalArgument for anything else."""
    import numpy as np

    body = load_model(NAME, content)
    centers = body.get("centers")
    if not isinstance(centers, list) or not 0 < len(centers) < _MAX_SUMMARY:
        raise wrong_model(NAME, "no centers")
    for center in centers:
        if not isinstance(center, list) or not isinstance(centers[0], list) or len(center) != len(centers[0]):
            raise wrong_model(NAME, "centers are not of one length")
        if not all(type(number) in (int, float) and abs(number) < _MAX_FLOAT for number in center):
            raise wrong_model(NAME, "a center must be numbers")
    return np.array(centers, dtype=np.float64).reshape(len(centers), -1).astype(np.float32)


def _out_of_bounds(length: int) -> ServerError:
    reason = f"Index {length} out of bounds for length {length}"
    return ServerError(reason, type="array_index_out_of_bounds_exception")
