"""A task's error text as a person reads it: the plugin puts JSON into the string, sometimes several times."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

DEEPEST = 5  #: how many times JSON in a string is looked into


def readable_error(error: str) -> str:
    """Return a task's error text with the JSON that is in it as lines: `node: message`."""
    return "\n".join(_lines(error, DEEPEST))


def _lines(value: Any, deeper: int) -> list[str]:
    if isinstance(value, str):
        parsed = _json_in(value) if deeper else None
        return value.strip().splitlines() or [""] if parsed is None else _lines(parsed, deeper - 1)
    if isinstance(value, Mapping):
        return [line for key, part in value.items() for line in _under(str(key), _lines(part, deeper))]
    if isinstance(value, list):
        return [line for part in value for line in _lines(part, deeper)]
    return [json.dumps(value)]


def _under(key: str, lines: list[str]) -> list[str]:
    if len(lines) == 1:
        return [f"{key}: {lines[0]}"]
    return [f"{key}:", *(f"  {line}" for line in lines)]


def _json_in(text: str) -> Any:
    """Return the object or array that a text is, None if it is neither."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(text) or None
    except ValueError:
        return None
