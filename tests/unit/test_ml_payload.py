"""A training that is written down is read as the same training."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcommons_tasks.data_frame import ColumnMeta, ColumnType, FrameBuilder
from mlcommons_tasks.wire.ml_input import (
    DataFrameDataset,
    MLInput,
    SearchQueryDataset,
    parse_ml_input,
)
from mlcommons_tasks.wire.ml_payload import ml_payload

CELLS: dict[ColumnType, Any] = {
    ColumnType.STRING: st.text(),
    ColumnType.SHORT: st.integers(-(2**15), 2**15 - 1),
    ColumnType.INTEGER: st.integers(-(2**31), 2**31 - 1),
    ColumnType.LONG: st.integers(-(2**63), 2**63 - 1),
    ColumnType.DOUBLE: st.floats(allow_nan=False, allow_infinity=False),
    ColumnType.FLOAT: st.floats(allow_nan=False, allow_infinity=False, width=32),
    ColumnType.BOOLEAN: st.booleans(),
    ColumnType.NULL: st.none(),
}
WHOLE = st.integers(-(2**31), 2**31 - 1)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
PARAMETERS: dict[str, dict[str, Any]] = {
    "KMEANS": {
        "centroids": WHOLE,
        "iterations": WHOLE,
        "distance_type": st.sampled_from(["EUCLIDEAN", "COSINE", "L1"]),
    },
    "LINEAR_REGRESSION": {
        "target": st.text(),
        "learning_rate": NUMBERS,
        "epochs": WHOLE,
        "seed": st.integers(-(2**63), 2**63 - 1),
        "objective": st.sampled_from(["HUBER", "SQUARED_LOSS"]),
    },
    "RCF_SUMMARIZE": {"max_k": WHOLE, "parallel": st.booleans(), "distance_type": st.sampled_from(["L1", "L2"])},
    "FIT_RCF": {"time_field": st.text(), "time_decay": NUMBERS, "shingle_size": WHOLE},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
SEARCHES = st.builds(
    SearchQueryDataset,
    st.lists(st.text(min_size=1), min_size=1, max_size=3).map(tuple),
    st.dictionaries(st.text(), JSON, max_size=4),
)


@st.composite
def frames(draw: st.DrawFn) -> DataFrameDataset:
    """Rows, most of them alike."""
    kinds = draw(st.lists(st.lists(st.sampled_from(list(ColumnType)), min_size=1, max_size=4), min_size=1, max_size=2))
    builder = FrameBuilder()
    for _ in range(draw(st.integers(0, 5))):
        row = draw(st.sampled_from(kinds))
        builder.add(tuple(row), [draw(CELLS[kind]) for kind in row])
    names = st.none() | st.text(max_size=5)
    columns = draw(st.lists(st.builds(ColumnMeta, names, st.sampled_from([None, *ColumnType])), max_size=4))
    return DataFrameDataset(builder.build(columns))


@given(st.data(), st.sampled_from(list(PARAMETERS)), SEARCHES | frames())
def test_what_is_written_down_is_read_again(
    data: st.DataObject, name: str, dataset: SearchQueryDataset | DataFrameDataset
) -> None:
    """Cell by cell, every parameter, and every word of a query."""
    parameters = data.draw(st.none() | st.fixed_dictionaries({}, optional=PARAMETERS[name]))
    wanted = MLInput(name, parameters, dataset)
    assert parse_ml_input(name, ml_payload(wanted).encode()) == wanted


def test_what_json_has_no_words_for_is_not_written_down() -> None:
    """Rather than as something else."""
    builder = FrameBuilder()
    builder.add((ColumnType.DOUBLE,), [float("nan")])
    with pytest.raises(ValueError, match="not JSON compliant"):
        ml_payload(MLInput("KMEANS", None, DataFrameDataset(builder.build([]))))
