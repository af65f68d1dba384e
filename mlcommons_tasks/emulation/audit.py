"""The poll audit: from what clients asked to how they poll, and what is wrong with it. Pure.

A client is who has one `X-Opaque-Id`; without one, who has one User-Agent and address. A poll is a GET of a task, or
a search that returned it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

import msgspec

from mlcommons_tasks.emulation.entries import Entry
from mlcommons_tasks.wire.typed_json import convert

FINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED", "COMPLETED_WITH_ERROR", "EXPIRED", "UNREACHABLE"})


class Intervals(msgspec.Struct, frozen=True):
    """Seconds between one poll of a task and the next."""

    min: float
    median: float
    max: float


class Failure(msgspec.Struct, frozen=True):
    """An error that a client was given, and what it did then.

    Attributes:
        status: None if the answer did not come to its end; 200 of one that cannot be read.
        requests_after: how many requests of the client came after it, of any kind.
        repeated_after_s: after how many seconds the client sent the same again, None if it never did.
        final_before: whether the client had read the task's final state already.
    """

    at: int
    method: str
    path: str
    status: int | None
    requests_after: int
    repeated_after_s: float | None
    fault: str | None = None
    task_id: str | None = None
    final_before: bool = False


class TaskPolls(msgspec.Struct, frozen=True):
    """How one client followed one task.

    Attributes:
        created_at: milliseconds since the epoch; None if no request in the journal made the task.
        is_creator: whether this client made it.
        first_poll_after_s: seconds from its creation to this client's first poll.
        final_state: the final state that this client read, None if it never did.
        is_followed_elsewhere: whether another client read its final state.
    """

    task_id: str
    created_at: int | None
    is_creator: bool
    first_poll_after_s: float | None
    polls: int
    intervals_s: Intervals | None
    states: list[str]
    final_state: str | None
    polls_after_final: int
    is_followed_elsewhere: bool = False


class Client(msgspec.Struct, frozen=True):
    """What one client did."""

    name: str
    requests: int
    tasks: list[TaskPolls]
    errors: list[Failure]


class Totals(msgspec.Struct, frozen=True):
    """All clients together."""

    clients: int
    requests: int
    tasks: int
    polls: int
    errors: int
    polls_after_final: int
    never_final: int


class Report(msgspec.Struct, frozen=True):
    """The audit of a journal."""

    clients: list[Client]
    totals: Totals

    def to_document(self) -> dict[str, Any]:
        """Return the report as JSON has it."""
        document: dict[str, Any] = msgspec.to_builtins(self)
        return document

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Report:
        """Return the report that a document is.

        Raises:
            msgspec.ValidationError: it is none.
        """
        return convert(document, cls)


def audit(entries: Iterable[Entry]) -> Report:
    """Return how clients poll, of the entries of a journal in any order."""
    ordered = sorted(entries, key=lambda entry: entry.at)
    by_client: dict[str, list[Entry]] = {}
    for entry in ordered:
        by_client.setdefault(client_of(entry), []).append(entry)
    created = {entry.task_created: entry.at for entry in reversed(ordered) if entry.task_created}
    readers: dict[str, set[str]] = {}
    for name, requests in by_client.items():
        for task in _final_in(requests):
            readers.setdefault(task, set()).add(name)
    clients = []
    for name, requests in by_client.items():
        made = {entry.task_created for entry in requests}
        tasks = [
            _task(task, polls, created.get(task), task in made, bool(readers.get(task, set()) - {name}))
            for task, polls in _followed(requests).items()
        ]
        clients.append(Client(name, len(requests), tasks, _errors(requests)))
    return Report(clients, _totals(clients))


def client_of(entry: Entry) -> str:
    """Return the name of the client that sent a request."""
    if entry.opaque_id:
        return entry.opaque_id
    return f"{entry.user_agent or 'no User-Agent'} at {entry.address or 'an unknown address'}"


def _followed(requests: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Return the polls of each task that a client made or read, in the order in which it first did."""
    found: dict[str, list[Entry]] = {}
    for entry in requests:
        if entry.task_created is not None:
            found.setdefault(entry.task_created, [])
        for task in _polled(entry):
            found.setdefault(task, []).append(entry)
    return found


def _polled(entry: Entry) -> Iterable[str]:
    """Return the tasks that a request was a poll of, answered or not."""
    if entry.method == "GET" and entry.task_asked is not None and entry.is_of_task:
        return (entry.task_asked,)
    return entry.states_read


def _final_in(requests: Iterable[Entry]) -> set[str]:
    return {task for entry in requests for task, state in entry.states_read.items() if _saw(entry) and state in FINAL}


def _saw(entry: Entry) -> bool:
    """Say whether the client can have read the answer."""
    return not entry.dropped


def _task(
    task: str, polls: Sequence[Entry], at: int | None, is_creator: bool, is_followed_elsewhere: bool
) -> TaskPolls:
    states: list[str] = []
    final_state, after_final = None, 0
    for poll in polls:
        if final_state is not None:
            after_final += 1
        state = poll.states_read.get(task) if _saw(poll) else None
        if state is None:
            continue
        if not states or states[-1] != state:
            states.append(state)
        if final_state is None and state in FINAL:
            final_state = state
    return TaskPolls(
        task_id=task,
        created_at=at,
        is_creator=is_creator,
        first_poll_after_s=round((polls[0].at - at) / 1000, 3) if polls and at is not None else None,
        polls=len(polls),
        intervals_s=_intervals([poll.at for poll in polls]),
        states=states,
        final_state=final_state,
        polls_after_final=after_final,
        is_followed_elsewhere=is_followed_elsewhere,
    )


def _intervals(times: Sequence[int]) -> Intervals | None:
    between = [(later - earlier) / 1000 for earlier, later in itertools.pairwise(times)]
    return Intervals(min(between), round(median(between), 4), max(between)) if between else None


def _errors(requests: Sequence[Entry]) -> list[Failure]:
    """Return the errors that a client was given; of a task, another poll of any kind repeats the one that failed."""
    failures: list[Failure] = []
    next_at: dict[object, int] = {}
    for after, entry in enumerate(reversed(requests)):
        same: list[object] = [("task", task) for task in _polled(entry)] or [(entry.method, entry.path)]
        if entry.failed:
            again = next_at.get(same[0])
            failure = Failure(
                at=entry.at,
                method=entry.method,
                path=entry.path,
                status=None if entry.dropped else entry.status,
                requests_after=after,
                repeated_after_s=None if again is None else round((again - entry.at) / 1000, 3),
                fault=entry.fault,
                task_id=entry.task_asked,
            )
            failures.append(failure)
        next_at.update(dict.fromkeys(same, entry.at))
    final: dict[str, int] = {}
    for entry in requests:
        for task in _final_in((entry,)):
            final.setdefault(task, entry.at)
    return [
        msgspec.structs.replace(each, final_before=final.get(each.task_id or "", each.at) < each.at)
        for each in reversed(failures)
    ]


def _totals(clients: Sequence[Client]) -> Totals:
    tasks = [task for client in clients for task in client.tasks]
    return Totals(
        clients=len(clients),
        requests=sum(client.requests for client in clients),
        tasks=len({task.task_id for task in tasks}),
        polls=sum(task.polls for task in tasks),
        errors=sum(len(client.errors) for client in clients),
        polls_after_final=sum(task.polls_after_final for task in tasks),
        never_final=len({task.task_id for task in tasks} - {task.task_id for task in tasks if task.final_state}),
    )
