"""YAML as Jackson writes it: texts always in double quotes and folded at 80 columns, lists not indented.

Source: jackson-dataformat-yaml `YAMLGenerator`, `StringQuotingChecker`; SnakeYAML's `Emitter`; asked of a node.
"""

from __future__ import annotations

import re
from typing import Any

from mlcommons_tasks.java import java_repr

WIDTH = 80
LONGEST_SIMPLE_KEY = 128
_WORDS = ("false", "n", "no", "null", "on", "off", "true", "y", "yes")
_QUOTED_KEYS = frozenset({word for each in _WORDS for word in (each, each.capitalize(), each.upper())} | {""})
_SUSPICIOUS = "~+-.0123456789"  #: what a key must not begin with; it may be taken for a number
_SURELY_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_ASCII = re.compile(r"[ !#-\[\]-~]")
_PRINTABLE = re.compile("[\u00a1-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_NAMED = dict(zip('\0\a\b\t\n\v\f\r\x1b"\\\x85\xa0\u2028\u2029', '0abtnvfre"\\N_LP', strict=True))


def render_yaml(body: Any) -> bytes:
    """Return a YAML document."""
    if isinstance(body, (dict, list, tuple)) and body:
        return ("---\n" + "".join(_lines(body, 0))).encode()
    return f"--- {_inline(body, 4, 2)}\n".encode()


def _lines(value: Any, indent: int) -> list[str]:
    margin = " " * indent
    lines: list[str] = []
    if isinstance(value, dict):
        for name, item in value.items():
            if not name or "\n" in name or len(name) >= LONGEST_SIMPLE_KEY:
                lines += [f"{margin}? {_key(name)}\n", *_marked(item, indent, ":")]
                continue
            key = f"{margin}{_key(name)}:"
            if isinstance(item, (dict, list, tuple)) and item:
                lines += [f"{key}\n", *_lines(item, indent + 2 if isinstance(item, dict) else indent)]
            else:
                lines.append(f"{key} {_inline(item, len(key) + 1, indent + 2)}\n")
        return lines
    for item in value:
        lines += _marked(item, indent, "-")
    return lines


def _marked(item: Any, indent: int, mark: str) -> list[str]:
    """Return the lines of a value that begins on the line of its mark."""
    margin = " " * indent
    if isinstance(item, (dict, list, tuple)) and item:
        first, *rest = _lines(item, indent + 2)
        return [f"{margin}{mark} {first[indent + 2 :]}", *rest]
    return [f"{margin}{mark} {_inline(item, indent + 2, indent + 2)}\n"]


def _inline(value: Any, column: int, indent: int) -> str:
    """Return a scalar or an empty container that starts at `column`; its further lines start at `indent`."""
    if isinstance(value, str):
        return _quoted(value, column, indent)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return {"NaN": ".NaN", "Infinity": ".inf", "-Infinity": "-.inf"}.get(text := java_repr(value), text)
    if isinstance(value, (dict, list, tuple)):
        return "{}" if isinstance(value, dict) else "[]"
    return str(value)


def _quoted(text: str, column: int, indent: int) -> str:
    """Quote and fold a text where SnakeYAML does: before a space, or after anything it looks at twice."""
    parts = ['"']
    column += 1
    fresh = True
    for i, char in enumerate(text):
        plain = _ASCII.fullmatch(char) is not None
        if not plain:
            parts.append(_escaped(char))
            column += len(parts[-1])
        reached = column if plain else column - 1
        if 0 < i < len(text) - 1 and (char == " " or fresh or not plain) and reached > WIDTH:
            before_space = text[i if plain else i + 1] == " "
            parts.append("\\\n" + " " * indent + ("\\" if before_space else ""))
            column = indent + before_space
        if plain:
            parts.append(char)
            column += 1
        fresh = not plain
    return "".join([*parts, '"'])


def _escaped(char: str) -> str:
    if char in _NAMED:
        return "\\" + _NAMED[char]
    if _PRINTABLE.fullmatch(char):
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _key(name: str) -> str:
    if name in _QUOTED_KEYS or name[0] in _SUSPICIOUS:
        return _quoted(name, 0, 0)
    if _SURELY_PLAIN.fullmatch(name):
        return name
    import io

    from yaml.emitter import Emitter

    found = Emitter(io.StringIO(), allow_unicode=True).analyze_scalar(name)
    if found.allow_block_plain and not found.multiline:
        return name
    if found.allow_single_quoted and not found.multiline:
        return "'" + name.replace("'", "''") + "'"
    return _quoted(name, 0, 0)
