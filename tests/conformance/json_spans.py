"""JSON with the place of every value in its text, so that one value can be exchanged and the rest stays as it was."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from json.decoder import scanstring as _scanstring
from typing import Any

_SPACE = re.compile(r"[ \t\r\n]*")
_ATOM = re.compile(r"true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")


@dataclass
class Node:
    """A value: its text is `text[start:end]`. Duplicate keys of an object are both there."""

    path: str
    start: int
    end: int
    value: Any = None
    #: (key, node) of an object; key is None in an array
    children: list[tuple[str | None, Node]] = field(default_factory=list)
    is_object: bool = False
    is_array: bool = False


def parse(text: str) -> Node | None:
    """Parse one JSON value; None when the text is anything else."""
    try:
        node = _value(text, _SPACE.match(text, 0).end(), "")  # type: ignore[union-attr]
    except (ValueError, IndexError):
        return None
    return node if not text[node.end :].strip() else None


def rewrite(text: str, node: Node, exchange: Callable[[Node], str | None]) -> str:
    """Give the text with every outermost node exchanged for which `exchange` returns a text."""
    parts: list[str] = []
    position = 0

    def walk(at: Node) -> None:
        nonlocal position
        replacement = exchange(at)
        if replacement is not None:
            parts.extend((text[position : at.start], replacement))
            position = at.end
            return
        for _, child in at.children:
            walk(child)

    walk(node)
    return "".join(parts) + text[position:]


def select(value: Any, path: str) -> Any:
    """Give the value at a path such as `hits.hits[0]._id`; None when there is none."""
    for part in re.findall(r"[^.\[\]]+|\[\d+\]", path):
        try:
            value = value[int(part[1:-1])] if part.startswith("[") else value[part]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _skip(text: str, position: int) -> int:
    return _SPACE.match(text, position).end()  # type: ignore[union-attr]


def _value(text: str, at: int, path: str) -> Node:
    if text[at] == "{":
        return _object(text, at, path)
    if text[at] == "[":
        return _array(text, at, path)
    if text[at] == '"':
        value, end = _scanstring(text, at + 1)
        return Node(path, at, end, value)
    match = _ATOM.match(text, at)
    if match is None:
        raise ValueError(at)
    return Node(path, at, match.end(), json.loads(match[0]))


def _object(text: str, at: int, path: str) -> Node:
    node = Node(path, at, at, is_object=True)
    position = _skip(text, at + 1)
    while text[position] != "}":
        if node.children:
            position = _skip(text, _expect(text, position, ","))
        _expect(text, position, '"')
        key, position = _scanstring(text, position + 1)
        position = _skip(text, _expect(text, _skip(text, position), ":"))
        child = _value(text, position, f"{path}.{key}" if path else key)
        node.children.append((key, child))
        position = _skip(text, child.end)
    node.end = position + 1
    return node


def _array(text: str, at: int, path: str) -> Node:
    node = Node(path, at, at, is_array=True)
    position = _skip(text, at + 1)
    while text[position] != "]":
        if node.children:
            position = _skip(text, _expect(text, position, ","))
        child = _value(text, position, f"{path}[{len(node.children)}]")
        node.children.append((None, child))
        position = _skip(text, child.end)
    node.end = position + 1
    return node


def _expect(text: str, position: int, character: str) -> int:
    if text[position] != character:
        raise ValueError(position)
    return position + 1
