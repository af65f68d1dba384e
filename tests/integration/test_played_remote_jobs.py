"""Batch predictions of remote models, whose states a real cluster shows only with a service behind it: played here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mlcommons_tasks.server import RunningService
from tests.clients import TASKS, as_envelope
from tests.emulators import Stand, fresh

JOB = {"task_type": "BATCH_PREDICTION", "function_name": "REMOTE"}


@pytest.fixture
def stand(memory_service: RunningService) -> Iterator[Stand]:
    """A namespace of the test's own."""
    stand = fresh(memory_service.url)
    yield stand
    stand.ok("DELETE", f"/_emulator/namespaces/{stand.namespace}")


@pytest.mark.parametrize(
    ("preset", "states"),
    [
        ("cancel_lag", ["RUNNING", "CANCELLING", "CANCELLING", "CANCELLING", "CANCELLED", "CANCELLED"]),
        ("expired", ["RUNNING", "EXPIRED", "EXPIRED", "EXPIRED"]),
        ("unreachable", ["RUNNING", "UNREACHABLE", "UNREACHABLE"]),
    ],
)
def test_a_job_walks_its_states_and_stays_there(stand: Stand, preset: str, states: list[str]) -> None:
    """No service is asked for it, while it moves and once it is over; GET and `_search` agree."""
    task_id = stand.create({"name": preset, "preset": preset}, **JOB)

    assert [stand.state(task_id) for _ in states] == states
    assert stand.searched(task_id) == states[-1]


def test_a_job_that_is_but_stored_is_asked_for(stand: Stand) -> None:
    """One that nobody plays is answered as the plugin does where a job says nothing of its service."""
    stand.create({"name": "a", "preset": "expired"}, **JOB)
    stored = {**JOB, "state": "RUNNING", "create_time": 1, "last_update_time": 1, "is_async": True}
    stand.ok("PUT", "/.plugins-ml-task/_doc/stored?refresh=true", stored)

    answer = stand.send("GET", f"{TASKS}/stored")

    assert answer.status == 500
    assert as_envelope(answer)["type"] == "null_pointer_exception"
