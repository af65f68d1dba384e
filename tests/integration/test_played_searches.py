"""Searches for played tasks, over HTTP: whatever a search asks for, a task that it finds was read, and no other."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import cbor2
import pytest
import yaml

from tests.clients import NOBODY, TASKS, long_body
from tests.emulators import CONTROL, Stand, by_id, fresh, step


@pytest.fixture(params=["memory_service", "embedded_service"])
def stand(request: pytest.FixtureRequest) -> Iterator[Stand]:
    """A namespace over an in-memory server, and over a real node."""
    stand = fresh(request.getfixturevalue(request.param).url)
    yield stand
    assert stand.send("DELETE", f"{CONTROL}/namespaces/{stand.namespace}").status == 200


def playing(stand: Stand, reads: int = 2) -> str:
    """Return a task that is RUNNING for so many reads."""
    return stand.create({"name": "p", "steps": [step("RUNNING", reads), step("COMPLETED")]})


SHAPES: list[tuple[str, dict[str, Any]]] = [
    ("?filter_path=hits.total", {}),
    ("?filter_path=hits.hits._source.state", {}),
    ("?filter_path=-hits", {}),
    ("?pretty", {}),
    ("?format=yaml", {}),
    ("?format=cbor", {}),
    ("?format=smile&pretty", {}),
    ("", {"_source": False}),
    ("", {"_source": ["create_time"]}),
    ("", {"sort": ["create_time"], "track_total_hits": False}),
    ("", {"aggs": {"states": {"terms": {"field": "state"}}}}),
]


@pytest.mark.parametrize(("parameters", "more"), SHAPES, ids=str)
def test_a_task_that_is_found_was_read_whatever_is_shown_of_it(
    parameters: str, more: dict[str, Any], stand: Stand
) -> None:
    """Twice, so that the third read shows the next state."""
    task_id, other = playing(stand), playing(stand)
    for _ in range(2):
        answer = stand.send("POST", f"{TASKS}/_search{parameters}", {**by_id(task_id), **more})
        assert answer.status == 200, answer.payload

    assert stand.state(task_id) == "COMPLETED"
    assert [stand.state(other) for _ in range(3)] == ["RUNNING", "RUNNING", "COMPLETED"]


@pytest.mark.parametrize(
    "body",
    [
        {**NOBODY, "size": 0},
        {**NOBODY, "size": 0, "aggs": {"states": {"terms": {"field": "state"}}}},
        {"query": {"term": {"state": "COMPLETED"}}},
        {"query": {"match_none": {}}},
    ],
    ids=str,
)
def test_a_task_that_is_not_found_was_not_read(body: dict[str, Any], stand: Stand) -> None:
    """A count is no read."""
    task_id = playing(stand)
    for _ in range(5):
        stand.ok("POST", f"{TASKS}/_search", body)

    assert [stand.state(task_id) for _ in range(3)] == ["RUNNING", "RUNNING", "COMPLETED"]


def test_a_search_that_is_refused_is_no_read(stand: Stand) -> None:
    """Its answer is OpenSearch's."""
    task_id = playing(stand)
    for _ in range(5):
        assert stand.send("POST", f"{TASKS}/_search", {"query": {"nope": {}}}).status == 400

    assert [stand.state(task_id) for _ in range(3)] == ["RUNNING", "RUNNING", "COMPLETED"]


def test_states_are_found_and_counted_as_a_get_would_show_them(stand: Stand) -> None:
    """By the clock as well, though nobody read the task meanwhile."""
    stand.clock("_stop")
    ids = [
        stand.create({"name": "p", "steps": [step("RUNNING", lasts={"seconds": s}), step("FAILED")]}) for s in (1, 9)
    ]
    stand.advance("5s")

    found = stand.ok("POST", f"{TASKS}/_search", {"query": {"term": {"state": "FAILED"}}})["hits"]["hits"]
    assert [hit["_id"] for hit in found] == ids[:1]
    counted = stand.ok("POST", f"{TASKS}/_search", {"size": 0, "aggs": {"s": {"terms": {"field": "state"}}}})
    buckets = {each["key"]: each["doc_count"] for each in counted["aggregations"]["s"]["buckets"]}
    assert buckets == {"RUNNING": 1, "FAILED": 1}


def test_a_search_by_get_with_its_body_in_the_address_is_a_read(stand: Stand) -> None:
    """As the plugin allows it; one that names an absent task counts for that as well."""
    task_id = playing(stand)
    absent = stand.create({"name": "p", "steps": [step("ABSENT", 2), step("RUNNING")]})
    for wanted in (task_id, absent):
        source = json.dumps(by_id(wanted)).replace('"', "%22").replace(" ", "")
        for _ in range(2):
            stand.ok("GET", f"{TASKS}/_search?source={source}&source_content_type=application/json")

    assert (stand.state(task_id), stand.state(absent)) == ("COMPLETED", "RUNNING")


@pytest.mark.parametrize(
    ("kind", "read", "write"), [("yaml", yaml.safe_load, yaml.safe_dump), ("cbor", cbor2.loads, cbor2.dumps)]
)
def test_a_search_in_another_format_shows_the_same(kind: str, read: Any, write: Any, stand: Stand) -> None:
    """Body and answer; read by read."""
    task_id = playing(stand)
    body = write(by_id(task_id))
    payload = body.encode() if isinstance(body, str) else body
    states = []
    for _ in range(3):
        answer = stand.send("POST", f"{TASKS}/_search", payload, {"Content-Type": f"application/{kind}"})
        if answer.status != 200:
            assert "osmem" in stand.ok("GET", "/")["name"]  # which reads JSON alone
            return
        found = read(answer.payload) if kind in answer.headers["Content-Type"] else answer.body
        states.append(found["hits"]["hits"][0]["_source"]["state"])
    assert states == ["RUNNING", "RUNNING", "COMPLETED"]


def test_a_search_does_not_wait_for_one_training_after_the_other(stand: Stand) -> None:
    """However many are due that work still: in all as long as one read would."""
    stand.tell(step("CREATED"), step("RUNNING"), step("COMPLETED"))
    for _ in range(5):
        stand.train(body=long_body(2_000_000))
    began = time.monotonic()
    states = set(stand.states().values())

    assert states == {"RUNNING"}
    assert time.monotonic() - began < 6.0
