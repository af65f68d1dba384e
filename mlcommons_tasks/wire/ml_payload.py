"""A training written down as a body of `POST /_plugins/_ml/_train/<algorithm>`: what `ml_input` parses, it renders."""

from __future__ import annotations

import json
from typing import Any

from mlcommons_tasks.data_frame import ColumnMeta, ColumnType, DataFrame
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
        body["input_data"] = _frame(dataset.frame)
    return json.dumps(body, separators=(",", ":"), allow_nan=False)


def _frame(frame: DataFrame) -> dict[str, Any]:
    rows = [
        {"values": [_cell(kind, value) for kind, value in zip(frame.types_of(n), frame.row(n), strict=True)]}
        for n in range(frame.size)
    ]
    return {"column_metas": [_column(column) for column in frame.columns], "rows": rows}


def _cell(kind: ColumnType, value: Any) -> dict[str, Any]:
    return {"column_type": kind.value} if kind is ColumnType.NULL else {"column_type": kind.value, "value": value}


def _column(column: ColumnMeta) -> dict[str, Any]:
    found = {"name": column.name, "column_type": column.column_type.value if column.column_type else None}
    return {key: value for key, value in found.items() if value is not None}
