"""Many requests from one seed, what came of them, and what the service's processes held meanwhile."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings

from mlcommons_tasks.store.mappings import TASK_INDEX, task_index_body
from tests.conformance import player

from . import rules
from .bodies import INDEX
from .inputs import messages
from .messages import Answer, Caller, Message

JSON = {"Content-Type": "application/json"}
TASKS = {
    "t-created": {"state": "CREATED", "function_name": "KMEANS", "task_type": "TRAINING", "create_time": 1},
    "t-running": {"state": "RUNNING", "function_name": "KMEANS", "task_type": "TRAINING", "create_time": 2},
    "t-completed": {"state": "COMPLETED", "function_name": "KMEANS", "model_id": "m", "create_time": 3},
    "t-odd": {"state": "UNREACHABLE", "task_type": "BATCH_PREDICTION", "function_name": "REMOTE", "error": "é"},
}


@dataclass
class Result:
    """What came of it: how many answers of which status, and how often which 5xx."""

    statuses: Counter[int] = field(default_factory=Counter)
    server_errors: Counter[tuple[int, str, str]] = field(default_factory=Counter)
    slowest_s: float = 0.0

    @property
    def sent(self) -> int:
        """How many requests."""
        return self.statuses.total()

    def add(self, message: Message, answer: Answer) -> None:
        """Count an answer.

        Raises:
            AssertionError: something is wrong with it; the message can be sent again.
        """
        self.statuses[answer.status] += 1
        self.slowest_s = max(self.slowest_s, answer.seconds)
        if wrong := rules.problems(message, answer):
            raise AssertionError(
                f"{'; '.join(wrong)}\nanswer: {answer.status} {answer.headers} {answer.body[:500]!r}"
                f"\nrequest: {message}"
            )
        if answer.status >= 500:
            self.server_errors[(answer.status, *rules.error_of(answer))] += 1


def prepare(url: str) -> None:
    """Store what the requests speak of: four tasks and an index of twenty rows."""
    body = json.dumps(task_index_body()).encode()
    player.send(url, "PUT", f"/{TASK_INDEX}", JSON, body)
    lines = [
        f'{{"index":{{"_index":"{TASK_INDEX}","_id":"{name}"}}}}\n{json.dumps(task)}' for name, task in TASKS.items()
    ]
    lines += [f'{{"index":{{"_index":"{INDEX}","_id":"{n}"}}}}\n{{"x":{n % 7}.5,"y":{n}.0}}' for n in range(20)]
    stored = player.send(url, "POST", "/_bulk?refresh=true", JSON, "\n".join([*lines, ""]).encode())
    assert stored.status == 200, stored.body[:500]
    assert b'"errors":false' in stored.body, stored.body[:500]


def run(url: str, examples: int, number: int, result: Result, on_wrong: Callable[[str], None] | None = None) -> None:
    """Send so many requests, the same ones for the same number.

    Raises:
        AssertionError: an answer is wrong; without `on_wrong` at once, with the smallest request that shows it.
    """
    caller = Caller(url)
    phases = [Phase.generate] if on_wrong else [Phase.generate, Phase.shrink]

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=phases,
        print_blob=False,
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
    )
    @given(message=messages())
    def send(message: Message) -> None:
        try:
            result.add(message, caller.send(message))
        except AssertionError as error:
            if on_wrong is None:
                raise
            on_wrong(str(error))

    try:
        send()
    finally:
        caller.close()


def memory_mib(pid: int) -> float:
    """Return what the service's own processes hold (PSS), without the embedded node's, in MiB."""
    root = psutil.Process(pid)
    held = 0
    for process in [root, *root.children(recursive=True)]:
        if "java" not in process.name():
            held += getattr(process.memory_full_info(), "pss", process.memory_info().rss)
    return held / 1024**2
