"""A table as every `_cat` API shows it: text in columns, or a list of objects. Pure, and nothing of what is in it.

Source: OpenSearch 3.6.0 `Table`, `RestTable`, `AbstractCatAction`. Cells are texts, numbers and spans of time; sizes in
bytes, aligned cells and sibling columns are not needed here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cmp_to_key

from mlcommons_tasks.errors import ServerError
from mlcommons_tasks.java import java_sort_key
from mlcommons_tasks.wire.parameters import Parameters, parse_boolean
from mlcommons_tasks.wire.simple_match import comma_list, has_wildcard, simple_match
from mlcommons_tasks.wire.time_value import TimeValue

#: What every table takes beside its own parameters; most of it counts for some tables only.
CAT_PARAMETERS = ("format", "h", "v", "ts", "pri", "bytes", "size", "time", "s", "timeout", "limit")

Cell = str | int | TimeValue | None
Row = Mapping[str, Cell]

_TIMES_OF_DAY = ("timestamp", "epoch")  # the columns that `ts=false` hides


@dataclass(frozen=True)
class Column:
    """A column; `shown` says whether it is there unless asked otherwise."""

    name: str
    description: str
    aliases: tuple[str, ...] = ()
    shown: bool = True


@dataclass(frozen=True)
class View:
    """How a table is to be shown: the parameters as they came.

    Attributes:
        h: the columns, by name, alias or pattern, in this order.
        s: the columns to sort by, each with `:asc` or `:desc` or neither.
        v: whether there is a line of names.
        ts: whether times of day are shown.
        time: the unit of spans of time.
    """

    h: str | None = None
    s: str | None = None
    v: str | None = None
    ts: str | None = None
    time: str | None = None

    @classmethod
    def of(cls, parameters: Parameters) -> View:
        """Read a request's parameters; all that tables take count as known."""
        for name in CAT_PARAMETERS:
            parameters.text(name)
        return cls(*(parameters.text(name) for name in ("h", "s", "v", "ts", "time")))


@dataclass(frozen=True)
class Table:
    """Columns, and rows that have a cell for each."""

    columns: Sequence[Column]
    rows: Sequence[Row]

    def text(self, view: View) -> str:
        """Return the table as plain text, a line feed after every row.

        Raises:
            IllegalArgument: a boolean of the view is none.
            ServerError: a column to sort by is unknown.
        """
        named = _flag(view.v, default=False)
        chosen = self._chosen(view)
        lines = [[display for _, display in chosen]] if named else []
        lines += [[_shown(row[name], view) or "" for name, _ in chosen] for row in self._ordered(view)]
        widths = [max(map(_units, cells), default=0) for cells in zip(*lines, strict=True)]
        return "".join(f"{_line(cells, widths)}\n" for cells in lines)

    def objects(self, view: View) -> list[dict[str, str | None]]:
        """Return the rows as objects, whose values are what the text would show.

        Raises:
            IllegalArgument: a boolean of the view is none.
            ServerError: a column to sort by is unknown.
        """
        chosen = self._chosen(view)
        return [{display: _shown(row[name], view) for name, display in chosen} for row in self._ordered(view)]

    def _chosen(self, view: View) -> list[tuple[str, str]]:
        """Return the names of the columns that are shown, each with the name it is shown under."""
        if view.h is None:
            chosen = [(column.name, column.name) for column in self.columns if column.shown]
        else:
            names = {alias: column.name for column in self.columns for alias in column.aliases}  # the last one has it
            names |= {column.name: column.name for column in self.columns}
            chosen = [(names[wish], wish) for wish in self._wishes(view.h) if wish in names]
        if any(name in _TIMES_OF_DAY for name, _ in chosen) and not _flag(view.ts, default=True):
            chosen = [(name, display) for name, display in chosen if name not in _TIMES_OF_DAY]
        return chosen

    def _wishes(self, wanted: str) -> list[str]:
        """Return the names and aliases in `h`, once each; a pattern stands for names."""
        wishes: dict[str, None] = {}
        for wish in comma_list(wanted):
            if not has_wildcard(wish):
                wishes[wish] = None
                continue
            for column in self.columns:
                if any(simple_match(wish, name) for name in (column.name, *column.aliases)):
                    wishes[column.name] = None
        return list(wishes)

    def _ordered(self, view: View) -> Sequence[Row]:
        keys: dict[str, str] = {}
        for column in self.columns:
            keys |= dict.fromkeys((*column.aliases, column.name), column.name)
        order: list[tuple[str, int]] = []
        for wish in comma_list(view.s):
            descending = wish.endswith(":desc")
            name = wish.removesuffix(":desc") if descending else wish.removesuffix(":asc")
            if name not in keys:
                reason = f"Unable to sort by unknown sort key `{name}`"
                raise ServerError(reason, type="unsupported_operation_exception")
            order.append((keys[name], -1 if descending else 1))
        return sorted(self.rows, key=cmp_to_key(_comparator(order))) if order else self.rows


def help_text(columns: Sequence[Column]) -> str:
    """Return the table of columns that `?help` shows; its last column is padded too."""
    lines = [[column.name, ",".join(column.aliases), column.description] for column in columns]
    widths = [max(map(_units, cells)) for cells in zip(*lines, strict=True)]
    return "".join(f"{' | '.join(map(_padded, cells, widths))}\n" for cells in lines)


def _flag(value: str | None, *, default: bool) -> bool:
    return default if value is None else parse_boolean(value)


def _shown(cell: Cell, view: View) -> str | None:
    if isinstance(cell, TimeValue):
        return cell.in_unit(view.time)
    return None if cell is None else str(cell)


def _line(cells: list[str], widths: list[int]) -> str:
    """Return cells side by side; the last one is not padded."""
    return " ".join([*map(_padded, cells[:-1], widths), *cells[-1:]])


def _padded(text: str, width: int) -> str:
    """Return a text filled with spaces; OpenSearch counts them in a byte, so that 128 are none and 256 + 5 are five."""
    missing = width - _units(text)
    return text + " " * ((missing + 128) % 256 - 128)


def _units(text: str) -> int:
    """Return the length of a Java string."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _comparator(order: list[tuple[str, int]]) -> Callable[[Row, Row], int]:
    def compare(left: Row, right: Row) -> int:
        for name, sign in order:
            if found := _compared(left[name], right[name]):
                return sign * found
        return 0

    return compare


def _compared(left: Cell, right: Cell) -> int:
    """Compare two cells: nothing comes first, two of a kind by what they are, others by what they say."""
    if left is None or right is None:
        return (left is not None) - (right is not None)
    if isinstance(left, int) and type(left) is type(right):
        return (int(left) > int(right)) - (int(left) < int(right))
    mine, other = java_sort_key(str(left)), java_sort_key(str(right))
    return (mine > other) - (mine < other)
