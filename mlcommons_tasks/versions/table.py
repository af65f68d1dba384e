"""How ML Commons' versions differ in what a client sees: one row a difference, each with its proof.

A row says from which version on something is how; each value holds until the next. `RECORDED` rows were seen on both
sides of a step, 2.19.1 and 3.6.0; the version at which the step lies, and every `READ` row, is read from the sources
named: ml-commons' own tags, common-utils' for users, OpenSearch's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from mlcommons_tasks.versions.profile import Failure

Version = tuple[int, int, int]

RECORDED = "recorded"
READ = "read from source"


class UnknownVersionError(ValueError):
    """There is no profile for a version."""


class Row(NamedTuple):
    """One difference: from which version on which value holds, how that is known, and where it stands."""

    steps: tuple[tuple[str, Any], ...]
    proof: str
    source: str

    def at(self, version: Version) -> Any:
        """Return the value that holds for a version."""
        return [value for first, value in self.steps if numbers_of(first) <= version][-1]


def numbers_of(text: str) -> Version:
    """Return `2.19` or `2.19.1` as numbers; UnknownVersionError if it is neither."""
    found = re.fullmatch(r"(\d{1,3})\.(\d{1,3})(?:\.(\d{1,3}))?", text)
    if found is None:
        raise UnknownVersionError(text)
    return int(found[1]), int(found[2]), int(found[3] or 0)


def _since(base: str, **later: str) -> tuple[tuple[str, frozenset[str]], ...]:
    """Return the steps of a set that grows: `v2_4="A B"` adds A and B at 2.4."""
    steps = [("1.3", frozenset(base.split()))]
    for key, names in later.items():
        steps.append((key.removeprefix("v").replace("_", "."), steps[-1][1] | frozenset(names.split())))
    return tuple(steps)


def _until(**first: str) -> tuple[tuple[str, frozenset[str]], ...]:
    """Return the steps of a set that shrinks: `v2_4="A B"` says that A and B come at 2.4."""
    names = {key.removeprefix("v").replace("_", "."): frozenset(value.split()) for key, value in first.items()}
    missing = frozenset[str]().union(*names.values())
    steps = [("1.3", missing)]
    for version, come in names.items():
        steps.append((version, steps[-1][1] - come))
    return tuple(steps)


def _resource(reason: str) -> Failure:
    return Failure(500, "m_l_resource_not_found_exception", reason)


def _status(status: int, reason: str) -> Failure:
    return Failure(status, "status_exception", reason)


_GET_TASK = "GetTaskTransportAction"
_DELETE_TASK = "DeleteTaskTransportAction"
_GET_MODEL = "GetModelTransportAction"
_DELETE_MODEL = "DeleteModelTransportAction"
_BY_ID = "Failed to find model with the provided model id: {id}"
_DEPLOYED = "Model cannot be deleted in deploying or deployed state. Try undeploy model first then delete"
_LOADED = "Model cannot be deleted in loading or loaded state. Try unloading first and then delete"
_USER = ("name", "backend_roles", "roles")
_TENANT = "user_requested_tenant"
_ACCESS = "user_requested_tenant_access"
_ATTRIBUTES = "custom_attribute_names"

_ELIGIBLE = (
    "No eligible node found to execute this request. It's best practice to provision ML nodes to serve your models."
    " You can disable this setting to serve the model on your data node for development purposes by disabling the"
    ' "plugins.ml_commons.only_run_on_ml_node" configuration using the '
)
_OPEN = "{id} Circuit Breaker is open, please check your resources!"

ROWS: Mapping[str, Row] = {
    "get_no_document": Row(
        (
            ("1.3", _resource("Fail to find task")),
            ("2.9", _status(404, "Fail to find task")),
            ("2.19", _status(404, "Failed to find task")),
        ),
        READ,
        f"{_GET_TASK}, 1.3.0.0, 2.9.0.0, 2.19.1.0; 2.19.1 and 3.6.0 are recorded and alike",
    ),
    "get_no_index": Row(
        (("1.3", _resource("Fail to find task")), ("2.19", _status(404, "Failed to find task"))),
        READ,
        f"{_GET_TASK}, 2.18.0.0, 2.19.1.0",
    ),
    "delete_no_document": Row(
        (("1.3", None), ("2.6", _resource("Fail to find task")), ("2.19", _status(404, "Failed to find task"))),
        READ,
        f"{_DELETE_TASK}, 2.5.0.0, 2.6.0.0, 2.18.0.0, 2.19.1.0",
    ),
    "delete_no_index": Row(
        (("1.3", None), ("2.6", _resource("Fail to find task")), ("2.19", _status(404, "Failed to find task"))),
        READ,
        f"{_DELETE_TASK}, 2.5.0.0, 2.6.0.0, 2.18.0.0, 2.19.1.0",
    ),
    "running_stays": Row(
        (
            ("1.3", None),
            ("2.6", "Task cannot be deleted in running state. Try after sometime"),
            ("2.19", "Task cannot be deleted in running state. Try after some time."),
        ),
        READ,
        f"{_DELETE_TASK}, 2.5.0.0, 2.6.0.0, 2.18.0.0, 2.19.1.0",
    ),
    "stateless_stays": Row(
        (
            ("1.3", None),
            (
                "2.6",
                'Cannot invoke "org.opensearch.ml.common.MLTaskState.equals(Object)" because "mlTaskState" is null',
            ),
            ("2.19", None),
        ),
        READ,
        f"{_DELETE_TASK}, 2.5.0.0, 2.6.0.0, 2.18.0.0, 2.19.1.0",
    ),
    "refreshes_tasks": Row((("1.3", False), ("2.15", True)), READ, f"{_DELETE_TASK}, 2.11.0.0, 2.15.0.0"),
    "refreshes_models": Row((("1.3", False), ("2.12", True)), READ, f"{_DELETE_MODEL}, 2.11.0.0, 2.12.0.0"),
    "searches_no_index": Row(
        (("1.3", False), ("2.12", True)), READ, "SearchTaskTransportAction, MLSearchHandler, 2.11.0.0, 2.12.0.0"
    ),
    "cancel_action": Row(
        (("1.3", None), ("2.17", "_cancel_batch"), ("2.17.1", "_cancel")),
        READ,
        "RestMLCancelBatchJobAction, 2.16.0.0, 2.17.0.0, 2.17.1.0",
    ),
    "task_states": Row(
        _since(
            "CREATED RUNNING COMPLETED FAILED CANCELLED",
            v2_4="COMPLETED_WITH_ERROR",
            v2_18="CANCELLING EXPIRED",
            v2_19="UNREACHABLE",
        ),
        READ,
        "MLTaskState, every tag",
    ),
    "task_types": Row(
        _since(
            "TRAINING PREDICTION TRAINING_AND_PREDICTION EXECUTION",
            v2_4="UPLOAD_MODEL LOAD_MODEL",
            v2_7="REGISTER_MODEL DEPLOY_MODEL",
            v2_17="BATCH_INGEST BATCH_PREDICTION",
            v3_0="AGENT_EXECUTION",
        ),
        RECORDED,
        "MLTaskType, every tag",
    ),
    "function_names": Row(
        _since(
            "LINEAR_REGRESSION KMEANS AD_LIBSVM SAMPLE_ALGO LOCAL_SAMPLE_CALCULATOR FIT_RCF BATCH_RCF",
            v2_0="ANOMALY_LOCALIZATION",
            v2_2="RCF_SUMMARIZE LOGISTIC_REGRESSION",
            v2_4="TEXT_EMBEDDING",
            v2_7="METRICS_CORRELATION",
            v2_9="REMOTE",
            v2_11="SPARSE_ENCODING SPARSE_TOKENIZE",
            v2_12="TEXT_SIMILARITY AGENT",
            v2_13="QUESTION_ANSWERING",
            v2_15="CONNECTOR",
            v3_2="TOOL",
        ),
        RECORDED,
        "FunctionName, every tag",
    ),
    "input_types": Row(
        _since(
            "SEARCH_QUERY DATA_FRAME",
            v2_4="TEXT_DOCS",
            v2_9="REMOTE",
            v2_12="TEXT_SIMILARITY",
            v2_13="QUESTION_ANSWERING",
        ),
        READ,
        "MLInputDataType, every tag",
    ),
    "enum_package": Row(
        (("1.3", "org.opensearch.ml.common.parameter"), ("2.0", "org.opensearch.ml.common")),
        READ,
        "MLTaskState, MLTaskType, 1.3.0.0, 2.0.0.0",
    ),
    "unknown_task_fields": Row(
        _until(v2_17="remote_job", v2_19="tenant_id", v3_0="response"),
        RECORDED,
        "MLTask.parse, MLTask.toXContent, every tag",
    ),
    "lists_worker_nodes": Row((("1.3", False), ("2.5", True)), READ, "MLTask, 2.4.0.0, 2.5.0.0"),
    "user_fields": Row(
        (
            ("1.3", (*_USER, _ATTRIBUTES, _TENANT)),
            ("3.2", (*_USER, _ATTRIBUTES, _TENANT, _ACCESS)),
            ("3.3", (*_USER, _TENANT, _ACCESS, _ATTRIBUTES)),
        ),
        RECORDED,
        "common-utils User.toXContent, 3.1.0.0, 3.2.0.0, 3.3.0.0",
    ),
    "user_attributes_have_values": Row(
        (("1.3", False), ("3.3", True)), RECORDED, "common-utils User.parse, 3.2.0.0, 3.3.0.0"
    ),
    "task_schema": Row(
        (("1.3", None), ("2.2", 1), ("2.10", 2), ("2.17", 3), ("2.19", 4), ("3.0", 5)),
        RECORDED,
        "CommonValue.ML_TASK_INDEX_SCHEMA_VERSION up to 2.18.0.0, index-mappings/ml_task.json",
    ),
    "model_schema": Row(
        (
            ("1.3", None),
            *(("2.2", 1), ("2.4", 2), ("2.6", 3), ("2.7", 4), ("2.8", 5), ("2.9", 6), ("2.10", 7)),
            *(("2.12", 9), ("2.13", 10), ("2.14", 11), ("2.19", 12), ("3.1", 13)),
        ),
        RECORDED,
        "CommonValue.ML_MODEL_INDEX_SCHEMA_VERSION up to 2.18.0.0, index-mappings/ml_model.json",
    ),
    "unmapped_task_fields": Row(
        _until(v2_2="is_async", v2_18="remote_job", v2_19="tenant_id", v3_0="response"),
        RECORDED,
        "CommonValue.ML_TASK_INDEX_MAPPING up to 2.18.0.0, where 2.17.0.0's ends before remote_job; ml_task.json",
    ),
    "unmapped_model_fields": Row(
        _until(
            v2_2="name version user",
            v2_4="chunk_number created_time description model_config model_content_hash_value model_format model_id"
            " model_content_size_in_bytes model_state total_chunks",
            v2_5="model_config.model_max_length model_config.normalize_result model_config.pooling_mode",
            v2_6="current_worker_node_count last_updated_time planning_worker_node_count planning_worker_nodes",
            v2_7="auto_redeploy_retry_times deploy_to_all_nodes last_deployed_time last_registered_time"
            " last_undeployed_time",
            v2_8="model_group_id",
            v2_9="connector",
            v2_12="is_controller_enabled is_enabled is_hidden rate_limiter",
            v2_13="deploy_setting guardrails",
            v2_14="interface",
            v2_19="tenant_id",
            v3_1="model_config.additional_config",
        ),
        RECORDED,
        "MLIndicesHandler 1.3.0.0, CommonValue.ML_MODEL_INDEX_MAPPING up to 2.18.0.0, ml_model.json",
    ),
    "hides_models": Row((("1.3", False), ("2.12", True)), READ, f"MLModel, MLSearchHandler, {_GET_MODEL}, 2.12.0.0"),
    "hides_credentials": Row((("1.3", False), ("2.9", True)), READ, "MLSearchHandler, 2.8.0.0, 2.9.0.0"),
    "honours_source": Row((("1.3", False), ("2.4", True)), READ, "RestActionUtils.getSourceContext, 2.0.0.0, 2.4.0.0"),
    "model_search_failed": Row(
        (("1.3", "Fail to search"), ("2.8", "Fail to search model version")), READ, "MLSearchHandler, 2.7.0.0, 2.8.0.0"
    ),
    "aggregates_models": Row(
        (("1.3", True), ("2.19", False), ("3.0", True)),
        RECORDED,
        "MLSearchHandler, 2.19.1.0: it parses the answer, whose aggregations have no types; 3.0.0.0 does not",
    ),
    "get_no_model": Row(
        (
            ("1.3", _resource("Fail to find model")),
            ("2.7", Failure(400, "illegal_argument_exception", _BY_ID)),
            ("2.9", _status(404, _BY_ID)),
        ),
        READ,
        f"{_GET_MODEL}, 2.6.0.0, 2.7.0.0, 2.9.0.0",
    ),
    "get_no_model_index": Row(
        (("1.3", _resource("Fail to find model")), ("2.19", _status(404, "Fail to find model"))),
        READ,
        f"{_GET_MODEL}, 2.18.0.0, 2.19.1.0",
    ),
    "delete_no_model": Row(
        (
            ("1.3", None),
            ("2.6", _resource("Fail to find model")),
            ("2.7", Failure(400, "illegal_argument_exception", _BY_ID.replace("model with", "model to delete with"))),
            ("2.9", _status(404, "Failed to find model")),
        ),
        READ,
        f"{_DELETE_MODEL}, 2.4.0.0, 2.6.0.0, 2.7.0.0, 2.9.0.0",
    ),
    "deployed_stays": Row(
        (
            ("1.3", None),
            ("2.6", Failure(500, "exception", _LOADED)),
            ("2.7", Failure(500, "exception", _DEPLOYED)),
            ("2.12", _status(400, _DEPLOYED)),
        ),
        READ,
        f"{_DELETE_MODEL}, 2.4.0.0, 2.6.0.0, 2.7.0.0, 2.12.0.0",
    ),
    "updates_models": Row((("1.3", False), ("2.12", True)), READ, "RestMLUpdateModelAction, first in 2.12.0.0"),
    "predicts_by_model": Row((("1.3", False), ("2.4", True)), READ, "RestMLPredictionAction, 2.3.0.0, 2.4.0.0"),
    "predicts_model_first": Row((("1.3", False), ("3.0", True)), RECORDED, "RestMLPredictionAction, 2.19.0.0, 3.0.0.0"),
    "executes_async": Row((("1.3", False), ("3.0", True)), RECORDED, "RestMLExecuteAction, 2.19.1.0, 3.0.0.0"),
    "executes_with_own_errors": Row((("1.3", False), ("2.12", True)), READ, "RestMLExecuteAction, 2.11.0.0, 2.12.0.0"),
    "correlates_any_metrics": Row(
        (("1.3", False), ("3.5", True)), RECORDED, "MetricsCorrelationInput, 2.19.1.0, 3.4.0.0, 3.5.0.0"
    ),
    "linear_optimiser": Row(
        (("1.3", "SIMPLE_SGD"), ("2.19", "ADA_GRAD")),
        READ,
        "LinearRegression, 2.18.0.0, 2.19.0.0",
    ),
    "number_out_of_range": Row(
        (("1.3", 500), ("2.19.3", 400), ("3.0", 500), ("3.1", 400)),
        RECORDED,
        "OpenSearch ExceptionsHelper.status: pull requests 18161 (3.1.0) and 18203 (to 2.19 after 2.19.2)",
    ),
    "no_eligible_node": Row(
        (
            ("1.3", "no eligible node found, ml node is required to run this request"),
            ("2.6", f"{_ELIGIBLE}_cluster/setting api"),
            ("3.0", f"{_ELIGIBLE}_cluster/settings api"),
        ),
        RECORDED,
        "MLTaskDispatcher, 2.5.0.0 (before it no setting can bring that about), 2.6.0.0, 2.19.6.0, 3.0.0.0",
    ),
    "breaker_open": Row(
        (
            ("1.3", Failure(500, "m_l_limit_exceeded_exception", _OPEN)),
            ("2.15", Failure(429, "circuit_breaking_exception", _OPEN)),
        ),
        READ,
        "MLNodeUtils.checkOpenCircuitBreaker, 2.4.0.0, 2.14.0.0, 2.15.0.0",
    ),
    "setting_refused": Row(
        (("1.3", "illegal_argument_exception"), ("3.0", "settings_exception")),
        RECORDED,
        "OpenSearch AbstractScopedSettings: issues 8714 (2.8.0), 4745, 18515 (3.0.0)",
    ),
    "says_version": Row((("1.3", False), ("3.0", True)), RECORDED, "OpenSearch; no tag of 2.x does"),
}
