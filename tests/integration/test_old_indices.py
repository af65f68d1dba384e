"""Indices with an older mapping: the service does to them what the plugin was seen to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from mlcommons_tasks import running_service
from mlcommons_tasks.store.mappings import MODEL_INDEX, TASK_INDEX
from tests.clients import Client
from tests.upgrade_recorder import RECORDING, SCENARIOS, play

RECORDED: dict[str, Any] = json.loads(RECORDING.read_text("utf-8"))["scenarios"]


@pytest.fixture
def without_indices(opensearch_url: str) -> Iterator[str]:
    """An OpenSearch that has no index of ML Commons, before and after."""
    indices = f"/{TASK_INDEX},{MODEL_INDEX}?ignore_unavailable=true"
    Client(opensearch_url).ok("DELETE", indices)
    yield opensearch_url
    Client(opensearch_url).ok("DELETE", indices)


def test_every_scenario_was_recorded() -> None:
    """A scenario that is new must be asked of the plugin first."""
    assert list(RECORDED) == list(SCENARIOS)


@pytest.mark.parametrize("name", SCENARIOS)
def test_an_older_index_is_brought_up_as_the_plugin_does_it(name: str, without_indices: str) -> None:
    """Trainings on old indices are answered as the plugin answers them, and leave the mappings that it leaves."""
    with running_service(opensearch=without_indices, trainings=1) as service:
        found = play(Client(service.url), SCENARIOS[name])

    assert found == RECORDED[name]
