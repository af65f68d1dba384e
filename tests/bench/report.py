"""What a part of the benchmark found, and how docs/benchmarks.md shows it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """One figure: of ours, of what it is compared with, and what is wanted of it."""

    what: str
    ours: str
    other: str
    wanted: str
    holds: bool


@dataclass
class Section:
    """Figures that were measured together; `other` names what ours are compared with."""

    title: str
    how: str
    other: str
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    #: the versions that were measured, by side
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether every figure is what is wanted."""
        return all(row.holds for row in self.rows)

    def lines(self, where: str = "") -> list[str]:
        """Return the section in Markdown; `where` says on what it was measured, and when."""
        return [
            f"## {self.title}",
            "",
            *([where, ""] if where else []),
            self.how,
            "",
            f"| figure | ours | {self.other} | wanted | holds |",
            "|---|---|---|---|---|",
            *(
                f"| {row.what} | {row.ours} | {row.other} | {row.wanted} | {'yes' if row.holds else '**no**'} |"
                for row in self.rows
            ),
            "",
            *(line for note in self.notes for line in (note, "")),
        ]


def spread(values: Sequence[float], unit: str = "") -> str:
    """Return the median with the smallest and the largest."""
    unit = f" {unit}" if unit else ""
    return f"{statistics.median(values):.2f}{unit} ({min(values):.2f} to {max(values):.2f})"
