"""The poll audit: who polls what, how often, to what end, and the checks that find fault with it."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from mlcommons_tasks.emulation.audit import FINAL, Report, TaskPolls, audit
from mlcommons_tasks.emulation.audit_checks import CHECKS, findings
from mlcommons_tasks.emulation.entries import Entry
from mlcommons_tasks.errors import IllegalArgument
from mlcommons_tasks.task import TaskState

TASKS = "/_plugins/_ml/tasks"


def entry(at_s: float, target: str, body: Any = None, *, method: str = "GET", **more: Any) -> Entry:
    fields = {"status": 200, "opaque_id": "me", "took_in_millis": 1.0, "namespace": "main", **more}
    payload = b"" if body is None else json.dumps(body).encode()
    return Entry(at=round(at_s * 1000), method=method, target=target, response_body=payload, **fields)  # type: ignore[arg-type]


def created(at_s: float, task: str = "t", **more: Any) -> Entry:
    body = {"task_id": task, "status": "CREATED"}
    return entry(at_s, "/_plugins/_ml/_train/KMEANS?async=true", body, method="POST", **more)


def poll(at_s: float, state: str, task: str = "t", **more: Any) -> Entry:
    return entry(at_s, f"{TASKS}/{task}", {"task_type": "TRAINING", "state": state}, **more)


def error(at_s: float, status: int | None = 503, task: str = "t", **more: Any) -> Entry:
    return entry(at_s, f"{TASKS}/{task}", {"error": {}}, status=status, dropped=status is None, **more)


def search(at_s: float, states: dict[str, str], **more: Any) -> Entry:
    hits = [{"_id": task, "_source": {"state": state}} for task, state in states.items()]
    return entry(at_s, f"{TASKS}/_search", {"hits": {"hits": hits}}, method="POST", **more)


def only_task(*entries: Entry) -> TaskPolls:
    [client] = audit(entries).clients
    [task] = client.tasks
    return task


GOOD = (created(1), poll(1.5, "CREATED"), poll(2.5, "RUNNING"), poll(3, "RUNNING"), poll(5, "COMPLETED"))


def test_a_good_poller() -> None:
    """Of a task it is told when it was made and first asked for, how often, between which times, to what end."""
    task = only_task(*GOOD)

    assert (task.task_id, task.created_at, task.is_creator) == ("t", 1000, True)
    assert (task.first_poll_after_s, task.polls, task.polls_after_final) == (0.5, 4, 0)
    assert task.intervals_s is not None
    assert (task.intervals_s.min, task.intervals_s.median, task.intervals_s.max) == (0.5, 1.0, 2.0)
    assert task.states == ["CREATED", "RUNNING", "COMPLETED"]
    assert task.final_state == "COMPLETED"


def test_a_search_is_a_poll() -> None:
    """A search that returned a task is a poll of it, and one that did not is none."""
    task = only_task(
        created(1), search(2, {}), search(3, {"t": "RUNNING"}), poll(4, "RUNNING"), search(5, {"t": "FAILED"})
    )

    assert (task.polls, task.first_poll_after_s, task.final_state) == (3, 2.0, "FAILED")


@pytest.mark.parametrize("state", [*TaskState])
def test_final_states(state: TaskState) -> None:
    """All states are final but those in which work goes on."""
    final = state.value not in ("CREATED", "RUNNING", "CANCELLING")

    assert (state.value in FINAL) is final
    assert only_task(poll(1, state.value)).final_state == (state.value if final else None)


def test_polls_after_the_final_state() -> None:
    """Polls after the answer in which the client read the final state are counted, failed ones too."""
    task = only_task(poll(1, "FAILED"), poll(2, "FAILED"), error(3), search(4, {"t": "FAILED"}))

    assert (task.polls, task.polls_after_final, task.states) == (4, 3, ["FAILED"])


@pytest.mark.parametrize("spoilt", [{"dropped": True}, {"status": 404}])
def test_a_state_that_did_not_arrive_was_not_read(spoilt: dict[str, Any]) -> None:
    """A final state in an answer that broke off, or in an error's body, was not read."""
    task = only_task(poll(1, "COMPLETED", **spoilt))

    assert (task.polls, task.states, task.final_state) == (1, [], None)


def test_a_task_made_elsewhere() -> None:
    """A task that no request made has no time of creation."""
    task = only_task(poll(1, "RUNNING"))

    assert (task.created_at, task.is_creator, task.first_poll_after_s, task.intervals_s) == (None, False, None, None)


def test_clients_are_told_apart() -> None:
    """A client is one X-Opaque-Id; without one, a User-Agent and an address."""
    report = audit(
        [
            poll(1, "RUNNING", opaque_id="a", user_agent="x"),
            poll(1, "RUNNING", opaque_id="a", user_agent="y"),
            poll(1, "RUNNING", opaque_id=None, user_agent="py", address="1.1.1.1"),
            poll(1, "RUNNING", opaque_id=None, user_agent="py", address="2.2.2.2"),
            poll(1, "RUNNING", opaque_id=None),
        ]
    )

    assert [client.name for client in report.clients] == [
        "a",
        "py at 1.1.1.1",
        "py at 2.2.2.2",
        "no User-Agent at an unknown address",
    ]
    assert report.clients[0].requests == 2


def test_one_makes_and_another_follows() -> None:
    """Who made a task is told the time by which another's first poll is late, and that somebody follows it."""
    report = audit([created(1, opaque_id="maker"), poll(4, "COMPLETED", opaque_id="follower")])
    maker, follower = (client.tasks[0] for client in report.clients)

    assert (maker.polls, maker.is_creator, maker.is_followed_elsewhere) == (0, True, True)
    assert (follower.first_poll_after_s, follower.is_creator, follower.is_followed_elsewhere) == (3.0, False, False)
    assert findings(report, ["never-final", "never-polled"]) == []


def test_errors_and_what_followed() -> None:
    """Of an error it is told how many requests came after it, and how soon the same was asked again."""
    [client] = audit(
        [
            created(0, status=429),
            created(2),
            error(3, fault="busy"),
            search(3.25, {"t": "RUNNING"}),
            error(4, None),
            poll(5, "COMPLETED"),
            error(6, 404),
        ]
    ).clients

    told = [(each.status, each.requests_after, each.repeated_after_s, each.final_before) for each in client.errors]
    assert told == [(429, 6, 2.0, False), (503, 4, 0.25, False), (None, 2, 1.0, False), (404, 0, None, True)]
    assert [each.task_id for each in client.errors] == [None, "t", "t", "t"]
    assert client.errors[1].fault == "busy"


def test_an_answer_that_cannot_be_read_is_an_error() -> None:
    """A poll whose answer is no JSON failed."""
    one = Entry(
        at=1, took_in_millis=1.0, namespace="n", method="GET", target=f"{TASKS}/t", status=200, response_body=b">x"
    )
    [client] = audit([one]).clients

    assert [each.status for each in client.errors] == [200]
    assert "an answer that cannot be read" in str(findings(audit([one]), ["no-retry"])[0])


def test_totals() -> None:
    """All clients together, each task once."""
    totals = audit([*GOOD, error(6), poll(7, "RUNNING", "u", opaque_id="b"), poll(7, "RUNNING", opaque_id="b")]).totals

    assert (totals.clients, totals.requests, totals.tasks, totals.polls, totals.errors) == (2, 8, 2, 7, 1)
    assert (totals.polls_after_final, totals.never_final) == (1, 1)
    assert audit([]).totals.clients == 0


def test_entries_may_come_in_any_order() -> None:
    """Entries are in the order in which answers ended; requests are told in the order in which they came."""
    assert audit(reversed(GOOD)) == audit(GOOD)


def test_a_report_goes_through_json() -> None:
    """A report that was sent is the report."""
    report = audit([*GOOD, error(6)])

    assert Report.from_document(json.loads(json.dumps(report.to_document()))) == report


BAD = {
    "never-final": (created(1), poll(2, "RUNNING")),
    "never-polled": (created(1),),
    "polls-after-final": (poll(1, "FAILED"), poll(2, "FAILED")),
    "no-retry": (created(1), error(2)),
    "interval<0.5": (poll(1, "RUNNING"), poll(1.4, "COMPLETED")),
    "interval>10": (poll(1, "RUNNING"), poll(12, "COMPLETED")),
    "first-poll>5": (created(1), poll(6.1, "COMPLETED")),
    "polls>4": (*(poll(at, "RUNNING") for at in (1, 2, 3, 4)), poll(5, "COMPLETED")),
    "retry<0.1": (error(1), poll(1.05, "COMPLETED")),
    "errors": (error(1), poll(2, "COMPLETED")),
}
FOLLOWS = {  # what else is wrong there
    "never-polled": {"never-final"},
    "no-retry": {"never-final", "errors"},
    "retry<0.1": {"errors", "interval<0.5"},
    "interval<0.5": set(),
    "interval>10": set(),
}


@pytest.mark.parametrize("check", BAD)
def test_each_check_finds_its_own(check: str) -> None:
    """Every check finds what it is about and names client and task; a good poller has nothing of it."""
    report = audit(BAD[check])
    found = findings(report, [check])

    assert [(each.check, each.client, each.task_id) for each in found] == [(check, "me", "t")]
    assert str(found[0]).startswith(f"{check}: me, task t: ")
    assert "\n" not in str(found[0])
    assert findings(audit(GOOD), [check]) == []
    others = {each.check for each in findings(report, [other for other in BAD if other != check])}
    assert others == FOLLOWS.get(check, set())


def test_every_check_is_tried() -> None:
    """No check is left out above, and the command's help has them all."""
    from mlcommons_tasks.cli.audit import CHECKS_HELP

    assert {check.rstrip("0.1245") for check in BAD} == set(CHECKS)
    for name, (said, _) in CHECKS.items():
        assert f"  {name}" in CHECKS_HELP
        assert said


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        ((created(1, status=503),), True),
        ((created(1, status=None, dropped=True),), True),
        ((created(1, status=400),), False),
        ((created(1, status=503), created(2)), False),
        ((error(1, 404),), True),
        ((error(1), search(2, {"t": "COMPLETED"})), False),
        ((poll(1, "FAILED"), error(2)), False),
        ((error(1), poll(2, "RUNNING", "u")), True),
    ],
)
def test_who_gave_up(entries: tuple[Entry, ...], found: bool) -> None:
    """To give up is not to ask again for a task that is not over, or after an error that passes."""
    assert bool(findings(audit(entries), ["no-retry"])) is found


@pytest.mark.parametrize(
    "check", ["", "never", "interval", "interval<", "interval<x", "interval<.", "errors5", "polls<3"]
)
def test_a_check_that_there_is_not(check: str) -> None:
    """An unknown check is refused, and the others are listed."""
    with pytest.raises(IllegalArgument, match="never-final"):
        findings(audit([]), [check])


def test_spaces_in_a_check() -> None:
    """Spaces around a comparison do no harm."""
    assert len(findings(audit(BAD["interval<0.5"]), ["interval < 0.5"])) == 1


def test_a_full_journal_is_audited_in_a_moment() -> None:
    """Ten thousand requests of a thousand tasks take no more than a moment."""
    entries = [poll(number, "RUNNING", f"t{number % 1000}", opaque_id=f"c{number % 100}") for number in range(10_000)]
    began = time.perf_counter()
    report = audit(entries)

    assert report.totals.tasks == 1000
    assert time.perf_counter() - began < 2
