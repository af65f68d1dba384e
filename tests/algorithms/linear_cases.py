"""Rows and settings for both regressions: every objective with every optimiser, most of them far from settled."""

from __future__ import annotations

import itertools
import random
from typing import Any

from .plugin_results import Case, Columns

OPTIMISERS = ("SIMPLE_SGD", "LINEAR_DECAY_SGD", "SQRT_DECAY_SGD", "ADA_GRAD", "ADA_DELTA", "ADAM", "RMS_PROP")
LINEAR = ("SQUARED_LOSS", "ABSOLUTE_LOSS", "HUBER")
LOGISTIC = ("LOGMULTICLASS", "HINGE")
#: What each optimiser looks at, away from its defaults.
TURNED: dict[str, Any] = {
    "learning_rate": 0.003,
    "momentum_factor": 0.7,
    "momentum_type": "NESTEROV",
    "epsilon": 0.01,
    "beta1": 0.8,
    "beta2": 0.95,
    "decay_rate": 0.2,
    "batch_size": 7,
    "seed": -77,
}


def _numbers(names: str, count: int, seed: int) -> dict[str, list[float]]:
    chance = random.Random(seed)
    return {name: [round(chance.gauss(0, 1), 3) for _ in range(count)] for name in names}


def _rows() -> Columns:
    """Return 40 rows whose `y` is 3 + 2a - b + 0.5c, nearly."""
    found: dict[str, list[float]] = _numbers("cab", 40, 7)
    chance = random.Random(8)
    rows = zip(found["a"], found["b"], found["c"], strict=True)
    found["y"] = [round(3 + 2 * a - b + c / 2 + chance.gauss(0, 0.1), 3) for a, b, c in rows]
    return found


def _words() -> Columns:
    """Return 60 rows of four words, as the greatest of four numbers says, and often enough does not."""
    found: dict[str, list[Any]] = dict(_numbers("bac", 60, 9))
    chance = random.Random(10)
    words = ("red", "green", "blue", "café au lait")
    found["kind"] = []
    for a, b, c in zip(found["a"], found["b"], found["c"], strict=True):
        scores = [number + chance.gauss(0, 0.5) for number in (a, b, c, a + b + c)]
        found["kind"].append(words[scores.index(max(scores))])
    return found


def _many() -> Columns:
    """Return 30 rows of 60 numbers, more than are kept as floats."""
    chance = random.Random(11)
    found = {f"f{i}": [round(chance.gauss(0, 1), 3) for _ in range(30)] for i in range(60)}
    slopes = [chance.gauss(0, 1) for _ in found]
    rows = zip(*found.values(), strict=True)
    found["y"] = [round(sum(map(float.__mul__, slopes, row)), 3) for row in rows]
    return found


ROWS, WORDS, MANY = _rows(), _words(), _many()
#: The origin and one step along each feature: their scores are the bias and, above it, the coefficients.
PROBES = {"a": [0.0, 1.0, 0.0, 0.0, 2.5], "b": [0.0, 0.0, 1.0, 0.0, -1.5], "c": [0.0, 0.0, 0.0, 1.0, 0.5]}
WORD_ROWS = {name: WORDS[name] for name in "abc"}
MANY_ROWS = {name: values for name, values in MANY.items() if name != "y"}


def _linear(name: str, parameters: dict[str, Any], rows: Columns = ROWS, predict: Columns = PROBES) -> Case:
    return Case(name, "LINEAR_REGRESSION", {"target": "y", **parameters}, rows, predict)


def _logistic(name: str, parameters: dict[str, Any]) -> Case:
    return Case(name, "LOGISTIC_REGRESSION", {"target": "kind", **parameters}, WORDS, WORD_ROWS)


def _named(objectives: tuple[str, ...]) -> list[tuple[str, dict[str, Any]]]:
    pairs = itertools.product(objectives, OPTIMISERS)
    return [(f"{one} {other}", {"objective": one, "optimiser": other}) for one, other in pairs]


CASES = [
    _linear("linear: defaults", {}),
    *(_linear(f"linear: {name}", {**both, "epochs": 20}) for name, both in _named(LINEAR)),
    *(_linear(f"linear, turned: {name}", {**both, **TURNED, "epochs": 9}) for name, both in _named(LINEAR)),
    *(
        _linear(f"linear, many: {name}", {**both, "epochs": 30, "batch_size": 3}, MANY, MANY_ROWS)
        for name, both in _named(LINEAR)
    ),
    _linear("linear: plain momentum", {"optimiser": "SIMPLE_SGD", "momentum_factor": 0.7, "epochs": 9}),
    _linear("linear: without epsilon", {"optimiser": "ADA_DELTA", "epsilon": 0.0, "epochs": 9}),
    _linear("linear: no epoch", {"epochs": 0}),
    _linear("linear: a batch of all", {"optimiser": "ADAM", "batch_size": 100, "epochs": 9}),
    _linear("linear: another seed", {"optimiser": "SIMPLE_SGD", "seed": 2**62, "epochs": 2}),
    _linear("linear: away", {"optimiser": "SIMPLE_SGD", "learning_rate": 10.0, "epochs": 100}),
    _logistic("logistic: defaults", {}),
    *(_logistic(f"logistic: {name}", both) for name, both in _named(LOGISTIC)),
    *(_logistic(f"logistic, turned: {name}", {**both, **TURNED}) for name, both in _named(LOGISTIC)),
    _logistic("logistic: away", {"optimiser": "SIMPLE_SGD", "learning_rate": 1e200, "momentum_factor": 3.0}),
    _logistic("logistic: beyond bounds that are not asked for", {"optimiser": "ADAM", "beta1": 1.0}),
]
