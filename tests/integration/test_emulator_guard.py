"""Who may direct the emulator, and where there is none; and that a wrong body is refused by the name of its field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from mlcommons_tasks import running_service
from mlcommons_tasks.backend import MemoryBackend, Running
from mlcommons_tasks.server import RunningService
from tests.clients import Client, as_envelope
from tests.emulators import CONTROL, step
from tests.services import service

TOKEN = "sesame"  # of services that live as long as the test
SCENARIO = {"name": "s", "steps": [step("EXPIRED")]}
CALLS = [
    ("GET", CONTROL),
    ("GET", f"{CONTROL}/health"),
    ("GET", f"{CONTROL}/scenarios"),
    ("POST", f"{CONTROL}/_reset"),
    ("GET", f"{CONTROL}/in/t1{CONTROL}"),
    ("GET", f"{CONTROL}/requests"),
    ("GET", f"{CONTROL}/nothing"),
    ("GET", "/%5Femulator/scenarios"),
    ("DELETE", f"{CONTROL}/namespaces/t1"),
]


@pytest.fixture(params=["memory_service", "embedded_service"])
def near(request: pytest.FixtureRequest) -> Client:
    """A service on loopback with an OpenSearch of its own."""
    return Client(request.getfixturevalue(request.param).url)


@pytest.fixture(scope="module")
def guarded() -> Iterator[RunningService]:
    """A service over a URL, with a token."""
    with Running(MemoryBackend()) as node, running_service(opensearch=node.url, emulator_token=TOKEN) as running:
        yield running


def test_on_loopback_nothing_is_asked(near: Client) -> None:
    """With an OpenSearch of its own the emulator is there, by each name of this machine."""
    for host in (near.netloc, near.netloc.replace("127.0.0.1", "localhost"), "[::1]:1", "127.0.0.1", "LOCALHOST:9200"):
        assert near.send("GET", CONTROL, headers={"Host": host}).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:9201", "127.0.0.1.evil.example", "localhost.evil", "10.0.0.1"]
)
def test_a_name_that_is_not_this_machine_is_refused(host: str, near: Client) -> None:
    """A page may have its own name point here."""
    for method, path in CALLS:
        if "%5F" in path:
            continue  # which is no call of the emulator's
        answer = near.send(method, path, headers={"Host": host})
        assert answer.status == 403, (method, path, answer.payload)
        assert as_envelope(answer)["type"] == "security_exception"
        assert host in as_envelope(answer)["reason"]


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "https://evil.example:443", "null", "http://127.0.0.1:1", ""]
)
def test_a_page_of_another_site_is_refused(origin: str, near: Client) -> None:
    """Whatever it asks for; another port is another site."""
    for method, path in CALLS:
        if "%5F" not in path:
            assert near.send(method, path, headers={"Origin": origin}).status == 403, (method, path)


def test_a_page_of_the_same_site_is_not(near: Client) -> None:
    """The service's own."""
    assert near.send("GET", CONTROL, headers={"Origin": near.url}).status == 200
    assert near.send("POST", f"{CONTROL}/scenarios", SCENARIO, {"Origin": near.url}).status == 200
    near.ok("DELETE", f"{CONTROL}/scenarios")


def test_the_token_is_asked_for_everything(guarded: RunningService) -> None:
    """401 without one, or with another; the right one opens every door, from wherever."""
    client = Client(guarded.url)
    for method, path in CALLS:
        if "%5F" in path:
            continue
        for shown in ({}, {"X-Emulator-Token": "open"}, {"X-Emulator-Token": ""}, {"X-Emulator-Token": "sésame"}):
            answer = client.send(method, path, headers={**shown, "X-Emulator-Namespace": "t1"})
            assert answer.status == 401, (method, path, answer.payload)
            assert "X-Emulator-Token" in as_envelope(answer)["reason"]
            assert TOKEN not in answer.payload.decode()
    right = {"X-Emulator-Token": TOKEN, "Host": "tests.example:9201"}
    assert client.send("GET", CONTROL, headers=right).status == 200
    assert client.send("GET", CONTROL, headers={**right, "Origin": "http://evil.example"}).status == 403
    assert client.send("GET", "/_cat/health").status == 200


def test_an_encoded_path_opens_no_door(guarded: RunningService) -> None:
    """It is OpenSearch's, as any path that is not ours."""
    for path in ("/%5Femulator", "/%5Femulator/scenarios", "//_emulator/scenarios", "/./_emulator/scenarios"):
        answer = Client(guarded.url).send("GET", path)
        assert answer.status >= 400, path
        assert b'scenarios":[' not in answer.payload


def test_over_a_url_there_is_no_emulator_without_a_token() -> None:
    """Its paths are OpenSearch's, and the namespace header nobody's."""
    with Running(MemoryBackend()) as node, running_service(opensearch=node.url) as plain:
        for path in (CONTROL, f"{CONTROL}/health", f"{CONTROL}/in/t1/"):
            ours, theirs = Client(plain.url).send("GET", path), Client(node.url).send("GET", path)
            assert (ours.status, ours.payload) == (theirs.status, theirs.payload)
            assert ours.status >= 400
        assert Client(plain.url).send("GET", "/", headers={"X-Emulator-Namespace": "NO!"}).status == 200
    with service("--opensearch", "memory", "--no-emulator") as off:
        assert Client(off.url).send("GET", CONTROL).status >= 400


def test_on_a_public_address_there_is_none_without_a_token() -> None:
    """Even with an OpenSearch of its own; with a token there is."""
    with service("--opensearch", "memory", "--host", "0.0.0.0") as public:  # noqa: S104
        url = public.url.replace("0.0.0.0", "127.0.0.1")  # noqa: S104
        assert Client(url).send("GET", CONTROL).status >= 400
    flags = ("--opensearch", "memory", "--host", "0.0.0.0", "--emulator-token", TOKEN)  # noqa: S104
    with service(*flags) as public:
        url = public.url.replace("0.0.0.0", "127.0.0.1")  # noqa: S104
        assert Client(url).send("GET", CONTROL).status == 401
        assert Client(url).send("GET", CONTROL, headers={"X-Emulator-Token": TOKEN}).status == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_body_that_a_form_could_send_is_refused(kind: str, near: Client) -> None:
    """A page may send these without asking the browser first."""
    for path in ("scenarios", "faults", "clock/_advance", "clock/_stop", "tasks"):
        answer = near.send("POST", f"{CONTROL}/{path}", json.dumps(SCENARIO).encode(), {"Content-Type": kind})
        assert answer.status in (400, 406, 415), (path, answer.payload)
    assert near.ok("GET", f"{CONTROL}/scenarios")["scenarios"] == []


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("POST scenarios", {"name": "s", "steps": [{"state": "DONE"}]}, "$.steps[0].state"),
        ("POST scenarios", {"name": "s", "steps": [step("RUNNING", 0)]}, "$.steps[0].lasts.reads"),
        ("POST scenarios", {"name": "s", "steps": [{"state": "RUNNING", "for": 3}]}, "`for`"),
        (
            "POST scenarios",
            {"name": "s", "match": {"function_name": "KMEAN"}, "steps": [step("RUNNING")]},
            "function_name",
        ),
        ("POST scenarios", {"name": "s", "preset": "slowly"}, "`preset`"),
        ("POST scenarios", {"name": "s", "preset": "slow", "with": {"second": 3}}, "`second`"),
        ("POST scenarios", {"name": "s"}, "steps"),
        ("POST scenarios", {"steps": [step("RUNNING")]}, "`name`"),
        ("POST scenarios", {"name": "a b", "steps": [step("RUNNING")]}, "$.name"),
        ("POST scenarios", {"name": "s", "times": 0, "steps": [step("RUNNING")]}, "$.times"),
        ("POST scenarios", {"scenarios": [{"name": "s", "steps": []}]}, "steps"),
        ("POST faults", {"name": "f", "effect": {"status": 200}}, "$.effect.status"),
        ("POST faults", {"name": "f", "when": {"probability": 2}, "effect": {"status": 503}}, "probability"),
        ("POST faults", {"name": "f", "effect": {}}, "effect"),
        ("POST clock/_advance", {"by": 30}, "$.by"),
        ("POST clock/_advance", {"by": "30 parsecs"}, "by"),
        ("POST clock/_advance", {"by": "-1s"}, "by"),
        ("POST clock/_advance", {}, "by"),
        ("POST clock/_stop", {"at": "noon"}, "$.at"),
        ("PUT ids", {"seed": "x"}, "$.seed"),
        ("PUT ids", {"seed": 1, "sed": 2}, "sed"),
        ("POST tasks", {"task_type": "TRAINING"}, "function_name"),
        ("POST tasks", {"task_type": "TRAIN", "function_name": "KMEANS"}, "$.task_type"),
        ("POST tasks", {"task_type": "TRAINING", "function_name": "KMEANS", "scenario": {"name": "s"}}, "steps"),
    ],
)
def test_a_wrong_body_is_refused_by_the_name_of_its_field(
    path: str, body: dict[str, Any], named: str, memory_service: RunningService
) -> None:
    """400 in OpenSearch's envelope, and nothing is changed."""
    client = Client(memory_service.url)
    method, call = path.split()
    before = [client.ok("GET", f"{CONTROL}/{what}") for what in ("scenarios", "faults")]
    answer = client.send(method, f"{CONTROL}/{call}", body)

    assert answer.status == 400, answer.payload
    assert as_envelope(answer)["type"] == "illegal_argument_exception"
    assert named in as_envelope(answer)["reason"]
    assert [client.ok("GET", f"{CONTROL}/{what}") for what in ("scenarios", "faults")] == before
    assert client.ok("GET", f"{CONTROL}/clock")["stopped"] is False


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"null", b'"x"', b'{"name":"\xff"}', b"[" * 100_000])
def test_what_is_no_body_is_refused(payload: bytes, memory_service: RunningService) -> None:
    """Never a 500."""
    client = Client(memory_service.url)
    for call in ("POST scenarios", "POST faults", "POST clock/_advance", "PUT ids", "POST tasks"):
        method, path = call.split()
        assert client.send(method, f"{CONTROL}/{path}", payload).status == 400, call


def test_a_wrong_parameter_or_method_is_refused(memory_service: RunningService) -> None:
    """As OpenSearch does it of its own routes."""
    client = Client(memory_service.url)
    for method, path in (
        ("GET", "scenarios?nope=1"),
        ("POST", "_reset?al=true"),
        ("GET", "clock?x"),
        ("DELETE", "ids?y=1"),
    ):
        assert client.send(method, f"{CONTROL}/{path}").status == 400, path
    for method, path in (("PATCH", "scenarios"), ("GET", "_reset"), ("PUT", "clock"), ("GET", "in"), ("POST", "")):
        answer = client.send(method, f"{CONTROL}/{path}".rstrip("/"))
        assert answer.status in (404, 405), path
