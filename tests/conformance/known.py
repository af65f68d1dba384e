"""Known differences as data: `known_differences*.json`, a file per version that is replayed. Each has its reason.

A case id maps to a reason, or to `{"because": …, "in": [JSON path, …]}`: then only the values at these paths may
differ, and all else of the case is compared. A reason that is a key of `reasons` stands for the text there.
Strict: a case that answers alike after all must leave the file.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import json_spans
from .compare import Difference, differences
from .player import Reply
from .references import path_pattern

FOLDER = Path(__file__).parent
FORWARDED = "X-OpenSearch-Version"  #: in a reply that is forwarded it is the node's


@dataclasses.dataclass(frozen=True)
class Mark:
    """Why a case differs, and where; without paths everywhere."""

    because: str
    paths: tuple[str, ...] = ()


def known(version: str, default: str) -> dict[str, Mark]:
    """Read the marks of a version by case id."""
    name = "known_differences.json" if version == default else f"known_differences_{version}.json"
    written: dict[str, Any] = json.loads((FOLDER / name).read_text("utf-8"))
    reasons: Mapping[str, str] = written.pop("reasons", {})
    return {case_id: _mark(value, reasons) for case_id, value in written.items()}


def _mark(value: str | Mapping[str, Any], reasons: Mapping[str, str]) -> Mark:
    if isinstance(value, str):
        return Mark(reasons.get(value, value))
    return Mark(reasons.get(value["because"], value["because"]), tuple(value["in"]))


def beyond(mark: Mark, expected: Sequence[Reply], actual: Sequence[Reply]) -> list[Difference]:
    """Return the differences that a mark does not allow."""
    if not mark.paths:
        return []
    return differences([_without(reply, mark) for reply in expected], [_without(reply, mark) for reply in actual])


def over_another_version(replies: Sequence[Reply]) -> list[Reply]:
    """Leave out of replies what the node says of its own version: it is not the one that is emulated."""
    return [
        reply
        if reply.request.partition(" ")[2].startswith("/_plugins/_ml/")
        else dataclasses.replace(reply, headers={k: v for k, v in reply.headers.items() if k != FORWARDED})
        for reply in replies
    ]


def _without(reply: Reply, mark: Mark) -> Reply:
    """Leave out of a JSON body what stands at the mark's paths, in lists put a placeholder."""
    if reply.text is None or json_spans.parse(reply.text) is None:
        return reply
    patterns = [path_pattern(path) for path in mark.paths]

    def at(path: str) -> bool:
        return any(pattern.fullmatch(path) for pattern in patterns)

    def cut(value: Any, path: str) -> Any:
        if isinstance(value, dict):
            inside = {key: f"{path}.{key}" if path else key for key in value}
            return {key: cut(item, inside[key]) for key, item in value.items() if not at(inside[key])}
        if isinstance(value, list):
            inside_list = [f"{path}[{n}]" for n in range(len(value))]
            return [
                "<differs>" if at(there) else cut(item, there) for item, there in zip(value, inside_list, strict=True)
            ]
        return value

    return dataclasses.replace(reply, text=json.dumps(cut(json.loads(reply.text), ""), ensure_ascii=False))
