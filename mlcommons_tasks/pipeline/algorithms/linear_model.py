"""What both regressions keep of a training: names, and a weight for each feature and output. Knows no training.

Model content is UTF-8 JSON with sorted keys and no white space:
`{"algorithm":"LINEAR_REGRESSION","features":["name",…],"objective":"HUBER","outputs":["name",…],"version":1,
"weights":[[float,…],…]}`. There is a line of weights for each output, its bias last. Floats are the shortest that
read back the same; where a descent ran away, `"NaN"`, `"Infinity"` and `"-Infinity"`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlcommons_tasks.errors import IllegalArgument
from mlcommons_tasks.java import java_repr

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

FORMAT_VERSION = 1
_RUNAWAYS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@dataclass(frozen=True)
class LinearModel:
    """A loaded model: `weights` is (outputs, features + 1) in the order of `outputs` and `features`."""

    features: tuple[str, ...]
    outputs: tuple[str, ...]
    objective: str
    weights: Matrix

    def scores(self, rows: Matrix) -> Matrix:
        """Return (rows, outputs) for rows in the order of `features`; added up in that order, to the last bit."""
        import numpy as np

        scores = np.zeros((len(rows), len(self.outputs)))
        with np.errstate(all="ignore"):
            for values, weights in zip(rows.T, self.weights.T, strict=False):
                scores += np.multiply.outer(values, weights)
            return scores + self.weights[:, -1]


def dump(algorithm: str, model: LinearModel) -> bytes:
    """Return a model's content."""
    body = {
        "algorithm": algorithm,
        "version": FORMAT_VERSION,
        "features": list(model.features),
        "outputs": list(model.outputs),
        "objective": model.objective,
        "weights": [[_written(weight) for weight in line] for line in model.weights.tolist()],
    }
    return json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def load(algorithm: str, objectives: Sequence[str], content: bytes) -> LinearModel:
    """Read a model's content; IllegalArgument for anything but a complete model of that algorithm."""
    import numpy as np

    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise IllegalArgument(f"The content is not a {algorithm} model: no JSON") from error
    problem = _problem(algorithm, objectives, body)
    if problem is not None:
        raise IllegalArgument(f"The content is not a {algorithm} model: {problem}")
    weights = np.array([[_RUNAWAYS.get(weight, weight) for weight in line] for line in body["weights"]], dtype=float)
    return LinearModel(tuple(body["features"]), tuple(body["outputs"]), body["objective"], weights)


def _written(weight: float) -> float | str:
    return weight if math.isfinite(weight) else java_repr(weight)


def _problem(algorithm: str, objectives: Sequence[str], body: Any) -> str | None:
    """Return what is wrong with a model's JSON, None if nothing is."""
    if not isinstance(body, dict) or body.get("algorithm") != algorithm or body.get("version") != FORMAT_VERSION:
        return f"algorithm {algorithm} and version {FORMAT_VERSION} expected"
    features: Any = body.get("features")
    outputs: Any = body.get("outputs")
    weights: Any = body.get("weights")
    if not (_are_names(features) and _are_names(outputs)):
        return "features and outputs must be names"
    if not isinstance(body.get("objective"), str) or body["objective"] not in objectives:
        return "unknown objective"
    if not (isinstance(weights, list) and len(weights) == len(outputs)):
        return "a line of weights for each output expected"
    for line in weights:
        if not (isinstance(line, list) and len(line) == len(features) + 1 and all(map(_is_weight, line))):
            return "a line is a weight for each feature and one more"
    return None


def _are_names(names: Any) -> bool:
    return isinstance(names, list) and bool(names) and all(isinstance(name, str) for name in names)


def _is_weight(value: Any) -> bool:
    if type(value) is str:
        return value in _RUNAWAYS
    return math.isfinite(value) if type(value) is float else type(value) is int and abs(value) < 2**1023
