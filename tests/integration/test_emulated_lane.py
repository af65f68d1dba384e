"""The short way of polls beside the emulator: in the journal, and closed where anything is to be played."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import urllib3

from tests.clients import TASKS
from tests.lanes import logged, short_ways
from tests.services import Service, service

TASK = {"task_type": "TRAINING", "function_name": "KMEANS", "state": "RUNNING", "is_async": True}
HTTP = urllib3.PoolManager()


@pytest.fixture
def running() -> Iterator[Service]:
    """A service that is alone, with a task in its index."""
    with service("--opensearch", "memory", environment=logged()) as found:
        call(found, "PUT", "/.plugins-ml-task/_doc/t1?refresh=true", TASK)
        yield found


def call(running: Service, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Return the status and the body of an answer."""
    answer = HTTP.request(method, running.url + path, json=body)
    return answer.status, answer.json()


def test_a_poll_that_went_the_short_way_is_in_the_journal(running: Service) -> None:
    """It has the same fields as one that did not, and what its answer showed."""
    for _ in range(3):
        call(running, "GET", f"{TASKS}/t1")
    HTTP.request("GET", f"{running.url}{TASKS}/t1", headers={"X-Opaque-Id": "slow-one"})
    _, found = call(running, "GET", "/_emulator/requests?task_id=t1")
    running.stop()

    short, slow = found["requests"][0], found["requests"][-1]
    assert short_ways(running) == (3, 0)
    assert found["total"] == 4
    assert short.keys() == slow.keys()
    assert (short["method"], short["target"], short["status"]) == ("GET", f"{TASKS}/t1", 200)
    assert short["response_body"] == slow["response_body"]
    assert short["address"] == slow["address"] == "127.0.0.1"
    assert short["took_in_millis"] > 0


def test_no_credentials_of_a_short_poll_are_kept(running: Service) -> None:
    """The short way passes them by, and the journal does not have them."""
    headers = urllib3.make_headers(basic_auth="admin:s3cret")

    HTTP.request("GET", f"{running.url}{TASKS}/t1", headers=headers)
    kept = HTTP.request("GET", f"{running.url}/_emulator/requests").data.decode()
    running.stop()

    assert short_ways(running) == (1, 0)
    assert headers["authorization"].split()[1] not in kept
    assert '"task_id":"t1"' in kept


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("faults", {"name": "busy", "match": {"path": f"{TASKS}/*"}, "effect": {"status": 503}}),
        ("faults", {"name": "cut", "match": {"method": "GET"}, "effect": {"malformed": True}}),
    ],
)
def test_the_next_poll_meets_what_was_told(running: Service, kind: str, told: dict[str, Any]) -> None:
    """Once a fault is told no poll passes it by on the short way; once it is gone they take that again."""
    plain = HTTP.request("GET", f"{running.url}{TASKS}/t1").data
    call(running, "POST", f"/_emulator/{kind}", told)
    met = HTTP.request("GET", f"{running.url}{TASKS}/t1", retries=False).data
    call(running, "DELETE", f"/_emulator/{kind}/{told['name']}")
    again = HTTP.request("GET", f"{running.url}{TASKS}/t1").data
    running.stop()

    assert met != plain
    assert again == plain
    assert short_ways(running) == (2, 0)


def test_without_the_emulator_there_is_none(running: Service) -> None:
    """`--no-emulator` leaves its paths to OpenSearch, and polls their short way."""
    with service("--opensearch", running.opensearch_url, "--no-emulator", environment=logged()) as bare:
        status, _ = call(bare, "GET", "/_emulator/scenarios")
        call(bare, "GET", f"{TASKS}/t1")
        bare.stop()

        assert status in (400, 404)
        assert short_ways(bare) == (1, 0)
