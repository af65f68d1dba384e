"""What may be wrong with how clients poll: named checks, for a run that is to fail over it. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import msgspec

from mlcommons_tasks.emulation.audit import Client, Failure, Report
from mlcommons_tasks.errors import IllegalArgument

PASSING = frozenset({429, 502, 503, 504})  #: statuses after which the same request may succeed

_Found = Iterable[tuple[str | None, str]]


class Finding(msgspec.Struct, frozen=True):
    """One thing that a check found."""

    check: str
    client: str
    task_id: str | None
    message: str

    def __str__(self) -> str:
        task = f", task {self.task_id}" if self.task_id else ""
        return f"{self.check}: {self.client}{task}: {self.message}"


def _never_final(client: Client, _: float) -> _Found:
    for task in client.tasks:
        if task.final_state is None and not (task.polls == 0 and task.is_followed_elsewhere):
            last = f"the last state it read is {task.states[-1]}" if task.states else "it read no state"
            yield task.task_id, f"never read the final state: {_times(task.polls, 'poll')}, {last}"


def _never_polled(client: Client, _: float) -> _Found:
    for task in client.tasks:
        if task.polls == 0 and not task.is_followed_elsewhere:
            yield task.task_id, "made the task and never asked for it"


def _polls_after_final(client: Client, _: float) -> _Found:
    for task in client.tasks:
        if task.polls_after_final:
            yield task.task_id, f"{_times(task.polls_after_final, 'poll')} after it had read {task.final_state}"


def _no_retry(client: Client, _: float) -> _Found:
    for error in client.errors:
        gave_up = error.repeated_after_s is None and not error.final_before
        if gave_up and (error.task_id is not None or error.status is None or error.status in PASSING):
            yield error.task_id, f"gave up after {_said(error)} to {error.method} {error.path}"


def _retried_sooner(client: Client, limit: float) -> _Found:
    for error in client.errors:
        if error.repeated_after_s is not None and error.repeated_after_s < limit:
            yield (
                error.task_id,
                f"repeated {error.method} {error.path} {error.repeated_after_s:g} s after {_said(error)}",
            )


def _shorter_interval(client: Client, limit: float) -> _Found:
    for task in client.tasks:
        if task.intervals_s is not None and task.intervals_s.min < limit:
            yield task.task_id, f"polled again after {task.intervals_s.min:g} s"


def _longer_interval(client: Client, limit: float) -> _Found:
    for task in client.tasks:
        if task.intervals_s is not None and task.intervals_s.max > limit:
            yield task.task_id, f"polled again only after {task.intervals_s.max:g} s"


def _slow_first_poll(client: Client, limit: float) -> _Found:
    for task in client.tasks:
        if task.first_poll_after_s is not None and task.first_poll_after_s > limit:
            yield task.task_id, f"polled first {task.first_poll_after_s:g} s after the task was made"


def _many_polls(client: Client, limit: float) -> _Found:
    for task in client.tasks:
        if task.polls > limit:
            yield task.task_id, f"polled {task.polls} times"


def _any_errors(client: Client, _: float) -> _Found:
    for error in client.errors:
        yield error.task_id, f"{error.method} {error.path}: {_said(error)}"


#: name → what it finds, and who finds it; those with a comparison take a number
CHECKS: dict[str, tuple[str, Callable[[Client, float], _Found]]] = {
    "never-final": ("a task whose final state the client never read", _never_final),
    "never-polled": ("a task that was made and that nobody asked for", _never_polled),
    "polls-after-final": ("polls of a task after the client had read its final state", _polls_after_final),
    "no-retry": (
        "an error after which the client never sent the same again: any of a poll before the final state,"
        " 429, 502, 503, 504 or a lost connection of another request",
        _no_retry,
    ),
    "interval<": ("less than so many seconds between two polls of a task", _shorter_interval),
    "interval>": ("more than so many seconds between two polls of a task", _longer_interval),
    "first-poll>": ("a first poll more than so many seconds after the task was made", _slow_first_poll),
    "polls>": ("more than so many polls of a task", _many_polls),
    "retry<": ("the same again less than so many seconds after an error", _retried_sooner),
    "errors": ("any error that a client was given", _any_errors),
}
_CHECK = re.compile(r"([a-z-]+[<>]?)([0-9]*\.?[0-9]*)")


def findings(report: Report, checks: Iterable[str]) -> list[Finding]:
    """Return what checks find in a report.

    Raises:
        IllegalArgument: there is no such check.
    """
    found = []
    for check in checks:
        finder, limit = check_named(check)
        for client in report.clients:
            found += [Finding(check, client.name, task, message) for task, message in finder(client, limit)]
    return found


def check_named(check: str) -> tuple[Callable[[Client, float], _Found], float]:
    """Return who looks for what a check is about, and the number it compares with.

    Raises:
        IllegalArgument: there is no such check.
    """
    found = _CHECK.fullmatch(check.replace(" ", ""))
    name, limit = (found[1], found[2]) if found else (check, "")
    takes_number = name.endswith(("<", ">"))
    if name not in CHECKS or takes_number != (limit not in ("", ".")):
        listed = ", ".join(
            each + ("NUMBER" if each == "polls>" else "SECONDS" if each[-1] in "<>" else "") for each in CHECKS
        )
        raise IllegalArgument(f"there is no check [{check}]; there are {listed}")
    return CHECKS[name][1], float(limit or 0)


def _said(error: Failure) -> str:
    if error.status is None:
        return "no answer"
    return str(error.status) if error.status >= 400 else "an answer that cannot be read"


def _times(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
