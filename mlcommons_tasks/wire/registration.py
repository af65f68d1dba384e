"""What the calls that register and deploy a model may say, and the plugin's words for what they may not. Pure.

Source: ml-commons 3.6.0 `MLRegisterModelInput`, `TransportRegisterModelAction`, `MLDeployModelRequest`,
`TransportDeployModelAction`; seen in `fixtures/recordings/creations-3.6.0.json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlcommons_tasks.errors import IllegalArgument, UnreadableBody
from mlcommons_tasks.task import FunctionName
from mlcommons_tasks.versions import CURRENT, Profile
from mlcommons_tasks.wire.json_reader import JsonReader
from mlcommons_tasks.wire.model_parts import (
    read_deploy_setting,
    read_guardrails,
    read_interface,
    read_model_config,
    read_rate_limiter,
    read_remote_config,
    read_text_embedding_config,
)
from mlcommons_tasks.wire.records import Reader, function_reader, local_of_name, read_fields, read_texts, text_or_null

DEFAULT_FUNCTION = FunctionName.TEXT_EMBEDDING.value  #: of a model that is registered without one
NO_CONNECTOR = "You must provide connector content when creating a remote model without connector id!"
NO_PLAN = "Don't allow custom deployment plan"
_FORMATS = frozenset({"TORCH_SCRIPT", "ONNX"})
_NEED_NO_CONFIG = frozenset({FunctionName.SPARSE_TOKENIZE.value, FunctionName.SPARSE_ENCODING.value})
_LOCAL = 25  #: where `MLRegisterModelInput.parse` keeps a field's name


def check_registration(payload: bytes, profile: Profile = CURRENT) -> None:
    """Look at a body that registers a model.

    What a connector says is not looked at, nor whether the connector or the model group that it names is there.

    Raises:
        TaskPluginError: the plugin does not take it; its words.
    """
    reader = _begun(payload)
    found = read_fields(reader, _readers(profile), _LOCAL)
    function_name = str(found.get("function_name", DEFAULT_FUNCTION))
    is_remote = function_name == FunctionName.REMOTE.value
    if found.get("name") is None:
        raise IllegalArgument("model name is null")
    if not is_remote and found.get("model_format") is None:
        raise IllegalArgument("model format is null")
    needs_config = not is_remote and function_name not in _NEED_NO_CONFIG
    if needs_config and "url" in found and "model_config" not in found:
        raise IllegalArgument("model config is null")
    if is_remote and "connector" not in found and not found.get("connector_id", "").strip():
        raise IllegalArgument(NO_CONNECTOR)


def check_deployment(payload: bytes) -> None:
    """Look at a body that deploys a model; it may be empty.

    Raises:
        TaskPluginError: the plugin does not take it; its words.
    """
    if not payload:
        return
    found = read_fields(_begun(payload), {"node_ids": read_texts}, local_of_name(2))
    if found.get("node_ids"):
        raise IllegalArgument(NO_PLAN)


def _begun(payload: bytes) -> JsonReader:
    if not payload:
        raise UnreadableBody("request body is required")
    reader = JsonReader(payload)
    reader.next()
    reader.expect("START_OBJECT")
    return reader


def _readers(profile: Profile) -> Mapping[str, Reader]:
    """Return a reader for each field; how a config is read depends on the function that was said before it."""
    function: list[str] = []
    read_function = function_reader(profile)

    def note_function(reader: JsonReader) -> str:
        function[:] = [read_function(reader)]
        return function[0]

    def read_config(reader: JsonReader) -> Any:
        read: Reader = _CONFIGS.get("".join(function), read_model_config)
        return read(reader)

    return {**_READERS, "function_name": note_function, "model_config": read_config}


def _read_format(reader: JsonReader) -> str:
    name = reader.string().upper()
    if name not in _FORMATS:
        raise IllegalArgument("Wrong model format")
    return name


_CONFIGS: Mapping[str, Reader] = {
    FunctionName.TEXT_EMBEDDING.value: read_text_embedding_config,
    FunctionName.REMOTE.value: read_remote_config,
}
_READERS: Mapping[str, Reader] = {
    **dict.fromkeys(("name", "model_group_id", "version", "description", "url"), JsonReader.string),
    **dict.fromkeys(("model_content_hash_value", "connector_id", "access_mode"), JsonReader.string),
    **dict.fromkeys(("is_enabled", "add_all_backend_roles", "does_version_create_model_group"), JsonReader.boolean),
    "is_hidden": JsonReader.boolean,
    "rate_limiter": read_rate_limiter,
    "connector": JsonReader.value,
    "model_format": _read_format,
    "deploy_setting": read_deploy_setting,
    **dict.fromkeys(("model_node_ids", "backend_roles"), read_texts),
    "guardrails": read_guardrails,
    "interface": read_interface,
    "tenant_id": text_or_null,
}
