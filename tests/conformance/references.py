"""What a server chooses becomes a reference by JSON path: `<id:1>`. The same value twice is the same reference.

A value that the case itself sent is never a reference, so what was stored must come back as it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from . import json_spans


class Rule(NamedTuple):
    """Values at matching paths that look as they should become references of a kind."""

    path: re.Pattern[str]
    looks: Callable[[Any], bool]
    kind: str
    #: numbered by value; otherwise the value is only said to be there
    numbered: bool = True


def _text(pattern: str) -> Callable[[Any], bool]:
    compiled = re.compile(pattern)
    return lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None


def _whole(value: Any, least: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _millis(value: Any) -> bool:
    return _whole(value, 1_600_000_000_000)


_AUTO_ID = _text(r"[A-Za-z0-9_-]{20}")
_UUID = _text(r"[A-Za-z0-9_-]{22}")

RULES = (
    Rule(re.compile(r"took"), _whole, "took", numbered=False),
    Rule(re.compile(r"(?:.*\.)?(?:_id|task_id|model_id)"), _AUTO_ID, "id"),
    Rule(re.compile(r"(?:.*\.)?(?:worker_node(?:\[\d+\])?|node)"), _UUID, "node"),
    Rule(re.compile(r"(?:.*\.)?create_time"), _millis, "create_time"),
    Rule(re.compile(r"(?:.*\.)?last_update_time"), _millis, "last_update_time"),
    Rule(re.compile(r"(?:.*\.)?(?:index_)?uuid"), _UUID, "uuid"),
    Rule(re.compile(r"(?:.*\.)?creation_date"), _text(r"\d{13}"), "creation_date", numbered=False),
    Rule(re.compile(r"(?:.*\.)?settings\.index\.version\.created"), _text(r"\d+"), "index_version", numbered=False),
    Rule(re.compile(r"(?:.*\.)?model_content"), _text(r"[A-Za-z0-9+/=\s]+"), "model_content", numbered=False),
)
_YAML_TOOK = (re.compile(r"^took: \d+$", re.MULTILINE), "took: <took>")


class References:
    """The references of one case, in the order in which its compared replies show the values."""

    def __init__(self, given: str, host: str = "") -> None:
        self._given = given
        self._host = host
        self._names: dict[tuple[str, Any], str] = {}
        self._counts: dict[str, int] = {}
        self._known: dict[str, str] = {}

    def know(self, value: str) -> None:
        """Make a saved value a reference wherever it is mentioned, if a server made it up."""
        if value not in self._given and (_AUTO_ID(value) or _UUID(value)):
            self._name("id", value)

    def apply(
        self, text: str, volatile: Mapping[str, str] | None = None, replace: tuple[Mapping[str, str], ...] = ()
    ) -> str:
        """Give the text of a body with references in it, in all else as it was."""
        node = json_spans.parse(text)
        if node is None:
            text = self._mentions(_YAML_TOOK[0].sub(_YAML_TOOK[1], text))
        else:
            patterns = [path_pattern(path) for path in volatile or {}]
            text = json_spans.rewrite(text, node, lambda at: self._exchange(at, patterns))
        for rule in replace:
            text = re.sub(rule["pattern"], rule["with"], text)
        return text

    def _exchange(self, node: json_spans.Node, volatile: list[re.Pattern[str]]) -> str | None:
        if any(pattern.fullmatch(node.path) for pattern in volatile):
            return '"<volatile>"'
        if node.is_object or node.is_array:
            return None
        if (reference := self._reference(node)) is not None:
            return json.dumps(reference)
        if isinstance(node.value, str) and node.path.endswith("stack_trace"):
            return json.dumps(self._mentions(node.value.partition("\n\tat ")[0]) + " <at>", ensure_ascii=False)
        if isinstance(node.value, str) and (told := self._mentions(node.value)) != node.value:
            return json.dumps(told, ensure_ascii=False)
        return None

    def _reference(self, node: json_spans.Node) -> str | None:
        for rule in RULES:
            if rule.path.fullmatch(node.path) and rule.looks(node.value):
                if rule.kind != "took" and str(node.value) in self._given:
                    return None
                return self._name(rule.kind, node.value) if rule.numbered else f"<{rule.kind}>"
        return None

    def _name(self, kind: str, value: Any) -> str:
        if isinstance(value, str) and value in self._known:
            return self._known[value]
        if (kind, value) not in self._names:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._names[kind, value] = f"<{kind}:{self._counts[kind]}>"
            if isinstance(value, str):
                self._known[value] = self._names[kind, value]
        return self._names[kind, value]

    def _mentions(self, text: str) -> str:
        """Replace known ids, and the server's own address, inside a longer text."""
        for value, name in self._known.items():
            text = text.replace(value, name)
        return text.replace(self._host, "<host>") if self._host else text


def path_pattern(path: str) -> re.Pattern[str]:
    """Return what matches a JSON path in which `[*]` is any index and `*` anything."""
    return re.compile(re.escape(path).replace(r"\[\*\]", r"\[\d+\]").replace(r"\*", ".*"))
