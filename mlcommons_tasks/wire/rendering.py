"""How OpenSearch writes a reply's body: JSON, YAML, CBOR, SMILE. Knows nothing of what is in it.

Source: OpenSearch 3.6.0 `JsonXContentGenerator` (Jackson's printer with line feeds), `CborXContentGenerator`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any

from mlcommons_tasks.java import Single, java_repr
from mlcommons_tasks.wire.media_types import MediaType
from mlcommons_tasks.wire.smile import render_smile
from mlcommons_tasks.wire.yaml_writer import render_yaml

JSON_CONTENT_TYPE = MediaType.JSON.value

_ESCAPED = re.compile('["\\\\\x00-\x1f\ud800-\udfff\U00010000-\U0010ffff]')
_SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


def render(body: Any, kind: MediaType, *, pretty: bool = False) -> bytes:
    """Return a body in a format; `pretty` counts for JSON only."""
    if kind is MediaType.JSON:
        return render_pretty_json(body) if pretty else render_json(body)
    return _WRITERS[kind](body)


def render_json(body: Any) -> bytes:
    """Return compact JSON, as OpenSearch sends it unless asked otherwise."""
    parts: list[str] = []
    _compact(body, parts)
    return "".join(parts).encode()


def render_pretty_json(body: Any) -> bytes:
    """Return indented JSON as `?pretty` gives it: ` : ` after a key, `{ }` and `[ ]`, a line feed at the end."""
    return (_pretty(body, "") + "\n").encode()


def render_cbor(body: Any) -> bytes:
    """Return CBOR as Jackson writes it: containers of no stated length, floats as wide as Java's."""
    import cbor2

    def single(encoder: Any, value: _Narrow) -> None:
        encoder.write(struct.pack(">Bf", 0xFA, value.number))

    return cbor2.dumps(_narrowed(body), default=single, indefinite_containers=True)


_WRITERS: dict[MediaType, Callable[[Any], bytes]] = {
    MediaType.YAML: render_yaml,
    MediaType.CBOR: render_cbor,
    MediaType.SMILE: render_smile,
}


class _Narrow:
    """A 32-bit float in disguise: cbor2 would write any float with 64 bits."""

    def __init__(self, number: float) -> None:
        self.number = number


def _narrowed(value: Any) -> Any:
    import cbor2

    if isinstance(value, dict):
        return {key: _narrowed(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_narrowed(item) for item in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**63:  # Java's BigInteger, though CBOR has room for some
        raw = abs(value).to_bytes(value.bit_length() // 8 + 1, "big")
        return cbor2.CBORTag(2 if value >= 0 else 3, raw)  # the standard has one less in a 3, Jackson has not
    return _Narrow(value) if isinstance(value, Single) else value


def _compact(value: Any, parts: list[str]) -> None:
    if isinstance(value, dict):
        mark = "{"
        for key, item in value.items():
            parts.append(f"{mark}{_text(key)}:")
            _compact(item, parts)
            mark = ","
        parts.append("}" if value else "{}")
    elif isinstance(value, (list, tuple)):
        mark = "["
        for item in value:
            parts.append(mark)
            _compact(item, parts)
            mark = ","
        parts.append("]" if value else "[]")
    else:
        parts.append(json_scalar(value))


def _pretty(value: Any, indent: str) -> str:
    inner = indent + "  "
    if isinstance(value, dict):
        if not value:
            return "{ }"
        members = (f"{inner}{_text(key)} : {_pretty(item, inner)}" for key, item in value.items())
        return "{\n" + ",\n".join(members) + f"\n{indent}}}"
    if isinstance(value, (list, tuple)):
        if not value:
            return "[ ]"
        return "[\n" + ",\n".join(f"{inner}{_pretty(item, inner)}" for item in value) + f"\n{indent}]"
    return json_scalar(value)


def json_scalar(value: Any) -> str:
    """Return a text, number, boolean or null as JSON."""
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        text = java_repr(value)
        return f'"{text}"' if text[-1] in "Ny" else text
    return str(value)


def _text(value: str) -> str:
    return f'"{_ESCAPED.sub(_escape, value)}"'


def _escape(found: re.Match[str]) -> str:
    char = found[0]
    units = char.encode("utf-16-be", "surrogatepass")
    return _SHORT.get(char) or "".join(f"\\u{units[i] << 8 | units[i + 1]:04X}" for i in range(0, len(units), 2))
