"""Fast JSON loading that gives up on whatever Python and Jackson might see differently. Pure."""

from __future__ import annotations

import json
from typing import Any, NoReturn


class Irregular(Exception):
    """The payload is not plain, regular JSON; it may still be valid."""


class Pair(tuple[str, Any]):
    """An object of the two keys `column_type` and `value`, in this order: a cell, kept small."""

    __slots__ = ()


def load_regular(payload: bytes) -> Any:
    """Return the root value; cells come as Pair. Irregular for errors, repeated keys, NaN, comments or deep nesting."""
    try:
        text = payload.decode("utf-8")
        value, _ = _DECODER.raw_decode(text, len(text) - len(text.lstrip(" \t\r\n")))
    except (ValueError, RecursionError) as error:
        raise Irregular from error
    return value


def plain(value: Any) -> Any:
    """Return the value with every Pair as the object it was."""
    if isinstance(value, Pair):
        return {"column_type": plain(value[0]), "value": plain(value[1])}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def _object(pairs: list[tuple[str, Any]]) -> Any:
    if len(pairs) == 2 and pairs[0][0] == "column_type" and pairs[1][0] == "value":
        return Pair((pairs[0][1], pairs[1][1]))
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Irregular
    return found


def _constant(name: str) -> NoReturn:
    raise Irregular(name)


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
