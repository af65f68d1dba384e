"""5,000 requests that no well-behaved client would send, in front of a real service over a real node."""

from __future__ import annotations

import contextlib

import pytest

from mlcommons_tasks.app import create_app
from mlcommons_tasks.backend import Backend
from mlcommons_tasks.config import Settings
from mlcommons_tasks.rest.proxy import NAME as PROXY
from tests.services import Service

from . import campaign, described, rules
from .messages import Answer, Caller, Message

RAW = 4_000
WARM = 500  #: of these, after which memory counts
DESCRIBED = 22  #: for each operation
MOST_GROWTH_MIB = 64

pytestmark = pytest.mark.embedded


def test_every_route_is_described_and_nothing_else(memory_server: Backend) -> None:
    """The document has the methods and paths of the application's own table."""
    app = create_app(Settings.resolve({"opensearch": memory_server.url}, {}))
    try:
        table = {
            (method, described.path_of(rule.rule))
            for rule in app.url_map.iter_rules()
            if not rule.endpoint.startswith(f"{PROXY}.")
            for method in rule.methods or ()
        }
    finally:
        app.extensions["mlcommons_tasks"].close()

    assert described.routes() == table


def test_raw_requests(fuzzed: Service) -> None:
    """Every one is answered in OpenSearch's form, or hung up on as it does; no 5xx but the plugin's, no memory kept."""
    pid = int(fuzzed.ready["pid"])
    result = campaign.Result()
    campaign.run(fuzzed.url, WARM, 1, result)
    before = campaign.memory_mib(pid)

    campaign.run(fuzzed.url, RAW - WARM, 2, result)

    assert result.sent >= RAW * 0.95
    assert min(result.statuses[status] for status in (200, 400, 404, 405, 406)) > 0
    assert campaign.memory_mib(pid) - before < MOST_GROWTH_MIB
    _assert_quiet(fuzzed)


def test_described_requests(fuzzed: Service) -> None:
    """Answers to what the document describes, and to what it does not, are as it says: status, type and schema."""
    sent = described.run(fuzzed.url, DESCRIBED, 1)

    assert sent >= DESCRIBED * len(described.routes()) * 0.9
    _assert_quiet(fuzzed)


@pytest.mark.parametrize(
    "header",
    [
        ((b"SCRIPT_NAME", b"/elsewhere"),),
        ((b"PATH_INFO", b"/elsewhere"),),
        ((b"X-Forwarded-Proto", b"https"), (b"X-Forwarded-Ssl", b"off")),
        ((b"X-HTTP-Method-Override", b"DELETE"),),
        ((b"X-Original-URL", b"/elsewhere"),),
    ],
)
def test_no_header_says_what_was_asked_for(fuzzed: Service, header: tuple[tuple[bytes, bytes], ...]) -> None:
    """Web servers believe some of them when they come from the same machine."""
    with contextlib.closing(Caller(fuzzed.url)) as caller:
        answer = caller.send(Message(b"GET", b"/_plugins/_ml/tasks/nope", ((b"Host", b"x"), *header)))

    assert (answer.status, rules.error_of(answer)) == (404, ("status_exception", "Failed to find task"))


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (Answer(0), "ended without an answer"),
        (Answer(500, {"content-type": "text/html"}, b"<html>"), "a page"),
        (Answer(500, {"content-type": "application/json"}, b'{"error":"x","status":500}'), "no"),
        (Answer(400, {"content-type": "application/json"}, b'{"message":"x"}'), "without an error"),
        (Answer(200, {"content-type": "application/json"}, b"{"), "no application/json"),
        (
            Answer(
                500,
                {"content-type": "application/json"},
                b'{"error":{"root_cause":[{"type":"a","reason":"b"}],"type":"a","reason":"b"},"status":500}',
            ),
            "the plugin gives no 500",
        ),
        (
            Answer(404, {"content-type": "application/json"}, b'{"error":{"type":"a","reason":"b"},"status":400}'),
            "the body says 400",
        ),
    ],
)
def test_the_rules_see_what_is_wrong(answer: Answer, problem: str) -> None:
    """A test that cannot fail is none."""
    assert any(problem in found for found in rules.problems(Message(b"GET", b"/_tasks"), answer))


def _assert_quiet(service: Service) -> None:
    """Assert that the service wrote no traceback, and lives."""
    log = service.log.read_text("utf-8", "replace")
    assert "Traceback" not in log, log[-6_000:]
    assert service.process.poll() is None
