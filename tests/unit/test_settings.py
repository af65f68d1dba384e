"""OpenSearch's settings: read flat and nested, changed, rendered in Java's order; ML Commons' own among them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlcommons_tasks.errors import IllegalArgument
from mlcommons_tasks.versions import CURRENT, DEFAULT, profile_of
from mlcommons_tasks.versions.settings import PREFIX, ROWS, settings_of
from mlcommons_tasks.versions.table import numbers_of
from mlcommons_tasks.wire.byte_size import NotANumberError, parse_byte_size
from mlcommons_tasks.wire.ml_settings import MLSettings, defaults_of, known, refusal, split
from mlcommons_tasks.wire.settings import (
    UnreadableSettingsError,
    changed,
    read_wishes,
    rendered,
    text_of,
    texts_of,
)

RECORDINGS = Path(__file__).parents[2] / "fixtures" / "recordings"
MAX = f"{PREFIX}max_ml_task_per_node"
ROLES = f"{PREFIX}task_dispatcher.eligible_node_role.local_model"


@pytest.mark.parametrize(
    ("section", "wishes"),
    [
        ({}, {}),
        ({"b": 1, "a": {"c": True, "b.x": None}}, {"a.b.x": None, "a.c": "true", "b": "1"}),
        ({"a": 1e3, "b": 1.5, "c": 12345678.9, "d": 10**30}, {"a": "1000.0", "b": "1.5", "c": "1.23456789E7"}),
        ({"a": ["x", 1, False, 2.0]}, {"a": ["x", "1", "false", "2.0"]}),
        ({"a": {"1": "y", "0": "x"}, "b.0": "z"}, {"a": ["x", "y"], "b": ["z"]}),
        ({"a": {"0": "x", "2": "z"}}, {"a": ["x"], "a.2": "z"}),
        ({"a": {"b": 1}, "a.b": 2}, {"a.b": "2"}),
        ({"a.b": 2, "a": {"b": None}}, {"a.b": None}),
        ({"a": {}}, {}),
    ],
)
def test_a_section_is_read_in_order(section: Any, wishes: dict[str, Any]) -> None:
    """Nested names are joined, values are texts, the last of a name counts, names are sorted."""
    found = read_wishes(section)
    assert list(found) == sorted(found)
    assert {key: found[key] for key in found if key != "d"} == wishes


@pytest.mark.parametrize("section", [None, "x", [], 5, {"a": [None]}, {"a": [["x"]]}, {"a": [{}]}, {"a": 1, "a.0": 2}])
def test_what_opensearch_cannot_load_is_told_apart(section: Any) -> None:
    with pytest.raises(UnreadableSettingsError):
        read_wishes(section)


def test_resets_come_before_what_is_set() -> None:
    """A wildcard takes what was there, not what comes with it."""
    before = {"a.b": "1", "a.c": "2", "d": "3"}
    assert changed(before, {"a.*": None, "a.b": "9", "d": None, "e": None}) == {"a.b": "9"}
    assert changed(before, {"*": None}) == {}
    assert changed(before, {"a.c": ["x"]}) == {"a.b": "1", "a.c": ["x"], "d": "3"}


def test_settings_are_rendered_flat_and_nested() -> None:
    """Flat they are sorted; nested they stand as in a HashMap that grows from two; 0, 1, 2 are a list."""
    settings = {"b.2": "z", "b.0": "x", "b.1": "y", "a": "1", "c.d": "v", "c": "w"}
    assert list(rendered(settings, flat=True)) == sorted(settings)
    assert rendered(settings, flat=False) == {"a": "1", "b": ["x", "y", "z"], "c": "w", "c.d": "v"}
    assert rendered({"a": "1", "a.b": "2"}, flat=False) == {"a": "1", "a.b": "2"}
    assert rendered({}, flat=False) == {}


@pytest.mark.parametrize("version", ["2.19.1", DEFAULT])
def test_all_settings_are_those_that_were_recorded(version: str) -> None:
    """Names, defaults and the order of both renderings; only_run_on_ml_node is false here, and on the node recorded."""
    replies = json.loads((RECORDINGS / version / "cluster_settings.json").read_text())
    flat, nested = replies["cases"]["defaults: all, flat and nested"]["replies"][:2]
    defaults = defaults_of(version)
    assert json.dumps(rendered(defaults, flat=True)) == json.dumps(flat["json"]["defaults"])
    shown = rendered(defaults, flat=False)["plugins"]["ml_commons"]
    assert json.dumps(shown) == json.dumps(nested["json"]["defaults"]["plugins"]["ml_commons"])


def test_a_version_has_the_settings_of_its_time() -> None:
    """Settings come, change their ranges, and go."""
    assert not settings_of("2.3")
    assert settings_of("2.4")[f"{PREFIX}max_model_on_node"].high == 1000
    assert settings_of("2.5")[f"{PREFIX}max_model_on_node"].high == 10_000
    assert f"{PREFIX}max_load_model_tasks_per_node" in settings_of("2.6")
    assert f"{PREFIX}max_load_model_tasks_per_node" not in settings_of("2.7")
    assert settings_of("3.1")[f"{PREFIX}metrics_static_collection_enabled"].change == "final"
    assert len(settings_of("3.6.0")) == 67
    for steps in ROWS.values():
        numbers = [numbers_of(first) for first, _ in steps]
        assert numbers == sorted(set(numbers))


def test_wishes_are_split() -> None:
    """What begins as ours is ours, known or not; a wildcard may concern both."""
    wishes = read_wishes({MAX: 1, f"{PREFIX}nope": 2, "cluster.x": 3, "*": None, "plugins.ml*": None, "z*": None})
    ours, theirs = split(wishes, DEFAULT)
    assert set(ours) == {MAX, f"{PREFIX}nope", "*", "plugins.ml*"}
    assert set(theirs) == {"cluster.x", "*", "plugins.ml*", "z*"}


def test_the_first_bad_wish_is_told() -> None:
    """In the order of names; what is reset by a wildcard need not be there."""
    bad = refusal(read_wishes({MAX: -1, f"{PREFIX}a": 1, f"{PREFIX}*": None}), "transient", CURRENT)
    assert bad is not None
    key, error = bad
    assert (key, error.type) == (f"{PREFIX}a", "settings_exception")
    assert error.reason == f"transient setting [{PREFIX}a], not recognized"
    assert refusal(read_wishes({MAX: 3, f"{PREFIX}*": None, MAX + "*": None}), "transient", CURRENT) is None
    older = refusal({f"{PREFIX}a": "1"}, "persistent", profile_of("2.19.1"))
    assert older is not None
    assert older[1].type == "illegal_argument_exception"


def test_a_place_in_a_list_is_its_setting() -> None:
    assert refusal({f"{ROLES}.2": "x"}, "persistent", CURRENT) is None
    assert refusal({f"{MAX}.2": "x"}, "persistent", CURRENT) is not None
    assert known({f"{ROLES}.2": "x", f"{PREFIX}gone": "y"}, DEFAULT) == {f"{ROLES}.2": "x"}


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("-1", -1), ("-1b", -1), ("7b", 7), (" 5 GB ", 5 * 2**30), ("1k", 1024), ("2pb", 2**51)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_byte_size(text, "s") == size


@pytest.mark.parametrize("text", ["", "5", "-2", "1.5gb", "x", "xgb", "-2b", "-1kb", "9999999999pb"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(IllegalArgument):
        parse_byte_size(text, "s")


@pytest.mark.parametrize("text", ["b", "xb", "1.5b", "9999999999999999999b"])
def test_no_numbers_of_bytes(text: str) -> None:
    with pytest.raises(NotANumberError):
        parse_byte_size(text, "s")


def test_values_as_texts_and_lists() -> None:
    """Each kind may be written as the other."""
    assert text_of(["a", "b"]) == "[a, b]"
    assert texts_of("a, b ,") == ["a", "b"]
    assert texts_of("") == []
    assert texts_of(["a,b"]) == ["a,b"]


def test_what_settings_mean() -> None:
    """Nothing set is our defaults; a list that is empty is no default."""
    assert MLSettings.of({}) == MLSettings() == MLSettings.of(defaults_of(DEFAULT))
    found = MLSettings.of(
        {
            f"{PREFIX}only_run_on_ml_node": "true",
            f"{PREFIX}exclude_nodes._name": "a, b",
            f"{PREFIX}disk_free_space_threshold": "1 kb",
            MAX: "+3",
            ROLES: [],
        }
    )
    assert found.only_run_on_ml_node
    assert found.excluded_nodes == {"a", " b"}
    assert found.disk_free_threshold == 1024
    assert found.max_ml_task_per_node == 3
    assert found.local_model_roles == frozenset()
    assert MLSettings.of({ROLES: ""}).local_model_roles == {"data", "ml"}
