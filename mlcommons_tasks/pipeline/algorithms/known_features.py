"""Rows to predict as a trained model takes them: by name, what it does not know left out, what it misses as 0.

Source: Tribuo 4.2.1 `DenseVector.createDenseVector`, `SparseVector.createSparseVector`, `ArrayExample.toString`, and
the `predict` of `KMeansModel`, `AbstractSGDModel` and `LibSVMAnomalyModel`. Knows no algorithm.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mlcommons_tasks.data_frame import DataFrame
from mlcommons_tasks.errors import IllegalArgument
from mlcommons_tasks.java import java_repr
from mlcommons_tasks.pipeline.data_frame import feature_matrix

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Numbers yielded at a time: 4 million float64 are 32 MB. A model may know many more features than a row has.
_CHUNK_CELLS = 4_000_000


def known_features(
    frame: DataFrame, features: Sequence[str], output: str, *, dense: bool = True
) -> Iterator[NDArray[np.float64]]:
    """Yield matrices (rows, features) in the model's order, some rows at a time.

    A feature the frame has not is 0 in every row.

    `output` is how an example's output prints, for the errors, of which there are two where the model knows `dense`
    examples. Raises what `feature_matrix` raises, and
    IllegalArgument if the frame has no column of the model.
    """
    import numpy as np

    names, given = feature_matrix(frame)
    places = {name: i for i, name in enumerate(names)}
    if not places.keys() & set(features):
        raise _no_known_feature(names, given[0].tolist(), output, dense=dense and len(names) == len(features))
    known = [(i, places[name]) for i, name in enumerate(features) if name in places]
    step = max(1, _CHUNK_CELLS // len(features))
    for start in range(0, frame.size, step):
        part = given[start : start + step]
        rows = np.zeros((len(part), len(features)))
        for i, place in known:
            rows[:, i] = part[:, place]
        yield rows


def _no_known_feature(names: list[str], values: list[float], output: str, *, dense: bool) -> IllegalArgument:
    """Return Tribuo's complaint about the first row; it has two, by whether the row is as wide as the model."""
    first, *rest = [f"({name}, {java_repr(value)})" for name, value in zip(names, values, strict=True)]
    features = first + "".join(f"{feature}, " for feature in rest)
    example = f"ArrayExample(numFeatures={len(names)},output={output},weight=1.0,features=[{features}])"
    if dense:
        return IllegalArgument(f"No features in this example were found in the feature map. Example - {example}")
    return IllegalArgument(f"No features found in Example {example}")
