"""Registering and deploying as a scenario plays it is what the real plugin answered, but for ids and times."""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mlcommons_tasks.server import RunningService
from tests.clients import Answer, Client
from tests.creations_recorder import (
    CREATIONS,
    RECORDING,
    REFUSALS,
    SETTINGS,
    TRAINED,
    Send,
    created,
    refused,
    told,
    train,
)
from tests.services import Service

RECORDED = json.loads(RECORDING.read_text("utf-8"))
OUT_OF_REACH, NO_DEPLOYMENT = "Connection refused", "Method is not implemented"
ONE_READ = {"reads": 1}
OF_A_MISSING_MODEL = {"deploy of a missing model", "load of a missing model"}
#: The memory's node, and an id as a node of OpenSearch has it.
MEMORY_NODE, NODE = b"osmem-node", b"memory-node-0123456789"
#: What the plugin's tasks did, as steps.
STEPS = {
    "REGISTER_MODEL": [{"state": "CREATED", "lasts": ONE_READ}, {"state": "FAILED", "error": OUT_OF_REACH}],
    "DEPLOY_MODEL": [
        {"state": "CREATED", "lasts": ONE_READ},
        {"state": "RUNNING", "lasts": ONE_READ},
        {"state": "FAILED", "worker_nodes": 1, "node_errors": {"0": NO_DEPLOYMENT}},
    ],
}


@pytest.fixture(params=["embedded_service", "memory_service"])
def service(request: pytest.FixtureRequest) -> Any:
    """A service over either OpenSearch."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def send(service: Service | RunningService) -> Iterator[Send]:
    """Sends requests to a namespace of the test's own."""
    namespace = f"recorded-{uuid.uuid4().hex[:8]}"
    client = Client(service.url)

    def to_namespace(method: str, path: str, body: Any) -> Answer:
        answer = client.send(method, f"/_emulator/in/{namespace}{path}", body)
        return dataclasses.replace(answer, payload=answer.payload.replace(MEMORY_NODE, NODE))

    yield to_namespace
    client.ok("DELETE", f"/_emulator/namespaces/{namespace}")


@pytest.fixture
def stored(service: Service | RunningService) -> Callable[[Any], str]:
    """Give the text of a stored document; the memory orders the fields of one that was updated in its own way."""
    in_memory = isinstance(service, RunningService)
    return lambda creation: json.dumps(creation["stored"], indent=1, sort_keys=in_memory)


def have(send: Send, task_type: str, **plays: Any) -> None:
    """Have every task of a type play this."""
    told = send("POST", "/_emulator/scenarios", {"name": task_type, "match": {"task_type": task_type}, **plays})
    assert told.status < 300, told.payload


def text(entry: Any) -> str:
    """Return an entry with the order of its keys, which a dict does not compare."""
    return json.dumps(entry, indent=1)


def test_everything_that_is_asked_is_recorded() -> None:
    """A call that was changed or added after the recording is recorded again."""
    for asked, found in ((CREATIONS, RECORDED["creations"]), (REFUSALS, RECORDED["refusals"])):
        assert list(found) == list(asked)
        for name, (path, body) in asked.items():
            said = {} if body is None else {"body": body.decode() if isinstance(body, bytes) else body}
            assert found[name]["request"] == {"method": "POST", "path": path, **said}


@pytest.mark.parametrize("name", CREATIONS)
def test_a_played_task_is_the_plugin_s_answer_by_answer(send: Send, stored: Callable[[Any], str], name: str) -> None:
    """The call's answer, each state of the task as GET shows it, and its stored document, key by key."""
    for task_type, steps in STEPS.items():
        have(send, task_type, steps=steps)

    played, recorded = created(send, name, train(send)), RECORDED["creations"][name]

    assert text(played["answer"]) == text(recorded["answer"])
    assert text(played["task"]) == text(recorded["task"])
    assert stored(played) == stored(recorded)


@pytest.mark.parametrize(
    ("name", "task_type", "preset", "error"),
    [
        ("register", "REGISTER_MODEL", "fails", OUT_OF_REACH),
        ("deploy", "DEPLOY_MODEL", "fails_on_one_node", NO_DEPLOYMENT),
    ],
)
def test_a_preset_ends_as_the_plugin_s_task_did(
    send: Send, stored: Callable[[Any], str], name: str, task_type: str, preset: str, error: str
) -> None:
    """The presets that fail give the plugin's FAILED document: a plain error, or one by node in a text."""
    have(send, task_type, preset=preset, **{"with": {"error": error}})

    played, recorded = created(send, name, train(send)), RECORDED["creations"][name]

    assert text(played["answer"]) == text(recorded["answer"])
    assert text(played["task"][-1]) == text(recorded["task"][-1])
    assert stored(played) == stored(recorded)


@pytest.mark.parametrize("name", REFUSALS)
def test_what_the_plugin_cannot_read_is_refused_as_by_it(send: Send, name: str) -> None:
    """And counts as no match. Known to differ: a model that is not there can be deployed, it may have been played."""
    for task_type, steps in STEPS.items():
        have(send, task_type, steps=steps)
    recorded = RECORDED["refusals"][name]

    if name in OF_A_MISSING_MODEL:
        answer = send("POST", REFUSALS[name][0], None)
        assert recorded["answer"]["status"] == 404
        assert (answer.status, answer.body["status"]) == (200, "CREATED")
    else:
        assert text(refused(send, name, train(send))) == text(recorded)
        known = send("GET", "/_emulator/scenarios", None).body["scenarios"]
        assert [scenario["matched"] for scenario in known] == [0, 0]


@pytest.mark.parametrize("name", ["register without name", "deploy with a body that is no JSON"])
def test_what_no_scenario_is_for_is_not_looked_at(send: Send, name: str) -> None:
    """It is answered as if there were none."""
    path, body = REFUSALS[name]
    target = path.replace(TRAINED, "any")
    without = send("POST", target, body)
    have(send, "BATCH_INGEST", preset="fails")

    answer = send("POST", target, body)

    assert (answer.status, answer.payload) == (without.status, without.payload)
    assert answer.body["error"] != RECORDED["refusals"][name]["answer"]["body"]["error"]


def test_the_recorder_leaves_the_settings_as_they_were(service_url: str) -> None:
    """One that was there has its value again, one that was not is gone, also after an error."""
    client, (first, second) = Client(service_url), SETTINGS

    def had() -> dict[str, str]:
        return dict(client.ok("GET", "/_cluster/settings?flat_settings=true")["persistent"])

    def record_in_vain() -> None:
        with told(client, SETTINGS):
            assert (had()[first], had()[second]) == ("false", "true")
            raise ZeroDivisionError

    with told(client, {first: "true"}):
        before = had()
        with pytest.raises(ZeroDivisionError):
            record_in_vain()
        after = had()

    assert before[first] == "true"
    assert second not in before
    assert after == before
