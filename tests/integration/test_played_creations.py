"""Registering and deploying models, where a scenario plays the task: answers as the real plugin gives them (3.6.0)."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3

from mlcommons_tasks.server import RunningService

MODEL = {"name": "m", "version": "1", "model_format": "TORCH_SCRIPT"}
REGISTER = "/_plugins/_ml/models/_register"


class Caller:
    """Calls one namespace."""

    def __init__(self, url: str) -> None:
        self.namespace = f"creations-{uuid.uuid4().hex[:8]}"
        self.base = f"{url}/_emulator/in/{self.namespace}"
        self.http = urllib3.PoolManager()

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        answer = (
            self.http.request(method, self.base + path, json=body, headers=headers)
            if body is not None
            else (self.http.request(method, self.base + path, headers=headers))
        )
        return answer.status, answer.json()


@pytest.fixture
def call(memory_service: RunningService) -> Iterator[Caller]:
    """A caller of a namespace of the test's own."""
    caller = Caller(memory_service.url)
    yield caller
    caller("DELETE", f"/_emulator/namespaces/{caller.namespace}")
    caller.http.clear()


def test_without_a_scenario_nothing_is_emulated(call: Caller) -> None:
    """What registering and deploying really do is not emulated: there is no handler, with other scenarios as well."""
    before = call("POST", REGISTER, MODEL), call("POST", "/_plugins/_ml/models/abc/_deploy")
    call("POST", "/_emulator/scenarios", {"name": "other", "match": {"task_type": "TRAINING"}, "preset": "fails"})

    after = call("POST", REGISTER, MODEL), call("POST", "/_plugins/_ml/models/abc/_deploy")

    assert [status for status, _ in before] == [405, 400]
    assert after == before


@pytest.mark.parametrize("path", [REGISTER, "/_plugins/_ml/models/_upload"])
def test_a_registration_is_played(call: Caller, path: str) -> None:
    """The call is answered at once, the task names a model once it is COMPLETED, and not before."""
    steps = [{"state": "CREATED", "lasts": {"reads": 1}}, {"state": "COMPLETED"}]
    call("POST", "/_emulator/scenarios", {"name": "r", "match": {"task_type": "REGISTER_MODEL"}, "steps": steps})

    status, answer = call("POST", path, {**MODEL, "function_name": "sparse_encoding"})
    first = call("GET", f"/_plugins/_ml/tasks/{answer['task_id']}")[1]
    second = call("GET", f"/_plugins/_ml/tasks/{answer['task_id']}")[1]

    assert status == 200
    assert list(answer) == ["task_id", "status"]
    assert answer["status"] == "CREATED"
    keys = ["task_type", "function_name", "state", "worker_node", "create_time", "last_update_time", "is_async"]
    assert list(first) == keys
    assert (first["task_type"], first["function_name"]) == ("REGISTER_MODEL", "SPARSE_ENCODING")
    assert list(second) == ["model_id", *keys]
    assert second["state"] == "COMPLETED"


def test_a_deployment_is_played_for_the_model_that_is_named(call: Caller) -> None:
    """A scenario for one model leaves the others alone; the task has the model's id from the start."""
    told = {"name": "d", "match": {"task_type": "DEPLOY_MODEL", "model": "abc"}, "preset": "fails_on_one_node"}
    call("POST", "/_emulator/scenarios", told)

    other, _ = call("POST", "/_plugins/_ml/models/abd/_deploy")
    status, answer = call("POST", "/_plugins/_ml/models/abc/_deploy")
    states = [call("GET", f"/_plugins/_ml/tasks/{answer['task_id']}")[1] for _ in range(5)]

    assert other == 400
    assert status == 200
    assert list(answer) == ["task_id", "task_type", "status"]
    assert answer["task_type"] == "DEPLOY_MODEL"
    assert {state["model_id"] for state in states} == {"abc"}
    assert states[-1]["state"] == "FAILED"
    assert states[-1]["error"].startswith(f'{{"{states[-1]["worker_node"][0]}":"')


def test_a_creation_can_be_refused(call: Caller) -> None:
    """A limit is said by the call that would create the task."""
    call("POST", "/_emulator/scenarios", {"name": "full", "preset": "limit_exceeded", "times": 1})

    status, answer = call("POST", REGISTER, MODEL)

    assert status == 500
    assert answer["error"]["type"] == "limit_exceeded_exception"
    assert call("POST", REGISTER, MODEL)[0] == 405


def test_a_matcher_sees_the_opaque_id(call: Caller) -> None:
    """Two clients that do the same are told apart by their `X-Opaque-Id`."""
    call("POST", "/_emulator/scenarios", {"name": "mine", "match": {"opaque_id": "job-*"}, "preset": "stuck_created"})

    mine = call("POST", REGISTER, MODEL, **{"X-Opaque-Id": "job-7"})
    other = call("POST", REGISTER, MODEL, **{"X-Opaque-Id": "other"})

    assert (mine[0], other[0]) == (200, 405)
