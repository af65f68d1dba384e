"""Fast JSON loading that gives up on whatever Python and Jackson might see differently. Pure."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Callable
from typing import Any, NoReturn

BIG = 8 * 2**20  #: payloads above so many bytes are loaded one or two at a time, whoever sends how many
_BIG_ONES = threading.BoundedSemaphore(2)


class Irregular(Exception):
    """The payload is not plain, regular JSON; it may still be valid."""


class Pair(tuple[str, Any]):
    """An object of the two keys `column_type` and `value`, in this order: a cell, kept small."""

    __slots__ = ()


def load_regular(payload: bytes, take: Callable[[list[Any]], Any] | None = None) -> Any:
    """Return the root value; cells come as Pair. Irregular for errors, repeated keys, NaN, comments or deep nesting.

    `take` is given `values` of each object that has nothing else, if all of them are Pairs, as soon as it is read;
    what it gives stands in the object's place, so that rows need no memory twice.
    """
    with _BIG_ONES if len(payload) > BIG else contextlib.nullcontext():
        try:
            text = payload.decode("utf-8")
            start = _BLANK.match(text).end()  # type: ignore[union-attr]  # it matches nothing too
            value, _ = (_DECODER if take is None else _decoder(take)).raw_decode(text, start)
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


def _decoder(take: Callable[[list[Any]], Any]) -> json.JSONDecoder:
    def read(pairs: list[tuple[str, Any]]) -> Any:
        if len(pairs) == 1 and pairs[0][0] == "values":
            cells = pairs[0][1]
            if type(cells) is list and cells and all(type(cell) is Pair for cell in cells):
                return take(cells)
        return _object(pairs)

    return json.JSONDecoder(object_pairs_hook=read, parse_constant=_constant)


_BLANK = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
