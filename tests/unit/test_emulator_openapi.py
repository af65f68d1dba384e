"""The OpenAPI document of `/_emulator/`: true to the routes, and a document that tools read."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import jsonschema_rs
import pytest
from flask import Flask

from mlcommons_tasks.emulation.journal import PARAMETERS
from mlcommons_tasks.namespaces import NAME
from mlcommons_tasks.rest.emulator import emulator_blueprint
from mlcommons_tasks.rest.emulator_openapi import DIALECT, document, listed
from mlcommons_tasks.rest.routing import SegmentConverter

SCENARIOS = Path(__file__).parents[2] / "fixtures" / "scenarios"
METHODS = ("get", "put", "post", "delete", "patch", "head", "options", "trace")
STEP = {"state": "RUNNING"}


def operations() -> dict[tuple[str, str], dict[str, Any]]:
    """Return what is described, by method and path."""
    return {
        (method.upper(), path): operation
        for path, item in document()["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


def is_valid(name: str, body: Any) -> bool:
    """Say whether a body is of a type of the document's."""
    schema = {"$schema": DIALECT, "$ref": f"#/components/schemas/{name}", "components": document()["components"]}
    return jsonschema_rs.validator_for(schema).is_valid(body)


def test_every_route_is_described_and_nothing_else() -> None:
    """Methods, paths and handlers' names are those of the blueprint, but for the one that has all unknown paths."""
    app = Flask(__name__)
    app.url_map.converters["segment"] = SegmentConverter
    app.register_blueprint(emulator_blueprint(Mock(), Mock(), Mock(), Mock()))
    routes = {
        (method, re.sub(r"<\w+:(\w+)>", r"{\1}", rule.rule)): rule.endpoint.removeprefix("emulator.")
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("emulator.") and rule.endpoint != "emulator.unknown"
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }

    assert {route: operation["operationId"] for route, operation in operations().items()} == routes
    assert {(call["method"], call["path"]) for call in listed()} == set(routes)


def test_a_validator_takes_it() -> None:
    """It is a document of OpenAPI 3.1, by that specification's own schema, and tools find every call in it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import schemathesis

        schema = schemathesis.openapi.from_dict(document())
        schema.validate()
        found = [found.ok().label for found in schema.get_all_operations()]

    assert len(found) == len(operations()) > 30


def test_every_reference_leads_somewhere_and_every_type_is_spoken_of() -> None:
    """Nothing is missing from the components, and nothing is left over."""
    text = json.dumps(document())
    referred = {tuple(each.split("/")) for each in re.findall(r'"\$ref": "#/components/([^"]+)"', text)}
    there = {
        (kind, name) for kind, found in document()["components"].items() if kind != "securitySchemes" for name in found
    }

    assert referred == there


def test_requests_are_found_by_the_journals_own_parameters() -> None:
    """Whatever the journal is asked by is described, for finding and for counting."""
    for path in ("/_emulator/requests", "/_emulator/requests/_count"):
        described = [each["name"] for each in operations()["GET", path]["parameters"]]
        assert described == list(PARAMETERS)


def test_a_call_can_show_a_token_and_name_a_namespace() -> None:
    """The token is a security scheme that may be left out, the namespace a header of every path and a server."""
    found = document()
    namespace = found["components"]["parameters"]["namespace"]

    assert found["components"]["securitySchemes"]["token"]["name"] == "X-Emulator-Token"
    assert found["security"] == [{}, {"token": []}]
    assert all({"$ref": "#/components/parameters/namespace"} in item["parameters"] for item in found["paths"].values())
    assert (namespace["name"], namespace["schema"]["pattern"]) == ("X-Emulator-Namespace", f"^{NAME.pattern}$")
    assert [server["url"] for server in found["servers"]] == ["/", "/_emulator/in/{namespace}"]


def test_names_in_paths_are_described() -> None:
    """Each name that a path has is a required parameter of it."""
    for path, item in document()["paths"].items():
        described = {each["name"] for each in item["parameters"] if each.get("in") == "path" and each["required"]}
        assert described == set(re.findall(r"{(\w+)}", path)), path


def test_every_error_is_described_as_an_envelope() -> None:
    """Whatever a call is refused with has OpenSearch's form."""
    error = {"error": {"root_cause": [{"type": "t", "reason": "r"}], "type": "t", "reason": "r"}, "status": 400}

    for operation in operations().values():
        assert operation["responses"].keys() >= {"200", "400", "401", "403", "default"}
        assert operation["responses"]["default"] == {"$ref": "#/components/responses/Error"}
    assert is_valid("Error", error)
    assert not is_valid("Error", {**error, "status": 200})
    assert not is_valid("Error", {"error": {"type": "t", "reason": "r"}, "status": 400})


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.json")), ids=lambda path: path.stem)
def test_the_scenario_files_are_bodies(path: Path) -> None:
    """What the repository has as files may be posted, by the document; their schema may not."""
    assert is_valid("ScenarioFile", json.loads(path.read_text())) == (path.stem != "schema")


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("ScenarioFile", {}),
        ("ScenarioFile", {"$schema": "schema.json"}),
        ("Scenario", {"name": "a"}),
        ("Scenario", {"name": "a", "steps": [STEP], "preset": "slow"}),
        ("Scenario", {"name": "a", "preset": "slow", "with": {"reads": 1}}),
        ("Scenario", {"name": "a", "steps": [{**STEP, "lasts": {}}]}),
        ("Scenario", {"name": "a b", "steps": [STEP]}),
        ("Fault", {"name": "f", "effect": {"status": 503, "drop": True}}),
        ("Advance", {}),
        ("Advance", {"by": "1s", "to": "2s"}),
        ("Advance", {"by": "1.5s"}),
        ("Seed", {"seed": -1}),
        ("NewTask", {"task_type": "TRAINING"}),
    ],
)
def test_what_the_service_refuses_is_no_body_of_the_document(name: str, body: Any) -> None:
    """The rules that a type alone does not say are in the document too."""
    assert not is_valid(name, body)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("ScenarioFile", {"scenarios": [], "faults": []}),
        ("Scenario", {"name": "a", "preset": "slow", "with": {"seconds": 1}}),
        ("Fault", {"name": "f", "effect": {"delay": {"uniform": [0, 1]}}}),
        ("StopAt", {}),
        (
            "NewTask",
            {"task_type": "DEPLOY_MODEL", "function_name": "REMOTE", "scenario": {"name": "a", "steps": [STEP]}},
        ),
    ],
)
def test_what_the_service_takes_is_a_body_of_the_document(name: str, body: Any) -> None:
    """A document that refuses everything would pass the test above."""
    assert is_valid(name, body)
