"""ML Commons among the plugins that a cluster lists."""

from __future__ import annotations

import pytest

from mlcommons_tasks.rest.plugins import lists_plugins
from mlcommons_tasks.wire.cat_table import View
from mlcommons_tasks.wire.plugins import plugin_info, plugins_table, with_plugin


def test_it_lists_itself_as_the_real_one() -> None:
    """As recorded of two versions."""
    assert plugin_info("3.6.0") == {
        "name": "opensearch-ml",
        "version": "3.6.0.0",
        "opensearch_version": "3.6.0",
        "java_version": "21",
        "description": "machine learning plugin for opensearch",
        "classname": "org.opensearch.ml.plugin.MachineLearningPlugin",
        "custom_foldername": "",
        "extended_plugins": ["opensearch-job-scheduler", "opensearch-security"],
        "has_native_controller": False,
        "optional_extended_plugins": ["opensearch-security"],
    }
    older = plugin_info("2.19.1")
    assert (older["version"], older["java_version"]) == ("2.19.1.0", "11")
    assert (older["extended_plugins"], older["optional_extended_plugins"]) == (["opensearch-job-scheduler"], [])


def test_it_is_listed_once_among_the_others() -> None:
    """By its name, whether it is there or not."""
    others = [{"name": "a"}, {"name": "z"}]
    node = with_plugin({"name": "n", "plugins": others, "modules": []}, "3.6.0")
    assert [plugin["name"] for plugin in node["plugins"]] == ["a", "opensearch-ml", "z"]
    assert list(node) == ["name", "plugins", "modules"]
    assert with_plugin(node, "3.6.0") == node
    assert [plugin["name"] for plugin in with_plugin({"name": "n"}, "3.6.0")["plugins"]] == ["opensearch-ml"]


def test_the_table_has_a_row_for_each_node() -> None:
    """Beside the cluster's own rows, nodes without any included."""
    rows = [{"id": "1", "name": "one", "component": "zz", "version": "1.0", "description": "d"}]
    table = plugins_table(rows, [("1", "one"), ("2", "two")], "3.6.0")
    assert table.text(View()) == ("one opensearch-ml 3.6.0.0\none zz            1.0\ntwo opensearch-ml 3.6.0.0\n")


@pytest.mark.parametrize(
    ("path", "lists"),
    [
        (("", ""), True),
        (("plugins", ""), True),
        (("http,plugins", ""), True),
        (("n1", "plugins"), True),
        (("n1", ""), True),
        (("_all", ""), True),
        (("_all", "_all"), True),
        (("n1,n2", "http,plugins"), True),
        (("http", ""), False),
        (("_all", "http"), False),
        (("stats", ""), False),
        (("n1", "stats"), False),
        (("hot_threads", ""), False),
        (("usage", "x"), False),
        (("%zz", ""), False),
    ],
)
def test_which_paths_list_plugins(path: tuple[str, str], lists: bool) -> None:
    """What else is below `_nodes` is the cluster's."""
    assert lists_plugins(*path) is lists
