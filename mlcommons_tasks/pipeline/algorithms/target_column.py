"""The column a supervised algorithm learns, taken out of the frame. Knows no algorithm's maths.

Source: ml-commons 3.6.0 `TribuoUtil.generateDatasetWithTarget`, `DefaultDataFrame.getColumnIndex`, `Row.getValue`.
"""

from __future__ import annotations

from typing import Any

from mlcommons_tasks.data_frame import NUMERIC, ColumnType, DataFrame
from mlcommons_tasks.errors import IllegalArgument, ServerError


def split_numbers(frame: DataFrame, target: str | None) -> tuple[list[float], DataFrame]:
    """Return the numbers of the target, and the frame without it.

    Raises, in the plugin's order: IllegalArgument for no target, what `require_numbers` raises, IllegalArgument for a
    target that is no column, and ServerError `array_index_out_of_bounds_exception` for a row too short to have one.
    """
    target = _named(target)
    require_numbers(frame)
    place = _place_of(frame, target, '"org.opensearch.common.collect.Tuple.v1()[i]"')
    for types in frame.kinds():
        if len(types) <= place:
            reason = f"Index {place} out of bounds for length {len(types)}"
            raise ServerError(reason, type="array_index_out_of_bounds_exception")
    return [float(value) for value in frame.cells[place]], _without(frame, place)


def split_texts(frame: DataFrame, target: str | None) -> tuple[list[str], DataFrame]:
    """Return the texts of the target, and the frame without it and without what rows have beyond the columns.

    Raises, in the plugin's order: IllegalArgument for no target and for one that is no column; for the first row that
    has one, IllegalArgument for a missing cell and ServerError `runtime_exception` for one that is no number; and the
    latter for a target that is no text.
    """
    place = _place_of(frame, _named(target), 'the return value of "java.util.List.get(int)"')
    width = len(frame.columns)
    for types in frame.kinds():
        for i in range(width):
            if i != place and _type_at(types, i) not in NUMERIC:
                raise _no_double()
    for types in frame.kinds():
        if _type_at(types, place) is not ColumnType.STRING:
            raise ServerError("the value isn't String type", type="runtime_exception")
    types = (frame.kinds()[0])[:width]
    inside = DataFrame(frame.columns, frame.cells[:width], types, frame.size)
    return list(frame.cells[place]), _without(inside, place)


def require_numbers(frame: DataFrame) -> None:
    """Raise ServerError `runtime_exception` for a cell that is no number."""
    if any(kind not in NUMERIC for types in frame.kinds() for kind in types):
        raise _no_double()


def _named(target: str | None) -> str:
    if not target:
        raise IllegalArgument("Empty target when generating dataset from data frame.")
    return target


def _place_of(frame: DataFrame, target: str, subject: str) -> int:
    for place, name in enumerate(frame.names):
        if name is None:
            reason = f'Cannot invoke "String.equals(Object)" because {subject} is null'
            raise ServerError(reason, type="null_pointer_exception")
        if name == target:
            return place
    raise IllegalArgument("No matched target when generating dataset from data frame.")


def _type_at(types: tuple[ColumnType, ...], place: int) -> ColumnType:
    if place >= len(types):
        raise IllegalArgument(f"index is out of scope, index:{place}; row size:{len(types)}")
    return types[place]


def _without(frame: DataFrame, place: int) -> DataFrame:
    def left(parts: tuple[Any, ...]) -> tuple[Any, ...]:
        return parts[:place] + parts[place + 1 :]

    row_types = frame.row_types
    types = [left(own) for own in row_types] if isinstance(row_types, list) else left(row_types)
    return DataFrame(left(frame.columns), left(frame.cells), types, frame.size)


def _no_double() -> ServerError:
    return ServerError("the value isn't Double type", type="runtime_exception")
