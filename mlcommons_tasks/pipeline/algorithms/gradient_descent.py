"""Stochastic gradient descent on a linear model, example by example in the plugin's order. Pure.

Source: Tribuo 4.2.1 `AbstractSGDTrainer.train`, `LinearParameters`: weights start at 0, the bias is a last feature
that is always 1, examples are shuffled anew each epoch, and the gradients of a batch are summed and multiplied by
`batch_size`. No library gives these coefficients, since most descents end before they have settled.

Few weights are plain floats, which Python adds faster than numpy does; many are one array. Where floats raise and
Java has an infinity or NaN (a division by 0), the descent starts again with arrays.
"""

from __future__ import annotations

import dataclasses
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlcommons_tasks.cancellation import Cancelled
from mlcommons_tasks.errors import ServerError
from mlcommons_tasks.pipeline.algorithms.gradient_steps import Optimiser, rate_of, step_of
from mlcommons_tasks.pipeline.algorithms.splittable_random import SplittableRandom

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

#: From an example's target and the model's scores, one an output, to how much each of them should rise.
Slopes = Callable[[Any, Sequence[float]], Sequence[float]]
#: More weights than these are an array.
_FEW_WEIGHTS = 56
#: How much is done between two looks at `cancelled`: weights times examples, some tenths of a second.
_WORK = 300_000
#: Weights at most; the plugin's node would run out of heap, we must not.
_MAX_WEIGHTS = 5_000_000


@dataclasses.dataclass(frozen=True)
class Descent:
    """How to descend: the optimiser, and how often over which examples at a time in which order."""

    optimiser: Optimiser
    epochs: int
    batch_size: int
    logging_interval: int
    seed: int


def descent_of(settings: Mapping[str, Any]) -> Descent:
    """Return what a request's parameters, none of them missing, say of the descent."""
    optimiser = Optimiser(**{field.name: settings[field.name] for field in dataclasses.fields(Optimiser)})
    rounds = {name: settings[name] for name in ("epochs", "batch_size", "logging_interval", "seed")}
    return Descent(optimiser, **rounds)


def descend(
    descent: Descent,
    rows: Matrix,
    targets: Sequence[Any],
    slopes: Slopes,
    outputs: int,
    *,
    cancelled: Callable[[], bool],
    progress: Callable[[int, int], None],
) -> Matrix:
    """Return the weights, (outputs, features + 1), of which the last column is the bias.

    Raises ServerError where the plugin's own loop fails (a batch of none, every 0th round logged) and
    `out_of_memory_error` for far too many weights, and Cancelled.
    """
    import numpy as np

    if outputs * (rows.shape[1] + 1) > _MAX_WEIGHTS:
        raise ServerError("Java heap space", type="out_of_memory_error")
    if descent.epochs and len(rows):
        _require_rounds(descent)
    shape = (outputs, rows.shape[1] + 1)
    pace = max(descent.batch_size, _WORK // (shape[0] * shape[1]))

    def parts(examples: list[Any]) -> Iterator[list[Any]]:
        """Give the examples batch by batch, epoch by epoch."""
        random = SplittableRandom(descent.seed).split()
        for epoch in range(1, descent.epochs + 1):
            progress(epoch, descent.epochs)
            _shuffle(examples, random)
            until = 0
            for start in range(0, len(examples), descent.batch_size):
                if start >= until:
                    if cancelled():
                        raise Cancelled
                    until = start + pace
                yield examples[start : start + descent.batch_size]

    if shape[0] * shape[1] <= _FEW_WEIGHTS:
        examples = [((*row, 1.0), target) for row, target in zip(rows.tolist(), targets, strict=True)]
        try:
            return np.array(_with_floats(descent, parts(examples), slopes, *shape)).reshape(shape)
        except (ZeroDivisionError, ValueError, OverflowError):
            pass
    wide = np.column_stack([rows, np.ones(len(rows))])
    with np.errstate(all="ignore"):
        return _with_arrays(descent, parts(list(zip(wide, targets, strict=True))), slopes, *shape)


def _with_floats(descent: Descent, parts: Iterator[list[Any]], slopes: Slopes, outputs: int, width: int) -> list[float]:
    weights = [0.0] * (outputs * width)
    step, rate = step_of(descent.optimiser, math.sqrt, len(weights)), rate_of(descent.optimiser, math.sqrt)
    size = descent.batch_size
    for i, part in enumerate(parts, 1):
        gradient: list[float] = []
        for row, target in part:
            rises = slopes(target, _scores(weights, row, outputs))
            more = [rise * value for rise in rises for value in row]
            gradient = list(map(operator.add, gradient, more)) if gradient else more
        if size > 1:
            gradient = [total * size for total in gradient]
        step(weights, gradient, rate(i), len(part) / size)
    return weights


def _scores(weights: list[float], row: tuple[float, ...], outputs: int) -> list[float]:
    scores = []
    left = iter(weights)
    for _ in range(outputs):
        score = 0.0
        for value, weight in zip(row, left):  # noqa: B905 - an output's weights are as many as there are values
            score += weight * value
        scores.append(score)
    return scores


def _with_arrays(descent: Descent, parts: Iterator[list[Any]], slopes: Slopes, outputs: int, width: int) -> Matrix:
    """Do what `_with_floats` does, every sum from left to right as there."""
    import numpy as np

    numbers: dict[str, Any] = {
        key: np.float64(value) for key, value in vars(descent.optimiser).items() if isinstance(value, float)
    }
    settings = dataclasses.replace(descent.optimiser, **numbers)
    weights = np.zeros((outputs, width))
    step, rate = step_of(settings, np.sqrt, 1), rate_of(settings, np.sqrt)
    size = descent.batch_size
    for i, part in enumerate(parts, 1):
        gradient = np.zeros_like(weights)
        for row, target in part:
            scores = np.add.accumulate(weights * row, axis=1)[:, -1]
            gradient += np.multiply.outer(np.array(slopes(target, scores.tolist())), row)
        step([weights], [gradient * size], rate(np.float64(i)), np.float64(len(part) / size))
    return weights


def _shuffle(examples: list[Any], random: SplittableRandom) -> None:
    last = len(examples) - 1
    for i, j in zip(range(last, 0, -1), random.swaps(len(examples)), strict=True):
        examples[i], examples[j] = examples[j], examples[i]


def _require_rounds(descent: Descent) -> None:
    if descent.batch_size == 0:
        raise ServerError("Index 0 out of bounds for length 0", type="array_index_out_of_bounds_exception")
    if descent.logging_interval == 0:
        raise ServerError("/ by zero", type="arithmetic_exception")
