"""What Java does where it shows: the order of a HashMap, the text of a double, the width of a float. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

_BLANK = "".join(map(chr, range(0x21)))
_DECIMAL = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)[fFdD]?")
_HEXADECIMAL = re.compile(r"([+-]?0[xX](?:[0-9a-fA-F]+\.?|[0-9a-fA-F]*\.[0-9a-fA-F]+)[pP][+-]?[0-9]+)[fFdD]?")
_NO_NUMBER = re.compile("[+-]?(NaN|Infinity)")


class Single(float):
    """A 32-bit float, held as the double that has the same shortest decimal: that is what JSON shows of it."""


def java_repr(number: float) -> str:
    """Write a double as Java's Double.toString does: 2.5, 1.0E-8, 1.234567895E8, NaN, -Infinity."""
    text = float.__repr__(number)
    if text in ("nan", "inf", "-inf"):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[text]
    if number == 0 or 1e-3 <= abs(number) < 1e7:
        return text
    shown = Decimal(text).normalize()
    if len(shown.as_tuple().digits) == 1:  # Java shows two digits at least, and takes those that are nearest
        shown = Decimal(f"{number:.1e}")
    digits = "".join(map(str, shown.as_tuple().digits))
    return f"{'-' if number < 0 else ''}{digits[0]}.{digits[1:].rstrip('0') or '0'}E{shown.adjusted()}"


def java_trim(text: str) -> str:
    """Return a text without the blanks and control characters around it that String.trim takes away."""
    return text.strip(_BLANK)


def double_of(text: str) -> float | None:
    """Return the number that Double.parseDouble gives; None where it throws."""
    text = java_trim(text)
    if (found := _DECIMAL.fullmatch(text)) or _NO_NUMBER.fullmatch(text):
        return float(found[1] if found else text)
    if found := _HEXADECIMAL.fullmatch(text):
        try:
            return float.fromhex(found[1])
        except OverflowError:
            return float("-inf" if text.startswith("-") else "inf")
    return None


def java_order(keys: Iterable[str], capacity: int = 16) -> list[str]:
    """Return keys, given in insertion order, in the iteration order of a java.util.HashMap that holds them.

    `capacity` is the one it was made with, a power of two.
    """
    names = list(keys)
    while len(names) > capacity * 3 // 4:
        capacity *= 2
    return sorted(names, key=lambda name: _bucket(name, capacity))


def hash_map(value: Any) -> Any:
    """Return parsed JSON with every object's keys in the order of a java.util.HashMap."""
    if isinstance(value, dict):
        return {name: hash_map(value[name]) for name in java_order(value)}
    return [hash_map(item) for item in value] if isinstance(value, list) else value


def java_sort_key(name: str) -> bytes:
    """Return a key that sorts as Java's String.compareTo does: by UTF-16 units."""
    return name.encode("utf-16-be", "surrogatepass")


def _bucket(name: str, capacity: int) -> int:
    code = 0
    units = name.encode("utf-16-be", "surrogatepass")
    for i in range(0, len(units), 2):
        code = (31 * code + (units[i] << 8 | units[i + 1])) & 0xFFFFFFFF
    return (code ^ code >> 16) & (capacity - 1)
