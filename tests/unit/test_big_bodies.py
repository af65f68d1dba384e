"""Bodies with very many rows: what they cost to read, and that rows are only taken where rows stand."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from mlcommons_tasks.data_frame import ColumnType
from mlcommons_tasks.errors import TaskPluginError
from mlcommons_tasks.wire import regular_body
from mlcommons_tasks.wire.ml_input import DataFrameDataset, SearchQueryDataset, parse_ml_input
from mlcommons_tasks.wire.strict_json import Irregular
from tests.big_bodies import MIB, cost_of_reading

MOST_TIMES = 4.0  #: of its own size a body may take, that size included; it is some 2.3
CELL = {"column_type": "DOUBLE", "value": 1.5}
ROW = {"values": [CELL]}


def parsed(**body: Any) -> Any:
    return parse_ml_input("kmeans", json.dumps(body).encode()).dataset


def test_a_big_body_takes_little_more_than_its_own_size() -> None:
    """The most that the process has beyond what it had before, the body itself included."""
    cost = cost_of_reading(16 * MIB)
    assert cost.mib > 15.9
    assert cost.rows > 100_000
    assert cost.times_the_body < MOST_TIMES, cost


def test_what_looks_like_a_row_in_a_query_stays_there() -> None:
    """With rows and without, and where a row's place has something else."""
    query = {"query": {"terms": ROW}}
    assert parsed(input_index=["a"], input_query=query) == SearchQueryDataset(("a",), query)
    found = parsed(input_query=query, input_data={"rows": [ROW, ROW]})
    assert isinstance(found, DataFrameDataset)
    assert found.frame.size == 2
    found = parsed(input_query=query, input_data={"rows": [{"values": []}]})
    assert isinstance(found, DataFrameDataset)
    assert (found.frame.size, found.frame.row(0)) == (1, [])


@pytest.mark.parametrize("data", [{"rows": [[ROW]]}, {"rows": ROW}, {"rows": [{"a": ROW}]}, {"column_metas": [ROW]}])
def test_a_row_where_none_belongs_is_no_row(data: dict[str, Any]) -> None:
    """The plugin's reader refuses it or passes over it."""
    try:
        found = parsed(input_data=data)
    except TaskPluginError:
        return
    assert [found.frame.row(n) for n in range(found.frame.size)] in ([], [[]])


def test_two_big_bodies_are_read_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A third one waits until one of them is read, however many threads there are."""
    monkeypatch.setattr(regular_body, "BIG", 10)
    inside, go, counts = threading.Semaphore(0), threading.Event(), []
    read = regular_body._read

    def wait(*arguments: Any) -> Any:
        inside.release()
        counts.append(1)
        assert go.wait(20)
        return read(*arguments)

    monkeypatch.setattr(regular_body, "_read", wait)
    threads = [threading.Thread(target=parsed, kwargs={"input_data": {"rows": [ROW]}}) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert inside.acquire(timeout=20)
    assert inside.acquire(timeout=20)
    assert not inside.acquire(timeout=0.3)
    go.set()
    for thread in threads:
        thread.join(20)
    assert len(counts) == 3


@pytest.mark.parametrize(
    "after",
    ["", ',"column_metas":[]', ',"column_metas":[{"name":"x","column_type":"DOUBLE"}]},"input_query":{"a":[{"b":[1]}]'],
)
@pytest.mark.parametrize("layout", [(",", ":"), (", ", ": ")])
def test_rows_are_read_in_pieces(monkeypatch: pytest.MonkeyPatch, after: str, layout: tuple[str, str]) -> None:
    """Whatever comes after them, with white space and without; other kinds of rows may come among them."""
    monkeypatch.setattr(regular_body, "PIECE", 100)
    other = {"values": [{"column_type": "STRING", "value": '},{"values"}]}'}, {"column_type": "LONG", "value": 7}]}
    rows = [{"values": [{"column_type": "DOUBLE", "value": n}]} for n in range(20)] + [other]
    rows += [{"values": [{"column_type": "STRING", "value": "a"}, {"column_type": "LONG", "value": n}]} for n in (1, 2)]
    text = json.dumps({"input_data": {"rows": rows}}, separators=layout)
    payload = f"{text[:-2]}{after}}}}}".encode()
    assert regular_body._place_of_rows(payload)[1]
    _, frame = regular_body.read_regular(payload)
    assert frame is not None
    assert [frame.row(n) for n in range(frame.size)] == [
        *([float(n)] for n in range(20)),
        ['},{"values"}]}', 7],
        ["a", 1],
        ["a", 2],
    ]
    assert frame.types_of(19) == (ColumnType.DOUBLE,)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"value":3', '"value":3,"value":3'),
        ('"value":3', '"value" :3'),
        ('"column_type":"DOUBLE","value":3', '"value":3,"column_type":"DOUBLE"'),
        ('"rows"', '"rows":[],"rows"'),
        ('{"input_data"', '{"a":1,"input_data"'),
        ('"value":3', '"value":1e999'),
        ('"value":3', '"value":"3"'),
        ('"value":3', '"value":true'),
        ('"value":3', '"value":NaN'),
        ('"DOUBLE"', '"double"'),
    ],
)
@pytest.mark.parametrize("piece", [100, 10_000])
def test_what_is_odd_gets_a_closer_look(monkeypatch: pytest.MonkeyPatch, old: str, new: str, piece: int) -> None:
    """In pieces and in one."""
    monkeypatch.setattr(regular_body, "PIECE", piece)
    rows = [{"values": [{"column_type": "DOUBLE", "value": n}]} for n in range(9)]
    text = json.dumps({"input_data": {"rows": rows, "column_metas": []}}, separators=(",", ":"))
    assert regular_body.read_regular(text.encode())[1] is not None
    with pytest.raises(Irregular):
        regular_body.read_regular(text.replace(old, new, 1).encode())
