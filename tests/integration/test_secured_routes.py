"""Every emulated route times every caller, as the real ML Commons 2.19.1 answers behind the security plugin.

`python -m tests.secured_recorder --version 2.19.1` recorded it: Maven Central has both plugins for that version.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.clients import FEATURES, query_body
from tests.secured_node import SecuredNode
from tests.services import Service, service

pytestmark = pytest.mark.embedded

RECORDED = Path(__file__).parents[2] / "fixtures" / "recordings" / "security-2.19.1"
TOPICS: dict[str, list[dict[str, Any]]] = {
    topic: json.loads((RECORDED / f"{topic}.json").read_text("utf-8"))["answers"] for topic in ("ml", "ml_work")
}
ANSWERS = [answer for answers in TOPICS.values() for answer in answers]
REFUSALS = (401, 403)


@dataclass
class Replay:
    """A service as that version, and the ids that stand for the recorded ones."""

    node: SecuredNode
    service: Service
    names: dict[str, str]


@pytest.fixture(scope="module")
def replay(secured_cluster: SecuredNode) -> Iterator[Replay]:
    flags = ("--opensearch", secured_cluster.url, "--ca-file", str(secured_cluster.ca_file))
    environment = secured_cluster.account("service").environment
    with service(*flags, "--ml-commons-version", "2.19.1", environment=environment) as running:
        client = secured_cluster.client("ml_full", running.url)
        task_id = client.train_async(query_body("iris", FEATURES, 150))
        model_id = client.ended(task_id)["model_id"]
        yield Replay(secured_cluster, running, {"<task>": task_id, "<model>": model_id})


@pytest.mark.parametrize("recorded", ANSWERS, ids=lambda each: f"{each['who']} {each['method']} {each['path']}")
def test_a_caller_may_what_the_clusters_roles_allow(replay: Replay, recorded: dict[str, Any]) -> None:
    """The status is the real plugin's for each caller, a refusal its very words, and in the same order of checks."""
    path = recorded["path"]
    for name, value in replay.names.items():
        path = path.replace(name, value)
    body = recorded.get("body")
    payload = body.encode() if isinstance(body, str) else body
    client = replay.node.client(recorded["who"], replay.service.url)
    answer = client.send(recorded["method"], path, payload, recorded.get("headers"))

    expected = recorded["answer"]
    assert answer.status == expected["status"], answer.payload
    if answer.status in REFUSALS:
        said = answer.payload.decode()
        assert said == expected["body"] or json.loads(said) == expected["body"]
        assert answer.headers["Content-Type"] == expected["headers"]["content-type"]
        assert answer.headers.get("WWW-Authenticate") == expected["headers"].get("WWW-Authenticate")


@pytest.mark.parametrize("answers", TOPICS.values(), ids=TOPICS)
def test_every_route_was_asked_by_everybody(answers: list[dict[str, Any]]) -> None:
    """The table is whole: each of the recorded requests by each caller."""
    callers = {each["who"] for each in answers}
    assert {"admin", "ml_full", "ml_read", "no_ml", "no_source", "nobody", "anonymous", "wrong_password"} <= callers
    for who in callers:
        assert len([each for each in answers if each["who"] == who]) * len(callers) == len(answers)
