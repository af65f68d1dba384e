"""Waits for a task of ML Commons to end, on any cluster. Knows what a poller must know of states and answers.

Needs no client library; must not know the emulator, for it is used against real clusters too.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from mlcommons_tasks.task import TaskState
from mlcommons_tasks.waiting.error_text import readable_error
from mlcommons_tasks.waiting.reading import Answer, Reader, reader_of

#: States after which the plugin does nothing more by itself. UNREACHABLE is among them: it has stopped to ask then
#: (ml-commons 3.6.0, `GetTaskTransportAction`; its own `TASK_DONE_STATES` leaves EXPIRED and UNREACHABLE out).
FINAL = frozenset(
    {
        TaskState.COMPLETED,
        TaskState.COMPLETED_WITH_ERROR,
        TaskState.FAILED,
        TaskState.CANCELLED,
        TaskState.EXPIRED,
        TaskState.UNREACHABLE,
    }
)
LONGEST_PAUSE_S = 30.0
SHORTEST_PAUSE_S = 0.1


class WaitError(Exception):
    """A wait that did not end well. `task_id` is what was waited for, `task` how it was last seen, or None."""

    def __init__(self, message: str, task_id: str, task: dict[str, Any] | None = None) -> None:
        super().__init__(message, task_id, task)
        self.task_id = task_id
        self.task = task

    def __str__(self) -> str:
        return str(self.args[0])

    @property
    def state(self) -> str | None:
        """The state in which the task was last seen."""
        return (self.task or {}).get("state")


class TaskFailed(WaitError):
    """The task is over, and not COMPLETED: `state` says how, `error` why."""

    @property
    def error(self) -> str | None:
        """The task's error text, readable: JSON in it has become lines."""
        error = (self.task or {}).get("error")
        return None if error is None else readable_error(str(error))


class TaskTimeout(WaitError):
    """The task was not over in time."""


class TaskNotFound(WaitError):
    """The task is not there, and did not appear in the time that it was given."""


class TaskUnreadable(WaitError):
    """The answer was an error that waiting does not mend, such as 401 or 403; `status` is its HTTP status."""

    def __init__(
        self, message: str, task_id: str, task: dict[str, Any] | None = None, status: int | None = None
    ) -> None:
        super().__init__(message, task_id, task)
        self.args = (message, task_id, task, status)
        self.status = status


def wait_for_task(
    client: Any,
    task_id: str,
    *,
    timeout: float = 240.0,
    interval: float = 1.0,
    absent_for: float = 5.0,
    accept_errors: bool = False,
) -> dict[str, Any]:
    """Return a task's document once the task is COMPLETED.

    Args:
        client: a client of opensearch-py, or the URL of the cluster, with an account in it if it needs one. For
            certificates of your own give a client.
        task_id: what `_train?async=true`, `_register` or `_deploy` answered.
        timeout: seconds after which to give up; the task is read a last time then.
        interval: seconds between two reads.
        absent_for: seconds that the task may be missing (404): it may not be visible yet.
        accept_errors: return a task that is COMPLETED_WITH_ERROR too: it worked on some nodes.

    Too many requests (429), gateways' errors (502, 503, 504), lost connections and broken bodies are waited out,
    each time twice as long, up to the timeout. A state that is not known here counts as "not over".

    Raises:
        TaskFailed: it ended FAILED, CANCELLED, EXPIRED, UNREACHABLE or COMPLETED_WITH_ERROR.
        TaskTimeout: it was not over in time; the message says in which state it is and for how long.
        TaskNotFound: it is not there.
        TaskUnreadable: the answer was an error that does not pass.
    """
    if not task_id:
        raise ValueError("task_id is empty")
    with reader_of(client) as reader:
        return _Wait(reader, task_id, timeout, interval, absent_for, accept_errors).run()


class _Wait:
    """One wait, from the first read to the last."""

    def __init__(
        self, reader: Reader, task_id: str, timeout_s: float, interval_s: float, absent_s: float, accept_errors: bool
    ) -> None:
        self._reader = reader
        self._task_id = task_id
        self._timeout_s = timeout_s
        self._interval_s = interval_s
        self._absent_s = absent_s
        self._wanted = {TaskState.COMPLETED} | ({TaskState.COMPLETED_WITH_ERROR} if accept_errors else set())
        self._began = time.monotonic()
        self._task: dict[str, Any] | None = None
        self._state_since = self._began
        self._absent_since: float | None = None
        self._troubles = 0

    def run(self) -> dict[str, Any]:
        """Read until the task is over."""
        until = self._began + self._timeout_s
        while True:
            answer = self._reader.read(self._task_id, max(until - time.monotonic(), SHORTEST_PAUSE_S))
            now = time.monotonic()
            if answer.task is not None:
                self._saw(answer.task, now)
                state = str(answer.task.get("state"))
                if state in self._wanted:
                    return dict(answer.task)
                if state in FINAL:
                    raise TaskFailed(_how_it_ended(self._task_id, answer.task), self._task_id, answer.task)
            elif answer.is_absent:
                self._missed(answer, now, is_last=now >= until)
            elif not answer.may_pass:
                text = f"task {self._task_id} cannot be read: {answer.trouble}"
                raise TaskUnreadable(text, self._task_id, self._task, answer.status) from answer.cause
            else:
                self._troubles += 1
            if now >= until:
                raise TaskTimeout(self._why_late(answer, now), self._task_id, self._task) from answer.cause
            time.sleep(min(self._pause_s(answer), until - now))

    def _saw(self, task: dict[str, Any], now: float) -> None:
        if self._task is None or self._task.get("state") != task.get("state"):
            self._state_since = now
        self._task = task
        self._absent_since = None
        self._troubles = 0

    def _missed(self, answer: Answer, now: float, *, is_last: bool) -> None:
        self._troubles = 0
        if self._absent_since is None:
            self._absent_since = now
        if is_last or now - self._absent_since >= self._absent_s:
            before = f", and was {self._task.get('state')} before" if self._task else ""
            text = f"task {self._task_id} is not there: {answer.trouble}{before}"
            raise TaskNotFound(text, self._task_id, self._task) from answer.cause

    def _pause_s(self, answer: Answer) -> float:
        if not self._troubles:
            return self._interval_s
        longer = max(self._interval_s, SHORTEST_PAUSE_S) * float(2 ** min(self._troubles - 1, 10))
        return max(min(longer, LONGEST_PAUSE_S), answer.retry_after_s)

    def _why_late(self, answer: Answer, now: float) -> str:
        if self._task is None:
            return f"task {self._task_id} could not be read for {self._timeout_s:g} s: {answer.trouble}"
        state = self._task.get("state")
        text = (
            f"task {self._task_id} is {state} after {self._timeout_s:g} s, for the last {now - self._state_since:.3g} s"
        )
        return f"{text}; the last read failed: {answer.trouble}" if answer.task is None else text


def _how_it_ended(task_id: str, task: Mapping[str, Any]) -> str:
    ended = f"task {task_id} ended {task.get('state')}"
    lines = readable_error(str(task.get("error") or "")).splitlines()
    if not lines:
        return f"{ended}, and does not say why"
    return f"{ended}: {lines[0]}" if len(lines) == 1 else "\n  ".join([f"{ended}:", *lines])
