"""What a prediction answers, rendered in two ways that must be one."""

from __future__ import annotations

from array import array

import pytest

from mlcommons_tasks.data_frame import ColumnMeta, ColumnType, DataFrame, FrameBuilder
from mlcommons_tasks.wire.prediction import compact_prediction, prediction_body
from mlcommons_tasks.wire.rendering import render_json

MANY = DataFrame(
    (
        ColumnMeta("score", ColumnType.DOUBLE),
        ColumnMeta('a "name"', ColumnType.STRING),
        ColumnMeta("anomalous", ColumnType.BOOLEAN),
        ColumnMeta("n", ColumnType.LONG),
    ),
    (
        array("d", [0.0, -0.0, 1e-9, float("nan"), float("inf"), 0.0]),
        ["a", "ä", '"', "", "a", "\n"],
        [True, False, True, True, False, True],
        array("q", [0, 1, -1, 2**62, 1, 0]),
    ),
    (ColumnType.DOUBLE, ColumnType.STRING, ColumnType.BOOLEAN, ColumnType.LONG),
    6,
)


def mixed() -> DataFrame:
    """Rows of two kinds."""
    builder = FrameBuilder()
    builder.add((ColumnType.DOUBLE,), [1.5])
    builder.add((ColumnType.INTEGER, ColumnType.NULL), [1, None])
    return builder.build([ColumnMeta("x", ColumnType.DOUBLE)])


@pytest.mark.parametrize(
    "prediction",
    [MANY, DataFrame(MANY.columns, tuple(cells[:0] for cells in MANY.cells), (), 0), mixed(), {"sample_result": 6.0}],
)
def test_the_fast_way_writes_the_same(prediction: DataFrame | dict[str, float]) -> None:
    """Byte for byte, signs of zeros and escapes among them."""
    assert compact_prediction(prediction) == render_json(prediction_body(prediction))


def test_a_frame_is_rendered_as_the_plugin_does() -> None:
    """Columns, then rows of typed values."""
    frame = DataFrame((ColumnMeta("ClusterID", ColumnType.INTEGER),), (array("q", [1]),), (ColumnType.INTEGER,), 1)
    assert compact_prediction(frame) == (
        b'{"status":"COMPLETED","prediction_result":{"column_metas":[{"name":"ClusterID","column_type":"INTEGER"}],'
        b'"rows":[{"values":[{"column_type":"INTEGER","value":1}]}]}}'
    )
