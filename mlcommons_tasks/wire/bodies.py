"""Request bodies of other formats as JSON, so that one reader does for all. Pure.

YAML is typed as Jackson does it: `yes` and dates are texts. SMILE cannot be read: nobody maintains a reader for Python.
"""

from __future__ import annotations

import base64
import functools
import re
from typing import Any

from mlcommons_tasks.errors import JsonParseError
from mlcommons_tasks.wire.media_types import MediaType
from mlcommons_tasks.wire.rendering import render_json

BROKEN_YAML = "marked_y_a_m_l_exception"
_SOURCE = "[Source: (org.opensearch.core.common.io.stream.InputStreamStreamInput); line: {line}, column: {column}]"
_YAML = "tag:yaml.org,2002:"
_BOOLEAN = re.compile("true|True|TRUE|false|False|FALSE")


def json_of(payload: bytes, kind: MediaType) -> bytes | None:
    """Return a body as JSON, one that is JSON as it is; None for SMILE.

    Raises:
        JsonParseError: it is not what it says it is.
    """
    if kind is MediaType.JSON or not payload:
        return payload
    if kind is MediaType.YAML:
        return render_json(_plain(_from_yaml(payload)))
    return render_json(_plain(_from_cbor(payload))) if kind is MediaType.CBOR else None


def _from_yaml(payload: bytes) -> Any:
    import yaml

    try:
        return yaml.load(payload, _yaml_loader())  # noqa: S506 - it is a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = _SOURCE.format(line=mark.line + 1 if mark else 1, column=mark.column + 1 if mark else 1)
        kind = JsonParseError.type if isinstance(error, yaml.constructor.ConstructorError) else BROKEN_YAML
        raise JsonParseError(f"{error.problem}\n at {place}", type=kind) from error
    except (yaml.YAMLError, ValueError) as error:
        raise JsonParseError(str(error), type=BROKEN_YAML) from error


@functools.cache
def _yaml_loader() -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Types scalars as Jackson does, and refuses a repeated key."""

        yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own way
            first: [(tag, shape) for tag, shape in found if tag in (f"{_YAML}int", f"{_YAML}float", f"{_YAML}null")]
            for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            """Return an object."""
            names = set()
            for key, _ in node.value:
                if key.value in names:
                    mark = yaml.Mark("", 0, key.end_mark.line, key.end_mark.column, None, 0)
                    raise yaml.constructor.ConstructorError(None, None, f"Duplicate field '{key.value}'", mark)
                names.add(key.value)
            return {key.value: self.construct_object(value, deep=True) for key, value in node.value}

    Loader.add_implicit_resolver(f"{_YAML}bool", _BOOLEAN, list("tTfF"))
    Loader.add_constructor(f"{_YAML}map", Loader.construct_mapping)
    return Loader


def _from_cbor(payload: bytes) -> Any:
    import cbor2

    try:
        return cbor2.loads(payload)
    except (cbor2.CBORDecodeError, ValueError) as error:
        raise JsonParseError(str(error)) from error


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return value if value is None or isinstance(value, (str, bool, int, float)) else str(value)
