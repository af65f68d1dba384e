"""Fast JSON loading that gives up on whatever Python and Jackson might see differently. Pure."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn


class Irregular(Exception):
    """The payload is not plain, regular JSON; it may still be valid."""


def load_regular(payload: bytes) -> Any:
    """Return the root value; Irregular for errors, repeated keys, NaN, comments or deep nesting."""
    try:
        text = payload.decode("utf-8")
        start = _BLANK.match(text).end()  # type: ignore[union-attr]  # it matches nothing too
        value, _ = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError) as error:
        raise Irregular from error
    return value


def _object(pairs: list[tuple[str, Any]]) -> Any:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Irregular
    return found


def _constant(name: str) -> NoReturn:
    raise Irregular(name)


_BLANK = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
