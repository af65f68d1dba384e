"""Scenario files: read from disk, and the JSON Schema that an editor checks them with. Knows no service."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from mlcommons_tasks.config import SettingsError
from mlcommons_tasks.emulation.presets import PRESETS, Preset, description_of
from mlcommons_tasks.emulation.scenarios import ScenarioFile, read_scenario_file
from mlcommons_tasks.emulation.steps import ABSENT, SHOWN
from mlcommons_tasks.errors import IllegalArgument

SCHEMA_NAME = "schema.json"  #: lies beside the files of a folder and is none of them
SCHEMA_TITLE = "Scenarios and faults of the mlcommons-tasks emulator"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
#: Of these fields a body has exactly one, which the types alone do not say.
_ONE_OF = {
    "Span": ("seconds", "reads"),
    "Scenario": ("steps", "preset", "refuse"),
    "Effect": ("status", "delay", "drop", "reset", "truncate", "malformed", "stale"),
    "When": ("first", "every", "probability"),
    "Delay": ("fixed", "uniform", "lognormal"),
}
#: What `Step` checks beyond its types.
_RULES_OF_A_STEP: Mapping[str, Any] = {
    "allOf": [
        {"not": {"required": ["error", "node_errors"]}},
        {"not": {"properties": {"model": {"const": "real"}}, "required": ["model", "model_id"]}},
        {"if": {"required": ["model"]}, "then": {"properties": {"state": {"const": "COMPLETED"}}}},
        {
            "if": {"properties": {"state": {"const": ABSENT}}},
            "then": {"not": {"anyOf": [{"required": [field]} for field in SHOWN]}},
        },
    ],
}


def load_file(path: Path) -> ScenarioFile:
    """Return what a scenario file holds.

    Raises:
        SettingsError: it cannot be read; the message names the file and the field.
    """
    try:
        return read_scenario_file(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"the scenario file {path} cannot be read: {error.strerror or error}") from error
    except IllegalArgument as error:
        raise SettingsError(f"the scenario file {path} cannot be used: {error.reason}") from error


def load(paths: Iterable[Path]) -> list[ScenarioFile]:
    """Return what files, and the files of folders, hold, in order.

    Raises:
        SettingsError: one cannot be read, a folder has none, or a name was given in another one already.
    """
    files: list[ScenarioFile] = []
    given: dict[tuple[str, str], Path] = {}
    for path in [file for place in paths for file in _files(place)]:
        file = load_file(path)
        for name in _names(file):
            if name in given:
                raise SettingsError(f"{path} has a {name[0]} {name[1]}, and so has {given[name]}")
            given[name] = path
        files.append(file)
    return files


def scenario_schema() -> dict[str, Any]:
    """Return the JSON Schema of a scenario file."""
    (reference,), components = msgspec.json.schema_components([ScenarioFile], ref_template="#/$defs/{name}")
    definitions = _without_null(components)
    for name, fields in _ONE_OF.items():
        definitions[name]["oneOf"] = [{"required": [field]} for field in fields]
    definitions["Step"] |= _RULES_OF_A_STEP
    definitions["TaskType"]["description"] = "A task's `task_type`."
    definitions["FunctionName"]["description"] = "A task's `function_name`."
    definitions["Scenario"]["properties"]["preset"]["enum"] = list(PRESETS)
    definitions["Scenario"]["allOf"] = [_parameters_of(kind) for kind in PRESETS.values()]
    definitions["Scenario"]["dependentRequired"] = {"with": ["preset"]}
    top = definitions.pop(reference["$ref"].rpartition("/")[2])
    return {"$schema": _DIALECT, **top, "title": SCHEMA_TITLE, "$defs": dict(sorted(definitions.items()))}


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.glob("*.json") if file.name != SCHEMA_NAME and file.is_file())
    if not found:
        raise SettingsError(f"the folder {path} has no scenario file: no *.json other than {SCHEMA_NAME}")
    return found


def _names(file: ScenarioFile) -> list[tuple[str, str]]:
    return [("scenario", it.name) for it in file.scenarios] + [("fault", it.name) for it in file.faults]


def _parameters_of(kind: type[Preset]) -> dict[str, Any]:
    """Return what `with` may be where this preset is asked for."""
    _, components = msgspec.json.schema_components([kind])
    parameters = _without_null(components[kind.__name__])
    parameters["title"] = f"Parameters of {kind.preset}"
    parameters["description"] = description_of(kind)
    return {
        "if": {"properties": {"preset": {"const": kind.preset}}, "required": ["preset"]},
        "then": {"properties": {"with": parameters}},
    }


def _without_null(schema: Any) -> Any:
    """Return a schema in which what may be left out may not be null instead."""
    if isinstance(schema, (list, tuple)):
        return [_without_null(part) for part in schema]
    if not isinstance(schema, dict):
        return copy.deepcopy(schema)
    found = {name: _without_null(part) for name, part in schema.items()}
    if "anyOf" in found:
        found["anyOf"] = [part for part in found["anyOf"] if part != {"type": "null"}]
        if len(found["anyOf"]) == 1:
            found |= found.pop("anyOf")[0]
    if "default" in found and found["default"] is None:
        del found["default"]
    return found
