"""OpenSearch's settings: read from a body flat or nested, rendered flat or nested in Java's order. Pure.

Source: OpenSearch 3.6.0 `Settings`, `AbstractScopedSettings.updateSettings`, seen from outside.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mlcommons_tasks.java import java_order, java_repr, java_sort_key
from mlcommons_tasks.wire.simple_match import simple_match

Value = str | list[str]
Settings = Mapping[str, Value]  #: by whole names
Wishes = Mapping[str, Value | None]  #: as a request has them, None for what is to be reset; in OpenSearch's order


class UnreadableSettingsError(ValueError):
    """OpenSearch refuses this before it looks at any setting."""


def read_wishes(section: Any) -> Wishes:
    """Return the settings in `persistent` or `transient` of a body.

    Raises:
        UnreadableSettingsError: it is no object, or something in it is no value.
    """
    if not isinstance(section, dict):
        raise UnreadableSettingsError
    found: dict[str, Value | None] = {}
    _flatten(section, "", found)
    _join_lists(found)
    return {key: found[key] for key in sorted(found, key=java_sort_key)}


def is_wildcard_reset(key: str, value: Value | None) -> bool:
    """Say whether a wish resets every setting that a pattern matches; there may be none."""
    return value is None and key.endswith("*")


def changed(before: Settings, wishes: Wishes) -> dict[str, Value]:
    """Return settings after wishes that were found good: resets come first, whatever their order."""
    resets = [key for key, value in wishes.items() if value is None]
    kept = {key: value for key, value in before.items() if not any(simple_match(reset, key) for reset in resets)}
    return kept | {key: value for key, value in wishes.items() if value is not None}


def rendered(settings: Settings, *, flat: bool) -> dict[str, Any]:
    """Return settings as a reply shows them."""
    ordered = {key: settings[key] for key in sorted(settings, key=java_sort_key)}
    return ordered if flat else _structured(ordered)


def text_of(value: Value) -> str:
    """Return a value as a text; a list looks as Java prints it."""
    return value if isinstance(value, str) else f"[{', '.join(value)}]"


def texts_of(value: Value) -> list[str]:
    """Return a value as a list; a text is one with commas, an empty one says nothing."""
    if not isinstance(value, str):
        return value
    parts = value.split(",")
    while parts and not parts[-1]:
        parts.pop()
    return [part.strip() for part in parts]


def _flatten(section: Mapping[str, Any], prefix: str, found: dict[str, Value | None]) -> None:
    for name, item in section.items():
        key = f"{prefix}{name}"
        if isinstance(item, dict):
            _flatten(item, f"{key}.", found)
        elif isinstance(item, list):
            found[key] = [_scalar(each) for each in item]
        else:
            found[key] = None if item is None else _scalar(item)


def _scalar(item: Any) -> str:
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, float):
        return java_repr(item)
    if not isinstance(item, (str, int)):
        raise UnreadableSettingsError
    return str(item)


def _join_lists(found: dict[str, Value | None]) -> None:
    """Make `a.0`, `a.1` the list `a`."""
    for first in [key for key in found if key.endswith(".0")]:
        name = first.removesuffix(".0")
        if name in found:
            raise UnreadableSettingsError
        values: list[str] = []
        while (value := found.get(f"{name}.{len(values)}")) is not None:
            del found[f"{name}.{len(values)}"]
            values.append(text_of(value))
        if values:
            found[name] = values


def _structured(settings: Settings) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for key, value in settings.items():
        _put(root, "", key, value)
    return {name: _as_java(root[name]) for name in java_order(root, 2)}


def _put(holder: dict[str, Any], prefix: str, key: str, value: Value) -> None:
    """Put a value below the names in its key; where one of them is a value itself, the rest keeps its dots."""
    name, dot, rest = key.partition(".")
    here = prefix + name
    if not dot:
        if isinstance(below := holder.get(here), dict):
            holder |= {f"{here}.{inner}": item for inner, item in below.items()}
        holder[here] = value
    elif here not in holder:
        holder[here] = {}
        _put(holder[here], "", rest, value)
    elif isinstance(holder[here], dict):
        _put(holder[here], "", rest, value)
    else:
        _put(holder, f"{here}.", rest, value)


def _as_java(item: Any) -> Any:
    """Return an object in a HashMap's order; one whose names are 0, 1, 2 is a list."""
    if not isinstance(item, dict):
        return item
    items = {name: _as_java(below) for name, below in item.items()}
    if items and _are_indices(items):
        return [items[str(index)] for index in range(len(items))]
    return {name: items[name] for name in java_order(items, 2)}


def _are_indices(names: Iterable[str]) -> bool:
    found = list(names)
    return set(found) == {str(index) for index in range(len(found))}
