"""The OpenAPI document of `/_emulator/`: a table of its calls, and the types that they are told and answer.

Made when somebody asks for it. Knows no Flask; `tests/unit/test_emulator_openapi.py` holds it to the routes.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from mlcommons_tasks._version import __version__
from mlcommons_tasks.emulation.audit import Report
from mlcommons_tasks.emulation.faults import Fault
from mlcommons_tasks.emulation.scenario_files import scenario_schema
from mlcommons_tasks.emulation.scenarios import Scenario, ScenarioFile
from mlcommons_tasks.emulation.steps import NAME
from mlcommons_tasks.rest import emulator_answers as answers
from mlcommons_tasks.rest.emulator_bodies import Advance, NewTask, Seed, StopAt
from mlcommons_tasks.rest.emulator_guard import NAMESPACE_HEADER, PREFIX, TOKEN_HEADER

DIALECT = "https://json-schema.org/draft/2020-12/schema"
NAMESPACE = "[a-z0-9][a-z0-9_-]{0,62}"
ABOUT = f"""\
What a service of mlcommons-tasks can be told: how tasks behave, what happens to requests, what time it is; and what it
was asked. Each call is of one namespace, which the header `{NAMESPACE_HEADER}` names, or the URL:
`{PREFIX}/in/<namespace>/` stands before the whole path of a request. Without either it is `main`.

Every answer can be shaped as OpenSearch's are, by `pretty`, `filter_path`, `format` and so on; what is described here
is the answer without them."""
TAGS = {
    "scenarios": "what tasks do",
    "faults": "what happens to requests and their answers",
    "clock": "the time, and ids",
    "tasks": "tasks that are but played",
    "requests": "the journal of what was asked, and the audit of how clients poll",
    "namespaces": "their list and their ends",
    "about": "this service",
}

Schema = dict[str, Any]


class Call(NamedTuple):
    """A call: its method, its path below the prefix, its handler's name, and what is said to it and by it.

    `body` are the types of which its body is one; `may_be_bare` says that it can be left out. An `answer` that is no
    type is described in words alone.
    """

    method: str
    path: str
    name: str
    tag: str
    summary: str
    answer: type[Struct] | str
    body: tuple[type[Struct], ...] = ()
    may_be_bare: bool = False
    parameters: Mapping[str, Schema] = {}
    headers: Mapping[str, str] = {}

    @property
    def names(self) -> list[str]:
        """The names that the path has."""
        return [part[1:-1] for part in self.path.split("/") if part.startswith("{")]


def _query(description: str, **schema: Any) -> Schema:
    return {"description": description, "schema": schema}


_GLOB = "; `*` in it is any text"
FINDING: Mapping[str, Schema] = {
    "method": _query("such as GET", type="string"),
    "path": _query(f"the path as it was sent, without its query{_GLOB}", type="string"),
    "status": _query("`404`, `4xx`, or `dropped`", type="string", pattern=r"^([1-5][0-9]{2}|[1-5][xX]{2}|dropped)$"),
    "opaque_id": _query(f"the request's X-Opaque-Id{_GLOB}", type="string"),
    "task_id": _query("of the task that it made or was about, or that it found", type="string"),
    "user_agent": _query(f"the request's User-Agent{_GLOB}", type="string"),
    "since": _query("milliseconds since the epoch, by the emulator's clock", type="integer", minimum=0),
    "limit": _query("at most so many, the newest", type="integer", minimum=0, default=100),
}

CALLS = (
    Call("GET", "", "info", "about", "Say which service this is, and what it can be told", answers.Info),
    Call("GET", "/health", "health", "about", "Say that the emulator is there", answers.Health),
    Call("GET", "/openapi.json", "openapi", "about", "Show this document", "an OpenAPI document"),
    Call("GET", "/schema/scenarios.json", "schema", "about", "Show what a scenario file may say", "a JSON Schema"),
    Call("GET", "/presets", "list_presets", "scenarios", "List the scenarios that have a name", answers.Presets),
    Call("GET", "/scenarios", "list_scenarios", "scenarios", "List the scenarios", answers.Scenarios),
    Call(
        "POST",
        "/scenarios",
        "add_scenarios",
        "scenarios",
        "Add a scenario, or a file of scenarios and faults; one replaces that of the same name",
        answers.Added,
        body=(Scenario, ScenarioFile),
    ),
    Call("DELETE", "/scenarios", "delete_scenarios", "scenarios", "Delete all scenarios", answers.Acknowledged),
    Call("GET", "/scenarios/{scenario}", "get_scenario", "scenarios", "Show a scenario", answers.KnownScenario),
    Call("DELETE", "/scenarios/{scenario}", "delete_scenario", "scenarios", "Delete a scenario", answers.Acknowledged),
    Call(
        "POST",
        "/scenarios/{scenario}/_reset",
        "reset_scenario",
        "scenarios",
        "Have a scenario begin anew; the tasks that it played are deleted",
        answers.Deleted,
    ),
    Call("GET", "/faults", "list_faults", "faults", "List the faults", answers.Faults),
    Call("POST", "/faults", "add_fault", "faults", "Add a fault, or replace it", answers.Added, body=(Fault,)),
    Call("DELETE", "/faults", "delete_faults", "faults", "Delete all faults", answers.Acknowledged),
    Call("GET", "/faults/{fault}", "get_fault", "faults", "Show a fault", answers.KnownFault),
    Call("DELETE", "/faults/{fault}", "delete_fault", "faults", "Delete a fault", answers.Acknowledged),
    Call("POST", "/faults/{fault}/_reset", "reset_fault", "faults", "Have a fault begin anew", answers.Acknowledged),
    Call("GET", "/clock", "get_clock", "clock", "Show the time", answers.ClockShown),
    Call(
        "POST",
        "/clock/_stop",
        "stop_clock",
        "clock",
        "Stop the clock, where it is or at a time",
        answers.ClockShown,
        body=(StopAt,),
        may_be_bare=True,
    ),
    Call("POST", "/clock/_start", "start_clock", "clock", "Have the clock run from where it is", answers.ClockShown),
    Call("POST", "/clock/_advance", "advance_clock", "clock", "Move the time on", answers.ClockShown, body=(Advance,)),
    Call("DELETE", "/clock", "reset_clock", "clock", "Have the machine's time", answers.ClockShown),
    Call("PUT", "/ids", "seed_ids", "clock", "Have ids that can be repeated", answers.Acknowledged, body=(Seed,)),
    Call("DELETE", "/ids", "random_ids", "clock", "Have random ids", answers.Acknowledged),
    Call(
        "POST",
        "/tasks",
        "create_task",
        "tasks",
        "Create a task of any type that plays a scenario",
        answers.CreatedTask,
        body=(NewTask,),
        headers={"X-Opaque-Id": "by which scenarios match"},
    ),
    Call("GET", "/requests", "find_requests", "requests", "Find requests", answers.Requests, parameters=FINDING),
    Call(
        "GET",
        "/requests/_count",
        "count_requests",
        "requests",
        "Count requests; `limit` does not count",
        answers.Counted,
        parameters=FINDING,
    ),
    Call(
        "GET",
        "/requests/_misses",
        "misses",
        "requests",
        "Show how close requests came to each scenario and fault that never matched",
        answers.Misses,
    ),
    Call("GET", "/requests/_har", "as_har", "requests", "Show all as an HTTP archive", "HAR 1.2"),
    Call("DELETE", "/requests", "forget_requests", "requests", "Forget the requests", answers.Acknowledged),
    Call("GET", "/audit", "audit_polls", "requests", "Show how clients polled their tasks", Report),
    Call("GET", "/namespaces", "list_namespaces", "namespaces", "List the namespaces", answers.Namespaces),
    Call(
        "DELETE",
        "/namespaces/{namespace}",
        "delete_namespace",
        "namespaces",
        "Delete a namespace with all that is in it",
        answers.Acknowledged,
    ),
    Call(
        "POST",
        "/_reset",
        "reset",
        "namespaces",
        "Delete what the emulator made and was told in the namespace",
        answers.Acknowledged,
        parameters={"all": _query("in every namespace", type="boolean", default=False)},
    ),
)
_PATTERNS = {"scenario": NAME, "fault": NAME, "namespace": f"^{NAMESPACE}$"}


def listed() -> list[dict[str, str]]:
    """Return all calls in a line each."""
    return [{"method": call.method, "path": PREFIX + call.path, "summary": call.summary} for call in CALLS]


@functools.cache
def document() -> Schema:
    """Return the OpenAPI document."""
    paths: dict[str, Schema] = {}
    for call in CALLS:
        at = paths.setdefault(PREFIX + call.path, {"parameters": _parameters_of_path(call)})
        at[call.method.lower()] = _operation(call)
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": DIALECT,
        "info": {"title": "mlcommons-tasks emulator", "version": __version__, "description": ABOUT},
        "servers": [
            {"url": "/", "description": "the namespace that the header names"},
            {
                "url": f"{PREFIX}/in/{{namespace}}",
                "description": "a namespace by URL",
                "variables": {"namespace": {"default": "main"}},
            },
        ],
        "security": [{}, {"token": []}],
        "tags": [{"name": name, "description": description} for name, description in TAGS.items()],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "apiKey",
                    "in": "header",
                    "name": TOKEN_HEADER,
                    "description": "needed where the service has a token",
                }
            },
            "parameters": {
                "namespace": {
                    "name": NAMESPACE_HEADER,
                    "in": "header",
                    "description": "the namespace of this call",
                    "schema": {"type": "string", "pattern": f"^{NAMESPACE}$", "default": "main"},
                }
            },
            "responses": {
                "Error": {"description": "an error, of OpenSearch's form", "content": _json(_reference(answers.Error))}
            },
            "schemas": _schemas(),
        },
    }


def _parameters_of_path(call: Call) -> list[Schema]:
    of_path = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "pattern": _PATTERNS[name]}}
        for name in call.names
    ]
    return [{"$ref": "#/components/parameters/namespace"}, *of_path]


def _operation(call: Call) -> Schema:
    parameters = [{"name": name, "in": "query", **said} for name, said in call.parameters.items()]
    parameters += [
        {"name": name, "in": "header", "description": said, "schema": {"type": "string"}}
        for name, said in call.headers.items()
    ]
    operation: Schema = {"operationId": call.name, "tags": [call.tag], "summary": call.summary}
    if parameters:
        operation["parameters"] = parameters
    if call.body:
        operation["requestBody"] = {"required": not call.may_be_bare, "content": _json(_one_of(call.body))}
    return operation | {"responses": _responses(call)}


def _responses(call: Call) -> Schema:
    if isinstance(call.answer, str):
        good = {"description": call.answer, "content": _json({"type": "object"})}
    else:
        good = {"description": _said(call.answer), "content": _json(_reference(call.answer))}
    error = {"$ref": "#/components/responses/Error"}
    # 400: what is said cannot be used; 401, 403: the guard; 404: no such name; 503: OpenSearch is away
    may_miss = call.names or call.name in ("create_task",)
    statuses = ["400", "401", "403", *(["404"] if may_miss else []), "503"]
    return {"200": good, **dict.fromkeys(statuses, error), "default": error}


def _one_of(kinds: Iterable[type[Struct]]) -> Schema:
    references = [_reference(kind) for kind in kinds]
    return references[0] if len(references) == 1 else {"oneOf": references}


def _schemas() -> Schema:
    """Return every type that is spoken of, by name; those of a scenario file with all rules that it has."""
    spoken = {kind for call in CALLS for kind in (*call.body, call.answer) if not isinstance(kind, str)}
    _, found = msgspec.json.schema_components(
        sorted(spoken | {answers.Error}, key=lambda kind: kind.__name__), ref_template="#/components/schemas/{name}"
    )
    file = _moved(scenario_schema())
    rules = file.pop("$defs")
    # a body without either of these is taken for a scenario
    whole = {**file, "anyOf": [{"required": ["scenarios"]}, {"required": ["faults"]}]}
    del whole["$schema"]
    return dict(sorted({**found, **rules, ScenarioFile.__name__: whole}.items()))


def _moved(part: Any) -> Any:
    """Return a schema whose references are those of an OpenAPI document."""
    if isinstance(part, list):
        return [_moved(each) for each in part]
    if not isinstance(part, dict):
        return part
    found = {name: _moved(each) for name, each in part.items()}
    if isinstance(found.get("$ref"), str):
        found["$ref"] = found["$ref"].replace("#/$defs/", "#/components/schemas/")
    return found


def _reference(kind: type[Struct]) -> Schema:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


def _said(kind: type[Struct]) -> str:
    return " ".join((kind.__doc__ or "").split())
