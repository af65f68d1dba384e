"""`input_data`, the data frame in a request body, from regular JSON or token by token. Pure.

Source: ml-commons 3.6.0 `DefaultDataFrame.parse`, `ColumnMeta.parse`, `Row.parse`; their quirks were asked of the
plugin: cells need `column_type` first and in capitals, a cell of an unknown type is left out, a third key in a
cell or a `value` beside NULL is taken for the start of the next cell.
"""

from __future__ import annotations

import struct
from typing import Any

from mlcommons_tasks.data_frame import ColumnMeta, ColumnType, DataFrame, FrameBuilder, RowTypes
from mlcommons_tasks.errors import IllegalArgument
from mlcommons_tasks.wire.json_reader import JsonReader
from mlcommons_tasks.wire.strict_json import Irregular, Pair

_TAKEN = object()
_BOUNDS = {
    "SHORT": (-(2**15), 2**15 - 1),
    "INTEGER": (-(2**31), 2**31 - 1),
    "LONG": (-(2**63), 2**63 - 1),
}


class RowsTaken:
    """The rows of a regular body, each taken while the body is read: a cell needs 8 bytes instead of some 200."""

    def __init__(self) -> None:
        self._builder = FrameBuilder()
        self._known: dict[tuple[str, ...], tuple[RowTypes, list[Any]]] = {}

    def take(self, cells: list[Pair]) -> object:
        """Add the row that an object looks like, and return what stands for it; Irregular if a cell is unusual."""
        names, values = zip(*cells)  # noqa: B905 - they are pairs
        try:
            found = self._known.get(names)
        except TypeError as error:  # a name that is no text, but an object
            raise Irregular from error
        if found is None:
            types = _types(names)
            found = self._known[names] = types, [_CHECKS[column_type] for column_type in types]
        types, checks = found
        self._builder.add(types, [check(value) for check, value in zip(checks, values)])  # noqa: B905 - likewise
        return _TAKEN

    def frame(self, body: Any) -> DataFrame | None:
        """Return the frame of the body that has been read, None without one.

        Irregular when anything in it needs a closer look, or when what looked like a row stood elsewhere.
        """
        data = body.get("input_data", _TAKEN)
        if data is _TAKEN and self._builder.size:
            raise Irregular
        if data is _TAKEN:
            return None
        if type(data) is not dict:
            raise Irregular
        columns = [_column_from_json(meta) for meta in _list(data.get("column_metas", []))]
        rows = _list(data.get("rows", []))
        if len(rows) != self._builder.size or any(row is not _TAKEN for row in rows):
            raise Irregular
        return self._builder.build(columns)


def read_frame(reader: JsonReader) -> DataFrame:
    """Read the frame that starts at the current token; raises what the plugin raises at each token."""
    reader.expect("START_OBJECT")
    columns: list[ColumnMeta] = []
    builder = FrameBuilder()
    while _another(reader, "END_OBJECT"):
        key = reader.field_name
        reader.next()
        if key == "column_metas":
            reader.expect("START_ARRAY")
            while _another(reader, "END_ARRAY"):
                columns.append(_read_column(reader))
        elif key == "rows":
            reader.expect("START_ARRAY")
            while _another(reader, "END_ARRAY"):
                builder.add(*_read_row(reader))
        else:
            reader.skip_children()
    return builder.build(columns)


def _another(reader: JsonReader, end: str) -> bool:
    token = reader.next()
    return token is not None and token.name != end


def _read_column(reader: JsonReader) -> ColumnMeta:
    reader.expect("START_OBJECT")
    name: str | None = None
    column_type: ColumnType | None = None
    while _another(reader, "END_OBJECT"):
        key = reader.field_name
        reader.next()
        if key == "name":
            name = reader.string()
        elif key == "column_type":
            word = reader.string().upper()
            if word not in ColumnType.__members__:
                raise IllegalArgument(f"No enum constant org.opensearch.ml.common.dataframe.ColumnType.{word}")
            column_type = ColumnType[word]
        else:
            reader.skip_children()
    return ColumnMeta(name, column_type)


def _read_row(reader: JsonReader) -> tuple[RowTypes, list[Any]]:
    reader.expect("START_OBJECT")
    types: list[ColumnType] = []
    values: list[Any] = []
    while _another(reader, "END_OBJECT"):
        key = reader.field_name
        reader.next()
        if key != "values":
            reader.skip_children()
            continue
        reader.expect("START_ARRAY")
        while _another(reader, "END_ARRAY"):
            reader.expect("START_OBJECT")
            if _another(reader, "END_OBJECT"):
                _read_cell(reader, types, values)
    return tuple(types), values


def _read_cell(reader: JsonReader, types: list[ColumnType], values: list[Any]) -> None:
    """Read from the cell's first key to its end, or to what the plugin takes for its end."""
    if reader.field_name != "column_type":
        raise IllegalArgument(f"wrong column type, expect column_type field but got {reader.field_name}")
    reader.next()
    column_type = reader.string()
    if column_type != "NULL":
        reader.next()
        if reader.field_name != "value":
            got = "null" if reader.field_name is None else reader.field_name
            raise IllegalArgument(f"wrong column value, expect value field but got {got}")
        reader.next()
    if column_type in ColumnType.__members__:
        values.append(_READERS[column_type](reader))
        types.append(ColumnType[column_type])
    reader.skip_children()
    reader.next()


_READERS: dict[str, Any] = {
    "NULL": lambda _: None,
    "BOOLEAN": JsonReader.boolean,
    "STRING": JsonReader.string,
    "SHORT": JsonReader.short,
    "INTEGER": JsonReader.integer,
    "LONG": JsonReader.long,
    "FLOAT": JsonReader.single,
    "DOUBLE": JsonReader.double,
}


def _column_from_json(meta: Any) -> ColumnMeta:
    if type(meta) is not dict:
        raise Irregular
    name, word = meta.get("name", ""), meta.get("column_type", "NULL")
    if type(name) is not str or type(word) is not str or word.upper() not in ColumnType.__members__:
        raise Irregular
    return ColumnMeta(name if "name" in meta else None, ColumnType[word.upper()] if "column_type" in meta else None)


def _types(names: tuple[Any, ...]) -> RowTypes:
    if not all(type(name) is str and name in _CHECKS_BY_NAME for name in names):
        raise Irregular
    return tuple(ColumnType[name] for name in names)


def _list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise Irregular
    return value


def _double(value: Any) -> float:
    if type(value) is float:
        return value
    if type(value) is not int:
        raise Irregular
    try:
        return float(value)
    except OverflowError as error:
        raise Irregular from error


def _float(value: Any) -> float:
    try:
        return float(struct.unpack("f", struct.pack("f", _double(value)))[0])
    except OverflowError as error:
        raise Irregular from error


def _whole(word: str) -> Any:
    low, high = _BOUNDS[word]

    def check(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise Irregular
        return value

    return check


def _exactly(kind: type) -> Any:
    def check(value: Any) -> Any:
        if type(value) is not kind:
            raise Irregular
        return value

    return check


_CHECKS_BY_NAME: dict[str, Any] = {
    "SHORT": _whole("SHORT"),
    "INTEGER": _whole("INTEGER"),
    "LONG": _whole("LONG"),
    "FLOAT": _float,
    "DOUBLE": _double,
    "BOOLEAN": _exactly(bool),
    "STRING": _exactly(str),
}
_CHECKS = {ColumnType[name]: check for name, check in _CHECKS_BY_NAME.items()}
