"""LOGISTIC_REGRESSION: a word from the numbers of a row, by stochastic gradient descent. Pure and repeatable.

Source: ml-commons 3.6.0 `LogisticRegression`, `LogisticRegressionParams`; Tribuo 4.2.1 `LinearSGDTrainer`,
`LinearSGDModel`, `LogMulticlass`, `Hinge`, `ExpNormalizer`. The order of the words is that of a Java HashMap; it
decides between equal scores. The plugin's order of examples follows from `seed` (12345), so there is no chance in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlcommons_tasks.data_frame import ColumnMeta, ColumnType, DataFrame
from mlcommons_tasks.errors import IllegalArgument, ServerError
from mlcommons_tasks.java import java_order
from mlcommons_tasks.pipeline.algorithms import linear_model
from mlcommons_tasks.pipeline.algorithms.gradient_descent import descend, descent_of
from mlcommons_tasks.pipeline.algorithms.known_features import known_features
from mlcommons_tasks.pipeline.algorithms.target_column import split_texts
from mlcommons_tasks.pipeline.data_frame import feature_matrix, require_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: What the request says, by `DEFAULTS`' names and `target`; all may be missing.
Parameters = Mapping[str, Any]

NAME = "LOGISTIC_REGRESSION"
DEFAULTS: Parameters = {
    "objective": "LOGMULTICLASS",
    "optimiser": "ADA_GRAD",
    "momentum_type": "STANDARD",
    "learning_rate": 1.0,
    "momentum_factor": 0.0,
    "epsilon": 0.1,
    "beta1": 0.9,
    "beta2": 0.99,
    "decay_rate": 0.9,
    "epochs": 5,
    "batch_size": 1,
    "logging_interval": 1000,
    "seed": 12345,
}
#: Scores held at a time: 4 million float64 are 32 MB.
_CHUNK_CELLS = 4_000_000
_NOT_NEGATIVE = ("learning_rate", "epsilon", "epochs", "batch_size")


def train(
    frame: DataFrame,
    parameters: Parameters | None,
    *,
    seed: int | None = None,  # noqa: ARG001 - every algorithm has it
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] = lambda _epoch, _epochs: None,
) -> bytes:
    """Learn the words of `target` from the other columns; return the model's content; `seed` counts for nothing here.

    Raises IllegalArgument for an empty frame, for parameters out of bounds (the plugin loses their sentence:
    `Unsupported algorithm: LOGISTIC_REGRESSION`), what `split_texts`, `feature_matrix` and `descend` raise, and
    Cancelled. `progress` is told each epoch's number, from 1.
    """
    require_rows(frame)
    settings = _checked(parameters)
    targets, rest = split_texts(frame, settings.get("target"))
    features, rows = feature_matrix(rest)
    words = java_order(reversed(dict.fromkeys(targets)))  # computeIfAbsent puts a newer word before an older one
    places = {word: i for i, word in enumerate(words)}
    descent, slopes = descent_of(settings), _SLOPES[settings["objective"]]
    numbers = [places[word] for word in targets]
    weights = descend(descent, rows, numbers, slopes, len(words), cancelled=cancelled, progress=progress)
    model = linear_model.LinearModel(tuple(features), tuple(words), settings["objective"], weights)
    return linear_model.dump(NAME, model)


def predict(content: bytes, frame: DataFrame, parameters: Parameters | None = None) -> DataFrame:
    """Return a column `result`, STRING: each row's word of the highest score, the first of equally high ones.

    Raises IllegalArgument for an empty frame and for parameters out of bounds, which count for nothing else, and what
    `load` and `known_features` raise; ServerError `null_pointer_exception` where no score is a number.
    """
    require_rows(frame)
    _checked(parameters)
    model = load(content)
    step = max(1, _CHUNK_CELLS // len(model.outputs))
    words: list[str] = []
    for rows in known_features(frame, model.features, output="LABEL##UNKNOWN"):
        for start in range(0, len(rows), step):
            words += _words(model, rows[start : start + step])
    return DataFrame((ColumnMeta("result", ColumnType.STRING),), (words,), (ColumnType.STRING,), frame.size)


def _words(model: linear_model.LinearModel, rows: NDArray[np.float64]) -> list[str]:
    import numpy as np

    scores = model.scores(rows)
    if model.objective == "LOGMULTICLASS":
        scores = _shares(scores)
    scores[np.isnan(scores)] = -math.inf
    if (scores.max(axis=1) == -math.inf).any():
        reason = (
            'Cannot invoke "org.tribuo.classification.Label.getLabel()" because the return value of '
            '"org.tribuo.Prediction.getOutput()" is null'
        )
        raise ServerError(reason, type="null_pointer_exception")
    return [model.outputs[i] for i in scores.argmax(axis=1).tolist()]


def load(content: bytes) -> linear_model.LinearModel:
    """Read a model's content; IllegalArgument for anything but a complete LOGISTIC_REGRESSION model."""
    return linear_model.load(NAME, tuple(_SLOPES), content)


def _checked(parameters: Parameters | None) -> dict[str, Any]:
    settings = {**DEFAULTS, **(parameters or {})}
    if any(settings[name] < 0 for name in _NOT_NEGATIVE) or settings["logging_interval"] < -1:
        raise IllegalArgument(f"Unsupported algorithm: {NAME}")
    return settings


def _log_multiclass(target: int, scores: Sequence[float]) -> Sequence[float]:
    highest = max(scores)
    if not math.isfinite(highest):
        return [math.nan] * len(scores)
    powers = [math.exp(score - highest) for score in scores]
    total = 0.0
    for power in powers:
        total += power
    slopes = [-(power / total) for power in powers]
    slopes[target] += 1.0
    return slopes


def _hinge(target: int, scores: Sequence[float]) -> Sequence[float]:
    behind = list(scores)
    behind[target] -= 1.0
    slopes = [0.0] * len(scores)
    best, highest = 0, -math.inf
    for i, score in enumerate(behind):
        if score > highest:
            best, highest = i, score
    if best != target:
        slopes[target], slopes[best] = 1.0, -1.0
    return slopes


_SLOPES = {"LOGMULTICLASS": _log_multiclass, "HINGE": _hinge}


def _shares(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each output's share of the exponentials in its row, which may make equal what is not quite."""
    import numpy as np

    with np.errstate(all="ignore"):
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares
