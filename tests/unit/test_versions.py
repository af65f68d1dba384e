"""The table of versions: it is whole, each row is used, and each difference shows on both sides of its version."""

from __future__ import annotations

import ast
import dataclasses
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from mlcommons_tasks.config import Settings, SettingsError
from mlcommons_tasks.errors import TaskPluginError
from mlcommons_tasks.store.mappings import model_index_body, task_index_body
from mlcommons_tasks.store.tasks import TaskStore
from mlcommons_tasks.task import FunctionName, InputType, MLTask, TaskState, TaskType
from mlcommons_tasks.versions import CURRENT, DEFAULT, ROWS, Profile, UnknownVersionError, profile_of
from mlcommons_tasks.versions.table import READ, RECORDED, numbers_of
from mlcommons_tasks.wire.model_document import render_model
from mlcommons_tasks.wire.search_body import source_filter, visible_models
from mlcommons_tasks.wire.task_document import render_task

PACKAGE = Path(__file__).parents[2] / "mlcommons_tasks"
VERSIONS = ["1.3", *(f"2.{n}" for n in range(20)), "2.17.1", "2.19.1", "2.19.3", *(f"3.{n}" for n in range(7))]


def before(version: str) -> Profile:
    """Return the profile of the last version before one."""
    older = [other for other in VERSIONS if numbers_of(other) < numbers_of(version)]
    return profile_of(max(older, key=numbers_of))


# --- the table


def test_the_table_and_the_record_have_the_same_fields() -> None:
    assert {field.name for field in dataclasses.fields(Profile)} == {"version", *ROWS}


@pytest.mark.parametrize("name", ROWS)
def test_a_row_says_how_it_is_known_and_its_steps_are_steps(name: str) -> None:
    """From the oldest version on, in order, each another value than the one before."""
    row = ROWS[name]
    firsts = [numbers_of(first) for first, _ in row.steps]
    values = [value for _, value in row.steps]

    assert row.proof in (RECORDED, READ)
    assert row.source
    assert firsts[0] == numbers_of("1.3")
    assert firsts == sorted(set(firsts))
    assert all(left != right for left, right in itertools.pairwise(values))


@pytest.mark.parametrize("name", ROWS)
def test_a_recorded_row_differs_between_the_recorded_versions(name: str) -> None:
    differs = getattr(profile_of("2.19.1"), name) != getattr(CURRENT, name)
    assert differs == (ROWS[name].proof == RECORDED)


@pytest.mark.parametrize(("name", "step"), [(name, n) for name, row in ROWS.items() for n in range(1, len(row.steps))])
def test_a_step_is_taken_at_its_version(name: str, step: int) -> None:
    """A version has the value of the step, the version before it that of the step before."""
    (_, old), (version, new) = ROWS[name].steps[step - 1 : step + 1]

    assert getattr(before(version), name) == old
    assert getattr(profile_of(version), name) == new


def test_every_row_is_used() -> None:
    """Somewhere outside the table each field of a profile is read."""
    read = {
        node.attr
        for path in PACKAGE.rglob("*.py")
        if "versions" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
    }
    assert set(ROWS) <= read


def test_the_newest_knows_every_constant() -> None:
    """The enums and the table name the same constants."""
    assert profile_of(DEFAULT).task_states == set(TaskState.__members__)
    assert profile_of(DEFAULT).task_types == set(TaskType.__members__)
    assert profile_of(DEFAULT).function_names == set(FunctionName.__members__)
    assert profile_of(DEFAULT).input_types == set(InputType.__members__)


@pytest.mark.parametrize("version", ["1.3", "1.3.20", "2.0.0", "2.19", "2.19.5", "3.6.0"])
def test_a_version_is_taken(version: str) -> None:
    assert Settings(ml_commons_version=version).ml_commons_version == version


@pytest.mark.parametrize("version", ["", "1.2", "1.4", "2.20.0", "3.7.0", "4.0", "3", "3.6.0.0", "latest"])
def test_no_other_version_is_taken(version: str) -> None:
    with pytest.raises(UnknownVersionError):
        profile_of(version)
    with pytest.raises(SettingsError, match=r"ml_commons_version must be .* from 1\.3 to 3\.6, not"):
        Settings(ml_commons_version=version)


def test_the_version_is_read_from_the_environment() -> None:
    environment = {"MLCOMMONS_TASKS_ML_COMMONS_VERSION": "2.19.1"}
    assert Settings.resolve({}, environment).ml_commons_version == "2.19.1"
    assert Settings.resolve({"ml_commons_version": "2.4"}, environment).ml_commons_version == "2.4"


# --- documents


def task(profile: Profile, **source: Any) -> dict[str, Any] | str:
    """Return what GET gives for a stored task, or the reason of its error."""
    try:
        return render_task(json.dumps(source).encode(), profile)
    except TaskPluginError as error:
        return str(error.reason)


@pytest.mark.parametrize(
    ("version", "source", "old", "new"),
    [
        ("2.17", {"remote_job": {"a": 1}}, {"is_async": False}, {"is_async": False, "remote_job": {"a": 1}}),
        ("2.19", {"tenant_id": "t"}, {"is_async": False}, {"is_async": False, "tenant_id": "t"}),
        ("3.0", {"response": {"a": 1}}, {"is_async": False}, {"is_async": False, "response": {"a": 1}}),
        ("2.5", {"worker_node": "a,b"}, {"worker_node": "a,b", "is_async": False}, ["a", "b"]),
        ("2.5", {"worker_node": ["a"]}, "Can't get text on a START_ARRAY at 1:17", ["a"]),
        ("2.18", {"state": "EXPIRED"}, "No enum constant org.opensearch.ml.common.MLTaskState.EXPIRED", "EXPIRED"),
        ("2.0", {"state": "X"}, "No enum constant org.opensearch.ml.common.parameter.MLTaskState.X", None),
        ("3.0", {"task_type": "AGENT_EXECUTION"}, None, "AGENT_EXECUTION"),
        ("2.9", {"input_type": "REMOTE"}, None, "REMOTE"),
        ("3.2", {"function_name": "TOOL"}, "Wrong function name", "TOOL"),
        (
            "3.0",
            {"remote_job": [1]},
            'Cannot invoke "String.hashCode()" because "<local18>" is null',
            'Cannot invoke "String.hashCode()" because "<local19>" is null',
        ),
        ("3.3", {"user": {"custom_attribute_names": ["c"]}}, None, "No '=' present: c"),
    ],
)
def test_a_task_is_read_as_its_version_does(version: str, source: dict[str, Any], old: Any, new: Any) -> None:
    """`None` for the old is: otherwise; for the new: otherwise too."""
    was, is_ = task(before(version), **source), task(profile_of(version), **source)

    assert was != is_
    if old is not None:
        assert was == old
    if isinstance(is_, dict) and not isinstance(new, dict):
        assert is_[next(iter(source))] == new
    elif new is not None:
        assert is_ == new


@pytest.mark.parametrize(
    ("version", "keys"),
    [
        ("1.3", ["custom_attribute_names", "user_requested_tenant"]),
        ("3.1", ["custom_attribute_names", "user_requested_tenant"]),
        ("3.2", ["custom_attribute_names", "user_requested_tenant", "user_requested_tenant_access"]),
        ("3.3", ["user_requested_tenant", "user_requested_tenant_access", "custom_attribute_names"]),
    ],
)
def test_a_user_has_the_fields_of_its_version_in_order(version: str, keys: list[str]) -> None:
    rendered = render_task(b'{"user":{"name":"a"}}', profile_of(version))
    assert list(rendered["user"]) == ["name", "backend_roles", "roles", *keys]


def test_a_model_says_whether_it_is_hidden_from_2_12_on() -> None:
    stored = b'{"name":"KMEANS","algorithm":"KMEANS","is_hidden":false}'
    assert "is_hidden" not in render_model(stored, before("2.12"))
    assert render_model(stored, profile_of("2.12"))["is_hidden"] is False


# --- searches


def test_a_search_for_models_is_rewritten_as_its_version_does() -> None:
    body = {"query": {"match_all": {}}}
    assert "bool" in visible_models(body, "", profile_of("2.12"))["query"]
    assert visible_models(body, "", before("2.12"))["query"] == body["query"]
    assert "connector.credential" in visible_models(body, "", profile_of("2.9"))["_source"]["excludes"]
    assert "connector.credential" not in visible_models(body, "", before("2.9"))["_source"]["excludes"]


def test_a_source_of_the_callers_counts_from_2_4_on() -> None:
    body = {"_source": ["state"]}
    assert source_filter(body, "", profile_of("2.4"))["includes"] == ["state"]
    assert source_filter(body, "", before("2.4")) == {"includes": [], "excludes": ["ui_metadata"]}


# --- indices


@pytest.mark.parametrize(
    ("version", "field"), [("2.2", "is_async"), ("2.18", "remote_job"), ("2.19", "tenant_id"), ("3.0", "response")]
)
def test_the_task_index_maps_a_field_from_its_version_on(version: str, field: str) -> None:
    assert field not in task_index_body(before(version))["mappings"]["properties"]
    assert field in task_index_body(profile_of(version))["mappings"]["properties"]


def test_the_indices_say_the_schema_of_their_version() -> None:
    assert "_meta" not in task_index_body(before("2.2"))["mappings"]
    assert task_index_body(profile_of("2.19.1"))["mappings"]["_meta"] == {"schema_version": 4}
    assert model_index_body(before("3.1"))["mappings"]["_meta"] == {"schema_version": 12}
    assert model_index_body(profile_of("3.1"))["mappings"]["_meta"] == {"schema_version": 13}


def test_a_field_within_an_object_comes_with_its_version() -> None:
    def config(profile: Profile) -> Mapping[str, Any]:
        return model_index_body(profile)["mappings"]["properties"]["model_config"]["properties"]

    assert "additional_config" not in config(before("3.1"))
    assert "additional_config" in config(profile_of("3.1"))
    assert "model_config" not in model_index_body(before("2.4"))["mappings"]["properties"]


def test_a_task_is_stored_with_one_node_as_a_text_before_2_5() -> None:
    """The store writes what the version writes."""
    created = MLTask.training(FunctionName.KMEANS, InputType.DATA_FRAME, "n1", 1)
    stored: list[Any] = []

    class Client:
        known: ClassVar[dict[str, Any]] = {"settings": {"index": {"uuid": "one"}}}
        get, get_mapping = staticmethod(lambda index, params: {index: Client.known}), staticmethod(lambda index: {})
        indices = type("Indices", (), {"get": get, "get_mapping": get_mapping})

        @staticmethod
        def bulk(**asked: Any) -> dict[str, Any]:
            stored.append(json.loads(asked["body"].splitlines()[1])["worker_node"])
            return {"items": [{"create": {"_seq_no": 1, "_primary_term": 1, "status": 201}}]}

    for profile in (before("2.5"), profile_of("2.5")):
        TaskStore(Client(), None, profile).create("one", created)  # type: ignore[arg-type]
    assert stored == ["n1", ["n1"]]
