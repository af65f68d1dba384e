"""The data frame: columns and their cells. A value object that wire fills and pipeline reads; knows neither.

Facts: ml-commons 3.6.0 `dataframe/DefaultDataFrame`, `Row`, `ColumnMeta`, `ColumnType`.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Union


class ColumnType(str, Enum):
    """`ColumnType`, in the order of its Java enum."""

    STRING = "STRING"
    SHORT = "SHORT"
    INTEGER = "INTEGER"
    LONG = "LONG"
    DOUBLE = "DOUBLE"
    BOOLEAN = "BOOLEAN"
    FLOAT = "FLOAT"
    NULL = "NULL"


NUMERIC = frozenset({ColumnType.SHORT, ColumnType.INTEGER, ColumnType.LONG, ColumnType.FLOAT, ColumnType.DOUBLE})

_ARRAY_CODES = {
    ColumnType.SHORT: "q",
    ColumnType.INTEGER: "q",
    ColumnType.LONG: "q",
    ColumnType.FLOAT: "d",
    ColumnType.DOUBLE: "d",
}

#: The cells of one column: packed when all are numbers of one kind, else a list.
Cells = Union["array[int]", "array[float]", list[Any]]
RowTypes = tuple[ColumnType, ...]


@dataclass(frozen=True)
class ColumnMeta:
    """A column's declared name and type; both may be missing in a client's `column_metas`."""

    name: str | None
    column_type: ColumnType | None


@dataclass(frozen=True)
class DataFrame:
    """Columns and rows, the cells held column by column so that pickling costs 8 bytes a number.

    As in the plugin the rows are not checked against `columns`: a row may be shorter, longer or
    of other types. `row_types` tells: one tuple when all rows are alike, else one tuple a row, in
    which a short row's missing cells do not occur. `cells[i]` has `size` entries, None where a
    row has no cell `i`.
    """

    columns: tuple[ColumnMeta, ...]
    cells: tuple[Cells, ...]
    row_types: RowTypes | list[RowTypes]
    size: int

    @property
    def names(self) -> tuple[str | None, ...]:
        """The column names, in order."""
        return tuple(column.name for column in self.columns)

    def types_of(self, row: int) -> RowTypes:
        """Return the types of the cells that row has."""
        return self.row_types[row] if isinstance(self.row_types, list) else self.row_types

    def kinds(self) -> list[RowTypes]:
        """Return the different row shapes in order of their first row; empty for no rows."""
        if not self.size:
            return []
        return list(dict.fromkeys(self.row_types)) if isinstance(self.row_types, list) else [self.row_types]

    def row(self, index: int) -> list[Any]:
        """Return the values of one row."""
        return [self.cells[i][index] for i in range(len(self.types_of(index)))]


class FrameBuilder:
    """Collects rows into a DataFrame; rows like the first one are the fast path."""

    def __init__(self) -> None:
        self.size = 0
        self._types: RowTypes | None = None
        self._row_types: list[RowTypes] | None = None
        self._known: dict[RowTypes, RowTypes] = {}
        self._cells: list[Any] = []

    def add(self, types: RowTypes, values: Sequence[Any]) -> None:
        """Append one row; `values` must already be what `types` say (int, float, str, bool or None)."""
        if (types is not self._types and types != self._types) or len(types) != len(self._cells):
            self._add_other(types, values)
            return
        for cells, value in zip(self._cells, values):  # noqa: B905 - equal by their types
            cells.append(value)
        if self._row_types is not None:
            self._row_types.append(types)
        self.size += 1

    def extend(self, types: RowTypes, columns: Sequence[Cells]) -> None:
        """Append rows that are alike, column by column; packed as `build` packs them, at least one of each."""
        if self._types is None:
            self._types, self._cells, self.size = types, list(columns), len(columns[0])
        elif types == self._types and self._row_types is None:
            for cells, more in zip(self._cells, columns, strict=True):
                cells.extend(more)
            self.size += len(columns[0])
        else:
            for row in zip(*columns, strict=True):
                self.add(types, row)

    def _add_other(self, types: RowTypes, values: Sequence[Any]) -> None:
        if self._types is None:
            self._types = types
            self._cells = [array(_ARRAY_CODES[t]) if t in _ARRAY_CODES else [] for t in types]
            self.add(types, values)
            return
        if self._row_types is None:
            self._row_types = [self._types] * self.size
        while len(self._cells) < len(types):
            self._cells.append([None] * self.size)
        for i, cells in enumerate(self._cells):
            column_type = types[i] if i < len(types) else ColumnType.NULL
            if isinstance(cells, array) and _ARRAY_CODES.get(column_type) != cells.typecode:
                self._cells[i] = cells.tolist()
            self._cells[i].append(values[i] if i < len(types) else None)
        self._row_types.append(self._known.setdefault(types, types))
        self.size += 1

    def build(self, columns: Sequence[ColumnMeta]) -> DataFrame:
        """Return the frame; the builder must not be used afterwards."""
        row_types = self._types or () if self._row_types is None else self._row_types
        return DataFrame(tuple(columns), tuple(self._cells), row_types, self.size)
