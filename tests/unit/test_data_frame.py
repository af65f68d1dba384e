"""Frames from search hits and matrices from frames; every expected error was seen on the plugin 3.6.0."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcommons_tasks.data_frame import ColumnMeta, ColumnType, DataFrame, FrameBuilder
from mlcommons_tasks.errors import TaskPluginError
from mlcommons_tasks.pipeline.data_frame import (
    feature_matrix,
    frame_from_sources,
    java_order,
    require_documents,
    require_rows,
)

DOUBLE, STRING, NULL = ColumnType.DOUBLE, ColumnType.STRING, ColumnType.NULL
NO_FEATURES = "Example had duplicate features, invalid features or no features."


def frame_of(
    names: list[str | None], rows: list[list[Any]], types: list[tuple[ColumnType, ...]] | None = None
) -> DataFrame:
    builder = FrameBuilder()
    for i, row in enumerate(rows):
        builder.add(types[i] if types else (DOUBLE,) * len(row), row)
    return builder.build([ColumnMeta(name, DOUBLE) for name in names])


def error_of(call: Any, *args: Any) -> tuple[int, str, str | None]:
    with pytest.raises(TaskPluginError) as caught:
        call(*args)
    return caught.value.status, caught.value.type, caught.value.reason


def test_types_follow_from_the_first_hit() -> None:
    """Ints are INTEGER or LONG by their size, decimals DOUBLE, whatever a mapping says."""
    source = {"i": 2147483647, "l": 2147483648, "d": 1.0, "s": "x", "b": True}
    frame = frame_from_sources([source, source])
    found = {column.name: column.column_type for column in frame.columns}
    expected = {"i": "INTEGER", "l": "LONG", "d": "DOUBLE", "s": "STRING", "b": "BOOLEAN"}
    assert found == {name: ColumnType[kind] for name, kind in expected.items()}
    assert dict(zip(frame.names, frame.row(1), strict=True)) == source


def test_rows_may_order_their_keys_differently() -> None:
    """Cells go to their column by name."""
    frame = frame_from_sources([{"a": 1, "b": 2}, {"b": 3, "a": 4}])
    assert (frame.names, frame.row(1)) == (("a", "b"), [4, 3])


@pytest.mark.parametrize(
    ("sources", "error"),
    [
        ([], (400, "illegal_argument_exception", "input is null or empty")),
        ([{}], (400, "illegal_argument_exception", "columnMetas array is null or empty")),
        ([None], (500, "null_pointer_exception", 'Cannot invoke "java.util.Map.size()" because "element" is null')),
        ([{"a": None}], (500, "null_pointer_exception", 'Cannot invoke "Object.getClass()" because "object" is null')),
        ([{"a": [1]}], (400, "illegal_argument_exception", "unsupported type:java.util.ArrayList")),
        ([{"a": {"x": 1}}], (400, "illegal_argument_exception", "unsupported type:java.util.HashMap")),
        ([{"a": 2**63}], (400, "illegal_argument_exception", "unsupported type:java.math.BigInteger")),
        ([{"a": 1}, {"a": {}}], (400, "illegal_argument_exception", "unsupported type:java.util.HashMap")),
        ([{"a": 2**62}, {"a": 2**63}], (400, "illegal_argument_exception", "unsupported type:java.math.BigInteger")),
        ([{"a": 1}, {"a": None}], (400, "illegal_argument_exception", "the same field has different data type")),
        ([{"a": 1.0}, {"a": 2}], (400, "illegal_argument_exception", "the same field has different data type")),
        ([{"a": 1}, {"a": True}], (400, "illegal_argument_exception", "the same field has different data type")),
        (
            [{"a": 2**31 - 1}, {"a": 2**31}],
            (400, "illegal_argument_exception", "the same field has different data type"),
        ),
        (
            [{"a": 1}, {"a": 1, "b": 2}],
            (400, "illegal_argument_exception", "input item map size is different in the map"),
        ),
        ([{"a": 1}, {}], (400, "illegal_argument_exception", "input item map size is different in the map")),
        (
            [{"aa": 1}, {"x": [1]}],
            (400, "illegal_argument_exception", "field of input item doesn't exist in columns, filed:x"),
        ),
        (
            [{"a": 1, "b": 2}, {"zz": 1, "yy": 2}],
            (400, "illegal_argument_exception", "field of input item doesn't exist in columns, filed:zz"),
        ),
        ([{"z": None, "y": {}, "x": [1]}], (400, "illegal_argument_exception", "unsupported type:java.util.ArrayList")),
        (
            [{"petal": {}, "sepal": [1], "q": None}],
            (500, "null_pointer_exception", 'Cannot invoke "Object.getClass()" because "object" is null'),
        ),
    ],
)
def test_hits_that_do_not_fit(sources: list[Any], error: tuple[int, str, str]) -> None:
    """The plugin's sentence for each misfit; of several in one row the first in the order of a Java HashMap."""
    assert error_of(frame_from_sources, sources) == error


def test_nothing_found() -> None:
    """A search without matches and a frame without rows have sentences of their own."""
    assert error_of(require_documents, 0) == (400, "illegal_argument_exception", "No document found")
    reason = "Input data frame should not be null or empty"
    assert error_of(require_rows, frame_of(["a"], [])) == (400, "illegal_argument_exception", reason)
    require_documents(1)
    require_rows(frame_of(["a"], [[1.0]]))


@pytest.mark.parametrize(
    ("names", "rows", "types", "error"),
    [
        (["a"], [[1.0], ["s"]], [(DOUBLE,), (STRING,)], (500, "runtime_exception", "the value isn't Double type")),
        (["a", "b"], [[1.0], [None]], [(DOUBLE,), (NULL,)], (500, "runtime_exception", "the value isn't Double type")),
        (
            ["a", "b"],
            [[1.0, 2.0], [1.0]],
            None,
            (400, "illegal_argument_exception", "names.length != values.length, names = 2, values = 1"),
        ),
        (
            ["a", "b"],
            [[1.0, 2.0], [1.0] * 3, []],
            None,
            (400, "illegal_argument_exception", "names.length != values.length, names = 2, values = 3"),
        ),
        (["a"], [[float("nan")]], None, (400, "illegal_argument_exception", NO_FEATURES)),
        (["a", "a"], [[1.0, 2.0]], None, (400, "illegal_argument_exception", NO_FEATURES)),
        ([], [[]], None, (400, "illegal_argument_exception", NO_FEATURES)),
    ],
)
def test_frames_without_usable_features(names: Any, rows: Any, types: Any, error: tuple[int, str, str]) -> None:
    """No number anywhere comes before a row of the wrong length, and that before NaN and doubled names."""
    assert error_of(feature_matrix, frame_of(names, rows, types)) == error


def test_features_are_sorted_by_name() -> None:
    """The matrix has its columns in the order of their names and every number as float64."""
    names, matrix = feature_matrix(frame_from_sources([{"b": 1, "a": 0.5}, {"b": 3, "a": 1.5}]))
    assert (names, matrix.tolist(), matrix.dtype.name) == (["a", "b"], [[0.5, 1.0], [1.5, 3.0]], "float64")


CELL = st.sampled_from(list(ColumnType)).flatmap(
    lambda kind: st.tuples(
        st.just(kind),
        st.none()
        if kind is NULL
        else st.text(max_size=3)
        if kind is STRING
        else st.booleans()
        if kind is ColumnType.BOOLEAN
        else st.floats(allow_nan=False)
        if kind in (DOUBLE, ColumnType.FLOAT)
        else st.integers(-(2**15), 2**15 - 1),
    )
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(CELL, max_size=3), max_size=6))
def test_a_builder_gives_back_what_it_was_given(rows: list[list[tuple[ColumnType, Any]]]) -> None:
    """Rows of any width and type keep their cells and types, also through pickle."""
    builder = FrameBuilder()
    for row in rows:
        builder.add(tuple(kind for kind, _ in row), [value for _, value in row])
    frame = pickle.loads(pickle.dumps(builder.build([])))
    assert [list(zip(frame.types_of(i), frame.row(i), strict=True)) for i in range(frame.size)] == rows
    assert frame.kinds() == list(dict.fromkeys(tuple(kind for kind, _ in row) for row in rows))
    assert all(len(cells) == len(rows) for cells in frame.cells)


@settings(deadline=None)
@given(st.lists(st.text(max_size=4), unique=True, max_size=40))
def test_java_order_keeps_the_names(names: list[str]) -> None:
    """HashMap's order is a permutation, and does not change when it is asked for again."""
    ordered = java_order(names)
    assert sorted(ordered) == sorted(names)
    assert java_order(ordered) == ordered


@pytest.mark.parametrize(("more", "first"), [(10, "HashMap"), (11, "ArrayList")])
def test_java_order_grows_with_the_map(more: int, first: str) -> None:
    """Twelve names fit 16 buckets, a thirteenth doubles them, and another of two faults is found first."""
    source = {"0": {}, "!": [1], **{f"n{i}": 1 for i in range(more)}}
    assert error_of(frame_from_sources, [source])[2] == f"unsupported type:java.util.{first}"
