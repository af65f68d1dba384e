"""How OpenSearch writes a reply's body: compact JSON, pretty JSON, YAML. Knows nothing of what is in it.

Source: OpenSearch 3.6.0 `JsonXContentGenerator` (Jackson's printer with line feeds) and `YamlXContent`.
"""

from __future__ import annotations

import json
from typing import Any

JSON_CONTENT_TYPE = "application/json; charset=UTF-8"
YAML_CONTENT_TYPE = "application/yaml"


def render_json(body: Any) -> bytes:
    """Return compact JSON, as OpenSearch sends it unless asked otherwise."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def render_pretty_json(body: Any) -> bytes:
    """Return indented JSON as `?pretty` gives it: ` : ` after a key, `{ }` and `[ ]`, a line feed at the end."""
    return ("".join(_pretty(body, "")) + "\n").encode()


def render_yaml(body: Any) -> bytes:
    """Return YAML as Jackson writes it: texts always in double quotes, lists not indented."""
    if not isinstance(body, (dict, list)) or not body:
        return f"--- {_scalar(body)}\n".encode()
    return ("---\n" + "".join(_yaml(body, ""))).encode()


def _scalar(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _pretty(value: Any, indent: str) -> list[str]:
    inner = indent + "  "
    if isinstance(value, dict):
        if not value:
            return ["{ }"]
        parts = [f"{inner}{_scalar(key)} : {''.join(_pretty(item, inner))}" for key, item in value.items()]
        return ["{\n", ",\n".join(parts), f"\n{indent}}}"]
    if isinstance(value, (list, tuple)):
        if not value:
            return ["[ ]"]
        parts = [f"{inner}{''.join(_pretty(item, inner))}" for item in value]
        return ["[\n", ",\n".join(parts), f"\n{indent}]"]
    return [_scalar(value)]


def _yaml(value: Any, indent: str) -> list[str]:
    lines: list[str] = []
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, dict) and item:
                lines += [f"{indent}{key}:\n", *_yaml(item, indent + "  ")]
            elif isinstance(item, (list, tuple)) and item:
                lines += [f"{indent}{key}:\n", *_yaml(item, indent)]
            else:
                lines.append(f"{indent}{key}: {_scalar(item)}\n")
        return lines
    for item in value:
        if isinstance(item, (dict, list)) and item:
            first, *rest = _yaml(item, indent + "  ")
            lines += [f"{indent}- {first[len(indent) + 2 :]}", *rest]
        else:
            lines.append(f"{indent}- {_scalar(item)}\n")
    return lines
