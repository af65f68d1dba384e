"""The cluster settings of ML Commons in each version: type, default, range, and whether they can be changed.

A row a setting: from which version on it is how. All of 2.19.1 and 3.6.0 are recorded, the others read from source:
`MLCommonsSettings` of every tag, `ConversationalIndexConstants`, `GenerativeQAProcessorConstants`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Literal, NamedTuple

from mlcommons_tasks.versions.table import numbers_of

PREFIX = "plugins.ml_commons."

Kind = Literal["boolean", "integer", "long", "float", "text", "list", "bytes"]
Change = Literal["dynamic", "static", "final"]


class Setting(NamedTuple):
    """One setting: `low` and `high` are the ends of its range, None where there is none."""

    kind: Kind
    default: str | tuple[str, ...]
    low: int | None = None
    high: int | None = None
    change: Change = "dynamic"


Steps = tuple[tuple[str, Setting | None], ...]


def _on(since: str) -> Steps:
    return ((since, Setting("boolean", "true")),)


def _off(since: str, change: Change = "dynamic") -> Steps:
    return ((since, Setting("boolean", "false", change=change)),)


def _on_later(since: str, on: str) -> Steps:
    return (*_off(since), *_on(on))


def _number(since: str, default: int, low: int, high: int | None = None, change: Change = "dynamic") -> Steps:
    return ((since, Setting("integer", str(default), low, high, change)),)


def _text(since: str, default: str = "", change: Change = "dynamic") -> Steps:
    return ((since, Setting("text", default, change=change)),)


def _list(since: str, *default: str) -> Steps:
    return ((since, Setting("list", default)),)


def _endpoints(since: str, more: str = "") -> Steps:
    return _list(since, *(_ENDPOINTS[name] for name in _ENDPOINTS if name in f"sagemaker openai cohere {more}".split()))


_AWS = r"[a-z0-9-]\.amazonaws\.com"
_ENDPOINTS = {
    "sagemaker": rf"^https://runtime\.sagemaker\..*{_AWS}/.*$",
    "sagemaker_api": rf"^https://api\.sagemaker\..*{_AWS}/.*$",
    "openai": r"^https://api\.openai\.com/.*$",
    "cohere": r"^https://api\.cohere\.ai/.*$",
    "deepseek": r"^https://api\.deepseek\.com/.*$",
    "google": r"^https://generativelanguage\.googleapis\.com/.*$",
    "bedrock_runtime": rf"^https://bedrock-runtime\..*{_AWS}/.*$",
    "bedrock_agent": rf"^https://bedrock-agent-runtime\..*{_AWS}/.*$",
    "bedrock": rf"^https://bedrock\..*{_AWS}/.*$",
    "textract": rf"^https://textract\..*{_AWS}$",
    "comprehend": rf"^https://comprehend\..*{_AWS}$",
    "rekognition": rf"^https://rekognition(-fips)?\..*{_AWS}$",
}
_2_16 = "sagemaker_api bedrock_runtime bedrock_agent"
_2_18 = f"{_2_16} bedrock textract comprehend"
_2_19 = f"{_2_18} deepseek rekognition"

ROWS: Mapping[str, Steps] = {
    "ag_ui_enabled": _off("3.5"),
    "agent_framework_enabled": _on_later("2.12", on="2.13"),
    "agentic_memory_enabled": _on_later("3.2", on="3.3"),
    "agentic_search_enabled": (*_off("3.2"), ("3.3", None)),
    "allow_custom_deployment_plan": _off("2.7"),
    "allow_registering_model_via_local_file": _off("2.8"),
    "allow_registering_model_via_url": _off("2.8"),
    "batch_ingestion_bulk_size": _number("2.18", 500, 100, 100_000),
    "connector.private_ip_enabled": _off("2.15"),
    "connector_access_control_enabled": _off("2.9"),
    "controller_enabled": _on("2.17.1"),
    "disk_free_space_threshold": (("2.16", Setting("bytes", "5368709120b")),),
    "enable_inhouse_python_model": _off("2.7"),
    "exclude_nodes._name": _text("2.7"),
    "execute_tools_enabled": _on_later("3.2", on="3.3"),
    "global_tenant_id": _text("3.3", change="final"),
    "index_insight_feature_enabled": _off("3.3"),
    "jvm_heap_memory_threshold": _number("2.9", 85, 0, 100),
    "local_model.enabled": _on("2.13"),
    "master_key_cache_ttl_minutes": _number("3.5", 5, 1, 1440, "static"),
    "max_batch_inference_tasks": (*_number("2.18", 10, 0, 500), *_number("3.4", 100, 0, 10_000)),
    "max_batch_ingestion_tasks": (*_number("2.18", 10, 0, 500), *_number("3.4", 100, 0, 10_000)),
    "max_deploy_model_tasks_per_node": _number("2.7", 10, 0, 10),
    "max_json_size": _number("3.5", 100_000_000, -1),
    "max_load_model_tasks_per_node": (*_number("2.4", 10, 0, 10), ("2.7", None)),
    "max_ml_task_per_node": _number("2.4", 10, 0, 10_000),
    "max_model_on_node": (*_number("2.4", 10, 0, 1000), *_number("2.5", 10, 0, 10_000)),
    "max_register_model_tasks_per_node": _number("2.7", 10, 0, 10),
    "max_upload_model_tasks_per_node": (*_number("2.4", 10, 0, 10), ("2.7", None)),
    "mcp_connector_enabled": _off("3.0"),
    "mcp_header_passthrough_enabled": _off("3.5"),
    "mcp_server_enabled": _off("3.0"),
    "memory_feature_enabled": _on_later("2.10", on="2.12"),
    "metrics_collection_enabled": _off("3.1", "final"),
    "metrics_static_collection_enabled": (*_off("3.1", "final"), *_off("3.2")),
    "ml_task_timeout_in_seconds": _number("2.5", 600, 1, 86_400),
    "model_access_control_enabled": _off("2.8"),
    "model_auto_deploy.enable": _on("2.13"),
    "model_auto_redeploy.enable": _on_later("2.7", on="2.12"),
    "model_auto_redeploy.lifetime_retry_times": (("2.7", Setting("integer", "3")),),
    "model_auto_redeploy_success_ratio": (("2.12", Setting("float", "0.8", 0, 1)),),
    "monitoring_request_count": (("2.4", Setting("long", "100", 0, 10_000_000)),),
    "multi_tenancy_enabled": _off("2.19", "static"),
    "native_memory_threshold": _number("2.5", 90, 0, 100),
    "offline_batch_inference_enabled": _on("2.17.1"),
    "offline_batch_ingestion_enabled": _on("2.17.1"),
    "only_run_on_ml_node": (*_off("2.4"), *_on("2.5")),
    "rag_pipeline_feature_enabled": _on_later("2.10", on="2.12"),
    "remote_agentic_memory_enabled": _off("3.5"),
    "remote_inference.enabled": _on("2.10"),
    "remote_job.status_field": _list("2.17.1", "status", "Status", "TransformJobStatus"),
    "remote_job.status_regex.cancelled": _text("2.17.1", "(stopped|cancelled)"),
    "remote_job.status_regex.cancelling": _text("2.17.1", "(stopping|cancelling)"),
    "remote_job.status_regex.completed": (
        *_text("2.17.1", "(complete|completed)"),
        *_text("2.19", "(complete|completed|partiallyCompleted)"),
    ),
    "remote_job.status_regex.expired": _text("2.17.1", "(expired|timeout)"),
    "remote_job.status_regex.failed": _text("2.19", "(failed)"),
    "remote_metadata_endpoint": _text("2.19", change="final"),
    "remote_metadata_global_resource_cache_ttl": _text("3.3", change="final"),
    "remote_metadata_region": _text("2.19", change="final"),
    "remote_metadata_service_name": _text("2.19", change="final"),
    "remote_metadata_type": _text("2.19", change="final"),
    "safe_delete_model": _off("2.19"),
    "stream_enabled": _off("3.3"),
    "sync_up_job_interval_in_seconds": (
        *_number("2.4", 10, 0, 86_400),
        *_number("2.6", 3, 0, 86_400),
        *_number("2.9", 10, 0, 86_400),
    ),
    "task_dispatch_policy": _text("2.4", "round_robin"),
    "task_dispatcher.eligible_node_role.local_model": _list("2.10", "data", "ml"),
    "task_dispatcher.eligible_node_role.remote_model": _list("2.10", "data", "ml"),
    "trusted_connector_endpoints_regex": (
        *_endpoints("2.9"),
        *_endpoints("2.11", "bedrock_runtime"),
        *_endpoints("2.16", _2_16),
        *_endpoints("2.17.1", f"{_2_16} bedrock"),
        *_endpoints("2.18", _2_18),
        *_endpoints("2.19", _2_19),
        *_endpoints("3.5", f"{_2_19} google"),
    ),
    "trusted_url_regex": _text("2.4", "^(https?|ftp|file)://[-a-zA-Z0-9+&@#/%?=~_|!:,.;]*[-a-zA-Z0-9+&@#/%=~_|]"),
    "unified_agent_api_enabled": _off("3.5"),
    "update_connector.enabled": (*_off("2.11"), ("2.12", None)),
}


@functools.cache
def settings_of(version: str) -> Mapping[str, Setting]:
    """Return the settings that a version has, by their whole names."""
    numbers = numbers_of(version)
    found: dict[str, Setting] = {}
    for name, steps in ROWS.items():
        values = [setting for first, setting in steps if numbers_of(first) <= numbers]
        if values and values[-1] is not None:
            found[f"{PREFIX}{name}"] = values[-1]
    return found
