"""The rules of `tests/life_cycle.py` on doubles: every state that is ever written is seen."""

from __future__ import annotations

from typing import Any

from tests.life_cycle import RANKS, LifeCycle, play
from tests.unit.doubles import ClusterTaskIndex, Models, Tasks


class InMemory:
    """The stores as doubles."""

    def __init__(self) -> None:
        self.tasks, self.models, self.index = Tasks(), Models(), ClusterTaskIndex()

    def stored_tasks(self) -> dict[str, dict[str, Any]]:
        with self.tasks.lock:
            return {task_id: dict(source) for task_id, source in self.tasks.sources.items()}

    def stored_models(self) -> set[str]:
        return set(self.models.by_id)

    def delete_task(self, task_id: str) -> dict[str, Any]:
        with self.tasks.lock:
            return self.tasks.sources.pop(task_id, {})

    def unfinished(self) -> int:
        with self.index.lock:
            return sum(each["kind"] == "task" and not each["completed"] for each in self.index.documents.values())

    def close(self) -> None:
        for states in self.tasks.states.values():
            final = [state for state in states if RANKS[state] == 2]
            assert len(final) <= 1, states
            assert states == sorted(states, key=RANKS.__getitem__), states


class InMemoryLifeCycle(LifeCycle):
    """The rules over doubles."""

    world_of = InMemory


def test_every_task_ends_once() -> None:
    """Whatever happens to the replicas."""
    play(InMemoryLifeCycle, 8)
