"""The list of 5xx that inputs may be answered with: every one is recorded from the plugin."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from tests.conformance import cases, recordings
from tests.fuzz.server_errors import RECORDED, ServerError, recorded


@pytest.mark.parametrize("error", RECORDED, ids=lambda error: f"{error.type}: {error.case}")
def test_the_plugin_gives_it(error: ServerError) -> None:
    """A reply of the case that is named has this status, type and reason, on such a path."""
    topic, _, name = error.case.partition("::")
    case = next(case for case in cases.load(topic) if case.name == name)
    replies = recordings.read(topic, recordings.RECORDINGS / recordings.VERSION).replies(case)
    found = [
        reply
        for reply in replies
        if reply.status >= 500
        and re.match(error.path, reply.request.partition(" ")[2])
        and _is(error, reply.text or "")
    ]

    assert found


def _is(error: ServerError, text: str) -> bool:
    body = (yaml.safe_load if text.startswith("---") else json.loads)(text)["error"]
    return (
        body["type"] == error.type
        and re.fullmatch(error.reason, body.get("details", body["reason"]), re.DOTALL) is not None
    )


def test_what_is_not_recorded_is_not_in_it() -> None:
    """An unforeseen error of ours least of all."""
    assert recorded("/_plugins/_ml/tasks/x", "exception", "an unforeseen error; the service's log tells more") is None
    assert recorded("/_tasks", "connect_transport_exception", "OpenSearch cannot be reached") is None
