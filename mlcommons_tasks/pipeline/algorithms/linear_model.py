"""What both regressions keep of a training: names, and a weight for each feature and output. Knows no training.

Model content is UTF-8 JSON with sorted keys and no white space:
`{"algorithm":"LINEAR_REGRESSION","features":["name",…],"objective":"HUBER","outputs":["name",…],"version":1,
"weights":[[float,…],…]}`. There is a line of weights for each output, its bias last. Floats are the shortest that
read back the same; where a descent ran away, `"NaN"`, `"Infinity"` and `"-Infinity"`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlcommons_tasks.pipeline.algorithms.model_json import (
    RUNAWAYS,
    are_names,
    dump_model,
    is_written,
    load_model,
    written,
    wrong_model,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]


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
    fields = {
        "features": list(model.features),
        "outputs": list(model.outputs),
        "objective": model.objective,
        "weights": [[written(weight) for weight in line] for line in model.weights.tolist()],
    }
    return dump_model(algorithm, fields)


def load(algorithm: str, objectives: Sequence[str], content: bytes) -> LinearModel:
    """Read a model's content; IllegalArgument for anything but a complete model of that algorithm."""
    import numpy as np

    body = load_model(algorithm, content)
    problem = _problem(objectives, body)
    if problem is not None:
        raise wrong_model(algorithm, problem)
    weights = np.array([[RUNAWAYS.get(weight, weight) for weight in line] for line in body["weights"]], dtype=float)
    return LinearModel(tuple(body["features"]), tuple(body["outputs"]), body["objective"], weights)


def _problem(objectives: Sequence[str], body: Any) -> str | None:
    """Return what is wrong with a model's JSON, None if nothing is."""
    features: Any = body.get("features")
    outputs: Any = body.get("outputs")
    weights: Any = body.get("weights")
    if not (are_names(features) and are_names(outputs)):
        return "features and outputs must be names"
    if not isinstance(body.get("objective"), str) or body["objective"] not in objectives:
        return "unknown objective"
    if not (isinstance(weights, list) and len(weights) == len(outputs)):
        return "a line of weights for each output expected"
    for line in weights:
        if not (isinstance(line, list) and len(line) == len(features) + 1 and all(map(is_written, line))):
            return "a line is a weight for each feature and one more"
    return None
