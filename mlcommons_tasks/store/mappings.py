"""The two indices of ML Commons: names, settings and mappings, built with elasticsearch_dsl.

Source: ml-commons 3.6.0 `index-mappings/ml_task.json` and `ml_model.json`; equal to what the plugin's
node answers for `_mapping` and `_settings` (recorded). A field type that elasticsearch_dsl does not know
is declared below; its `Date` is used for the mapping only, times stay epoch milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from elasticsearch_dsl import (
    Binary,
    Boolean,
    Date,
    Field,
    Float,
    Integer,
    Keyword,
    Long,
    Mapping,
    Nested,
    Object,
    Text,
)

from mlcommons_tasks.versions import CURRENT, Profile

TASK_INDEX = ".plugins-ml-task"
MODEL_INDEX = ".plugins-ml-model"
CLUSTER_TASK_INDEX = ".mlcommons-tasks-cluster-tasks"  #: our own: what ML Commons has no index for
SETTINGS_INDEX = ".mlcommons-tasks-settings"  #: likewise
EMULATION_INDEX = ".mlcommons-tasks-emulation"  #: likewise
JOURNAL_INDEX = ".mlcommons-tasks-journal"  #: likewise
SETTINGS = {"index": {"number_of_shards": "1", "auto_expand_replicas": "0-1"}}
#: Of a read by id: whoever asks, the same copy answers, or a task seen COMPLETED on the first could be RUNNING again on
#: the second, which a write reaches later. Any name does; `_primary_first` came with OpenSearch 2.8.
SAME_COPY = {"preference": "mlcommons_tasks"}


class FlatObject(Field):  # type: ignore[misc]  # elasticsearch_dsl has no types for its fields
    """OpenSearch's `flat_object`, which Elasticsearch calls otherwise."""

    name = "flat_object"


def task_index_body(profile: Profile = CURRENT) -> dict[str, Any]:
    """Return the body that creates the task index."""
    mapping = Mapping()
    for name in (
        "function_name",
        "input_type",
        "model_id",
        "output_index",
        "state",
        "task_type",
        "tenant_id",
        "worker_node",
    ):
        mapping.field(name, Keyword())
    for name in ("create_time", "last_update_time"):
        mapping.field(name, _time())
    for name in ("remote_job", "response"):
        mapping.field(name, FlatObject())
    mapping.field("error", Text())
    mapping.field("is_async", Boolean())
    mapping.field("progress", Float())
    mapping.field("user", _user())
    return _index_body(mapping, profile.task_schema, profile.unmapped_task_fields)


def model_index_body(profile: Profile = CURRENT) -> dict[str, Any]:
    """Return the body that creates the model index."""
    mapping = Mapping()
    keywords = "algorithm model_content_hash_value model_format model_group_id model_id model_state model_version"
    for name in f"{keywords} planning_worker_nodes tenant_id".split():
        mapping.field(name, Keyword())
    for name in ("chunk_number", "model_content_size_in_bytes", "total_chunks", "version"):
        mapping.field(name, Long())
    for name in ("auto_redeploy_retry_times", "current_worker_node_count", "planning_worker_node_count"):
        mapping.field(name, Integer())
    for name in ("deploy_to_all_nodes", "is_controller_enabled", "is_enabled", "is_hidden"):
        mapping.field(name, Boolean())
    for name in ("created", "last_deployed", "last_registered", "last_undeployed", "last_updated"):
        mapping.field(f"{name}_time", _time())
    for name in ("deploy_setting", "interface", "rate_limiter"):
        mapping.field(name, FlatObject())
    mapping.field("description", Text())
    mapping.field("name", _text_with_keyword())
    mapping.field("model_content", Binary())
    mapping.field("model_config", _model_config())
    mapping.field("guardrails", Object(properties={"input_guardrail": _guardrail(), "output_guardrail": _guardrail()}))
    mapping.field("connector", _connector())
    mapping.field("user", _user())
    return _index_body(mapping, profile.model_schema, profile.unmapped_model_fields)


def hidden_index_body(mapping: Mapping, schema_version: int | None = None) -> dict[str, Any]:
    """Return the body that creates an index of our own, in which only the fields of `mapping` can be searched.

    Wildcards of callers do not reach it: it is hidden.
    """
    mapping.meta("dynamic", False)
    if schema_version is not None:
        mapping.meta("_meta", schema_version=schema_version)
    return {"settings": {"index": {**SETTINGS["index"], "hidden": True}}, "mappings": mapping.to_dict()}


def _index_body(mapping: Mapping, schema_version: int | None, without: Iterable[str]) -> dict[str, Any]:
    if schema_version is not None:
        mapping.meta("_meta", schema_version=schema_version)
    mappings = mapping.to_dict()
    for path in without:
        holder, _, name = path.rpartition(".")
        fields = mappings["properties"]
        if holder:
            fields = fields.get(holder, {}).get("properties", {})
        fields.pop(name, None)
    return {"settings": SETTINGS, "mappings": mappings}


def _time() -> Date:
    return Date(format="strict_date_time||epoch_millis")


def _text_with_keyword(**options: int) -> Text:
    return Text(fields={"keyword": Keyword(**(options or {"ignore_above": 256}))})


def _user() -> Nested:
    names = ("backend_roles", "custom_attribute_names", "roles")
    lists = {name: Text(fields={"keyword": Keyword()}) for name in names}
    return Nested(properties={"name": _text_with_keyword(), **lists})


def _model_config() -> Object:
    keywords = ("framework_type", "model_type", "pooling_mode")
    return Object(
        properties={
            **{name: Keyword() for name in keywords},
            **{name: Integer() for name in ("embedding_dimension", "model_max_length")},
            "additional_config": FlatObject(),
            "all_config": Text(),
            "normalize_result": Boolean(),
        }
    )


def _guardrail() -> Object:
    words = Object(properties={"index_name": Text(), "source_fields": Text()})
    return Object(properties={"regex": Text(), "stop_words": words})


def _connector() -> Object:
    flat = {name: FlatObject() for name in ("actions", "client_config", "credential", "parameters")}
    return Object(
        properties={
            **flat,
            "description": Text(),
            "name": _text_with_keyword(),
            "protocol": Keyword(),
            "version": Keyword(),
        }
    )
