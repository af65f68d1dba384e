"""What one version of ML Commons does: a record. Knows no version's number but its own."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple


class Failure(NamedTuple):
    """An error as the plugin words it; `{id}` in the reason is what was asked for."""

    status: int
    type: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Profile:
    """How one version answers; a field a row of `ROWS`."""

    version: str
    #: A task that is not there, asked for.
    get_no_document: Failure
    get_no_index: Failure
    #: A task that is not there, deleted; None is OpenSearch's own answer.
    delete_no_document: Failure | None
    delete_no_index: Failure | None
    #: Why a task that is RUNNING is not deleted; None if it is.
    running_stays: str | None
    #: Why a task without a state is not deleted; None if it is.
    stateless_stays: str | None
    #: Whether the deletion of a task, or of a model, is seen by searches at once, and says so.
    refreshes_tasks: bool
    refreshes_models: bool
    #: Whether a search without an index finds nothing; if not, it is a 404.
    searches_no_index: bool
    #: The last segment of the path that cancels a task; None if there is none.
    cancel_action: str | None
    #: Names of enums' constants that are known.
    task_states: frozenset[str]
    task_types: frozenset[str]
    function_names: frozenset[str]
    input_types: frozenset[str]
    enum_package: str
    #: Fields of a task that newer versions have.
    unknown_task_fields: frozenset[str]
    #: Whether a task has a list of nodes; if not, it has one, a text.
    lists_worker_nodes: bool
    #: What a `user` is rendered with, in order.
    user_fields: tuple[str, ...]
    #: Whether a user's custom attributes must look like `name=value`.
    user_attributes_have_values: bool
    #: `_meta.schema_version` of the indices; None if they have no `_meta`.
    task_schema: int | None
    model_schema: int | None
    #: Fields of the mappings that newer versions have; a dot leads into an object.
    unmapped_task_fields: frozenset[str]
    unmapped_model_fields: frozenset[str]
    #: Whether models can be hidden: a filter in every search, `is_hidden` in every model.
    hides_models: bool
    #: Whether a connector's credentials are kept out of searches for models.
    hides_credentials: bool
    #: Whether a search's own `_source` counts, and content is left out if it has none.
    honours_source: bool
    #: What is said of a search for models that fails, if there is no more to say.
    model_search_failed: str
    #: Whether a search for models may have aggregations.
    aggregates_models: bool
    #: A model that is not there, asked for or deleted; None is OpenSearch's own answer.
    get_no_model: Failure
    get_no_model_index: Failure
    delete_no_model: Failure | None
    #: Why a model that is deployed is not deleted; None if it is.
    deployed_stays: Failure | None
    #: Whether there is a route that updates a model.
    updates_models: bool
    #: Whether a path may name a model to predict with without its algorithm.
    predicts_by_model: bool
    #: Whether the model is looked for before the body is read, though the path names an algorithm.
    predicts_model_first: bool
    #: Whether an execution may be asked to answer at once, which counts for agents only.
    executes_async: bool
    #: Whether executions have errors of a shape of their own, and look at the body before the algorithm's name.
    executes_with_own_errors: bool
    #: Whether there may be more metrics to correlate than each has values.
    correlates_any_metrics: bool
    #: The optimiser of LINEAR_REGRESSION if none is named.
    linear_optimiser: str
    #: The status of a number that is out of its type's range.
    number_out_of_range: int
    #: Why nothing is trained where no node may train.
    no_eligible_node: str
    #: A node that is short of memory or disk; `{id}` is which.
    breaker_open: Failure
    #: The type of the error for a setting that is unknown or cannot be changed.
    setting_refused: str
    #: Whether every reply has the header `X-OpenSearch-Version`.
    says_version: bool
