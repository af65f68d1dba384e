"""Scenario files: loaded with the file and the field of a mistake, and a schema that says what the reader says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from mlcommons_tasks.config import SettingsError
from mlcommons_tasks.emulation.presets import PRESETS
from mlcommons_tasks.emulation.scenario_files import load, load_file, scenario_schema
from mlcommons_tasks.emulation.scenarios import read_scenario_file, resolve
from mlcommons_tasks.errors import IllegalArgument

EXAMPLES = Path(__file__).parents[2] / "fixtures" / "scenarios"
FILES = sorted(path for path in EXAMPLES.glob("*.json") if path.name != "schema.json")
SCHEMA = jsonschema_rs.validator_for(scenario_schema())
SLOW = {"name": "one", "preset": "slow"}


def with_steps(*steps: dict[str, Any]) -> dict[str, Any]:
    """Return a scenario of these steps."""
    return {"name": "one", "steps": list(steps)}


def written(folder: Path, name: str, content: object) -> Path:
    """Write a file of JSON, or of a text as it is, and return where."""
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_the_schema_in_the_repository_is_the_one_of_the_code() -> None:
    """An editor that opens an example checks it with what the service has."""
    assert json.loads((EXAMPLES / "schema.json").read_text()) == scenario_schema()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_example_is_one(path: Path) -> None:
    """It points to the schema, which takes it, and its scenarios come down to something."""
    body = json.loads(path.read_text())
    SCHEMA.validate(body)
    file = load_file(path)

    assert file.schema == "schema.json"
    assert file.scenarios
    for scenario in file.scenarios:
        plot = resolve(scenario)
        assert bool(plot.steps) != bool(plot.refuse)


def test_the_examples_can_be_loaded_together() -> None:
    """As the folder to begin with that they are: in the order of their names, without the schema."""
    assert len(FILES) >= 6
    assert load([EXAMPLES]) == [load_file(path) for path in FILES]


def test_a_folder_is_read_in_the_order_of_names_and_files_in_the_order_given(tmp_path: Path) -> None:
    """Order decides which scenario has a task; what is no `*.json` is left."""
    folder = tmp_path / "init"
    folder.mkdir()
    for name in ("b", "a", "c"):
        written(folder, f"{name}.json", {"scenarios": [{**SLOW, "name": name}]})
    written(folder, "notes.txt", "no JSON")
    written(folder, "schema.json", scenario_schema())
    first = written(tmp_path, "z.json", {"faults": [{"name": "busy", "effect": {"status": 503}}]})

    loaded = load([first, folder])

    assert [it.name for file in loaded for it in (*file.scenarios, *file.faults)] == ["busy", "a", "b", "c"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "truncated"),
        ([], "object"),
        ({"scenario": []}, "`scenario`"),
        ({"scenarios": [{**SLOW, "times": 0}]}, "$.scenarios[0].times"),
        (
            {"scenarios": [with_steps({"state": "RUN"})]},
            "steps[0].state`; there are ABSENT, CANCELLED, ",
        ),
        ({"faults": [{"name": "x", "effect": {"status": 200}}]}, "$.faults[0].effect.status"),
    ],
)
def test_a_mistake_names_the_file_and_the_field(tmp_path: Path, content: object, words: str) -> None:
    """Who starts a service with many files has to know which one to mend."""
    path = written(tmp_path, "wrong.json", content)

    with pytest.raises(SettingsError) as refused:
        load([tmp_path])
    assert str(path) in str(refused.value)
    assert words in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A typing error in a path is no silence."""
    with pytest.raises(SettingsError, match=r"nowhere\.json cannot be read: No such file"):
        load([tmp_path / "nowhere.json"])


@pytest.mark.parametrize("names", [(), ("notes.txt",), ("schema.json",)])
def test_a_folder_without_a_scenario_file_is_an_error(tmp_path: Path, names: tuple[str, ...]) -> None:
    """Somebody gave the wrong folder, or forgot to mount it; the schema alone is no scenario file."""
    for name in names:
        written(tmp_path, name, {})

    with pytest.raises(SettingsError) as refused:
        load([tmp_path])
    assert f"the folder {tmp_path} has no scenario file" in str(refused.value)


def test_a_name_is_given_in_one_file_only(tmp_path: Path) -> None:
    """The later one would silently replace the earlier one; both files are named."""
    written(tmp_path, "a.json", {"scenarios": [SLOW]})
    written(tmp_path, "b.json", {"scenarios": [SLOW]})

    with pytest.raises(SettingsError, match=r"b\.json has a scenario one, and so has .*a\.json"):
        load([tmp_path])


def test_a_scenario_and_a_fault_may_have_the_same_name(tmp_path: Path) -> None:
    """They are asked for in different places."""
    fault = {"name": "one", "effect": {"drop": True}}

    assert len(load([written(tmp_path, "a.json", {"scenarios": [SLOW], "faults": [fault]})])) == 1


@pytest.mark.parametrize(
    ("scenario", "is_right"),
    [
        (SLOW, True),
        ({"name": "one"}, False),
        ({**SLOW, "steps": [{"state": "RUNNING"}]}, False),
        ({"name": "one", "with": {"seconds": 1}, "steps": [{"state": "RUNNING"}]}, False),
        ({**SLOW, "with": {"seconds": 1}}, True),
        ({**SLOW, "with": {"seconds": -1}}, False),
        ({**SLOW, "with": {"reads": 1}}, False),
        ({**SLOW, "match": {"opaque_id": ""}}, False),
        ({**SLOW, "match": {"task_type": "DEPLOY_MODEL"}}, True),
        ({**SLOW, "name": "a/b"}, False),
        ({**SLOW, "preset": "fast"}, False),
        (with_steps({"state": "RUNNING"}), True),
        (with_steps({"state": "running"}), False),
        (with_steps({"state": "RUNNING", "lasts": {"reads": 1}}, {"state": "FAILED"}), True),
        (with_steps({"state": "RUNNING", "lasts": {"reads": 1, "seconds": 1}}, {"state": "FAILED"}), False),
        (with_steps({"state": "RUNNING", "lasts": "later"}, {"state": "FAILED"}), False),
        (with_steps({"state": "COMPLETED", "model": "real"}), True),
        (with_steps({"state": "RUNNING", "model": "real"}), False),
        (with_steps({"state": "COMPLETED", "model": "real", "model_id": "m"}), False),
        (with_steps({"state": "COMPLETED", "model": "played", "model_id": "m"}), True),
        (with_steps({"state": "ABSENT"}), True),
        (with_steps({"state": "ABSENT", "error": "x"}), False),
        (with_steps({"state": "FAILED", "error": "x", "node_errors": {"0": "x"}}), False),
        (with_steps({"state": "FAILED", "node_errors": {"0": "x"}, "worker_nodes": ["a"]}), True),
        (with_steps({"state": "FAILED", "worker_nodes": 101}), False),
        ({"name": "one", "refuse": {"status": 429, "type": "x", "reason": "y"}}, True),
        ({"name": "one", "refuse": {"status": 429, "type": "x"}}, False),
    ],
)
def test_the_schema_takes_what_the_reader_takes(scenario: dict[str, Any], is_right: bool) -> None:
    """What an editor marks is what the service would refuse."""
    body = {"scenarios": [scenario]}

    assert SCHEMA.is_valid(body) is is_right
    if is_right:
        read_scenario_file(json.dumps(body))
    else:
        with pytest.raises(IllegalArgument):
            read_scenario_file(json.dumps(body))


@pytest.mark.parametrize("name", PRESETS)
def test_the_schema_knows_the_parameters_of_a_preset(name: str) -> None:
    """An unknown one is marked, for each preset."""
    assert SCHEMA.is_valid({"scenarios": [{"name": "one", "preset": name, "with": {}}]})
    assert not SCHEMA.is_valid({"scenarios": [{"name": "one", "preset": name, "with": {"sekonds": 1}}]})


def test_the_schema_describes_itself() -> None:
    """It has a title, says its dialect and needs nothing from elsewhere."""
    schema = scenario_schema()

    assert schema["title"]
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert "$id" not in schema
    assert all(part.get("description") for part in schema["$defs"].values())
