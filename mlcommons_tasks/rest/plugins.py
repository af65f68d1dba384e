"""`/_cat/plugins` and `/_nodes` where the cluster has no ML Commons: its own plugins and this one.

Source: OpenSearch 3.6.0 `RestPluginsAction`, `RestNodesInfoAction`.
"""

from __future__ import annotations

from flask import Blueprint, Response

from mlcommons_tasks.errors import IllegalArgument
from mlcommons_tasks.rest.cluster_answer import (
    SHAPING,
    TABLE_SHAPING,
    ClusterAnswer,
    cluster_json,
    readable,
    table_reply,
    with_parameters,
    without,
)
from mlcommons_tasks.rest.exchange import reply
from mlcommons_tasks.rest.proxy import forward
from mlcommons_tasks.store.upstream import Upstream
from mlcommons_tasks.store.worker_nodes import WorkerNodes
from mlcommons_tasks.wire.parameters import decode
from mlcommons_tasks.wire.plugins import CLUSTER_QUERY, plugins_table, with_plugin
from mlcommons_tasks.wire.simple_match import comma_list

NAME = "plugins"
PLUGINS = "plugins"
METRICS = frozenset(
    {
        "settings",
        "os",
        "process",
        "jvm",
        "thread_pool",
        "transport",
        "http",
        "plugins",
        "ingest",
        "aggregations",
        "indices",
        "search_pipelines",
    }
)
#: Paths below `/_nodes` that are about something else.
OTHER = frozenset({"stats", "usage", "hot_threads", "hotthreads", "reload_secure_settings"})


def plugins_blueprint(nodes: WorkerNodes, upstream: Upstream, version: str) -> Blueprint:
    """Return the routes that list plugins."""
    routes = Blueprint(NAME, __name__)

    @routes.errorhandler(ClusterAnswer)
    def pass_through(_: ClusterAnswer) -> Response:
        return forward(upstream)

    @routes.get("/_cat/plugins")
    def cat_plugins() -> Response:
        rest = readable()
        if rest.parameters.has("help"):
            raise ClusterAnswer
        target = without(rest.target, (*SHAPING, *TABLE_SHAPING))
        rows = cluster_json(upstream, with_parameters(target, CLUSTER_QUERY))
        found = [(node.id, node.name) for node in nodes.all()]
        return table_reply(rest, plugins_table(rows, found, version))

    @routes.get("/_nodes")
    @routes.get("/_nodes/<segment:nodes_or_metrics>")
    @routes.get("/_nodes/<segment:nodes_or_metrics>/<segment:metrics>")
    @routes.get("/_nodes/<segment:nodes_or_metrics>/info/<segment:metrics>")
    def nodes_info(nodes_or_metrics: str = "", metrics: str = "") -> Response:
        rest = readable()
        if not lists_plugins(nodes_or_metrics, metrics):
            raise ClusterAnswer
        body = cluster_json(upstream, without(rest.target, SHAPING))
        body["nodes"] = {node: with_plugin(info, version) for node, info in body["nodes"].items()}
        return reply(body)

    return routes


def lists_plugins(nodes_or_metrics: str, metrics: str) -> bool:
    """Say whether a path asks for plugins: among other things of some nodes, or without any."""
    try:
        first, second = (comma_list(decode(part)) for part in (nodes_or_metrics, metrics))
    except IllegalArgument:
        return False
    if OTHER & {*first[:1], *second[:1]}:
        return False
    wanted = second or (first if first and METRICS.issuperset(first) else ())
    return not wanted or PLUGINS in wanted or wanted == ("_all",)
