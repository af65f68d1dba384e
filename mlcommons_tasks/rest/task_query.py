"""What a request to `_tasks` asks for, read as OpenSearch reads it, and the request as OpenSearch is to see it.

Source: OpenSearch 3.6.0 `RestListTasksAction`, `RestGetTaskAction`, `RestCancelTasksAction`. Three things that the
documentation promises and OpenSearch refuses are kept from it: `master_timeout`, `cluster_manager_timeout`, and a
`parent_task_id` of -1 for all tasks.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlcommons_tasks.cluster_task import TaskId
from mlcommons_tasks.errors import IllegalArgument
from mlcommons_tasks.rest.cluster_answer import without
from mlcommons_tasks.rest.exchange import RestRequest
from mlcommons_tasks.wire.cluster_tasks import TaskFilter, parse_group_by
from mlcommons_tasks.wire.simple_match import comma_list
from mlcommons_tasks.wire.time_value import parse_time_value

DEFAULT_TIMEOUT_S = 30.0
MANAGER_TIMEOUTS = ("master_timeout", "cluster_manager_timeout")
EVERY_PARENT = "-1"


@dataclass(frozen=True)
class TaskQuery:
    """The parameters of a request to `_tasks`, those that OpenSearch has."""

    filter: TaskFilter
    nodes: str | None
    group_by: str
    detailed: bool
    human: bool
    wait: bool
    timeout_s: float

    @classmethod
    def of(cls, rest: RestRequest) -> TaskQuery:
        """Read the parameters of a request.

        Raises:
            IllegalArgument: one of them is wrong, in OpenSearch's words.
        """
        parameters = rest.parameters
        human = parameters.boolean("human")
        detailed = parameters.boolean("detailed")
        nodes = parameters.text("nodes") or None
        actions = comma_list(parameters.text("actions"))
        parent = _parent(parameters.text("parent_task_id"))
        wait = parameters.boolean("wait_for_completion")
        timeout = parameters.text("timeout")
        timeout_s = DEFAULT_TIMEOUT_S if timeout is None else parse_time_value(timeout, "timeout") / 1e9
        group_by = parse_group_by(parameters.text("group_by", "nodes") or "")
        return cls(TaskFilter(actions=actions, parent=parent), nodes, group_by, detailed, human, wait, timeout_s)


def manager_timeouts(rest: RestRequest) -> dict[str, str]:
    """Return how long the request would have the cluster look for its manager, by the names that say so."""
    return {name: rest.parameters.text(name) or "" for name in MANAGER_TIMEOUTS if rest.parameters.has(name)}


def is_ours_to_read(rest: RestRequest) -> bool:
    """Say whether a request has a parameter that OpenSearch refuses and we do not."""
    return any(rest.parameters.has(name) for name in (*MANAGER_TIMEOUTS, "parent_task_id"))


def for_opensearch(rest: RestRequest) -> str:
    """Return the request's target without what OpenSearch refuses, untouched if there is nothing of that."""
    unwanted: list[str] = [name for name in MANAGER_TIMEOUTS if rest.parameters.has(name)]
    if rest.parameters.text("parent_task_id") == EVERY_PARENT:
        unwanted.append("parent_task_id")
    return without(rest.target, unwanted)


def _parent(text: str | None) -> TaskId | None:
    if not text or text == EVERY_PARENT:
        return None
    found = TaskId.parse(text)
    if found is None:
        raise IllegalArgument(f"malformed task id {text}")
    return found
