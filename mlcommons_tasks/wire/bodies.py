"""Request bodies of other formats as JSON, so that one reader does for all. Pure.

SMILE cannot be read: nobody maintains a reader for Python.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from mlcommons_tasks.errors import JsonParseError
from mlcommons_tasks.wire.json_text import JsonText, in_utf8
from mlcommons_tasks.wire.media_types import MediaType
from mlcommons_tasks.wire.yaml_reader import json_of_yaml

LONGEST_TEXT = 100 * 1024 * 1024  #: of all texts in a CBOR body together; one may refer to another


def json_of(payload: bytes, kind: MediaType) -> bytes | None:
    """Return a body as JSON, one that is JSON as it is but for its encoding; None for SMILE.

    Raises:
        JsonParseError: it is not what it says it is.
        ServerError: a number is longer than Jackson takes, or the encoding is none that it reads.
    """
    if not payload:
        return payload
    if kind is MediaType.JSON:
        return in_utf8(payload)
    if kind is MediaType.YAML:
        return json_of_yaml(payload)
    return _json_of_cbor(payload) if kind is MediaType.CBOR else None


def _json_of_cbor(payload: bytes) -> bytes:
    out = JsonText()
    _write(_from_cbor(payload), out, len(payload))
    return out.payload()


def _from_cbor(payload: bytes) -> Any:
    import cbor2

    try:
        return cbor2.loads(payload)
    except Exception as error:  # what tags mean is somebody else's code, and fails in its own ways
        raise JsonParseError(str(error)) from error


def _write(root: Any, out: JsonText, budget: int) -> None:
    """Write a value; one that has more in it than `budget` bytes can hold repeats itself without end, or nearly.

    Raises:
        JsonParseError: it does.
    """
    open_ones: list[Iterator[tuple[str | None, Any]]] = [iter([(None, root)])]
    length = 0
    while open_ones:
        name, value = next(open_ones[-1], (None, out))
        if value is out:  # no more of this one
            open_ones.pop()
            if open_ones:
                out.end()
            continue
        budget -= 1
        length += len(value) if isinstance(value, (str, bytes)) else 0
        if budget < 0 or length > LONGEST_TEXT:
            raise JsonParseError("shared values that mean more than a body may hold")
        if name is not None:
            out.name(name)
        if isinstance(value, (dict, list, tuple)):
            out.begin(is_object=isinstance(value, dict))
            members = value.items() if isinstance(value, dict) else ((None, item) for item in value)
            open_ones.append((key if key is None else str(key), item) for key, item in members)
        elif isinstance(value, bytes):
            out.scalar(base64.b64encode(value).decode("ascii"))
        elif value is None or isinstance(value, (str, bool, int, float)):
            out.scalar(value)
        else:
            out.scalar(None if type(value).__name__ == "undefined" else str(value))
