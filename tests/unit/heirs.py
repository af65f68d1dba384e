"""A process that is gone, as far as others can see, and one that takes over what it left behind."""

from __future__ import annotations

from typing import Any

import pytest

from mlcommons_tasks.clock import NEVER
from mlcommons_tasks.execution import recovery as module
from mlcommons_tasks.execution.recovery import Recovery
from mlcommons_tasks.wire.ml_input import MLInput
from tests.services import wait_until
from tests.unit.doubles import ASKED, PATIENCE_S, House

LEASE_S = 3.0


class Heir(House):
    """A process that looks at what others left behind, in the same indices."""

    def __init__(self, dead: House, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(beside=dead)
        self.now = 1_000.0
        monkeypatch.setattr(module, "monotonic", lambda: self.now)
        parts: Any = (self.index, self.registry, self.tasks, self.models, self.runner, self)
        self.recovery = Recovery(*parts, LEASE_S)

    moved_at = NEVER

    def now_in_millis(self) -> int:
        """Be the clock."""
        return int(self.now * 1000)

    def elapsed_s(self) -> float:
        """Be a clock that nobody moves: its seconds are those that pass."""
        return self.now

    def look_for(self, seconds: float) -> None:
        """Look once a second."""
        for _ in range(int(seconds)):
            self.now += 1
            self.recovery.look()


def left_behind(dead: House, ml_input: MLInput = ASKED) -> str:
    """Start a training that its process never ends, and return its task's id."""
    task_id = dead.runner.train_async(ml_input, {}, {})
    assert dead.at_work.acquire(timeout=PATIENCE_S)
    wait_until(lambda: dead.tasks.sources[task_id]["state"] == "RUNNING", deadline_s=PATIENCE_S, what="RUNNING")
    dead.index.documents[dead.registry.owner]["lease_until"] = 0
    return task_id


def ended(house: House, task_id: str) -> list[str]:
    """Wait for the end of a task; return its states."""
    wait_until(
        lambda: house.tasks.sources[task_id]["state"] not in ("CREATED", "RUNNING"),
        deadline_s=PATIENCE_S,
        what="an end",
    )
    return house.tasks.states[task_id]
