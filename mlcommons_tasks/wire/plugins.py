"""ML Commons among the plugins that a cluster lists, as the real one lists itself. Pure.

Recorded of 3.6.0 and 2.19.1; the others are read from `plugin/build.gradle` of every tag.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mlcommons_tasks.versions.table import numbers_of
from mlcommons_tasks.wire.cat_table import Column, Row, Table

NAME = "opensearch-ml"
DESCRIPTION = "machine learning plugin for opensearch"
JOB_SCHEDULER, SECURITY = "opensearch-job-scheduler", "opensearch-security"
#: Asks `_cat/plugins` for everything, so that the table can be made here.
CLUSTER_QUERY = {"format": "json", "h": "*"}
COLUMNS = (
    Column("id", "unique node id", shown=False),
    Column("name", "node name", ("n",)),
    Column("component", "component", ("c",)),
    Column("version", "component version", ("v",)),
    Column("description", "plugin details", ("d",), shown=False),
)


def plugin_info(version: str) -> dict[str, Any]:
    """Return what `_nodes/plugins` says of the plugin."""
    numbers = numbers_of(version)
    opensearch = ".".join(map(str, numbers))
    return {
        "name": NAME,
        "version": f"{opensearch}.0",
        "opensearch_version": opensearch,
        "java_version": "21" if numbers >= (3, 0, 0) else "11" if numbers >= (2, 0, 0) else "1.8",
        "description": DESCRIPTION,
        "classname": "org.opensearch.ml.plugin.MachineLearningPlugin",
        "custom_foldername": "",
        "extended_plugins": [JOB_SCHEDULER] * (numbers >= (2, 19, 0)) + [SECURITY] * (numbers >= (3, 3, 0)),
        "has_native_controller": False,
        "optional_extended_plugins": [SECURITY] * (numbers >= (3, 3, 0)),
    }


def with_plugin(node: Mapping[str, Any], version: str) -> dict[str, Any]:
    """Return what `_nodes` says of a node with the plugin among its others."""
    others = [plugin for plugin in node.get("plugins", ()) if plugin.get("name") != NAME]
    return {**node, "plugins": sorted([*others, plugin_info(version)], key=lambda plugin: str(plugin["name"]))}


def plugins_table(rows: Iterable[Mapping[str, Any]], nodes: Sequence[tuple[str, str]], version: str) -> Table:
    """Return the table of `_cat/plugins`, from the cluster's rows, which have every column, and its nodes.

    `nodes` are pairs of an id and a name.
    """
    by_node: dict[str, list[Row]] = {}
    for found in rows:
        by_node.setdefault(str(found.get("id")), []).append({column.name: found.get(column.name) for column in COLUMNS})
    for node, name in nodes:
        ours = {"id": node, "name": name, "component": NAME, "version": plugin_info(version)["version"]}
        by_node.setdefault(node, []).append({**ours, "description": DESCRIPTION})
    listed = [row for found in by_node.values() for row in sorted(found, key=lambda row: str(row["component"]))]
    return Table(COLUMNS, listed)
