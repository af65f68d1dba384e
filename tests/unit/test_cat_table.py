"""A `_cat` table; each expectation was asked of OpenSearch 3.6.0 with `_cat/tasks`."""

from __future__ import annotations

import pytest

from mlcommons_tasks.errors import IllegalArgument, ServerError
from mlcommons_tasks.wire.cat_table import Column, Row, Table, View, help_text
from mlcommons_tasks.wire.parameters import Parameters
from mlcommons_tasks.wire.time_value import TimeValue

COLUMNS = (
    Column("id", "a number", shown=False),
    Column("action", "what it does", ("ac",)),
    Column("timestamp", "a time of day", ("ts", "hms", "hhmmss")),
    Column("time_ns", "nanoseconds", ("time",), shown=False),
    Column("running_time", "a span", ("time",)),
    Column("note", "anything", ("n",), shown=False),
)
ROWS: tuple[Row, ...] = (
    {
        "id": 10,
        "action": "write",
        "timestamp": "18:33:50",
        "time_ns": 604_000_000,
        "running_time": TimeValue(604_000_000),
        "note": None,
    },
    {
        "id": 9,
        "action": "a",
        "timestamp": "18:33:51",
        "time_ns": 90_500_000_000,
        "running_time": TimeValue(90_500_000_000),
        "note": "b",
    },
    {
        "id": 100,
        "action": "read",
        "timestamp": "18:33:52",
        "time_ns": 77_386,
        "running_time": TimeValue(77_386),
        "note": 7,
    },
)
TABLE = Table(COLUMNS, ROWS)


def ids(sorting: str) -> list[str | None]:
    return [row["id"] for row in TABLE.objects(View(h="id", s=sorting))]


def heads(wanted: str, **more: str) -> list[str]:
    return TABLE.text(View(h=wanted, v="true", **more)).split("\n")[0].split()


def test_columns_stand_below_each_other() -> None:
    """Every column is as wide as its widest cell, and the last one is not padded."""
    assert TABLE.text(View()) == "write 18:33:50 604ms\na     18:33:51 1.5m\nread  18:33:52 77.3micros\n"


def test_names_stand_above() -> None:
    """With `v` there is a line of names, which counts for the widths."""
    assert (
        TABLE.text(View(h="id,ac,time", v=""))
        == "id  ac    time\n10  write 604ms\n9   a     1.5m\n100 read  77.3micros\n"
    )


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [
        ("action,id", ["action", "id"]),
        ("ac,action,ac", ["ac", "action"]),
        ("hms,hhmmss", ["hms", "hhmmss"]),
        ("*time*", ["timestamp", "time_ns", "running_time"]),
        ("h*", ["timestamp"]),
        ("*", ["id", "action", "timestamp", "time_ns", "running_time", "note"]),
        ("note,*t*", ["note", "action", "timestamp", "time_ns", "running_time"]),
        ("nope,id", ["id"]),
        ("ID", []),
        (" id", []),
        (",id,", ["id"]),
    ],
)
def test_columns_are_asked_for(wanted: str, shown: list[str]) -> None:
    """`h` has names, shown as they were typed, and patterns, which stand for names; unknown ones are dropped."""
    assert heads(wanted) == shown


def test_an_alias_of_two_columns_is_the_last_ones() -> None:
    """`time` is the running time, not its nanoseconds."""
    assert TABLE.text(View(h="time")) == "604ms\n1.5m\n77.3micros\n"


@pytest.mark.parametrize("wanted", ["", ",", "nope"])
def test_no_column_leaves_empty_lines(wanted: str) -> None:
    """A table without columns still has a line for each row, and objects without members."""
    assert TABLE.text(View(h=wanted)) == "\n\n\n"
    assert TABLE.text(View(h=wanted, v="")) == "\n\n\n\n"
    assert TABLE.objects(View(h=wanted)) == [{}, {}, {}]


def test_a_table_without_rows_is_empty() -> None:
    """Nothing to show is no text, with names their line."""
    assert Table(COLUMNS, ()).text(View()) == ""
    assert Table(COLUMNS, ()).text(View(v="true")) == "action timestamp running_time\n"
    assert Table(COLUMNS, ()).objects(View()) == []


def test_times_of_day_can_be_left_out() -> None:
    """`ts=false` hides the column `timestamp`, even where it was asked for."""
    assert heads("ts,id", ts="false") == ["id"]
    assert heads("ts,id", ts="") == ["ts", "id"]
    assert TABLE.text(View(ts="false")).startswith("write 604ms\n")


def test_booleans_are_read_where_they_count() -> None:
    """A value that is no boolean is refused: `v` in text, `ts` where there is a time of day to hide."""
    for view in (View(v="x"), View(ts="x")):
        with pytest.raises(IllegalArgument, match=r"Failed to parse value \[x\] as only \[true\] or \[false\]"):
            TABLE.text(view)
    with pytest.raises(IllegalArgument):
        TABLE.objects(View(ts="x"))

    assert len(TABLE.objects(View(v="x"))) == 3
    assert TABLE.text(View(h="id", ts="x")) == "10\n9\n100\n"


@pytest.mark.parametrize(
    ("unit", "text"),
    [("s", "0\n90\n0\n"), ("ms", "604\n90500\n0\n"), ("MS", "604ms\n1.5m\n77.3micros\n")],
)
def test_spans_have_a_unit(unit: str, text: str) -> None:
    """`time` shows spans as whole numbers of a unit; a unit that there is not is as none."""
    assert TABLE.text(View(h="time", time=unit)) == text


@pytest.mark.parametrize(
    ("sorting", "order"),
    [
        ("id", ["9", "10", "100"]),
        ("id:desc", ["100", "10", "9"]),
        ("id:asc,", ["9", "10", "100"]),
        ("ac", ["9", "100", "10"]),
        ("time", ["100", "10", "9"]),
        ("running_time:desc", ["9", "10", "100"]),
        ("note", ["10", "100", "9"]),
        ("note:desc", ["9", "100", "10"]),
        ("", ["10", "9", "100"]),
        (",", ["10", "9", "100"]),
    ],
)
def test_rows_are_sorted(sorting: str, order: list[str]) -> None:
    """Numbers and spans sort by size, texts as texts, different kinds by what they say, and nothing comes first."""
    assert ids(sorting) == order


def test_further_columns_decide_between_equals() -> None:
    """The second column counts where the first is the same, and equal rows stay as they were."""
    rows: list[Row] = [{"id": number, "action": action} for number, action in ((1, "b"), (2, "a"), (3, "b"), (4, "a"))]
    table = Table(COLUMNS[:2], rows)

    assert table.text(View(h="id", s="action,id:desc")) == "4\n2\n3\n1\n"
    assert table.text(View(h="id", s="action:desc")) == "1\n3\n2\n4\n"


def test_texts_sort_by_their_utf_16_units() -> None:
    """A character beyond the basic plane comes before the last ones in it, as in Java."""
    rows: list[Row] = [{"action": "\uffe5"}, {"action": "\U0001d11e"}]

    assert Table(COLUMNS[1:2], rows).text(View(s="action")) == "\U0001d11e\n\uffe5\n"


@pytest.mark.parametrize(
    ("sorting", "key"),
    [
        ("nope", "nope"),
        (",id", ""),
        ("ID:desc", "ID"),
        ("id:DESC", "id:DESC"),
        ("ac:asc:desc", "ac:asc"),
        (" id", " id"),
    ],
)
def test_an_unknown_column_to_sort_by_is_refused(sorting: str, key: str) -> None:
    """OpenSearch calls it an operation that it does not support, and itself the culprit."""
    with pytest.raises(ServerError) as caught:
        TABLE.objects(View(s=sorting))

    assert (caught.value.status, caught.value.type) == (500, "unsupported_operation_exception")
    assert caught.value.reason == f"Unable to sort by unknown sort key `{key}`"


def test_objects_have_texts() -> None:
    """In a structured format every value is the text the table would show, or null, under the name that was typed."""
    assert TABLE.objects(View(h="id,n,time", time="ms", s="id"))[:2] == [
        {"id": "9", "n": "b", "time": "90500"},
        {"id": "10", "n": None, "time": "604"},
    ]


def test_nothing_is_shown_as_nothing() -> None:
    """A cell without a value is spaces in text."""
    assert TABLE.text(View(h="note,id")) == "  10\nb 9\n7 100\n"


def test_widths_are_those_of_java_strings() -> None:
    """A character beyond the basic plane is two wide."""
    rows: list[Row] = [{"id": 1, "action": "\U0001d11e"}, {"id": 2, "action": "\u00e9"}]

    assert Table(COLUMNS[:2], rows).text(View(h="action,id")) == "\U0001d11e 1\n\u00e9  2\n"


@pytest.mark.parametrize(("missing", "spaces"), [(0, 0), (127, 127), (128, 0), (200, 0), (256, 0), (261, 5)])
def test_spaces_are_counted_in_a_byte(missing: int, spaces: int) -> None:
    """OpenSearch's filling overflows: a cell 128 to 256 narrower than its column is followed by one space only."""
    rows: list[Row] = [{"id": 1, "action": "x" * (missing + 1)}, {"id": 2, "action": "y"}]

    assert Table(COLUMNS[:2], rows).text(View(h="action,id")).split("\n")[1] == f"y{' ' * spaces} 2"


def test_a_view_is_read_from_parameters() -> None:
    """All that tables take counts as known, whether it shows or not."""
    parameters = Parameters("h=a,b&s=c&v&time=ms&ts=false&bytes=b&size=k&format=json&pri&timeout=1s&limit=3", "/_cat/x")

    assert View.of(parameters) == View(h="a,b", s="c", v="", ts="false", time="ms")
    parameters.refuse_unknown()


def test_help_shows_the_columns() -> None:
    """`?help` is a table of names, aliases and descriptions, all three of them padded."""
    assert help_text(COLUMNS[:3]) == (
        "id        |               | a number     \n"
        "action    | ac            | what it does \n"
        "timestamp | ts,hms,hhmmss | a time of day\n"
    )
