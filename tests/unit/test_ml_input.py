"""Training bodies; every expected error was seen on the plugin 3.6.0."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcommons_tasks.data_frame import ColumnMeta, ColumnType
from mlcommons_tasks.errors import TaskPluginError
from mlcommons_tasks.wire import ml_input
from mlcommons_tasks.wire.json_reader import JsonReader
from mlcommons_tasks.wire.ml_input import (
    DataFrameDataset,
    MLInput,
    SearchQueryDataset,
    parse_ml_input,
    query_in_place,
    validate_request,
)

SEARCH = '"input_index":["pipe-a"],"input_query":{"size":3}'
PLACE = "\n at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: 1, column: {}]"
EXPECTING = "Failed to parse object: expecting token of type [{}] but found [{}]"


def error_of(body: str, algorithm: str = "kmeans") -> tuple[Any, ...]:
    with pytest.raises(TaskPluginError) as caught:
        validate_request(parse_ml_input(algorithm, body.encode()))
    error = caught.value
    return (error.status, error.type, error.reason, *error.metadata.values())


def frame_body(cell: str) -> str:
    metas = '[{"name":"a","column_type":"DOUBLE"}]'
    return f'{{"input_data":{{"column_metas":{metas},"rows":[{{"values":[{cell}]}}]}}}}'


def cells_of(body: str) -> list[tuple[str, Any]]:
    dataset = parse_ml_input("kmeans", body.encode()).dataset
    assert isinstance(dataset, DataFrameDataset)
    return [(kind.value, value) for kind, value in zip(dataset.frame.types_of(0), dataset.frame.row(0), strict=True)]


def test_a_search() -> None:
    """Indices and query make a SEARCH_QUERY dataset, parameters are typed, unknown keys are skipped."""
    found = parse_ml_input("kmeans", f'{{"x":[1],"parameters":{{"centroids":3,"y":{{}}}},{SEARCH}}}'.encode())
    assert found == MLInput("KMEANS", {"centroids": 3}, SearchQueryDataset(("pipe-a",), {"size": 3}))
    assert found.input_type == "SEARCH_QUERY"


def test_a_frame_wins_over_a_search() -> None:
    """With both kinds of input the rows of the body are used."""
    found = parse_ml_input("KMeans", f'{{"input_data":{{}},{SEARCH}}}'.encode())
    assert (found.function_name, found.input_type, found.parameters) == ("KMEANS", "DATA_FRAME", None)


def test_a_frame() -> None:
    """Columns keep their order, column types any case, and the cells their values."""
    metas = '[{"name":"b","column_type":"double"},{"name":"a","column_type":"STRING"}]'
    cells = '{"column_type":"DOUBLE","value":1},{"column_type":"STRING","value":"s"}'
    body = f'{{"input_data":{{"column_metas":{metas},"rows":[{{"values":[{cells}]}},{{"values":[{cells}]}}]}}}}'
    dataset = parse_ml_input("kmeans", body.encode()).dataset
    assert isinstance(dataset, DataFrameDataset)
    assert dataset.frame.columns == (ColumnMeta("b", ColumnType.DOUBLE), ColumnMeta("a", ColumnType.STRING))
    assert [dataset.frame.row(i) for i in range(dataset.frame.size)] == [[1.0, "s"], [1.0, "s"]]


def test_a_query_that_looks_like_a_cell_stays_an_object() -> None:
    """Cells are kept small while loading; the same shape inside a query is given back as it was."""
    query = {"query": {"term": {"column_type": "x", "value": [{"column_type": 1, "value": 2}]}}}
    body = json.dumps({"input_index": ["i"], "input_query": query}).encode()
    assert parse_ml_input("kmeans", body).dataset == SearchQueryDataset(("i",), query)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("", (400, "parse_exception", "request body is required")),
        (" ", (400, "parsing_exception", EXPECTING.format("START_OBJECT", "null"), 1, 0)),
        ("[]", (400, "parsing_exception", EXPECTING.format("START_OBJECT", "START_ARRAY"), 1, 1)),
        ("1", (400, "parsing_exception", EXPECTING.format("START_OBJECT", "VALUE_NUMBER"), 1, 1)),
        ("{} x", (400, "action_request_validation_exception", "Validation Failed: 1: input data can't be null;")),
        (
            '{"input_index":["a"]}',
            (400, "action_request_validation_exception", "Validation Failed: 1: input data can't be null;"),
        ),
        ('{"input_query":{}}', (400, "illegal_argument_exception", "indices can't be empty")),
        ('{"input_index":"a"}', (400, "parsing_exception", EXPECTING.format("START_ARRAY", "VALUE_STRING"), 1, 16)),
        ('{"input_index":[null]}', (500, "illegal_state_exception", "Can't get text on a VALUE_NULL at 1:17")),
        (
            '{"input_index":["a"],"input_query":null}',
            (400, "parsing_exception", EXPECTING.format("START_OBJECT", "VALUE_NULL"), 1, 36),
        ),
        ('{"input_data":[]}', (400, "parsing_exception", EXPECTING.format("START_OBJECT", "START_ARRAY"), 1, 15)),
        ('{"parameters":null}', (400, "parsing_exception", EXPECTING.format("START_OBJECT", "VALUE_NULL"), 1, 15)),
        (
            '{"parameters":{"centroids":null}}',
            (
                400,
                "json_parse_exception",
                "Current token (VALUE_NULL) not numeric, can not use numeric value accessors" + PLACE.format(32),
            ),
        ),
        (
            '{"parameters":{"centroids":[2]}}',
            (
                400,
                "json_parse_exception",
                "Current token (START_ARRAY) not numeric, can not use numeric value accessors" + PLACE.format(29),
            ),
        ),
        ('{"parameters":{"centroids":"2"}}', (400, "illegal_argument_exception", "Integer value passed as String")),
        (
            '{"parameters":{"centroids":2.50}}',
            (400, "illegal_argument_exception", "2.5 cannot be converted to Integer without data loss"),
        ),
        (
            '{"parameters":{"centroids":99999999999}}',
            (
                400,
                "input_coercion_exception",
                "Numeric value (99999999999) out of range of int (-2147483648 - 2147483647)" + PLACE.format(39),
            ),
        ),
        (
            '{"parameters":{"iterations":true}}',
            (
                400,
                "json_parse_exception",
                "Current token (VALUE_TRUE) not numeric, can not use numeric value accessors" + PLACE.format(33),
            ),
        ),
        ('{"parameters":{"distance_type":"l1"}}', (400, "illegal_argument_exception", "Wrong distance type")),
        ('{"parameters":{"distance_type":1}}', (400, "illegal_argument_exception", "Wrong distance type")),
        (
            '{"parameters":{"distance_type":null}}',
            (500, "illegal_state_exception", "Can't get text on a VALUE_NULL at 1:32"),
        ),
        (
            '{"parameters":{"centroids":2,"centroids":3}}',
            (400, "json_parse_exception", "Duplicate field 'centroids'" + PLACE.format(41)),
        ),
        ('{"input_index":"\\x"}', (400, "parsing_exception", EXPECTING.format("START_ARRAY", "VALUE_STRING"), 1, 16)),
        ('{"parameters":{"centroids":"2"},', (400, "illegal_argument_exception", "Integer value passed as String")),
    ],
)
def test_bodies_that_do_not_fit(body: str, error: tuple[Any, ...]) -> None:
    """The first mistake from the left is named, with its place where the plugin has one."""
    assert error_of(body) == error


@pytest.mark.parametrize(
    ("cell", "error"),
    [
        ("1", (400, "parsing_exception", EXPECTING.format("START_OBJECT", "VALUE_NUMBER"), 1, 88)),
        (
            '{"value":1,"column_type":"DOUBLE"}',
            (400, "illegal_argument_exception", "wrong column type, expect column_type field but got value"),
        ),
        (
            '{"column_type":"DOUBLE"}',
            (400, "illegal_argument_exception", "wrong column value, expect value field but got null"),
        ),
        (
            '{"column_type":"DOUBLE","valu":1}',
            (400, "illegal_argument_exception", "wrong column value, expect value field but got valu"),
        ),
        (
            '{"column_type":"DOUBLE","value":1,"x":2}',
            (400, "parsing_exception", EXPECTING.format("START_OBJECT", "VALUE_NUMBER"), 1, 126),
        ),
        (
            '{"column_type":"NULL","value":null}',
            (400, "parsing_exception", EXPECTING.format("START_OBJECT", "VALUE_NULL"), 1, 118),
        ),
        ('{"column_type":null,"value":1}', (500, "illegal_state_exception", "Can't get text on a VALUE_NULL at 1:103")),
        ('{"column_type":"DOUBLE","value":"x"}', (400, "number_format_exception", 'For input string: "x"')),
        ('{"column_type":"INTEGER","value":""}', (400, "number_format_exception", "empty String")),
        ('{"column_type":"LONG","value":"x"}', (400, "illegal_argument_exception", 'For input string: "x"')),
        (
            '{"column_type":"LONG","value":"99999999999999999999"}',
            (400, "illegal_argument_exception", "Value [99999999999999999999] is out of range for a long"),
        ),
        (
            '{"column_type":"INTEGER","value":"99999999999"}',
            (400, "illegal_argument_exception", "Value [99999999999] is out of range for an integer"),
        ),
        (
            '{"column_type":"SHORT","value":70000}',
            (400, "input_coercion_exception", "Numeric value (70000) out of range of Java short" + PLACE.format(124)),
        ),
        (
            '{"column_type":"BOOLEAN","value":"yes"}',
            (400, "illegal_argument_exception", "Failed to parse value [yes] as only [true] or [false] are allowed."),
        ),
        (
            '{"column_type":"BOOLEAN","value":1}',
            (400, "json_parse_exception", "Current token (VALUE_NUMBER_INT) not of boolean type" + PLACE.format(122)),
        ),
        (
            '{"column_type":"STRING","value":{}}',
            (500, "illegal_state_exception", "Can't get text on a START_OBJECT at 1:120"),
        ),
        (
            '{"column_type":"DOUBLE","value":NaN}',
            (
                400,
                "json_parse_exception",
                "Non-standard token 'NaN': enable `JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS` to allow"
                + PLACE.format(123),
            ),
        ),
    ],
)
def test_cells_that_do_not_fit(cell: str, error: tuple[Any, ...]) -> None:
    """A cell's mistakes are told with the line and column they have in the whole body."""
    assert error_of(frame_body(cell)) == error


@pytest.mark.parametrize(
    ("cell", "kept"),
    [
        ('{"column_type":"NULL"}', [("NULL", None)]),
        ("{}", []),
        ('{"column_type":"FOO","value":{"x":[1]}}', []),
        ('{"column_type":"double","value":1}', []),
        ('{"column_type":"INTEGER","value":1.7}', [("INTEGER", 1)]),
        ('{"column_type":"INTEGER","value":"-3.7"}', [("INTEGER", -3)]),
        ('{"column_type":"LONG","value":"9007199254740993"}', [("LONG", 9007199254740993)]),
        ('{"column_type":"DOUBLE","value":" 1.5d"}', [("DOUBLE", 1.5)]),
        ('{"column_type":"DOUBLE","value":1e400}', [("DOUBLE", float("inf"))]),
        ('{"column_type":"FLOAT","value":0.1}', [("FLOAT", 0.10000000149011612)]),
        ('{"column_type":"BOOLEAN","value":""}', [("BOOLEAN", False)]),
        ('{"column_type":"STRING","value":1.50}', [("STRING", "1.50")]),
    ],
)
def test_cells_that_are_made_to_fit(cell: str, kept: list[tuple[str, Any]]) -> None:
    """Values are coerced as the plugin coerces them; cells of an unknown type are left out."""
    assert cells_of(frame_body(cell)) == kept


def test_column_types_are_checked() -> None:
    """An unknown type of a column, unlike that of a cell, is an error."""
    body = '{"input_data":{"column_metas":[{"name":"a","column_type":"foo"}]}}'
    reason = "No enum constant org.opensearch.ml.common.dataframe.ColumnType.FOO"
    assert error_of(body) == (400, "illegal_argument_exception", reason)


@pytest.mark.parametrize(
    ("algorithm", "body", "error"),
    [
        ("nope", "{}", (400, "illegal_argument_exception", "Wrong function name")),
        ("nope", "[", (400, "parsing_exception", EXPECTING.format("START_OBJECT", "START_ARRAY"), 1, 1)),
        ("nope", "{", (400, "illegal_argument_exception", "Wrong function name")),
        ("nope", "", (400, "parse_exception", "request body is required")),
        ("text_embedding", "{}", (400, "illegal_argument_exception", "Empty text docs")),
        (
            "metrics_correlation",
            '{"parameters":{}}',
            (400, "named_object_not_found_exception", "[1:15] unknown field [METRICS_CORRELATION]"),
        ),
    ],
)
def test_algorithms(algorithm: str, body: str, error: tuple[Any, ...]) -> None:
    """An unknown algorithm is named only once the body has turned out to be an object."""
    assert error_of(body, algorithm) == error


def test_the_query_keeps_its_place() -> None:
    """The search body made of input_query has every key where the client's body has it."""
    payload = '{"é":1,\n  "input_query":\n {"query": {"nope":{}}}, "input_index":["a"]}'.encode()
    moved = query_in_place(payload)
    assert json.loads(moved) == {"query": {"nope": {}}}
    assert moved.split(b"\n")[2].index(b"nope") == payload.split(b"\n")[2].index(b"nope")
    assert query_in_place(b'{"input_index":["a"]}') == b""


CELLS = st.one_of(
    *(
        st.builds(lambda v, n=name: {"column_type": n, "value": v}, values)
        for name, values in {
            "DOUBLE": st.floats(allow_nan=False, allow_infinity=False) | st.integers(),
            "INTEGER": st.integers(-(2**31), 2**31 - 1),
            "LONG": st.integers(-(2**63), 2**63 - 1),
            "SHORT": st.integers(-(2**15), 2**15 - 1),
            "FLOAT": st.floats(width=32, allow_nan=False, allow_infinity=False),
            "STRING": st.text(st.characters(exclude_categories=["Cs"])),
            "BOOLEAN": st.booleans(),
        }.items()
    )
)
ROWS = st.lists(st.lists(CELLS, max_size=3).map(lambda cells: {"values": cells}), max_size=4)


@settings(max_examples=40, deadline=None)
@given(ROWS, st.sampled_from([None, 1]))
def test_both_ways_to_read_agree(rows: list[Any], indent: int | None) -> None:
    """Reading at once and reading token by token give the same frame, ragged and mixed rows included."""
    metas = [{"name": "a", "column_type": "long"}]
    payload = json.dumps({"input_data": {"column_metas": metas, "rows": rows}}, indent=indent).encode()
    slow = ml_input._from_tokens("KMEANS", JsonReader(payload))
    fast = parse_ml_input("kmeans", payload)
    assert fast == slow
    assert isinstance(fast.dataset, DataFrameDataset)
    kept = [
        [float(cell["value"]) if cell["column_type"] == "DOUBLE" else cell["value"] for cell in row["values"]]
        for row in rows
    ]
    assert [fast.dataset.frame.row(i) for i in range(len(rows))] == kept


def test_a_frame_travels_light() -> None:
    """Pickled, a number takes about 8 bytes, so that a big frame can go to another process."""
    rows = [{"values": [{"column_type": "DOUBLE", "value": i / 7}] * 4} for i in range(1000)]
    payload = json.dumps({"input_data": {"column_metas": [], "rows": rows}}).encode()
    assert len(pickle.dumps(parse_ml_input("kmeans", payload))) < 4 * 1000 * 8 + 1500
