"""What a prediction answers. Source: ml-commons 3.6.0 `MLPredictionOutput`, `DefaultDataFrame.toXContent`."""

from __future__ import annotations

from typing import Any

from mlcommons_tasks.data_frame import ColumnType, DataFrame
from mlcommons_tasks.java import Single

COMPLETED = "COMPLETED"


def prediction_body(prediction: DataFrame | dict[str, Any]) -> dict[str, Any]:
    """Return the body of the reply: a frame in the plugin's form, or an object as it is."""
    if isinstance(prediction, dict):
        return prediction
    return {"status": COMPLETED, "prediction_result": frame_body(prediction)}


def frame_body(frame: DataFrame) -> dict[str, Any]:
    """Return a frame as the plugin renders it: `column_metas`, then `rows`, each of typed values."""
    metas = [
        {"name": column.name, "column_type": column.column_type.value if column.column_type else None}
        for column in frame.columns
    ]
    rows = [
        {"values": [_cell(kind, value) for kind, value in zip(frame.types_of(n), frame.row(n), strict=True)]}
        for n in range(frame.size)
    ]
    return {"column_metas": metas, "rows": rows}


def _cell(kind: ColumnType, value: Any) -> dict[str, Any]:
    if kind is ColumnType.NULL:
        return {"column_type": kind.value}
    return {"column_type": kind.value, "value": Single(value) if kind is ColumnType.FLOAT else value}
