"""YAML as JSON, typed as Jackson does it: `yes` and dates are texts, an alias is its name, and tags count for little.

Event by event, so that nothing is ever repeated or nested in memory: a few aliases may mean gigabytes. Pure.
Source: jackson-dataformat-yaml 2.x `YAMLParser`; asked of a node.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from mlcommons_tasks.errors import JsonParseError
from mlcommons_tasks.wire.json_scanner import MAX_NUMBER_LENGTH
from mlcommons_tasks.wire.json_text import JsonText
from mlcommons_tasks.wire.json_tokens import MAX_DEPTH

BROKEN_YAML = "marked_y_a_m_l_exception"
_SOURCE = "[Source: (org.opensearch.core.common.io.stream.InputStreamStreamInput); line: {line}, column: {column}]"
DEPTH_IN_WORDS, LENGTH_IN_WORDS = 50, 64 * 1024  #: up to which a mistake is looked for a second time
_BOOLEANS = {word: word.lower() == "true" for word in ("true", "True", "TRUE", "false", "False", "FALSE")}
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_INTEGER = re.compile(r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]+|0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(?:[0-9][0-9_]*)?\.[0-9]*(?:[eE][-+][0-9]+)?")
_EXPLICIT = "tag:yaml.org,2002:"


def json_of_yaml(payload: bytes) -> bytes:
    """Return the first document of a YAML stream as JSON, nothing if there is none.

    What is nested beyond any reader's limit is left out, and the JSON is then cut off there.

    Raises:
        JsonParseError: it is not YAML, or repeats a key.
    """
    import yaml

    fast = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _json_of(payload, fast)
    except _BrokenYaml as error:
        if error.deepest > DEPTH_IN_WORDS or len(payload) > LENGTH_IN_WORDS:
            raise error.told from error
    try:  # the slow one says what is wrong in the words that OpenSearch's has, and takes its time over deep nesting
        return _json_of(payload, yaml.SafeLoader)
    except _BrokenYaml as error:
        raise error.told from error


class _BrokenYaml(Exception):
    """Something is wrong, found when so many levels were open at most."""

    def __init__(self, told: JsonParseError, deepest: int) -> None:
        super().__init__(told)
        self.told = told
        self.deepest = deepest


def _json_of(payload: bytes, kind: Any) -> bytes:
    import yaml

    out = JsonText()
    try:
        _write(_events(kind(payload)), out)
    except yaml.MarkedYAMLError as error:
        raise _BrokenYaml(_broken(str(error.problem), error.problem_mark, BROKEN_YAML), out.deepest) from error
    except (yaml.YAMLError, ValueError) as error:
        raise _BrokenYaml(JsonParseError(str(error), type=BROKEN_YAML), out.deepest) from error
    return out.payload()


def _events(loader: Any) -> Iterator[Any]:
    """Yield what the first document has in it."""
    import yaml

    while loader.check_event(yaml.StreamStartEvent, yaml.DocumentStartEvent):
        loader.get_event()
    while not loader.check_event(yaml.DocumentEndEvent, yaml.StreamEndEvent):
        yield loader.get_event()


def _write(events: Iterator[Any], out: JsonText) -> None:
    import yaml

    names: list[set[str] | None] = []  # of the objects that are open, None for an array
    wants_name: list[bool] = []
    for event in events:
        if isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            names.pop()
            wants_name.pop()
            out.end()
            continue
        if wants_name and wants_name[-1]:
            _name(event, names[-1], out)
            wants_name[-1] = False
            continue
        if wants_name:
            wants_name[-1] = names[-1] is not None
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            is_object = isinstance(event, yaml.MappingStartEvent)
            out.begin(is_object=is_object)
            if out.deepest > MAX_DEPTH:
                return
            names.append(set() if is_object else None)
            wants_name.append(is_object)
        else:
            out.scalar(event.anchor if isinstance(event, yaml.AliasEvent) else _scalar(event))


def _name(event: Any, taken: Any, out: JsonText) -> None:
    import yaml

    if not isinstance(event, (yaml.ScalarEvent, yaml.AliasEvent)):
        shown = f"org.yaml.snakeyaml.events.{type(event).__name__}"
        implicit = str(event.implicit).lower()
        reason = (
            "Expected a field name (Scalar value in YAML), got this instead:"
            f" <{shown}(anchor={event.anchor or 'null'}, tag={event.tag or 'null'}, implicit={implicit})>"
        )
        raise _broken(reason, event.end_mark, JsonParseError.type)
    name = str(event.anchor if isinstance(event, yaml.AliasEvent) else event.value)
    if name in taken:
        mark: Any = event.end_mark
        raise _broken(
            f"Duplicate field '{name}'", yaml.Mark("", 0, mark.line, mark.column, None, 0), JsonParseError.type
        )
    taken.add(name)
    out.name(name)


def _scalar(event: Any) -> Any:
    """Return the value of a scalar: only what is not quoted and has no tag of its own may be more than a text."""
    text = str(event.value)
    tag = str(event.tag or "").removeprefix(_EXPLICIT)
    if tag == "null" or (event.implicit[0] and text in _NULLS):
        return None
    if not event.implicit[0] or len(text) > MAX_NUMBER_LENGTH:
        return text
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return _integer(text.replace("_", ""))
    if _FLOAT.fullmatch(text) and any(map(str.isdigit, text)):
        return float(text.replace("_", ""))
    return text


def _integer(text: str) -> int | str:
    digits = text.lstrip("+-")
    sign = -1 if text.startswith("-") else 1
    for mark, base in (("0x", 16), ("0b", 2), ("0", 8)):
        if digits.startswith(mark) and len(digits) > len(mark):
            return sign * int(digits[len(mark) :], base)
    return sign * int(digits)


def _broken(problem: str, mark: Any, kind: str) -> JsonParseError:
    place = _SOURCE.format(line=mark.line + 1 if mark else 1, column=mark.column + 1 if mark else 1)
    return JsonParseError(f"{problem}\n at {place}", type=kind)
