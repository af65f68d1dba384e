"""Sizes in bytes as OpenSearch reads them: `5gb`, `512 MB`, `0`, `-1`. Pure.

Source: OpenSearch 3.6.0 `ByteSizeValue`, seen from outside.
"""

from __future__ import annotations

import re

from mlcommons_tasks.errors import IllegalArgument, TaskPluginError, UnreadableBody
from mlcommons_tasks.java import double_of, java_trim

LONG_MAX = 2**63 - 1

_UNITS = {unit: 1 << 10 * power for power, unit in enumerate(("b", "kb", "mb", "gb", "tb", "pb"))}
_LONG = re.compile(r"[+-]?\d+")


class NotANumberError(ValueError):
    """Java's NumberFormatException, of a text."""


def parse_byte_size(text: str, setting: str) -> int:
    """Return the bytes that a text says.

    Raises:
        IllegalArgument: it says none, a fraction, or too many; `setting` is what the client calls it.
        NotANumberError: what stands before a lone `b` is no whole number.
    """
    normalized = java_trim(text.lower())
    found = re.fullmatch(r"(.*?)([kmgtp]b?|b)", normalized, re.DOTALL)
    if found is None:
        if normalized in ("-1", "0"):
            return int(normalized)
        raise _wrapped(_refused(text, setting, ": unit is missing or unrecognized"))
    digits = java_trim(found[1])
    unit = found[2] if found[2].endswith("b") else f"{found[2]}b"
    if unit == "b":
        if (number := _long(digits)) is None:
            raise NotANumberError(digits)
        return _checked(number, unit)
    if (number := _long(digits)) is None:
        cause = TaskPluginError(f'For input string: "{digits}"', type="number_format_exception")
        reason = f"failed to parse [{text}]"
        if double_of(digits) is not None:
            reason = (
                f"Failed to parse bytes value [{text}]. Fractional bytes values have been deprecated since Legacy 6.2."
                f" Use non-fractional bytes values instead: found for setting [{setting}]"
            )
        raise _wrapped(UnreadableBody(reason, caused_by=cause))
    try:
        return _checked(number, unit)
    except IllegalArgument as error:
        raise _wrapped(_refused(text, setting, "", error)) from error


def _checked(number: int, unit: str) -> int:
    if number < -1 or (number == -1 and unit != "b"):
        raise IllegalArgument(f"Values less than -1 bytes are not supported: {number}{unit}")
    if number > LONG_MAX // _UNITS[unit]:
        raise IllegalArgument(f"Values greater than {LONG_MAX} bytes are not supported: {number}{unit}")
    return number * _UNITS[unit]


def _long(digits: str) -> int | None:
    """Return what Long.parseLong does, None where it throws."""
    if not _LONG.fullmatch(digits):
        return None
    number = int(digits)
    return number if -LONG_MAX - 1 <= number <= LONG_MAX else None


def _refused(text: str, setting: str, why: str, cause: TaskPluginError | None = None) -> UnreadableBody:
    reason = f"failed to parse setting [{setting}] with value [{text}] as a size in bytes{why}"
    return UnreadableBody(reason, caused_by=cause)


def _wrapped(cause: UnreadableBody) -> IllegalArgument:
    return IllegalArgument(cause.reason, caused_by=cause)
