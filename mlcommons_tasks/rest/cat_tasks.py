"""`/_cat/tasks`: the cluster's own rows and ours in one table. Source: OpenSearch 3.6.0 `RestTasksAction`."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, request

from mlcommons_tasks.rest.cluster_edge import ClusterAnswer, ClusterEdge, empty_body
from mlcommons_tasks.rest.exchange import RestRequest, reply
from mlcommons_tasks.rest.proxy import ask
from mlcommons_tasks.rest.task_query import SHAPING, for_opensearch, without
from mlcommons_tasks.wire.cat_table import View
from mlcommons_tasks.wire.cat_tasks import CLUSTER_QUERY, tasks_table
from mlcommons_tasks.wire.media_types import of_format, of_media_type

TEXT = "text/plain; charset=UTF-8"
#: What shapes a table.
TABLE_SHAPING = ("h", "s", "v", "ts", "time", "bytes", "size")


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
        rows = _cluster_rows(edge)
        if query.wait:
            _, entries = edge.awaited(empty_body("none"), entries, until)
        table = tasks_table(rows, entries, edge.cluster.nodes(), edge.clock.now_in_millis(), detailed=query.detailed)
        view = View.of(rest.parameters)
        if is_structured(rest):
            return reply(table.objects(view))
        return Response(table.text(view), content_type=TEXT)


def _cluster_rows(edge: ClusterEdge) -> list[dict[str, Any]]:
    """Return the cluster's own rows of `_cat/tasks`, with every column."""
    target = without(for_opensearch(RestRequest.current()), (*SHAPING, *TABLE_SHAPING))
    answer = ask(edge.upstream, f"{target}{'&' if '?' in target else '?'}{urlencode(CLUSTER_QUERY)}")
    if answer.status != 200:
        raise ClusterAnswer
    rows: list[dict[str, Any]] = json.loads(answer.payload)
    return rows


def is_structured(rest: RestRequest) -> bool:
    """Say whether a table is wanted as JSON or the like."""
    if rest.parameters.has("format"):
        return of_format(rest.parameters.text("format")) is not None
    return of_media_type(request.headers.get("Accept")) is not None
