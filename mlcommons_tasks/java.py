"""What Java does where it shows: the order of a HashMap, the text of a double, the width of a float. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any


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


def java_order(keys: Iterable[str]) -> list[str]:
    """Return keys, given in insertion order, in the iteration order of a java.util.HashMap that holds them."""
    names = list(keys)
    capacity = 16
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
