"""`PUT /_plugins/_ml/models/<id>`: what its body may say, which models it changes, and what is written then. Pure.

Source: ml-commons 3.6.0 `RestMLUpdateModelAction`, `MLUpdateModelInput`, `UpdateModelTransportAction`, `MLRateLimiter`;
seen in the recording model_update. There are no model groups and no connectors here: what the plugin says then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlcommons_tasks.errors import ServerError, StatusError, TaskPluginError, UnreadableBody
from mlcommons_tasks.versions import CURRENT, Profile
from mlcommons_tasks.wire.json_reader import JsonReader
from mlcommons_tasks.wire.model_document import NO_PRIVILEGE, read_model
from mlcommons_tasks.wire.model_parts import (
    missing_of_remote,
    read_connector_changes,
    read_deploy_setting,
    read_guardrails,
    read_interface,
    read_model_config,
    read_rate_limiter,
)
from mlcommons_tasks.wire.records import Reader, read_fields, text_or_null

TWO_CONNECTORS = (
    "Model cannot have both stand-alone connector and internal connector. Please check your update input body."
)
LOCAL_CONNECTOR = "Trying to update the connector or connector_id field on a local model."
NO_CONNECTOR_ID = "This remote does not have a connector_id field, maybe it uses an internal connector."
NO_INLINE_CONNECTOR = (
    "Cannot update connector settings for this model. The model was created with a connector_id and does not have an"
    " inline connector."
)
NO_GROUP = "Failed to find the model group with the provided model group id in the update model input, MODEL_GROUP_ID: "
UPDATABLE = frozenset({"TEXT_EMBEDDING", "REMOTE"})  #: the functions whose models the plugin changes
DEPLOYING = frozenset({"DEPLOYING", "LOADING"})
_LOCAL = 18  #: where `MLUpdateModelInput.parse` keeps a field's name

Update = Mapping[str, Any]  #: the fields that a body said, as the plugin takes them


def read_update(payload: bytes) -> Update:
    """Return what a body says.

    Raises:
        TaskPluginError: the plugin cannot read it; its words.
    """
    if not payload:
        raise UnreadableBody("Update model request has empty body")
    reader = JsonReader(payload)
    reader.next()
    reader.expect("START_OBJECT")
    try:
        update = read_fields(reader, _READERS, _LOCAL)
    except ServerError as error:
        if error.type != "illegal_state_exception":
            raise
        raise UnreadableBody(error.reason) from error
    except RecursionError as error:
        raise UnreadableBody("Update model request is nested deeper than this service reads") from error
    if "connector_id" in update and "connector" in update:
        raise StatusError(TWO_CONNECTORS, 400)
    return update


def changes_of(
    update: Update, source: bytes | None, model_id: str, now_in_millis: int, profile: Profile = CURRENT
) -> dict[str, Any]:
    """Return what an update writes over the document of a model, whose `source` is None if there is none.

    Raises:
        TaskPluginError: the model is not changed; the plugin's words for why.
    """
    model = _found(source, model_id, profile)
    if model["model_state"] in DEPLOYING:
        reason = f"Model is deploying. Please wait for the model to complete deployment. model ID {model_id}"
        raise StatusError(reason, 409)
    _check_config(update, model)
    if model["algorithm"] not in UPDATABLE:
        raise StatusError(f"The function category {model['algorithm']} is not supported at this time.", 403)
    if model.get("is_hidden"):
        raise StatusError(NO_PRIVILEGE, 403)
    _check_connector(update, model, model_id)
    group = update.get("model_group_id")
    if group and group != model.get("model_group_id"):
        raise StatusError(f"{NO_GROUP}{group}", 404)
    written = {name: value for name, value in update.items() if name in _WRITTEN}
    if "rate_limiter" in written:
        written["rate_limiter"] = _limited(model.get("rate_limiter"), written["rate_limiter"])
    return {"model_id": model_id, **written, "last_updated_time": now_in_millis}


def _found(source: bytes | None, model_id: str, profile: Profile) -> dict[str, Any]:
    """Return the model as the plugin reads it; whatever is wrong with it, it is not found."""
    problem: TaskPluginError | None = None
    if source is not None:
        try:
            model = read_model(source, profile)
        except TaskPluginError as error:
            problem = error
        else:
            if "algorithm" in model and "model_state" in model:
                return model
    raise StatusError(f"Failed to find model to update with the provided model id: {model_id}", 404) from problem


def _check_config(update: Update, model: Mapping[str, Any]) -> None:
    config, existing, missing = update.get("model_config"), model.get("model_config") or {}, None
    if config is None:
        return
    if model["algorithm"] == "REMOTE" and config["model_type"].lower() == "text_embedding":
        missing = missing_of_remote(config, existing)
    elif model["algorithm"] == "TEXT_EMBEDDING":
        lacking = [name for name in ("embedding_dimension", "framework_type") if name not in {**existing, **config}]
        missing = f"{lacking[0].replace('_', ' ').capitalize()} is null" if lacking else None
    if missing is not None:
        raise StatusError(missing, 400)


def _check_connector(update: Update, model: Mapping[str, Any], model_id: str) -> None:
    if model["algorithm"] != "REMOTE":
        if update.get("connector_id") or "connector" in update:
            raise StatusError(LOCAL_CONNECTOR, 400)
    elif update.get("connector_id"):
        if not model.get("connector_id"):
            raise StatusError(NO_CONNECTOR_ID, 400)
    elif "connector" in update:
        if "connector" not in model:
            raise StatusError(NO_INLINE_CONNECTOR, 400)
        raise StatusError(f"This service does not change connectors, and so not that of {model_id}", 501)


def _limited(existing: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the limits that are written: those wanted over those there, unless none of them is another."""
    if existing is None or not any(existing.get(name) != value for name, value in wanted.items()):
        return dict(wanted)
    return {**existing, **wanted}


_READERS: dict[str, Reader] = {
    **dict.fromkeys(("model_id", "description", "name", "model_group_id", "connector_id"), JsonReader.string),
    "is_enabled": JsonReader.boolean,
    "rate_limiter": read_rate_limiter,
    "model_config": read_model_config,
    "deploy_setting": read_deploy_setting,
    "connector": read_connector_changes,
    "guardrails": read_guardrails,
    "interface": read_interface,
    "tenant_id": text_or_null,
}
_WRITTEN = _READERS.keys() - {"model_id", "connector", "tenant_id"}
