"""The 5xx that the real plugin gives, each with the recording that shows it. Nothing else of that kind is right."""

from __future__ import annotations

import re
from dataclasses import dataclass

SEARCHES = r"/_plugins/_ml/(tasks|models)/_search"
MODELS = r"/_plugins/_ml/models/[^/?]+$"
WORK = r"/_plugins/_ml/(_train|_predict|_train_predict|models/[^/?]+/_predict)(?![^/?])"
BODIES = r"/_plugins/_ml/(tasks/_search|models/.*|_(train|predict|train_predict|execute)/.*)|/_cluster/settings"


@dataclass(frozen=True)
class ServerError:
    """A 5xx: on which paths, its type, what its reason looks like, and the case whose recording has it."""

    path: str
    type: str
    reason: str
    case: str

    def is_it(self, path: str, type_: str, reason: str) -> bool:
        """Say whether an error is this one."""
        return (
            type_ == self.type
            and re.match(self.path, path) is not None
            and re.fullmatch(self.reason, reason, re.DOTALL) is not None
        )


EXECUTIONS = r"/_plugins/_ml/_execute/"  #: whose own errors name Java's classes, and have their reason as `details`

RECORDED = (
    ServerError(
        r"/_plugins/_ml/tasks/",
        "exception",
        r"Task cannot be deleted in running state\. Try after some time\.",
        "error_traces::what is missing, beside others",
    ),
    ServerError(
        r"/_plugins/_ml/tasks/.*/_cancel",
        "m_l_resource_not_found_exception",
        "Fail to find task",
        "cancel_task::missing index",
    ),
    ServerError(
        r"/_plugins/_ml/",
        "illegal_state_exception",
        r"Can't get text on a \w+ at \d+:\d+",
        "get_task::state a list",
    ),
    ServerError(
        SEARCHES,
        "illegal_state_exception",
        r"Unknown value for source_content_type \[.*\]",
        "search_tasks::source in the URL",
    ),
    ServerError(
        SEARCHES,
        "illegal_state_exception",
        "source and source_content_type parameters are required",
        "search_tasks::source in the URL",
    ),
    ServerError(
        WORK,
        "limit_exceeded_exception",
        r"All nodes' .* (limitation\.|limitation \d+\. No eligible node available to run ml jobs )",
        "cluster_settings::effect: max_ml_task_per_node",
    ),
    ServerError(
        WORK,
        "null_pointer_exception",
        r'Cannot invoke "java\.lang\.Comparable\.compareTo\(Object\)" because "k1" is null',
        "train_input_data::input_data: a column without a name",
    ),
    ServerError(
        WORK,
        "null_pointer_exception",
        r'Cannot invoke "java\.util\.Map\.size\(\)" because "element" is null',
        "train_input_query::query: _source false",
    ),
    ServerError(
        r"/_plugins/_ml/models/",
        "null_pointer_exception",
        r'Cannot invoke "Object\.toString\(\)" because the return value of "java\.util\.Map\.get\(Object\)" is null',
        "models::GET: empty document",
    ),
    ServerError(
        WORK,
        "runtime_exception",
        "the value isn't Double type",
        "train_input_query::documents: a string column",
    ),
    ServerError(
        SEARCHES, "search_phase_execution_exception", "all shards failed", "search_queries::nested user: inner hits"
    ),
    ServerError(
        r"/_plugins/_ml/models/_search", "status_exception", ".*", "error_traces::a search that fails for models"
    ),
    ServerError(
        r"/_cat/",
        "unsupported_operation_exception",
        r"Unable to sort by unknown sort key `.*`",
        "cluster_tasks::headers: echoed",
    ),
    ServerError(
        SEARCHES,
        "unsupported_version_exception",
        r"Unsupported version \[.*\]",
        "search_requests::point in time: broken",
    ),
    ServerError(
        r"/_cluster/settings",
        "class_cast_exception",
        r"class java\.\w+\.\w+ cannot be cast to class java\.util\.Map \(.*\)",
        "odd_inputs::settings that are no objects",
    ),
    ServerError(
        r"/_plugins/_ml/tasks/",
        "null_pointer_exception",
        r'Cannot invoke "java\.util\.Map\.entrySet\(\)" because "remoteJob" is null',
        "odd_inputs::a job without its parts",
    ),
    ServerError(
        BODIES,
        "char_conversion_exception",
        r"Invalid UTF-32 character .*|Unsupported UCS-4 endianness \(\d+\) detected",
        "odd_inputs::JSON in an encoding that cannot be read",
    ),
    ServerError(
        BODIES,
        "stream_constraints_exception",
        r"(Number value|Name) length \(\d+\) exceeds the maximum allowed .*",
        "odd_inputs::numbers longer than Jackson takes",
    ),
    ServerError(
        BODIES,
        "stream_constraints_exception",
        r"Document nesting depth \(1001\) exceeds the maximum allowed .*",
        "odd_inputs::nested deeper than Jackson goes",
    ),
    ServerError(
        r"/_cat/",
        "emitter_exception",
        r"expected NodeEvent, but got <org\.yaml\.snakeyaml\.events\.DocumentEndEvent\(\)>",
        "odd_inputs::a reply of which nothing is left",
    ),
    ServerError(
        SEARCHES,
        "runtime_exception",
        r"com\.fasterxml\.jackson\.core\..*Exception: .*",
        "odd_inputs::searches that end in the middle",
    ),
    ServerError(
        MODELS,
        "null_pointer_exception",
        r'Cannot invoke "String\.hashCode\(\)" because "<local\d+>" is null',
        "model_update::guardrails",
    ),
    ServerError(
        MODELS,
        "class_cast_exception",
        r"class java\.\w+\.\w+ cannot be cast to class java\.(util\.List|util\.Map|lang\.String) \(.*\)",
        "model_update::guardrails",
    ),
    ServerError(
        MODELS,
        "array_store_exception",
        r"arraycopy: element type mismatch: .*",
        "model_update::guardrails",
    ),
    ServerError(
        r"/_plugins/_ml/(_predict/.*|models/.*/_predict)",
        "null_pointer_exception",
        r'Cannot invoke "String\.getBytes\(java\.nio\.charset\.Charset\)" because "<parameter1>" is null',
        "models_stored::predict: no content",
    ),
    ServerError(
        WORK,
        "class_cast_exception",
        r"class org\.opensearch\.ml\.[\w.]+ cannot be cast to class org\.opensearch\.ml\.[\w.]+ \(.*\)",
        "predict::algorithms in the path",
    ),
    ServerError(
        WORK,
        "array_index_out_of_bounds_exception",
        r"Index \d+ out of bounds for length \d+",
        "regressions::linear: rows of other lengths",
    ),
    ServerError(
        WORK,
        "array_index_out_of_bounds_exception",
        r"arraycopy: source index -1 out of bounds for double\[\d+\]",
        "rcf::fit_rcf: no time",
    ),
    ServerError(
        WORK,
        "index_out_of_bounds_exception",
        "Index 0 out of bounds for length 0",
        "rcf::rcf_summarize: numbers beyond a float",
    ),
    ServerError(WORK, "arithmetic_exception", "/ by zero", "regressions::linear: a round of nothing"),
    ServerError(
        WORK,
        "null_pointer_exception",
        r'Cannot invoke "String\.equals\(Object\)" because .* is null',
        "regressions::linear: names",
    ),
    ServerError(
        WORK,
        "null_pointer_exception",
        r'Cannot invoke "org\.tribuo\.classification\.Label\.getLabel\(\)" because .* is null',
        "regressions::logistic: away",
    ),
    ServerError(
        WORK, "runtime_exception", "the value isn't (String|Long) type", "regressions::logistic: columns of texts"
    ),
    ServerError(WORK, "illegal_state_exception", "out of space", "rcf::batch_rcf: too small a sample"),
    ServerError(WORK, "illegal_state_exception", " cut failed ", "rcf::batch_rcf: numbers beyond a float"),
    ServerError(
        WORK,
        "m_l_validation_exception",
        r"Wrong data type of time field\. Should use LONG or STRING, but got \w+",
        "rcf::fit_rcf: no time",
    ),
    ServerError(WORK, "m_l_validation_exception", "Failed to parse timestamp .*", "rcf::fit_rcf: times as texts"),
    ServerError(EXECUTIONS, "ArithmeticException", "/ by zero", "localization::intervals and ranges"),
    ServerError(EXECUTIONS, "NullPointerException", "index must not be null", "localization::indices"),
    ServerError(
        EXECUTIONS,
        "NullPointerException",
        r'Cannot invoke "org\.opensearch\.ml\..*\$Entity\.getContributionValue\(\)" because "a" is null',
        "localization::outputs",
    ),
    ServerError(
        EXECUTIONS,
        "NullPointerException",
        r'Cannot invoke "org\.opensearch\..*\.getAggregations\(\)" because the return value of ".*" is null',
        "localization::aggregations that fail",
    ),
    ServerError(
        EXECUTIONS,
        "ClassCastException",
        r"class org\.opensearch\..* cannot be cast to class org\.opensearch\..*SingleValue \(.*\)",
        "localization::aggregations of more values",
    ),
    ServerError(
        EXECUTIONS,
        "null_pointer_exception",
        r'Cannot invoke ".*\.getAggregatorFactories\(\)" because the return value of ".*" is null',
        "localization::aggregations that cannot be read",
    ),
    ServerError(
        EXECUTIONS,
        "aggregation_initialization_exception",
        r"Aggregator \[.*\] of type \[.*\] cannot accept sub-aggregations",
        "localization::aggregations that cannot be read",
    ),
)


def recorded(path: str, type_: str, reason: str) -> ServerError | None:
    """Return which of the recorded errors this is, None if it is none."""
    return next((error for error in RECORDED if error.is_it(path, type_, reason)), None)
