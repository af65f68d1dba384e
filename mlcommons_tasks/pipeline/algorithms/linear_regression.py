"""LINEAR_REGRESSION: one number from the others of a row, by stochastic gradient descent. Pure and repeatable.

Source: ml-commons 3.6.0 `LinearRegression`, `LinearRegressionParams`; Tribuo 4.2.1 `LinearSGDTrainer`, `SquaredLoss`,
`AbsoluteLoss`, `Huber`. The plugin's order of examples follows from `seed` (12345), so there is no chance in it.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mlcommons_tasks.data_frame import ColumnMeta, ColumnType, DataFrame
from mlcommons_tasks.errors import IllegalArgument
from mlcommons_tasks.pipeline.algorithms import linear_model
from mlcommons_tasks.pipeline.algorithms.gradient_descent import descend, descent_of
from mlcommons_tasks.pipeline.algorithms.known_features import known_features
from mlcommons_tasks.pipeline.algorithms.model_json import wrong_model
from mlcommons_tasks.pipeline.algorithms.target_column import split_numbers
from mlcommons_tasks.pipeline.data_frame import feature_matrix, require_rows

#: What the request says, by `DEFAULTS`' names and `target`; all may be missing.
Parameters = Mapping[str, Any]

NAME = "LINEAR_REGRESSION"
DEFAULTS: Parameters = {
    "objective": "SQUARED_LOSS",
    "optimiser": "ADA_GRAD",
    "momentum_type": "STANDARD",
    "learning_rate": 0.01,
    "momentum_factor": 0.0,
    "epsilon": 1e-6,
    "beta1": 0.9,
    "beta2": 0.99,
    "decay_rate": 0.9,
    "epochs": 1000,
    "batch_size": 1,
    "logging_interval": -1,
    "seed": 12345,
}
#: Beyond this residual HUBER is linear.
_HUBER_COST = 5.0
_NOT_NEGATIVE = ("learning_rate", "momentum_factor", "epsilon", "decay_rate", "epochs", "batch_size")


def train(
    frame: DataFrame,
    parameters: Parameters | None,
    *,
    seed: int | None = None,  # noqa: ARG001 - every algorithm has it
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] = lambda _epoch, _epochs: None,
) -> bytes:
    """Learn `target` from the other columns and return the model's content; `seed` counts for nothing here.

    Raises IllegalArgument for an empty frame, for parameters out of bounds (the plugin loses their sentence:
    `Unsupported algorithm: LINEAR_REGRESSION`), what `split_numbers`, `feature_matrix` and `descend` raise,
    and Cancelled. `progress` is told each epoch's number, from 1.
    """
    require_rows(frame)
    settings = _checked(parameters)
    targets, rest = split_numbers(frame, settings.get("target"))
    features, rows = feature_matrix(rest)
    objective = settings["objective"]
    descent = descent_of(settings)
    weights = descend(descent, rows, targets, _SLOPES[objective], 1, cancelled=cancelled, progress=progress)
    model = linear_model.LinearModel(tuple(features), (settings["target"],), objective, weights)
    return linear_model.dump(NAME, model)


def predict(content: bytes, frame: DataFrame, parameters: Parameters | None = None) -> DataFrame:
    """Return a column named as the target, DOUBLE: each row's score.

    Raises IllegalArgument for an empty frame and for parameters out of bounds, which count for nothing else, and what
    `load` and `known_features` raise.
    """
    require_rows(frame)
    _checked(parameters)
    model = load(content)
    scores = array("d")
    for rows in known_features(frame, model.features, output="(DIM-0,NaN)"):
        scores.extend(model.scores(rows)[:, 0].tolist())
    column = ColumnMeta(model.outputs[0], ColumnType.DOUBLE)
    return DataFrame((column,), (scores,), (ColumnType.DOUBLE,), frame.size)


def load(content: bytes) -> linear_model.LinearModel:
    """Read a model's content; IllegalArgument for anything but a complete LINEAR_REGRESSION model."""
    model = linear_model.load(NAME, tuple(_SLOPES), content)
    if len(model.outputs) != 1:
        raise wrong_model(NAME, "one output expected")
    return model


def _checked(parameters: Parameters | None) -> dict[str, Any]:
    settings = {**DEFAULTS, **(parameters or {})}
    fine = (
        all(settings[name] >= 0 for name in _NOT_NEGATIVE)
        and all(0 < settings[name] < 1 for name in ("beta1", "beta2"))
        and settings["logging_interval"] >= -1
    )
    if not fine:
        raise IllegalArgument(f"Unsupported algorithm: {NAME}")
    return settings


def _squared(target: float, scores: Sequence[float]) -> Sequence[float]:
    return (target - scores[0],)


def _absolute(target: float, scores: Sequence[float]) -> Sequence[float]:
    return (_sign(target - scores[0]),)


def _huber(target: float, scores: Sequence[float]) -> Sequence[float]:
    residual = target - scores[0]
    return (_sign(residual) * _HUBER_COST if abs(residual) > _HUBER_COST else residual,)


def _sign(number: float) -> float:
    """Return `Double.compare(number, 0.0)`: NaN is above 0, and -0.0 below."""
    return 0.0 if number == 0.0 and math.copysign(1.0, number) > 0.0 else -1.0 if number <= 0.0 else 1.0


_SLOPES = {"SQUARED_LOSS": _squared, "ABSOLUTE_LOSS": _absolute, "HUBER": _huber}
