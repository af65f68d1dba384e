"""`/_cat/tasks`: the cluster's own rows and ours in one table. Source: OpenSearch 3.6.0 `RestTasksAction`."""

from __future__ import annotations

import time

from flask import Blueprint, Response

from mlcommons_tasks.rest.cluster_answer import (
    SHAPING,
    TABLE_SHAPING,
    ClusterAnswer,
    cluster_json,
    table_reply,
    with_parameters,
    without,
)
from mlcommons_tasks.rest.cluster_edge import ClusterEdge
from mlcommons_tasks.rest.exchange import RestRequest
from mlcommons_tasks.rest.task_query import for_opensearch
from mlcommons_tasks.wire.cat_tasks import CLUSTER_QUERY, tasks_table
from mlcommons_tasks.wire.cluster_tasks import empty_body


def add_cat_tasks(routes: Blueprint, edge: ClusterEdge) -> None:
    """Add the route."""

    @routes.get("/_cat/tasks")
    def cat_tasks() -> Response:
        rest = RestRequest.current()
        query = edge.list_query()
        if rest.parameters.has("help"):
            raise ClusterAnswer
        entries = edge.entries(query)
        if not entries:
            raise ClusterAnswer
        until = time.monotonic() + query.timeout_s
        target = without(for_opensearch(rest), (*SHAPING, *TABLE_SHAPING))
        rows = cluster_json(edge.upstream, with_parameters(target, CLUSTER_QUERY))
        if query.wait:
            _, entries = edge.awaited(empty_body("none"), entries, until)
        table = tasks_table(rows, entries, edge.cluster.nodes(), edge.clock.now_in_millis(), detailed=query.detailed)
        return table_reply(rest, table)
