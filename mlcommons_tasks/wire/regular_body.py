"""A training's or prediction's body where it is plain and regular, which nearly all are: read fast, in little memory.

Whatever Java's reader might see otherwise is left to the reader of tokens, `ml_input`: repeated or unknown keys, cells
whose `value` comes first or does not fit its type, numbers out of range, broken JSON. Pure.

Rows are read a megabyte at a time and kept as columns. That no key is there twice follows from counting: each key
ends in a quote and a colon, so there are as many of these as keys were read, or more.
"""

from __future__ import annotations

import contextlib
import re
import threading
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import msgspec

from mlcommons_tasks.data_frame import Cells, ColumnMeta, ColumnType, DataFrame, FrameBuilder, RowTypes
from mlcommons_tasks.wire.frame_body import columns_from_json
from mlcommons_tasks.wire.strict_json import Irregular, load_regular

BIG = 8 * 2**20  #: bodies above so many bytes are read two at a time, whoever sends how many
PIECE = 2**20  #: bytes of rows that are read at a time
_BIG_ONES = threading.BoundedSemaphore(2)
_KEY = b'":'
_CELL = b'{"column_type":'  #: how each cell begins: the type comes first
_ROWS = re.compile(rb'"rows"\s*:\s*\[')
_BETWEEN = re.compile(rb'\}\s*,\s*(?=\{\s*"values")')  #: between a row and the next
_END = re.compile(rb"\]\s*\}\s*(?=\]\s*[,}])")  #: of the last row
_TAIL = 2**16  #: bytes at a body's end in which the last row ends, where other things come after the rows
_TypeName = Literal["STRING", "SHORT", "INTEGER", "LONG", "DOUBLE", "BOOLEAN", "FLOAT"]
_LARGEST_FLOAT = 3.4028234663852886e38
_BOUNDS = {ColumnType.SHORT: 2**15, ColumnType.INTEGER: 2**31, ColumnType.LONG: 2**63}


class _Cell(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    column_type: _TypeName
    value: int | float | str | bool


class _Row(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    values: list[_Cell]


class _Frame(msgspec.Struct, forbid_unknown_fields=True):
    column_metas: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    rows: list[_Row] | msgspec.UnsetType = msgspec.UNSET


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    parameters: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    input_index: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    input_query: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    input_data: _Frame | msgspec.UnsetType = msgspec.UNSET


_DECODER = msgspec.json.Decoder(_Body)
_ROW_DECODER = msgspec.json.Decoder(list[_Row])
_SMALL = ("parameters", "input_index", "input_query")


def read_regular(payload: bytes) -> tuple[dict[str, Any], DataFrame | None]:
    """Return the small parts of a body by their keys, parsed, and the frame if there is one.

    Raises:
        Irregular: something in it needs a closer look.
    """
    with _BIG_ONES if len(payload) > BIG else contextlib.nullcontext():
        start, end = _place_of_rows(payload)
        if end:
            with contextlib.suppress(Irregular):
                return _read(payload, start, end)
        return _read(payload, 0, 0)


def _read(payload: bytes, start: int, end: int) -> tuple[dict[str, Any], DataFrame | None]:
    """Read a body whose rows are between two places, or anywhere."""
    try:
        return _parsed(payload, start, end)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Irregular from error


def _parsed(payload: bytes, start: int, end: int) -> tuple[dict[str, Any], DataFrame | None]:
    body = _DECODER.decode(payload[:start] + payload[end:] if end else payload)
    raw = {name: bytes(value) for name in _SMALL if isinstance(value := getattr(body, name), msgspec.Raw)}
    keys = sum(1 + value.count(_KEY) for value in raw.values())
    firsts = sum(value.count(_CELL) for value in raw.values())
    frame = None
    if isinstance(body.input_data, _Frame):
        metas, rows = body.input_data.column_metas, body.input_data.rows
        if end and rows != []:  # what looked like the rows stood elsewhere
            raise Irregular
        taken = _Taken()
        if rows:
            taken.take(rows)
        for piece in _pieces(payload, start, end):
            taken.take(_ROW_DECODER.decode(piece))
        columns = bytes(metas) if isinstance(metas, msgspec.Raw) else b""
        keys += 1 + bool(columns) + columns.count(_KEY) + (rows is not msgspec.UNSET) + taken.rows + 2 * taken.cells
        firsts += columns.count(_CELL) + taken.cells
        frame = taken.frame(columns_from_json(load_regular(columns)) if columns else [])
    elif end:
        raise Irregular
    if payload.count(_KEY) != keys or payload.count(_CELL) != firsts:
        raise Irregular
    return {name: load_regular(value) for name, value in raw.items()}, frame


def _place_of_rows(payload: bytes) -> tuple[int, int]:
    """Return where the rows of a long body begin and end, (0, 0) if that is not plain or there is no need."""
    if len(payload) <= PIECE or payload.count(b'"rows"') != 1:
        return 0, 0
    began = _ROWS.search(payload)
    ends = list(_END.finditer(payload, max(0, len(payload) - _TAIL)))
    if began is None or not ends or ends[-1].end() <= began.end():
        return 0, 0
    return began.end(), ends[-1].end()


def _pieces(payload: bytes, start: int, end: int) -> Iterator[bytes]:
    while start < end:
        between = _BETWEEN.search(payload, start + PIECE, end)
        stop = between.start() + 1 if between else end
        yield b"[" + payload[start:stop] + b"]"
        start = between.end() if between else end


class _Taken:
    """The rows so far, and how many there are."""

    def __init__(self) -> None:
        self.rows = 0
        self.cells = 0
        self._builder = FrameBuilder()

    def frame(self, columns: Sequence[ColumnMeta]) -> DataFrame:
        """Return all of them as a frame."""
        return self._builder.build(columns)

    def take(self, rows: Sequence[_Row]) -> None:
        """Add rows; Irregular if a cell is not plainly of its type."""
        cells = [cell for row in rows for cell in row.values]
        names = [cell.column_type for cell in cells]
        self.rows += len(rows)
        self.cells += len(cells)
        width = len(rows[0].values) if rows else 0
        alike = width and names == names[:width] * len(rows) and not any(len(row.values) != width for row in rows)
        if not alike:
            for row in rows:
                self._add(row)
            return
        types = _types(tuple(names[:width]))
        values = [cell.value for cell in cells]
        self._builder.extend(types, [_PACKERS[kind](kind, values[at::width]) for at, kind in enumerate(types)])

    def _add(self, row: _Row) -> None:
        types = _types(tuple([cell.column_type for cell in row.values]))
        values = [_PACKERS[kind](kind, [cell.value])[0] for kind, cell in zip(types, row.values, strict=True)]
        self._builder.add(types, values)


def _types(names: tuple[str, ...]) -> RowTypes:
    return tuple([ColumnType[name] for name in names])


def _whole(kind: ColumnType, values: list[Any]) -> Cells:
    bound = _BOUNDS[kind]
    if set(map(type, values)) != {int} or not -bound <= min(values) <= max(values) < bound:
        raise Irregular
    return array("q", values)


def _double(_: ColumnType, values: list[Any]) -> Cells:
    if not set(map(type, values)) <= {int, float}:
        raise Irregular
    try:
        return array("d", values)
    except OverflowError as error:
        raise Irregular from error


def _float(kind: ColumnType, values: list[Any]) -> Cells:
    doubles = _double(kind, values)
    if max(map(abs, doubles)) > _LARGEST_FLOAT:
        raise Irregular
    return array("d", array("f", doubles))


def _exactly(wanted: type) -> Callable[[ColumnType, list[Any]], Cells]:
    def pack(_: ColumnType, values: list[Any]) -> Cells:
        if set(map(type, values)) != {wanted}:
            raise Irregular
        return values

    return pack


_PACKERS: dict[ColumnType, Callable[[ColumnType, list[Any]], Cells]] = {
    **dict.fromkeys(_BOUNDS, _whole),
    ColumnType.DOUBLE: _double,
    ColumnType.FLOAT: _float,
    ColumnType.STRING: _exactly(str),
    ColumnType.BOOLEAN: _exactly(bool),
}
