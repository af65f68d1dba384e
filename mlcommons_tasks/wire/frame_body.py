"""The data frame on the wire: written, and read token by token. Pure; `regular_body` reads what is plain.

Source: ml-commons 3.6.0 `DefaultDataFrame.parse`, `ColumnMeta.parse`, `Row.parse`; their quirks were asked of the
plugin: cells need `column_type` first and in capitals, a cell of an unknown type is left out, a third key in a
cell or a `value` beside NULL is taken for the start of the next cell.
"""

from __future__ import annotations

from typing import Any

from mlcommons_tasks.data_frame import ColumnMeta, ColumnType, DataFrame, FrameBuilder, RowTypes
from mlcommons_tasks.errors import IllegalArgument
from mlcommons_tasks.wire.json_reader import JsonReader
from mlcommons_tasks.wire.strict_json import Irregular


def frame_json(frame: DataFrame) -> dict[str, Any]:
    """Return a frame as the plugin writes one: `column_metas`, then `rows`, each of typed values."""
    rows = [
        {"values": [_cell_json(kind, value) for kind, value in zip(frame.types_of(n), frame.row(n), strict=True)]}
        for n in range(frame.size)
    ]
    return {"column_metas": [_column_json(column) for column in frame.columns], "rows": rows}


def _cell_json(kind: ColumnType, value: Any) -> dict[str, Any]:
    return {"column_type": kind.value} if kind is ColumnType.NULL else {"column_type": kind.value, "value": value}


def _column_json(column: ColumnMeta) -> dict[str, Any]:
    found = {"name": column.name, "column_type": column.column_type.value if column.column_type else None}
    return {key: value for key, value in found.items() if value is not None}


def columns_from_json(metas: Any) -> list[ColumnMeta]:
    """Return the columns of regular `column_metas`; Irregular when anything in them needs a closer look."""
    if type(metas) is not list:
        raise Irregular
    return [_column_from_json(meta) for meta in metas]


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
