"""A stored task as GET shows it: parsed and rendered anew, in one order of keys, unknown fields left out.

Source: ml-commons 3.6.0 `MLTask.parse` and `MLTask.toXContent`. `_search` shows what is stored.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Mapping
from typing import Any

from mlcommons_tasks.java import Single
from mlcommons_tasks.versions import CURRENT, Profile
from mlcommons_tasks.wire.json_reader import DocumentReader, JsonReader
from mlcommons_tasks.wire.records import (
    Reader,
    constant_of,
    function_reader,
    local_of_name,
    read_fields,
    read_map,
    read_texts,
    text_or_null,
    user_reader,
)

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


def render_task(payload: bytes, profile: Profile = CURRENT) -> dict[str, Any]:
    """Return what GET answers for a stored source.

    Raises:
        TaskPluginError: the source is one that the plugin cannot read; its words, its status.
    """
    reader = DocumentReader(payload)
    reader.next()
    readers = _readers(profile)
    found = {"is_async": False, **read_fields(reader, readers, local_of_name(len(readers)))}
    return {name: found[name] for name in RENDERED if found.get(name) is not None}


def _worker_node(reader: JsonReader) -> list[str]:
    if reader.token is not None and reader.token.name == "START_ARRAY":
        return read_texts(reader)
    nodes = reader.string().split(",")
    while len(nodes) > 1 and not nodes[-1]:  # Java's split drops empty strings at the end
        nodes.pop()
    return nodes


def _progress(reader: JsonReader) -> Single:
    """Return a 32-bit float as the double whose shortest decimal is the same, for that is what is printed."""
    single = reader.single()
    for digits in range(1, 10):
        candidate = float(f"{single:.{digits}g}")
        if struct.unpack("f", struct.pack("f", candidate))[0] == single:
            return Single(candidate)
    return Single(single)


@functools.cache
def _readers(profile: Profile) -> Mapping[str, Reader]:
    """Return a reader for each field that the version knows."""
    readers: dict[str, Reader] = {
        "task_id": JsonReader.string,
        "model_id": JsonReader.string,
        "task_type": constant_of(profile.task_types, f"{profile.enum_package}.MLTaskType"),
        "function_name": function_reader(profile),
        "state": constant_of(profile.task_states, f"{profile.enum_package}.MLTaskState"),
        "input_type": constant_of(profile.input_types, "org.opensearch.ml.common.dataset.MLInputDataType"),
        "progress": _progress,
        "output_index": JsonReader.string,
        "worker_node": _worker_node if profile.lists_worker_nodes else JsonReader.string,
        "create_time": JsonReader.long,
        "last_update_time": JsonReader.long,
        "error": JsonReader.string,
        "user": user_reader(profile),
        "is_async": JsonReader.boolean,
        "remote_job": read_map,
        "response": read_map,
        "tenant_id": text_or_null,
    }
    return {name: reader for name, reader in readers.items() if name not in profile.unknown_task_fields}
