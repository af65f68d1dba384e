"""Calls to `/_emulator/` that no well-behaved client would send, and those that its document describes."""

from __future__ import annotations

import copy
import json
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients import Answer as Got
from tests.clients import as_envelope
from tests.emulators import CONTROL, Stand
from tests.services import Service, service

from . import rules
from .described import as_described, made
from .messages import Answer, Message

EXAMPLES = 16  #: of each call, as described and not
SLOWEST_S = 5.0
NAMESPACE = "fuzz"
NODES = "node_errors"  #: an object with any names

#: Bodies that are taken, with as many fields as can stand together; and where they go.
SCENARIO = {
    "name": "a",
    "match": {"task_type": "TRAINING", "function_name": "KMEANS", "index": "i*", "model": "m", "opaque_id": "o*"},
    "times": 2,
    "search_lag": 1,
    "steps": [
        {"state": "CREATED", "lasts": {"reads": 1}, "worker_nodes": 2},
        {"state": "RUNNING", "lasts": {"seconds": 1.5}, "progress": 0.5, "worker_nodes": ["n1"]},
        {"state": "RUNNING", "lasts": "immediate", "error": "e"},
        {"state": "COMPLETED", "lasts": "forever", "model": "played", "model_id": "m", "node_errors": {"0": "e"}},
    ],
}
REFUSING = {"name": "b", "refuse": {"status": 500, "type": "t", "reason": "r"}}
PRESET = {
    "name": "c",
    "preset": "completed_with_error",
    "with": {"reads": 2, "worker_nodes": 3, "failed": 1, "error": "e"},
}
FAULT = {
    "name": "f",
    "match": {"method": "GET", "path": "/*", "opaque_id": "o*", "user_agent": "u*"},
    "when": {"probability": 0.5, "seed": 1},
    "times": 3,
    "effect": {"status": 503, "type": "t", "reason": "r", "retry_after": 1},
}
EFFECTS = (
    {"delay": {"fixed": 1.0}},
    {"delay": {"uniform": [0.1, 0.2]}},
    {"delay": {"lognormal": {"median": 0.1, "sigma": 1.0}}, "seed": 1},
    {"drop": True},
    {"reset": True},
    {"truncate": {"after": 1}},
    {"malformed": True},
    {"stale": {"reads": 1}},
)
TASK = {
    "task_type": "DEPLOY_MODEL",
    "function_name": "REMOTE",
    "input_type": "DATA_FRAME",
    "model_id": "m",
    "is_async": True,
    "scenario": SCENARIO,
}
BODIES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("POST", "scenarios", SCENARIO),
    ("POST", "scenarios", REFUSING),
    ("POST", "scenarios", PRESET),
    ("POST", "scenarios", {"scenarios": [SCENARIO, PRESET], "faults": [FAULT]}),
    ("POST", "faults", FAULT),
    *(("POST", "faults", {"name": "f", "when": {"first": 1}, "effect": effect}) for effect in EFFECTS),
    ("POST", "clock/_stop", {"at": 1}),
    ("POST", "clock/_advance", {"by": "1s"}),
    ("PUT", "ids", {"seed": 1}),
    ("POST", "tasks", TASK),
)


@pytest.fixture(scope="module")
def emulator() -> Iterator[Service]:
    """An in-memory service of these tests' own: they reset and delete what they like."""
    with service("--opensearch", "memory") as running:
        yield running


@pytest.fixture
def stand(emulator: Service) -> Stand:
    """A namespace that has nothing in it."""
    stand = Stand(emulator.url, NAMESPACE)
    stand.reset()
    return stand


def test_described_calls(emulator: Service, stand: Stand) -> None:
    """Answers to what the document describes, and to what it does not, are as it says, and every call can succeed."""
    found = strict(stand.ok("GET", f"{CONTROL}/openapi.json"))
    statuses: dict[str, Counter[int]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import requests
        import schemathesis

        schema = schemathesis.openapi.from_dict(found)
        with requests.Session() as session:
            for each in schema.get_all_operations():
                for mode in schemathesis.GenerationMode:
                    counted = statuses.setdefault(each.ok().label, Counter())
                    counted += send(each.ok(), mode, session, stand)

    assert {call for call, seen in statuses.items() if not seen[200]} == set()
    assert sum(seen.total() for seen in statuses.values()) >= 2 * EXAMPLES * len(statuses) * 0.9
    assert_quiet(emulator)


def strict(found: dict[str, Any]) -> dict[str, Any]:
    """Return the document with answers that have nothing but what it describes."""
    found = copy.deepcopy(found)
    for name, schema in found["components"]["schemas"].items():
        if schema.get("type") == "object" and name not in ("Error", "Cause", "Causes"):
            schema.setdefault("additionalProperties", False)
    return found


def send(operation: Any, mode: Any, session: Any, stand: Stand) -> Counter[int]:
    """Send requests to an operation, made as described or made not to be; return how they were answered.

    Raises:
        AssertionError: an answer is not as described, or breaks a rule.
    """
    checks = as_described()
    statuses: Counter[int] = Counter()
    stand.reset()

    @made(operation, mode, EXAMPLES, 1)
    def one(case: Any) -> None:
        if {"scenario", "fault"} & set(case.path_parameters or ()) and statuses.total() % 2:
            make_known(stand, case)
        answer = case.call(base_url=f"{stand.url}{stand.prefix}", session=session)
        statuses[answer.status_code] += 1
        if is_refused_as_told(case, answer):
            return
        message = Message(str(answer.request.method).encode(), str(answer.request.path_url).encode())
        headers = {name.lower(): values[0] for name, values in answer.headers.items() if name != "content-encoding"}
        wrong = rules.problems(message, Answer(answer.status_code, headers, answer.content))
        assert not wrong, f"{'; '.join(wrong)}\n{case.as_curl_command()}"
        assert answer.elapsed < SLOWEST_S, case.as_curl_command()
        case.validate_response(answer, checks=checks)

    one()
    return statuses


def make_known(stand: Stand, case: Any) -> None:
    """Have a case ask for something that is there."""
    case.path_parameters.update({"scenario": "known"} if "scenario" in case.path_parameters else {"fault": "known"})
    stand.tell(name="known", preset="slow")
    stand.ok("POST", f"{CONTROL}/faults", {"name": "known", "effect": {"drop": True}})


def is_refused_as_told(case: Any, answer: Any) -> bool:
    """Say whether a task is refused with the error that its scenario is for."""
    scenario = case.body.get("scenario") if isinstance(case.body, dict) else None
    if answer.status_code < 500 or not isinstance(scenario, dict):
        return False
    if scenario.get("preset") == "limit_exceeded":
        return bool(answer.json()["error"]["type"] == "limit_exceeded_exception")
    return bool(answer.json()["error"]["reason"] == scenario.get("refuse", {}).get("reason"))


@pytest.mark.parametrize(("method", "call", "body"), BODIES)
def test_an_error_names_the_field(stand: Stand, method: str, call: str, body: dict[str, Any]) -> None:
    """Of a body that is taken, each field with a value of the wrong type, and each object with a field more."""
    path = f"{CONTROL}/{call}"
    assert stand.send(method, path, body).status == 200

    for field, broken in broken_bodies(body):
        error = as_envelope(refused(stand.send(method, path, broken), field))
        assert error["type"] == "illegal_argument_exception"
        assert field in error["reason"], (field, error["reason"])


def refused(answer: Got, what: str) -> Got:
    """Return an answer that must be a 400."""
    assert answer.status == 400, f"{what}: {answer.status} {answer.payload[:500]!r}"
    return answer


def broken_bodies(body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return bodies with one mistake each, and the name of the field that has it."""
    for place in places_of(body):
        if place and isinstance(place[-1], str):
            broken = copy.deepcopy(body)
            at(broken, place[:-1])[place[-1]] = [[]]
            yield NODES if NODES in place else place[-1], broken
        if isinstance(at(body, place), dict) and place[-1:] != (NODES,):
            broken = copy.deepcopy(body)
            at(broken, place)["n0pe"] = 1
            yield "n0pe", broken


def places_of(part: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Return where something stands in a body, from the outside in."""
    yield place
    if isinstance(part, dict):
        for name, each in part.items():
            yield from places_of(each, (*place, name))
    elif isinstance(part, list):
        for number, each in enumerate(part):
            yield from places_of(each, (*place, number))


def at(part: Any, place: tuple[str | int, ...]) -> Any:
    """Return what stands at a place of a body."""
    for name in place:
        part = part[name]
    return part


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("POST", "scenarios", b"", 400, "request body is required"),
        ("POST", "scenarios", b"[]", 400, "Expected `object`"),
        ("POST", "scenarios", b'{"name":', 400, "truncated"),
        ("POST", "scenarios", b"\xff\xfe", 400, "JSON is malformed"),
        ("POST", "scenarios", b'{"x":' * 100_000, 400, "recursion"),
        ("POST", "scenarios", b'{"scenarios":' + b"[" * 100_000, 400, "recursion"),
        ("POST", "scenarios", b'{"scenarios":1}', 400, "`$.scenarios`"),
        ("POST", "scenarios", b'{"name":"a","name":"b","steps":[]}', 400, "`$.steps`"),
        ("POST", "scenarios", b'{"name":"../a","preset":"slow"}', 400, "`$.name`"),
        ("POST", "scenarios", b'{"name":"a","preset":"nope"}', 400, "`preset`"),
        ("POST", "faults", b'{"name":"a","effect":{"status":399}}', 400, "`$.effect.status`"),
        ("PUT", "ids", b'{"seed":' + b"9" * 5000 + b"}", 400, "`$.seed`"),
        ("PUT", "ids", b'{"seed":9223372036854775808}', 400, "`$.seed`"),
        ("POST", "clock/_stop", b'{"at":' + b"9" * 60 + b"}", 400, "`$.at`"),
        ("POST", "clock/_advance", b'{"by":"-1s"}', 400, "`$.by`"),
        ("POST", "clock/_advance", b'{"by":"h"}', 400, "`$.by`"),
        ("POST", "tasks", b'{"task_type":"TRAINING","function_name":"KMEANS"}', 400, "`scenario`"),
        ("POST", "tasks", b'{"task_type":"TRAINING","function_name":"KMEANS","scenario":"none"}', 404, "[none]"),
        ("POST", "scenarios/none/_reset", None, 404, "[none]"),
        ("GET", f"requests?limit={'9' * 5000}", None, 400, "`limit`"),
        ("GET", "requests?since=-1", None, 400, "`since`"),
        ("GET", "requests?status=teapot", None, 400, "`status`"),
        ("GET", "requests?methods=GET", None, 400, "[methods] -> did you mean [method]?"),
        ("GET", "scenarios?all", None, 400, "[all]"),
        ("POST", "_reset?all=maybe", None, 400, "[maybe]"),
        ("GET", "scenarios/a%2Fb", None, 404, "[a/b]"),
        ("GET", "nope", None, 404, "openapi.json"),
        ("PATCH", "scenarios", b"{}", 404, "openapi.json"),
        ("DELETE", "namespaces/main", None, 400, "[main]"),
        ("DELETE", "namespaces/NO", None, 400, "[NO]"),
    ],
)
def test_odd_calls_are_answered_in_the_envelope(
    stand: Stand, method: str, path: str, body: bytes | None, status: int, said: str
) -> None:
    """Each is a 4xx with a reason that says what is wrong."""
    answer = stand.send(method, f"{CONTROL}/{path}", body)

    assert answer.status == status, answer.payload[:500]
    assert said in as_envelope(answer)["reason"]


@pytest.mark.parametrize("name", ["", "A", "a b", "a/b", "-a", "ä", "a" * 64, "..", "_all", "*"])
def test_a_namespace_that_cannot_be_is_refused(emulator: Service, name: str) -> None:
    """By header and by URL, for calls and for requests alike; and none comes to be."""
    stand = Stand(emulator.url)
    answers = [
        stand.send("GET", path, headers={"X-Emulator-Namespace": name.encode().decode("latin-1")})
        for path in (CONTROL, "/_plugins/_ml/tasks/x")
        if name  # an empty header is none
    ]
    if name.isascii() and not {" ", "/"} & set(name):
        answers += [stand.send("GET", f"{CONTROL}/in/{name}{path}") for path in (CONTROL, "/_plugins/_ml/tasks/x")]
    before = stand.ok("GET", f"{CONTROL}/namespaces")["namespaces"]

    assert [as_envelope(refused(answer, name))["type"] for answer in answers]
    assert name not in [each["name"] for each in before]


def test_the_clock_ends_with_the_calendar(stand: Stand) -> None:
    """It goes no farther than dates can be written, and all that is dated by it can still be shown."""
    told = [stand.send("POST", f"{CONTROL}/clock/_advance", {"by": "99999d"}) for _ in range(40)]
    refusals = [answer for answer in told if answer.status != 200]
    task_id = stand.train()

    assert refusals
    assert all("`by`" in as_envelope(refused(answer, "by"))["reason"] for answer in refusals)
    assert stand.ok("GET", f"/_plugins/_ml/tasks/{task_id}")["create_time"] > 200_000_000_000_000
    assert json.dumps(stand.ok("GET", f"{CONTROL}/requests/_har")["log"]["entries"][0]["startedDateTime"]) > '"9'


def assert_quiet(service: Service) -> None:
    """Assert that the service wrote no traceback, and lives."""
    log = service.log.read_text("utf-8", "replace")
    assert "Traceback" not in log, log[-6_000:]
    assert service.process.poll() is None
