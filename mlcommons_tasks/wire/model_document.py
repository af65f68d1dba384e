"""A stored model as GET shows it. The content is handed on as the text it is, never looked into.

Source: ml-commons 3.6.0 `MLModel.parse`, `MLModel.toXContent`, `GetModelTransportAction`; seen in recordings.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

from mlcommons_tasks.errors import IllegalArgument, ServerError, StatusError, error_of
from mlcommons_tasks.versions import CURRENT, Profile
from mlcommons_tasks.wire.json_reader import DocumentReader, JsonReader
from mlcommons_tasks.wire.model_parts import (
    cast_error,
    read_deploy_setting,
    read_guardrails,
    read_interface,
    read_model_config,
    read_rate_limiter,
    read_remote_config,
    read_text_embedding_config,
)
from mlcommons_tasks.wire.records import (
    Reader,
    function_reader,
    read_fields,
    read_texts,
    text_or_null,
    user_reader,
)

#: The order in which the plugin renders a model.
RENDERED = (
    "name",
    "model_group_id",
    "algorithm",
    "model_version",
    "model_content",
    "user",
    "description",
    "model_format",
    "model_state",
    "model_content_size_in_bytes",
    "model_content_hash_value",
    "model_config",
    "deploy_setting",
    "is_enabled",
    "is_controller_enabled",
    "rate_limiter",
    "created_time",
    "last_updated_time",
    "last_registered_time",
    "last_deployed_time",
    "last_undeployed_time",
    "model_id",
    "auto_redeploy_retry_times",
    "chunk_number",
    "total_chunks",
    "planning_worker_node_count",
    "current_worker_node_count",
    "planning_worker_nodes",
    "deploy_to_all_nodes",
    "is_hidden",
    "connector",
    "connector_id",
    "guardrails",
    "interface",
    "tenant_id",
)
LOADED = frozenset({"LOADED", "LOADING", "PARTIALLY_LOADED", "DEPLOYED", "DEPLOYING", "PARTIALLY_DEPLOYED"})
STATES = LOADED | {"TRAINED", "UPLOADING", "UPLOADED", "UNLOADED", "LOAD_FAILED"}
STATES |= {"REGISTERING", "REGISTERED", "UNDEPLOYED", "DEPLOY_FAILED"}
FORMATS = frozenset({"ONNX", "TORCH_SCRIPT"})
OTHER_NAMES = {
    "last_registered_time": "last_uploaded_time",
    "last_deployed_time": "last_loaded_time",
    "last_undeployed_time": "last_unloaded_time",
    "model_content": "content",
}
ALGORITHM_FIELDS = ("algorithm", "function_name")
TOO_DEEP = "The model is nested deeper than this service reads"
NO_PRIVILEGE = "User doesn't have privilege to perform this operation on this model"
_LOCAL = 43  #: where `MLModel.parse` keeps a field's name


def read_model(payload: bytes, profile: Profile = CURRENT) -> dict[str, Any]:
    """Return a stored model as the plugin renders it.

    Raises:
        TaskPluginError: the plugin cannot read it; its words, its status.
    """
    reader = DocumentReader(payload)
    reader.next()
    try:
        found = read_fields(reader, _readers(profile, _config_kind(payload)), _LOCAL)
    except RecursionError as error:
        raise IllegalArgument(TOO_DEEP) from error
    if algorithms := [value for name, value in found.items() if name in ALGORITHM_FIELDS]:
        found["algorithm"] = algorithms[-1]
    for name, older in OTHER_NAMES.items():
        found.setdefault(name, found.get(older))
    found.setdefault("model_version", str(found.get("version", "null")))
    if profile.hides_models:
        found.setdefault("is_hidden", False)
    found["deploy_to_all_nodes"] = found.get("deploy_to_all_nodes") or None
    found["planning_worker_nodes"] = found.get("planning_worker_nodes") or None
    return {name: found[name] for name in RENDERED if found.get(name) is not None}


def render_model(payload: bytes, profile: Profile = CURRENT) -> dict[str, Any]:
    """Return what GET answers for a stored source.

    Raises:
        TaskPluginError: the plugin cannot read it, or it is hidden; its words, its status.
    """
    hidden = profile.hides_models and _hidden(said(payload, ("algorithm", "is_hidden")))
    model = read_model(payload, profile)
    if hidden:
        raise StatusError(NO_PRIVILEGE, 403)
    return model


def check_deletion(payload: bytes, profile: Profile = CURRENT) -> bool:
    """Return whether a model to delete may have chunks; refuse one that is hidden, in use, or says too little.

    Raises:
        TaskPluginError: the plugin's words for it.
    """
    if profile.deployed_stays is None:  # the document is not looked at
        return False
    model = read_model(payload, profile)
    if _flag(said(payload, ("is_hidden",)).get("is_hidden")):
        raise StatusError(NO_PRIVILEGE, 403)
    state = model.get("model_state")
    if state is None:
        raise ServerError(
            'Cannot invoke "org.opensearch.ml.common.model.MLModelState.equals(Object)" because "mlModelState" is null',
            type="null_pointer_exception",
        )
    if state in LOADED:
        raise error_of(profile.deployed_stays)
    if "algorithm" not in model:
        raise ServerError(
            'Cannot invoke "org.opensearch.ml.common.FunctionName.name()" because the return value of'
            ' "org.opensearch.ml.common.MLModel.getAlgorithm()" is null',
            type="null_pointer_exception",
        )
    return bool(model["algorithm"] != "REMOTE")


def said(payload: bytes, names: Iterable[str]) -> dict[str, Any]:
    """Return some of a stored source's own fields as they stand there; nothing else is kept, however deep it is."""
    known: dict[str, Reader] = dict.fromkeys(names, JsonReader.value)
    reader = DocumentReader(payload)
    reader.next()
    return read_fields(reader, known, _LOCAL)


def _hidden(source: dict[str, Any]) -> bool:
    """Return whether the model is hidden, by what the plugin looks at before it parses.

    Raises:
        ServerError: the document says nothing of an algorithm, or `is_hidden` is no boolean.
    """
    if source.get("algorithm") is None:
        raise ServerError(
            'Cannot invoke "Object.toString()" because the return value of "java.util.Map.get(Object)" is null',
            type="null_pointer_exception",
        )
    return _flag(source.get("is_hidden"))


def _flag(hidden: Any) -> bool:
    """Return a value that Java casts to a Boolean; ServerError if it is none."""
    if hidden is not None and not isinstance(hidden, bool):
        raise cast_error(hidden, "java.lang.Boolean")
    return bool(hidden)


def _one_of(words: frozenset[str], complaint: str) -> Reader:
    def read(reader: JsonReader) -> str:
        word = reader.string()
        if word not in words:
            raise IllegalArgument(complaint)
        return word

    return read


def _uncoerced(reader: JsonReader) -> int:
    return reader.integer(coerce=False)


def _connector(reader: JsonReader) -> dict[str, Any]:
    return {name: value for name, value in reader.value().items() if name != "credential"}


_COMMON: Mapping[str, Reader] = {
    **dict.fromkeys(("name", "model_group_id", "model_version"), JsonReader.string),
    **dict.fromkeys(("model_id", "description", "model_content_hash_value", "connector_id"), JsonReader.string),
    **dict.fromkeys(("version", "chunk_number", "total_chunks"), _uncoerced),
    **dict.fromkeys(("auto_redeploy_retry_times", "planning_worker_node_count"), JsonReader.integer),
    "current_worker_node_count": JsonReader.integer,
    "model_content_size_in_bytes": JsonReader.long,
    **dict.fromkeys(("created_time", "last_updated_time", *OTHER_NAMES, *OTHER_NAMES.values()), JsonReader.long),
    **dict.fromkeys(("model_content", "content"), JsonReader.string),
    **dict.fromkeys(("is_enabled", "is_controller_enabled", "deploy_to_all_nodes", "is_hidden"), JsonReader.boolean),
    "model_format": _one_of(FORMATS, "Wrong model format"),
    "model_state": _one_of(STATES, "Wrong model state"),
    "deploy_setting": read_deploy_setting,
    "rate_limiter": read_rate_limiter,
    "guardrails": read_guardrails,
    "planning_worker_nodes": read_texts,
    "connector": _connector,
    "interface": read_interface,
    "tenant_id": text_or_null,
}


#: Who reads `model_config`, by what the document itself calls its algorithm, and by the letter.
_CONFIGS: Mapping[str | None, Reader] = {
    None: read_model_config,
    "TEXT_EMBEDDING": read_text_embedding_config,
    "REMOTE": read_remote_config,
    **dict.fromkeys(("METRICS_CORRELATION", "QUESTION_ANSWERING"), JsonReader.value),
}


def _config_kind(payload: bytes) -> str | None:
    """Return the key in _CONFIGS of a document that has a `model_config`."""
    if b"model_config" not in payload:
        return None
    found = said(payload, ALGORITHM_FIELDS)
    name = found.get("function_name") or found.get("algorithm")
    return name if isinstance(name, str) and name in _CONFIGS else None


@functools.cache
def _readers(profile: Profile, config_kind: str | None) -> Mapping[str, Reader]:
    """Return a reader for each field."""
    readers = {**_COMMON, **dict.fromkeys(ALGORITHM_FIELDS, function_reader(profile)), "user": user_reader(profile)}
    readers["model_config"] = _CONFIGS[config_kind]
    return readers if profile.hides_models else {name: read for name, read in readers.items() if name != "is_hidden"}
