"""OpenSearch refuses, is slow, or loses answers while 100 trainings are in flight: all of them end COMPLETED."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests import crowds
from tests.clients import FINAL, TRAIN
from tests.fault_proxy import FaultProxy, fault_proxy
from tests.histories import stored_tasks
from tests.services import wait_until
from tests.stages import ENDS_S, Stage, hold, proxied_stage

pytestmark = pytest.mark.embedded

TASKS = 100
ITERATIONS = 1000  #: a twentieth of a second
LASTS_S = 4.0
WRITES = r"^(PUT|POST) .*/_(doc|create|update|bulk)"
OF_TASKS = r"^(PUT|POST) (?!/\.mlcommons).*/_(doc|create|update|bulk)"
#: What happens to requests; a write whose answer is lost may have been taken, or not.
FAULTS: dict[str, dict[str, Any]] = {
    "all 429": {"status": 429},
    "all 503": {"status": 503},
    "most 429": {"status": 429, "share": 0.7},
    "items 429": {"status": 429, "items": True, "share": 0.5},
    "late": {"delay_s": 5.0},
    "no answer": {"cut_after": 0},
    "cut heads": {"cut_after": 30, "share": 0.5},
    "cut bodies": {"cut_after": 150, "share": 0.5},
    "partition": {"partition": True},
    "nobody listens": {"refuse": True},
}


@pytest.fixture(scope="module")
def played() -> Iterator[tuple[Stage, FaultProxy]]:
    with proxied_stage() as made:
        made[0].serve()
        yield made


@pytest.mark.parametrize("fault", FAULTS)
def test_all_are_completed_after(played: tuple[Stage, FaultProxy], fault: str) -> None:
    """Each is written three times, no model is left over, and new trainings work at once."""
    stage, proxy = played
    crowd = stage.accepted(crowds.mixed(TASKS, ITERATIONS))
    stage.release(crowd)
    with proxy.broken(**FAULTS[fault]):
        hold(LASTS_S)
    crowd.task_ids.append(stage.client().train_async(crowds.query(10)))
    assert stage.ended(crowd) == {"COMPLETED": TASKS + 1}


def test_answers_lost_by_one_address_of_two_are_no_failures(played: tuple[Stage, FaultProxy]) -> None:
    """A write that was taken and whose answer is lost is sent to the other address, and known for one's own there."""
    stage, proxy = played
    with fault_proxy(stage.direct.url, watchers=proxy.watchers) as other:
        running = stage.serve(opensearch=f"{other.url},{proxy.url}")
        with other.broken(cut_after=0, share=0.5, only=WRITES):
            crowd = stage.accepted(crowds.mixed(TASKS, ITERATIONS), stage.client(-1))
            stage.release(crowd)
            hold(LASTS_S)
        assert stage.ended(crowd) == {"COMPLETED": TASKS}
        running.stop()


def test_a_task_that_was_stored_but_refused_does_not_stay(played: tuple[Stage, FaultProxy]) -> None:
    """A caller who was told 503, for no answer of OpenSearch came, leaves no task that is CREATED for good."""
    stage, proxy = played
    stage.client().ended(stage.client().train_async(crowds.query(1)))
    before = set(stored_tasks(stage.direct))
    with proxy.broken(cut_after=0, only=OF_TASKS):
        answer = stage.client().send("POST", f"{TRAIN}?async=true", crowds.query(10))
        assert answer.status == 503, answer.payload
        assert len(set(stored_tasks(stage.direct)) - before) == 1

    def none_is_open() -> bool:
        return all(task.state in FINAL for task in stored_tasks(stage.direct).values())

    wait_until(none_is_open, deadline_s=ENDS_S, what="the end of what nobody knows of")
