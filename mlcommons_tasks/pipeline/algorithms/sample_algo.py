"""SAMPLE_ALGO: the plugin's own example. Its training looks at no row, its prediction adds up all of them.

Source: ml-commons 3.6.0 `SampleAlgo`, `SampleAlgoParams`. Model content is UTF-8 JSON with sorted keys and no white
space: `{"algorithm":"SAMPLE_ALGO","sample_param":-1,"version":1}`. A prediction does not look into it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mlcommons_tasks.data_frame import DataFrame
from mlcommons_tasks.errors import IllegalArgument
from mlcommons_tasks.pipeline.algorithms.model_json import dump_model
from mlcommons_tasks.pipeline.algorithms.target_column import require_numbers
from mlcommons_tasks.pipeline.data_frame import require_rows

#: What the request says: `sample_param` or nothing, but the object must be there.
Parameters = Mapping[str, Any]

DEFAULT_SAMPLE_PARAM = -1


def train(
    frame: DataFrame,
    parameters: Parameters | None,
    *,
    seed: int | None = None,  # noqa: ARG001 - every algorithm has these
    cancelled: Callable[[], bool] = lambda: False,  # noqa: ARG001
    progress: Callable[[int, int], None] = lambda _round, _rounds: None,  # noqa: ARG001
) -> bytes:
    """Return a model's content, whatever the rows; IllegalArgument for an empty frame and without `parameters`."""
    require_rows(frame)
    given = _required(parameters)
    return dump_model("SAMPLE_ALGO", {"sample_param": given.get("sample_param", DEFAULT_SAMPLE_PARAM)})


def predict(
    content: bytes,  # noqa: ARG001 - every algorithm has it
    frame: DataFrame,
    parameters: Parameters | None = None,
) -> dict[str, Any]:
    """Return `{"sample_result": …}`, the sum of all cells, added row by row.

    Raises IllegalArgument for an empty frame and without `parameters`, ServerError `runtime_exception` for a cell
    that is no number.
    """
    require_rows(frame)
    _required(parameters)
    require_numbers(frame)
    total = 0.0
    for row in range(frame.size):
        for cell in frame.row(row):
            total += cell
    return {"sample_result": total}


def _required(parameters: Parameters | None) -> Parameters:
    if parameters is None:
        raise IllegalArgument("Unsupported algorithm: SAMPLE_ALGO")
    return parameters
