"""A stored model as GET shows it. The content is handed on as the text it is, never looked into.

Source: ml-commons 3.6.0 `MLModel.parse`, `MLModel.toXContent`, `GetModelTransportAction`; seen in recordings.
"""

from __future__ import annotations

import json
from typing import Any

from mlcommons_tasks.errors import IllegalArgument, ServerError, StatusError
from mlcommons_tasks.task import FunctionName
from mlcommons_tasks.wire.json_reader import JsonReader
from mlcommons_tasks.wire.task_document import read_user

#: Fields that are rendered as they are stored, in the plugin's order.
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
NO_PRIVILEGE = "User doesn't have privilege to perform this operation on this model"


def render_model(payload: bytes) -> dict[str, Any]:
    """Return what GET answers for a stored source.

    Raises:
        TaskPluginError: the plugin cannot read it, or it is hidden; its words, its status.
    """
    source = json.loads(payload)
    refuse_hidden(source)
    algorithm = str(source["algorithm"]).upper()
    if algorithm not in FunctionName.__members__:
        raise IllegalArgument("Wrong function name")
    version = source.get("model_version")
    shown = {
        **source,
        "algorithm": algorithm,
        "model_version": "null" if version is None else str(version),
        "model_content": source.get("model_content", source.get("content")),
        "is_hidden": False,
        "deploy_to_all_nodes": source.get("deploy_to_all_nodes") or None,
        "planning_worker_nodes": source.get("planning_worker_nodes") or None,
    }
    if isinstance(source.get("user"), dict):
        reader = JsonReader(json.dumps(source["user"]).encode())
        reader.next()
        shown["user"] = read_user(reader)
    if isinstance(source.get("connector"), dict):
        shown["connector"] = {key: value for key, value in source["connector"].items() if key != "credential"}
    return {name: shown[name] for name in RENDERED if shown.get(name) is not None}


def refuse_hidden(source: dict[str, Any]) -> None:
    """Refuse a model that is hidden, or that says nothing of its algorithm.

    Raises:
        ServerError: the plugin's own 500 for such a document.
        StatusError: 403, it is hidden.
    """
    if source.get("algorithm") is None:
        raise ServerError(
            'Cannot invoke "Object.toString()" because the return value of "java.util.Map.get(Object)" is null',
            type="null_pointer_exception",
        )
    hidden = source.get("is_hidden")
    if hidden is not None and not isinstance(hidden, bool):
        java = "java.lang.String" if isinstance(hidden, str) else "java.lang.Integer"
        raise ServerError(
            f"class {java} cannot be cast to class java.lang.Boolean"
            f" ({java} and java.lang.Boolean are in module java.base of loader 'bootstrap')",
            type="class_cast_exception",
        )
    if hidden:
        raise StatusError(NO_PRIVILEGE, 403)


def refuse_deletion(payload: bytes) -> None:
    """Refuse to delete a model that is hidden, in use, or of no known state.

    Raises:
        TaskPluginError: the plugin's words for it.
    """
    source = json.loads(payload)
    if source.get("is_hidden") is True:
        raise StatusError(NO_PRIVILEGE, 403)
    state = source.get("model_state")
    if state is None:
        raise ServerError(
            'Cannot invoke "org.opensearch.ml.common.model.MLModelState.equals(Object)" because "mlModelState" is null',
            type="null_pointer_exception",
        )
    if state in LOADED:
        raise StatusError(
            "Model cannot be deleted in deploying or deployed state. Try undeploy model first then delete", 400
        )
