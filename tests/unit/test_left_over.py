"""Trainings that are a process's by their documents while nobody works on them: they end too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from mlcommons_tasks.cluster_task import ClusterTask
from mlcommons_tasks.errors import StoreUnavailable
from mlcommons_tasks.execution import recovery as module
from mlcommons_tasks.store.cluster_tasks import Unfinished
from tests.services import wait_until
from tests.unit.doubles import PATIENCE_S, House, refusal
from tests.unit.heirs import LEASE_S, Heir, ended, left_behind


def test_a_claim_whose_answer_is_lost(dead: House, heir: Heir, monkeypatch: pytest.MonkeyPatch) -> None:
    """The documents name this process, which does not know it."""
    task_id = left_behind(dead)
    claim = heir.index.claim

    def cut(trainings: Iterable[Unfinished], owner: str) -> list[Unfinished]:
        claim(trainings, owner)
        monkeypatch.setattr(heir.index, "claim", claim)
        raise StoreUnavailable("cut in mid reply")

    monkeypatch.setattr(heir.index, "claim", cut)
    with pytest.raises(StoreUnavailable):
        heir.look_for(LEASE_S)
    heir.look_for(1)
    assert ended(heir, task_id)[-1] == "COMPLETED"


@pytest.mark.parametrize("error", [refusal(400), RuntimeError("a defect")])
def test_a_takeover_that_breaks(dead: House, heir: Heir, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """The others go on, and it is tried again."""
    task_ids = [left_behind(dead) for _ in range(2)]
    find = heir.tasks.find

    def broken(task_id: str) -> Any:
        if task_id == task_ids[0]:
            monkeypatch.setattr(heir.tasks, "find", find)
            raise error
        return find(task_id)

    monkeypatch.setattr(heir.tasks, "find", broken)
    heir.look_for(LEASE_S)
    assert ended(heir, task_ids[1])[-1] == "COMPLETED"
    heir.look_for(1)
    assert ended(heir, task_ids[0])[-1] == "COMPLETED"


def test_a_recipe_that_nobody_can_read(dead: House, heir: Heir) -> None:
    """Its task ends, for it will not be read the next time either."""
    task_id = left_behind(dead)
    for document in heir.index.documents.values():
        if "recipe" in document:
            document["recipe"]["body"] = "{"
    heir.look_for(LEASE_S)
    assert ended(heir, task_id)[-1] == "FAILED"
    assert module.UNREADABLE in heir.tasks.sources[task_id]["error"]


def test_an_end_that_could_not_be_written(dead: House, heir: Heir) -> None:
    """Its trace does not say that it is over: it is looked for, and ended."""
    heir.tasks.fail_next += [refusal(400), refusal(400)]
    task_id = heir.begin()
    wait_until(lambda: not heir.runner.has_open, deadline_s=PATIENCE_S, what="the end of the work")
    assert heir.tasks.states[task_id] == ["CREATED"]
    heir.look_for(1)
    assert ended(heir, task_id)[-1] == "COMPLETED"
    wait_until(lambda: not heir.index.unfinished_of([heir.registry.owner], 1), deadline_s=PATIENCE_S, what="its trace")


def test_what_was_lost_while_a_write_was_repeated_is_let_go(
    dead: House, heir: Heir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSearch is away from one process only, for longer than a lease; its next attempt does not take it back."""
    monkeypatch.setattr(dead.registry.lease, "length_s", 0.05)
    task_id = left_behind(dead)
    live = dead.runner._open[task_id][0].live
    tries = 0

    def away() -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            (training,) = heir.index.unfinished_of([dead.registry.owner], 9)
            heir.index.claim([training], "the heir")
            dead.registry.lease.told_at -= 60
            raise StoreUnavailable("away")

    dead.index.writing = away
    dead.registry.announce(live)
    wait_until(lambda: tries > 1, deadline_s=PATIENCE_S, what="another attempt")
    wait_until(lambda: live.is_lost, deadline_s=PATIENCE_S, what="the loss")
    assert _owner(heir, live.snapshot()) == "the heir"


def _owner(house: House, task: ClusterTask) -> str:
    return str(house.index.documents[str(task.id)]["owner"])
