"""The body of `PUT /_plugins/_ml/models/<id>`, as far as it can be refused: no model that is trained here can change.

Source: ml-commons 3.6.0 `RestMLUpdateModelAction`, `MLUpdateModelInput.parse`, `UpdateModelTransportAction`.
"""

from __future__ import annotations

from typing import Any

from mlcommons_tasks.errors import ServerError, StatusError, UnreadableBody
from mlcommons_tasks.wire.json_reader import JsonReader
from mlcommons_tasks.wire.records import Reader, read_fields, read_map, text_or_null

TWO_CONNECTORS = (
    "Model cannot have both stand-alone connector and internal connector. Please check your update input body."
)
UPDATABLE = frozenset({"TEXT_EMBEDDING", "REMOTE"})  #: the functions whose models the plugin changes
_LOCAL = 18  #: where `MLUpdateModelInput.parse` keeps a field's name


def refuse_update(payload: bytes) -> None:
    """Refuse a body that the plugin cannot read.

    Raises:
        TaskPluginError: the plugin's words for it.
    """
    if not payload:
        raise UnreadableBody("Update model request has empty body")
    reader = JsonReader(payload)
    reader.next()
    reader.expect("START_OBJECT")
    try:
        wanted = read_fields(reader, _READERS, _LOCAL)
    except ServerError as error:
        if error.type != "illegal_state_exception":
            raise
        raise UnreadableBody(error.reason) from error
    if "connector_id" in wanted and "connector" in wanted:
        raise StatusError(TWO_CONNECTORS, 400)


def refuse_change(model: dict[str, Any] | None, model_id: str) -> StatusError:
    """Return why a model, as `read_model` gives it or None if there is none, is not changed."""
    if model is None or "algorithm" not in model:
        return StatusError(f"Failed to find model to update with the provided model id: {model_id}", 404)
    if model.get("model_state") in ("DEPLOYING", "LOADING"):
        reason = f"Model is deploying. Please wait for the model to complete deployment. model ID {model_id}"
        return StatusError(reason, 409)
    if model["algorithm"] in UPDATABLE:
        return StatusError(f"This service does not change models, and so not {model_id}", 501)
    return StatusError(f"The function category {model['algorithm']} is not supported at this time.", 403)


def _object(reader: JsonReader) -> dict[str, Any]:
    reader.expect("START_OBJECT")
    return dict(reader.value())


_READERS: dict[str, Reader] = {
    **dict.fromkeys(("model_id", "description", "name", "model_group_id", "connector_id"), JsonReader.string),
    "is_enabled": JsonReader.boolean,
    **dict.fromkeys(("rate_limiter", "model_config", "deploy_setting", "connector", "guardrails"), _object),
    "interface": read_map,
    "tenant_id": text_or_null,
}
