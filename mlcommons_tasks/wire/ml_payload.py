"""A training written down as a body of `POST /_plugins/_ml/_train/<algorithm>`: what `ml_input` parses, it renders."""

from __future__ import annotations

import json
from typing import Any

from mlcommons_tasks.wire.frame_body import frame_json
from mlcommons_tasks.wire.ml_input import DataFrameDataset, MLInput, SearchQueryDataset


def ml_payload(ml_input: MLInput) -> str:
    """Return a body that `parse_ml_input` reads as this input again.

    Raises:
        ValueError: there are values in it that JSON has no words for.
    """
    body: dict[str, Any] = {}
    if ml_input.parameters is not None:
        body["parameters"] = dict(ml_input.parameters)
    dataset = ml_input.dataset
    if isinstance(dataset, SearchQueryDataset):
        body |= {"input_index": list(dataset.indices), "input_query": dataset.query}
    elif isinstance(dataset, DataFrameDataset):
        body["input_data"] = frame_json(dataset.frame)
    return json.dumps(body, separators=(",", ":"), allow_nan=False)
