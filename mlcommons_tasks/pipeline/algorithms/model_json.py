"""A model's content as JSON: how every algorithm writes it, and how what may be anything is read.

UTF-8 with sorted keys and no white space, `algorithm` and `version` in it. Floats are the shortest that read back the
same; those that JSON has no words for are `"NaN"`, `"Infinity"` and `"-Infinity"`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from mlcommons_tasks.errors import IllegalArgument
from mlcommons_tasks.java import java_repr

FORMAT_VERSION = 1
#: The texts that stand for numbers.
RUNAWAYS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def dump_model(name: str, fields: Mapping[str, Any]) -> bytes:
    """Return the content of a model of an algorithm."""
    body = {"algorithm": name, "version": FORMAT_VERSION, **fields}
    return json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def load_model(name: str, content: bytes) -> dict[str, Any]:
    """Return the JSON of a model of an algorithm; IllegalArgument for anything but one of our version."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise wrong_model(name, "no JSON") from error
    if not isinstance(body, dict) or body.get("algorithm") != name or body.get("version") != FORMAT_VERSION:
        raise wrong_model(name, f"algorithm {name} and version {FORMAT_VERSION} expected")
    return body


def wrong_model(name: str, problem: str) -> IllegalArgument:
    """Return the complaint about a model's content."""
    return IllegalArgument(f"The content is not a {name} model: {problem}")


def written(number: float) -> float | str:
    """Return what stands for a number."""
    return number if math.isfinite(number) else java_repr(number)


def is_number(value: Any) -> bool:
    """Return whether a JSON value is a number that a double can hold."""
    return math.isfinite(value) if type(value) is float else type(value) is int and abs(value) < 2**1023


def is_written(value: Any) -> bool:
    """Return whether a JSON value stands for a number."""
    return value in RUNAWAYS if type(value) is str else is_number(value)


def are_names(value: Any) -> bool:
    """Return whether a JSON value is a list of names, one at least."""
    return isinstance(value, list) and bool(value) and all(isinstance(name, str) for name in value)
