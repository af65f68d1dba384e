"""BATCH_RCF: rows that do not look like the others, by a random cut forest that takes no notice of time.

Source: ml-commons 3.6.0 `BatchRandomCutForest`, `BatchRCFParams`. Training scores each row and then takes it in, so a
row is measured against those before it; a prediction measures against all that were taken in, and takes none.
A model does not keep the threshold, which is the predicting request's, nor in effect `output_after`: RandomCutForest
3.0-rc3 `RandomCutForestMapper` makes the trees anew without it, and then they wait for a quarter of their sample.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from mlcommons_tasks.cancellation import Cancelled
from mlcommons_tasks.data_frame import ColumnMeta, ColumnType, DataFrame
from mlcommons_tasks.errors import ServerError
from mlcommons_tasks.pipeline.algorithms.model_json import wrong_model
from mlcommons_tasks.pipeline.algorithms.random_cut_forest import (
    STEP,
    Forest,
    ForestOptions,
    dump,
    load,
    new_seed,
    rows_of,
)
from mlcommons_tasks.pipeline.data_frame import require_rows

if TYPE_CHECKING:
    from mlcommons_tasks.pipeline.algorithms import Parameters
    from mlcommons_tasks.pipeline.algorithms.random_cut_forest import Rows

NAME = "BATCH_RCF"
DEFAULT_NUMBER_OF_TREES = 30
DEFAULT_SAMPLE_SIZE = 256
DEFAULT_OUTPUT_AFTER = 32
DEFAULT_ANOMALY_SCORE_THRESHOLD = 1.0


def train(
    frame: DataFrame,
    parameters: Parameters | None,
    *,
    seed: int | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] = lambda _row, _rows: None,
) -> bytes:
    """Take in the first `training_data_size` rows and return the model's content; the same seed gives the same bytes.

    Raises what an empty frame, `ForestOptions.check`, `rows_of` and `Forest.update` raise, and Cancelled.
    """
    require_rows(frame)
    options = _options(frame, parameters or {})
    rows = _trained(rows_of(frame), parameters or {})
    chosen = new_seed(seed)
    Forest(options, chosen).feed(rows, cancelled, progress)
    return dump(NAME, options, chosen, rows)


def predict(content: bytes, frame: DataFrame, parameters: Parameters | None = None) -> DataFrame:
    """Return each row's `score` and whether it is `anomalous`: above the request's threshold.

    Columns are matched by their place. Raises what an empty frame, `load` and `rows_of` raise, and IllegalArgument
    for rows of another length than the model's, unless it was trained with too few rows to score any.
    """
    require_rows(frame)
    body, options, trained = load(NAME, content, lambda _output_after, _sample_size: 1.0)
    rows = rows_of(frame)
    forest = Forest(replace(options, output_after=max(1, options.sample_size // 4)), body["seed"])
    try:
        forest.feed(trained)
    except ServerError as error:
        raise wrong_model(NAME, str(error.reason)) from error
    return _frame([forest.score(row) for row in rows.tolist()], parameters or {})


def train_and_predict(
    frame: DataFrame,
    parameters: Parameters | None,
    *,
    seed: int | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] = lambda _row, _rows: None,
) -> DataFrame:
    """Return each row's `score` against the rows before it, and whether it is `anomalous`; raises as `train` does."""
    require_rows(frame)
    options = _options(frame, parameters or {})
    rows = rows_of(frame)
    taken_in = len(_trained(rows, parameters or {}))
    forest = Forest(options, new_seed(seed))
    scores = []
    for i, row in enumerate(rows.tolist()):
        if i % STEP == 0:
            if cancelled():
                raise Cancelled
            progress(i, len(rows))
        scores.append(forest.score(row))
        if i < taken_in:
            forest.update(row)
    return _frame(scores, parameters or {})


def _options(frame: DataFrame, parameters: Parameters) -> ForestOptions:
    sample_size = parameters.get("sample_size", DEFAULT_SAMPLE_SIZE)
    options = ForestOptions(
        dimensions=len(frame.columns),
        number_of_trees=parameters.get("number_of_trees", DEFAULT_NUMBER_OF_TREES),
        sample_size=sample_size,
        output_after=parameters.get("output_after", DEFAULT_OUTPUT_AFTER),
        time_decay=0.1 / sample_size if sample_size else 0.0,
    )
    options.check()
    return options


def _trained(rows: Rows, parameters: Parameters) -> Rows:
    return rows[: max(0, parameters.get("training_data_size", len(rows)))]


def _frame(scores: list[float], parameters: Parameters) -> DataFrame:
    threshold = parameters.get("anomaly_score_threshold", DEFAULT_ANOMALY_SCORE_THRESHOLD)
    types = (ColumnType.DOUBLE, ColumnType.BOOLEAN)
    columns = (ColumnMeta("score", types[0]), ColumnMeta("anomalous", types[1]))
    return DataFrame(columns, (array("d", scores), [score > threshold for score in scores]), types, len(scores))
