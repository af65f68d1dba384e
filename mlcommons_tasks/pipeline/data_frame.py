"""From search hits to a data frame, and from a frame to one float64 matrix. Pure; knows no OpenSearch.

Source: ml-commons 3.6.0 `DataFrameBuilder.load`, `ColumnType.from`, `MLInputDatasetHandler`, `TribuoUtil`.
"""

from __future__ import annotations

import functools
from array import array
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from mlcommons_tasks.data_frame import NUMERIC, ColumnMeta, ColumnType, DataFrame, FrameBuilder, RowTypes
from mlcommons_tasks.errors import IllegalArgument, ServerError
from mlcommons_tasks.java import java_order, java_sort_key

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_PACK: dict[ColumnType, Any] = {
    ColumnType.DOUBLE: functools.partial(array, "d"),
    ColumnType.INTEGER: functools.partial(array, "q"),
}
_INT = 2**31
_LONG = 2**63


def frame_from_sources(sources: Sequence[Mapping[str, Any] | None]) -> DataFrame:
    """Build the frame of search hits, one `_source` a row; the first one says what the columns are.

    JSON as Python reads it: an int is INTEGER or, beyond 32 bits, LONG; a float DOUBLE. Columns are in the order of
    Java's HashMap, which is the plugin's. `sources` are the hits returned: whether the search had a total at all
    (`No document found`) is asked with `require_documents` before.

    Raises IllegalArgument (`input is null or empty`, `columnMetas array is null or empty`, `unsupported type:…`,
    `input item map size is different in the map`, `field of input item doesn't exist in columns, filed:…`,
    `the same field has different data type`) and ServerError `null_pointer_exception` for a null in the first row
    or a hit without `_source`.
    """
    alike = _alike(sources)
    if alike is not None:
        return alike
    builder = FrameBuilder()
    names: list[str] = []
    types: RowTypes = ()
    for source in sources:
        if builder.size == 0:
            if source is None:
                raise _null_pointer('Cannot invoke "java.util.Map.size()" because "element" is null')
            names = java_order(source)
            types = tuple(_column_type(source[name]) for name in names)
            if not names:
                raise IllegalArgument("columnMetas array is null or empty")
        if source is None:
            raise _null_pointer('Cannot invoke "java.util.Map.size()" because "item" is null')
        if not (source.keys() == set(names) and all(map(_is_of, types, map(source.__getitem__, names)))):
            raise _misfit(source, dict(zip(names, types, strict=True)))
        builder.add(types, [source[name] for name in names])
    if builder.size == 0:
        raise IllegalArgument("input is null or empty")
    return builder.build([ColumnMeta(name, kind) for name, kind in zip(names, types, strict=True)])


def _alike(sources: Sequence[Mapping[str, Any] | None]) -> DataFrame | None:
    """Return the frame column by column if all rows plainly have the first one's columns and types, else None."""
    first = sources[0] if sources else None
    if not first or set(map(type, sources)) != {dict} or set(map(len, cast(Any, sources))) != {len(first)}:
        return None
    names = java_order(first)
    types, columns = [], []
    try:
        for name in names:
            values = [cast(Any, source)[name] for source in sources]
            if set(map(type, values)) != {type(first[name])}:
                return None
            kind = _cell_type(first[name])
            if kind is ColumnType.INTEGER and not -_INT <= min(values) <= max(values) < _INT:
                return None
            if kind in (ColumnType.LONG, ColumnType.NULL):
                return None
            types.append(kind)
            columns.append(values)
    except (KeyError, IllegalArgument):
        return None
    builder = FrameBuilder()
    builder.extend(tuple(types), [_PACK.get(kind, list)(values) for kind, values in zip(types, columns, strict=True)])
    return builder.build([ColumnMeta(name, kind) for name, kind in zip(names, types, strict=True)])


def require_documents(total: int) -> None:
    """Raise IllegalArgument if the search matched nothing; `total` is `hits.total.value`."""
    if total == 0:
        raise IllegalArgument("No document found")


def require_rows(frame: DataFrame) -> None:
    """Raise IllegalArgument for a frame without rows; comes before anything about the algorithm."""
    if frame.size == 0:
        raise IllegalArgument("Input data frame should not be null or empty")


def feature_matrix(frame: DataFrame) -> tuple[list[str], NDArray[np.float64]]:
    """Return the feature names, sorted, and a float64 matrix (rows, features) with its columns in that order.

    Raises, in the plugin's order: ServerError `runtime_exception` for a cell that is no number, IllegalArgument for a
    row of another length than `column_metas`, for NaN, for a name used twice and for no features, and ServerError
    `null_pointer_exception` for a column without a name.
    """
    import numpy as np

    width = len(frame.columns)
    kinds = frame.kinds()
    if any(kind not in NUMERIC for types in kinds for kind in types):
        raise ServerError("the value isn't Double type", type="runtime_exception")
    for types in kinds:
        if len(types) != width:
            raise IllegalArgument(f"names.length != values.length, names = {width}, values = {len(types)}")
    names = [name for name in frame.names if name is not None]
    if len(names) < width:
        raise _null_pointer('Cannot invoke "java.lang.Comparable.compareTo(Object)" because "k1" is null')
    order = sorted(range(width), key=lambda i: java_sort_key(names[i]))
    matrix = np.empty((frame.size, width), dtype=np.float64)
    for position, column in enumerate(order):
        matrix[:, position] = frame.cells[column]
    if width == 0 or len(set(names)) < width or np.isnan(matrix).any():
        raise IllegalArgument("Example had duplicate features, invalid features or no features.")
    return [names[i] for i in order], matrix


def _column_type(value: Any) -> ColumnType:
    if value is None:
        raise _null_pointer('Cannot invoke "Object.getClass()" because "object" is null')
    return _cell_type(value)


def _cell_type(value: Any) -> ColumnType:
    kind = type(value)
    if kind is float:
        return ColumnType.DOUBLE
    if kind is int:
        if -_INT <= value < _INT:
            return ColumnType.INTEGER
        if -_LONG <= value < _LONG:
            return ColumnType.LONG
        raise IllegalArgument("unsupported type:java.math.BigInteger")
    if kind is str:
        return ColumnType.STRING
    if kind is bool:
        return ColumnType.BOOLEAN
    if value is None:
        return ColumnType.NULL
    raise IllegalArgument(f"unsupported type:java.util.{'HashMap' if isinstance(value, Mapping) else 'ArrayList'}")


def _is_of(kind: ColumnType, value: Any) -> bool:
    if kind is ColumnType.DOUBLE:
        return type(value) is float
    if kind is ColumnType.INTEGER:
        return type(value) is int and -_INT <= value < _INT
    return type(value) in (int, str, bool) and _is_small_or(value, kind)


def _is_small_or(value: Any, kind: ColumnType) -> bool:
    if type(value) is int and not -_LONG <= value < _LONG:
        return False
    return _cell_type(value) is kind


def _misfit(source: Mapping[str, Any], columns: dict[str, ColumnType]) -> IllegalArgument:
    """Return what the plugin finds first in a row that does not fit the columns."""
    if len(source) != len(columns):
        return IllegalArgument("input item map size is different in the map")
    for name in java_order(source):
        if name not in columns:
            return IllegalArgument(f"field of input item doesn't exist in columns, filed:{name}")
        try:
            if _cell_type(source[name]) is not columns[name]:
                return IllegalArgument("the same field has different data type")
        except IllegalArgument as error:
            return error
    raise AssertionError("the row fits")


def _null_pointer(reason: str) -> ServerError:
    return ServerError(reason, type="null_pointer_exception")
