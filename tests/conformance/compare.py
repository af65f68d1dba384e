"""Compares two lists of replies: status, headers, body with key order. Inside `_source` key order does not count."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from . import json_spans
from .player import Reply


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it was expected."""

    #: counted from 1 over the compared steps
    step: int
    request: str
    what: str
    expected: str
    actual: str

    def __str__(self) -> str:
        if "\n" not in self.expected + self.actual and len(self.expected + self.actual) < 160:
            return f"step {self.step}  {self.request}\n  {self.what}: expected {self.expected}, got {self.actual}"
        lines = difflib.unified_diff(
            self.expected.splitlines(), self.actual.splitlines(), "expected", "actual", lineterm="", n=4
        )
        return f"step {self.step}  {self.request}\n  {self.what}:\n    " + "\n    ".join(lines)


def differences(expected: Sequence[Reply], actual: Sequence[Reply]) -> list[Difference]:
    """Compare what two servers answered to the same case."""
    found = [
        difference
        for number, (left, right) in enumerate(zip(expected, actual, strict=False), 1)
        for difference in _of_reply(number, left, right)
    ]
    if len(expected) != len(actual):
        found.append(Difference(len(expected), "", "number of replies", str(len(expected)), str(len(actual))))
    return found


def _of_reply(number: int, expected: Reply, actual: Reply) -> Iterator[Difference]:
    def difference(what: str, left: object, right: object) -> Difference:
        return Difference(number, expected.request, what, str(left), str(right))

    if expected.status != actual.status:
        yield difference("status", expected.status, actual.status)
    for name in sorted({*expected.headers, *actual.headers}):
        left, right = expected.headers.get(name), actual.headers.get(name)
        if left != right:
            yield difference(f"header {name}", left, right)
    if expected.base64 != actual.base64:
        yield difference("bytes", expected.base64, actual.base64)
    left_text, right_text = expected.text or "", actual.text or ""
    if canonical(left_text) == canonical(right_text):
        return
    left_shown, right_shown = readable(left_text), readable(right_text)
    if left_shown == right_shown:
        yield difference("body, same values in another text", left_text, right_text)
    else:
        yield difference("body", left_shown, right_shown)


def canonical(text: str) -> str:
    """The text with the keys of every `_source` sorted; all else as it is."""
    node = json_spans.parse(text)
    if node is None:
        return text
    return json_spans.rewrite(text, node, lambda at: _sorted_source(text, at))


def readable(text: str) -> str:
    """JSON over several lines for a diff, in the order it has but for `_source`."""
    if json_spans.parse(text) is None:
        return text
    return json.dumps(json.loads(canonical(text)), indent=2, ensure_ascii=False)


def _sorted_source(text: str, node: json_spans.Node) -> str | None:
    if not node.is_object or not (node.path == "_source" or node.path.endswith("._source")):
        return None
    return json.dumps(json.loads(text[node.start : node.end]), sort_keys=True, ensure_ascii=False)
