"""Spans of time as OpenSearch reads and writes them: `30s`, `2.1s`, `109.5micros`. Pure.

Source: OpenSearch 3.6.0 `TimeValue`; `RestTable` for whole numbers of a unit.
"""

from __future__ import annotations

import re

from mlcommons_tasks.errors import IllegalArgument, TaskPluginError

LONG_MAX = 2**63 - 1

#: Nanoseconds in a unit, the largest unit first.
_NANOS = {
    "d": 86_400_000_000_000,
    "h": 3_600_000_000_000,
    "m": 60_000_000_000,
    "s": 1_000_000_000,
    "ms": 1_000_000,
    "micros": 1_000,
    "nanos": 1,
}
_READ_IN_ORDER = ("nanos", "micros", "ms", "s", "m", "h", "d")
_BLANK = "".join(map(chr, range(0x21)))  # what Java's trim takes
_LONG = re.compile(r"[+-]?\d+")  # digits of any script that has them in the basic plane
_DOUBLE = re.compile(  # what Double.parseDouble takes of a text in lower case
    r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?"
    r"|0x(?:[0-9a-f]+\.?|[0-9a-f]*\.[0-9a-f]+)p[+-]?[0-9]+)[fd]?"
)


class TimeValue(int):
    """Nanoseconds that print as a TimeValue does."""

    def __str__(self) -> str:
        return format_time_value(int(self))

    def in_unit(self, unit: str | None) -> str:
        """Return the whole number of a unit, rounded down; the text with its own unit if there is no such unit."""
        nanos = _NANOS.get(unit or "")
        return format_time_value(int(self)) if nanos is None else str(int(self) // nanos)


def parse_time_value(text: str, setting: str) -> int:
    """Return the nanoseconds that a text says, at most `LONG_MAX`; -1, whatever its unit, stays -1: no time at all.

    Case does not count but for `m`, which has to be the very last character.

    Raises:
        IllegalArgument: it is none, says a fraction, or is negative; `setting` is what the client calls it.
    """
    normalized = text.lower().strip(_BLANK)
    for unit in _READ_IN_ORDER:
        if (text if unit == "m" else normalized).endswith(unit):
            number = _number(text, normalized[: -len(unit)].strip(_BLANK), setting)
            return number if number < 0 else min(number * _NANOS[unit], LONG_MAX)
    if re.fullmatch("-0*1", normalized):
        return -1
    if re.fullmatch("0+", normalized):
        return 0
    raise _refused(text, setting, "unit is missing or unrecognized")


def format_time_value(nanos: int) -> str:
    """Return nanoseconds in the largest unit there is one of, with the first digit of the fraction unless it is 0."""
    if nanos <= 0:
        return str(nanos) if nanos else "0s"
    suffix, size = next((unit, size) for unit, size in _NANOS.items() if nanos >= size)
    whole, _, fraction = repr(float(nanos) / size).partition(".")
    return f"{whole}{suffix}" if fraction[0] == "0" else f"{whole}.{fraction[0]}{suffix}"


def _number(text: str, digits: str, setting: str) -> int:
    if _LONG.fullmatch(digits) and max(digits) <= "\uffff" and -LONG_MAX - 1 <= int(digits) <= LONG_MAX:
        if int(digits) < -1:
            raise _refused(text, setting, "negative durations are not supported")
        return int(digits)
    fractional = ", fractional time values are not supported" if _DOUBLE.fullmatch(digits) else ""
    cause = TaskPluginError(f'For input string: "{digits}"', type="number_format_exception")
    raise IllegalArgument(f"failed to parse [{text}]{fractional}", caused_by=cause)


def _refused(text: str, setting: str, why: str) -> IllegalArgument:
    return IllegalArgument(f"failed to parse setting [{setting}] with value [{text}] as a time value: {why}")
