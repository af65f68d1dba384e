"""OpenSearch refuses, is slow, or loses answers while 100 trainings are in flight: all of them end COMPLETED."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests import crowds
from tests.fault_proxy import FaultProxy
from tests.stages import Stage, hold, proxied_stage

pytestmark = pytest.mark.embedded

TASKS = 100
ITERATIONS = 1000  #: a tenth of a second
LASTS_S = 4.0
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
    with proxy.broken(**FAULTS[fault]):
        hold(LASTS_S)
    crowd.task_ids.append(stage.client().train_async(crowds.query(10)))
    assert stage.ended(crowd) == {"COMPLETED": TASKS + 1}
