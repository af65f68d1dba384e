"""A stored task as GET shows it: parsed and rendered anew, in one order of keys, unknown fields left out.

Source: ml-commons 3.6.0 `MLTask.parse` and `MLTask.toXContent`; common-utils `User`. `_search` shows what is stored.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar

from mlcommons_tasks.errors import IllegalArgument
from mlcommons_tasks.task import FunctionName, InputType, TaskState, TaskType
from mlcommons_tasks.wire.json_reader import JsonReader

Member = TypeVar("Member", bound=Enum)
Reader = Callable[[JsonReader], Any]

#: The order in which the plugin renders a task.
RENDERED = (
    "task_id",
    "model_id",
    "task_type",
    "function_name",
    "state",
    "input_type",
    "progress",
    "output_index",
    "worker_node",
    "create_time",
    "last_update_time",
    "error",
    "user",
    "is_async",
    "remote_job",
    "response",
    "tenant_id",
)


def render_task(payload: bytes) -> dict[str, Any]:
    """Return what GET answers for a stored source.

    Raises:
        TaskPluginError: the source is one that the plugin cannot read; its words, its status.
    """
    found = {"is_async": False, **_fields(JsonReader(payload), _READERS)}
    return {name: found[name] for name in RENDERED if found.get(name) is not None}


def read_user(reader: JsonReader) -> dict[str, Any]:
    """Return a `user` object as the plugin renders it; the reader stands on its start."""
    found = _fields(reader, _USER_READERS, entered=True)
    return {
        "name": found.get("name", ""),
        "backend_roles": found.get("backend_roles", []),
        "roles": found.get("roles", []),
        "user_requested_tenant": found.get("user_requested_tenant"),
        "user_requested_tenant_access": found.get("user_requested_tenant_access"),
        "custom_attribute_names": found.get("custom_attribute_names", []),
    }


def read_function_name(reader: JsonReader) -> str:
    """Return a `function_name`, in whatever case it is written.

    Raises:
        IllegalArgument: there is no such function.
    """
    name = reader.string().upper()
    if name not in FunctionName.__members__:
        raise IllegalArgument("Wrong function name")
    return name


def _fields(reader: JsonReader, known: dict[str, Reader], *, entered: bool = False) -> dict[str, Any]:
    """Read the fields that `known` has a reader for; step over the others."""
    if not entered:
        reader.next()
    reader.expect("START_OBJECT")
    found: dict[str, Any] = {}
    while (token := reader.next()) is not None and token.name != "END_OBJECT":
        name = reader.field_name or ""
        reader.next()
        if name in known:
            found[name] = known[name](reader)
        else:
            reader.skip_children()
    return found


def _constant_of(kind: type[Member], java_name: str) -> Reader:
    def read(reader: JsonReader) -> str:
        name = reader.string()
        if name not in kind.__members__:
            raise IllegalArgument(f"No enum constant {java_name}.{name}")
        return name

    return read


def _texts(reader: JsonReader) -> list[str]:
    reader.expect("START_ARRAY")
    texts: list[str] = []
    while (token := reader.next()) is not None and token.name != "END_ARRAY":
        texts.append(reader.string())
    return texts


def _text_or_null(reader: JsonReader) -> str | None:
    return None if reader.token is not None and reader.token.name == "VALUE_NULL" else reader.string()


def _worker_node(reader: JsonReader) -> list[str]:
    if reader.token is not None and reader.token.name == "START_ARRAY":
        return _texts(reader)
    nodes = reader.string().split(",")
    while len(nodes) > 1 and not nodes[-1]:  # Java's split drops empty strings at the end
        nodes.pop()
    return nodes


def _attributes(reader: JsonReader) -> list[str]:
    attributes = _texts(reader)
    for attribute in attributes:
        if "=" not in attribute:
            raise IllegalArgument(f"No '=' present: {attribute}")
    return attributes


def _progress(reader: JsonReader) -> float:
    """Return a 32-bit float as the double whose shortest decimal is the same, for that is what is printed."""
    single = reader.single()
    for digits in range(1, 10):
        candidate = float(f"{single:.{digits}g}")
        if struct.unpack("f", struct.pack("f", candidate))[0] == single:
            return candidate
    return single


def _map(reader: JsonReader) -> dict[str, Any]:
    """Return an object as it is; `parser.map()` makes an empty one of anything else."""
    if reader.token is not None and reader.token.name == "START_OBJECT":
        return dict(reader.value())
    reader.skip_children()
    return {}


_READERS: dict[str, Reader] = {
    "task_id": JsonReader.string,
    "model_id": JsonReader.string,
    "task_type": _constant_of(TaskType, "org.opensearch.ml.common.MLTaskType"),
    "function_name": read_function_name,
    "state": _constant_of(TaskState, "org.opensearch.ml.common.MLTaskState"),
    "input_type": _constant_of(InputType, "org.opensearch.ml.common.dataset.MLInputDataType"),
    "progress": _progress,
    "output_index": JsonReader.string,
    "worker_node": _worker_node,
    "create_time": JsonReader.long,
    "last_update_time": JsonReader.long,
    "error": JsonReader.string,
    "user": read_user,
    "is_async": JsonReader.boolean,
    "remote_job": _map,
    "response": _map,
    "tenant_id": _text_or_null,
}
_USER_READERS: dict[str, Reader] = {
    "name": JsonReader.string,
    "backend_roles": _texts,
    "roles": _texts,
    "custom_attribute_names": _attributes,
    "user_requested_tenant": _text_or_null,
    "user_requested_tenant_access": _text_or_null,
}
