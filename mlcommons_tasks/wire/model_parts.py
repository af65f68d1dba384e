"""The objects inside a stored model and inside an update of one, read as the plugin reads them. Pure.

Each reader stands on the value's first token and gives what the plugin would write of it again.
Source: ml-commons 3.6.0 `MLRateLimiter`, `MLDeploySetting`, `BaseModelConfig`, `TextEmbeddingModelConfig`,
`RemoteModelConfig`, `Guardrails`, `LocalRegexGuardrail`, `ModelGuardrail`, `MLCreateConnectorInput`, `ConnectorAction`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mlcommons_tasks.errors import IllegalArgument, JsonParseError, ServerError, UnreadableBody
from mlcommons_tasks.java import double_of, java_order
from mlcommons_tasks.wire.json_reader import DocumentReader, JsonReader
from mlcommons_tasks.wire.records import (
    Reader,
    constant_of,
    local_of_name,
    read_fields,
    read_map,
    read_texts,
    text_or_null,
)
from mlcommons_tasks.wire.rendering import render_json

_UNITS = ("NANOSECONDS", "MICROSECONDS", "MILLISECONDS", "SECONDS", "MINUTES", "HOURS", "DAYS")
_FRAMEWORKS = frozenset({"HUGGINGFACE_TRANSFORMERS", "SENTENCE_TRANSFORMERS", "HUGGINGFACE_TRANSFORMERS_NEURON"})
_POOLINGS = frozenset({"MEAN", "MEAN_SQRT_LEN", "MAX", "WEIGHTED_MEAN", "CLS", "LAST_TOKEN", "NONE"})
_GUARDRAILS = frozenset({"local_regex", "model"})
_ENDLESS = -1  #: minutes that a model stays deployed unless somebody says
_TEXT, _LIST, _MAP = "java.lang.String", "java.util.List", "java.util.Map"
_LOCAL_OF_CONNECTOR = 18  #: where `MLCreateConnectorInput.parse`, which has two parameters, keeps a field's name
_JAVA_OF: Mapping[type, str] = {
    str: _TEXT,
    bool: "java.lang.Boolean",
    float: "java.lang.Double",
    list: "java.util.ArrayList",
    dict: "java.util.HashMap",
}


def read_rate_limiter(reader: JsonReader) -> dict[str, Any]:
    """Return `limit`, a text that is a number, and `unit`."""
    known: dict[str, Reader] = {"limit": _limit, "unit": constant_of(_UNITS, "java.util.concurrent.TimeUnit")}
    return _in_order(known, read_fields(reader, known, local_of_name(2)))


def read_deploy_setting(reader: JsonReader) -> dict[str, Any]:
    """Return whether the model deploys itself and for how many minutes; the latter is always there."""
    known: dict[str, Reader] = {"is_auto_deploy_enabled": JsonReader.boolean, "model_ttl_minutes": JsonReader.long}
    found = read_fields(reader, known, local_of_name(2))
    found.setdefault("model_ttl_minutes", _ENDLESS)
    return _in_order(known, found)


def read_model_config(reader: JsonReader) -> dict[str, Any]:
    """Return what `BaseModelConfig` keeps, for any function."""
    return _config(reader, _ORDER)


def read_text_embedding_config(reader: JsonReader) -> dict[str, Any]:
    """Return the config of a TEXT_EMBEDDING model; it has a dimension and a framework."""
    found = _config(reader, _ORDER_OF_TEXT_EMBEDDING)
    for name in ("embedding dimension", "framework type"):
        if found.get(name.replace(" ", "_")) is None:
            raise IllegalArgument(f"{name} is null")
    return found


def read_remote_config(reader: JsonReader) -> dict[str, Any]:
    """Return the config of a REMOTE model, which says three things if it embeds texts."""
    found = _config(reader, _ORDER_OF_REMOTE)
    if found["model_type"].lower() == "text_embedding" and (missing := missing_of_remote(found)) is not None:
        raise IllegalArgument(missing)
    return found


def missing_of_remote(config: Mapping[str, Any], existing: Mapping[str, Any] | None = None) -> str | None:
    """Return what the config of a remote model that embeds texts lacks, though `existing` may have it."""
    of, already = " for remote text embedding model", existing or {}
    for name in ("Embedding dimension", "Framework type"):
        field = name.lower().replace(" ", "_")
        if config.get(field) is None and already.get(field) is None:
            return f"{name} must be provided{of}"
    if all("space_type" not in (each.get("additional_config") or {}) for each in (config, already)):
        return f"Space type must be provided in additional_config{of}"
    return None


def read_guardrails(reader: JsonReader) -> dict[str, Any]:
    """Return the guardrails of a model's input and output; an empty one is none."""
    known: dict[str, Reader] = {"type": JsonReader.string, "input_guardrail": read_map, "output_guardrail": read_map}
    found = read_fields(reader, known, local_of_name(3))
    if found.setdefault("type", "local_regex") not in _GUARDRAILS:
        raise IllegalArgument("The type of guardrails is required, can not be null.")
    made = _regex_guardrail if found["type"] == "local_regex" else _model_guardrail
    return {
        name: value if name == "type" else made(value) for name, value in _in_order(known, found).items() if value != {}
    }


def read_interface(reader: JsonReader) -> dict[str, str]:
    """Return the schemas of input and output, which are texts, or become such."""
    found = read_map(reader)
    return {name: _as_text(value) for name, value in found.items() if name in ("input", "output")}


def read_connector_changes(reader: JsonReader) -> dict[str, Any]:
    """Return what an update says of a connector; that it can be read is all that matters of most."""
    return read_fields(reader, _CONNECTOR, _LOCAL_OF_CONNECTOR)


def _limit(reader: JsonReader) -> str:
    limit = reader.string()
    number = double_of(limit)
    if number is None or number < 0:
        raise UnreadableBody("Limit field must be a positive number.")
    return limit


def _word(words: frozenset[str], complaint: str) -> Reader:
    def read(reader: JsonReader) -> str:
        word = reader.string().upper()
        if word not in words:
            raise IllegalArgument(complaint)
        return word

    return read


_CONFIG: Mapping[str, Reader] = {
    "model_type": JsonReader.string,
    "embedding_dimension": JsonReader.integer,
    "framework_type": _word(_FRAMEWORKS, "Wrong framework type"),
    "all_config": JsonReader.string,
    "additional_config": read_map,
    "model_max_length": JsonReader.integer,
    "pooling_mode": _word(_POOLINGS, "Wrong pooling method"),
    "normalize_result": JsonReader.boolean,
    "query_prefix": JsonReader.string,
    "passage_prefix": JsonReader.string,
}


#: The fields of each kind of config, in the order in which it is rendered.
_ORDER = (
    "model_type",
    "all_config",
    "additional_config",
    "embedding_dimension",
    "framework_type",
    "model_max_length",
    "pooling_mode",
    "normalize_result",
    "query_prefix",
    "passage_prefix",
)
_ORDER_OF_TEXT_EMBEDDING = ("model_type", "embedding_dimension", "framework_type", *_ORDER[1:3], *_ORDER[5:])
_ORDER_OF_REMOTE = (
    "model_type",
    "embedding_dimension",
    "framework_type",
    "all_config",
    "pooling_mode",
    "normalize_result",
    "model_max_length",
    "additional_config",
)


def _config(reader: JsonReader, names: Sequence[str]) -> dict[str, Any]:
    known = {name: _CONFIG[name] for name in names}
    found = read_fields(reader, known, local_of_name(len(known)))
    if "model_type" not in found:
        raise IllegalArgument("model type is null")
    if found.get("normalize_result") is False:
        del found["normalize_result"]
    if "all_config" in found and found.get("additional_config"):
        twice = java_order(_names(found["all_config"]) & found["additional_config"].keys())
        if twice:
            raise IllegalArgument(
                f"Duplicate keys found in both all_config and additional_config: {', '.join(twice)}",
            )
    return _in_order(names, found)


def _names(text: str) -> set[str]:
    reader = DocumentReader(text.encode())
    try:
        reader.next()
        if reader.token is None or reader.token.name != "START_OBJECT":
            return set()
        return set(reader.value())
    except JsonParseError as error:
        raise UnreadableBody("Failed to parse content to map", caused_by=error) from error


def _regex_guardrail(found: Mapping[str, Any]) -> dict[str, Any]:
    words = [_stop_words(each) for each in _cast(found.get("stop_words"), list, _LIST) or ()]
    regexes = _texts(found.get("regex"))
    return {**({"stop_words": words} if words else {}), **({"regex": regexes} if regexes else {})}


def _stop_words(value: Any) -> dict[str, Any]:
    found = _cast(value, dict, _MAP)
    fields = _cast(found.get("source_fields"), list, _LIST)
    made = {"index_name": _cast(found.get("index_name"), str, _TEXT), "source_fields": _texts(fields)}
    return {name: each for name, each in made.items() if each is not None}


def _model_guardrail(found: Mapping[str, Any]) -> dict[str, Any]:
    names = ("model_id", "response_filter", "response_validation_regex")
    return {name: text for name in names if (text := _cast(found.get(name), str, _TEXT)) is not None}


def _texts(value: Any) -> list[str] | None:
    for item in _cast(value, list, _LIST) or ():
        if item is not None and not isinstance(item, str):
            raise ServerError(
                "arraycopy: element type mismatch: can not cast one of the elements of java.lang.Object[]"
                " to the type of the destination array, java.lang.String",
                type="array_store_exception",
            )
    texts: list[str] | None = value
    return texts


def _cast(value: Any, wanted: type, java: str) -> Any:
    if value is None or isinstance(value, wanted):
        return value
    raise cast_error(value, java)


def cast_error(value: Any, java: str) -> ServerError:
    """Return what Java says that casts parsed JSON to a class it has not."""
    found = _JAVA_OF.get(type(value)) or ("java.lang.Integer" if -(2**31) <= value < 2**31 else "java.lang.Long")
    return ServerError(
        f"class {found} cannot be cast to class {java}"
        f" ({found} and {java} are in module java.base of loader 'bootstrap')",
        type="class_cast_exception",
    )


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else render_json(value).decode()


def _in_order(names: Iterable[str], found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: found[name] for name in names if name in found}


def _action(reader: JsonReader) -> dict[str, Any]:
    found = read_fields(reader, _ACTION, local_of_name(len(_ACTION)))
    for name, told in (("action_type", "action type"), ("url", "url"), ("method", "method")):
        if name not in found:
            raise IllegalArgument(f"{told} can't be null")
    return found


def _each(read: Callable[[JsonReader], Any]) -> Reader:
    def read_all(reader: JsonReader) -> list[Any]:
        reader.expect("START_ARRAY")
        items: list[Any] = []
        while (token := reader.next()) is not None and token.name != "END_ARRAY":
            items.append(read(reader))
        return items

    return read_all


def _map_of_texts(reader: JsonReader) -> dict[str, str]:
    if reader.token is None or reader.token.name != "START_OBJECT":
        return read_map(reader)
    found: dict[str, str] = {}
    while (token := reader.next()) is not None and token.name != "END_OBJECT":
        name = reader.field_name or ""
        reader.next()
        found[name] = reader.string()
    return found


def _action_type(reader: JsonReader) -> str:
    name = reader.string().upper()
    known = ("PREDICT", "EXECUTE", "BATCH_PREDICT", "CANCEL_BATCH_PREDICT", "BATCH_PREDICT_STATUS")
    if name not in known:
        where = "org.opensearch.ml.common.connector.ConnectorAction.ActionType"
        raise IllegalArgument(f"No enum constant {where}.{name}")
    return name


def _object(reader: JsonReader) -> dict[str, Any]:
    reader.expect("START_OBJECT")
    return dict(reader.value())


_ACTION: Mapping[str, Reader] = {
    "action_type": _action_type,
    **dict.fromkeys(("name", "method", "url", "request_body"), JsonReader.string),
    **dict.fromkeys(("pre_process_function", "post_process_function"), JsonReader.string),
    "headers": _map_of_texts,
}
_CONNECTOR: Mapping[str, Reader] = {
    **dict.fromkeys(("name", "description", "version", "protocol"), JsonReader.string),
    "parameters": read_map,
    **dict.fromkeys(("credential", "headers"), _map_of_texts),
    "actions": _each(_action),
    "backend_roles": read_texts,
    **dict.fromkeys(("add_all_backend_roles", "dry_run"), JsonReader.boolean),
    "access_mode": JsonReader.string,
    "client_config": _object,
    **dict.fromkeys(("tenant_id", "url"), text_or_null),
}
