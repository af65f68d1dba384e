"""How a runner ends where OpenSearch does not help: it comes to its end, and no task is left to nobody."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from mlcommons_tasks.errors import StoreUnavailable
from mlcommons_tasks.execution import handover, runner
from mlcommons_tasks.execution.runner import STOPPED
from mlcommons_tasks.store.cluster_tasks import NOBODY
from tests.unit.doubles import PATIENCE_S, House


@pytest.fixture
def house() -> Iterator[House]:
    with House() as found:
        found.hold()
        yield found


def busy(house: House, count: int) -> list[str]:
    ids = [house.begin() for _ in range(count)]
    for _ in range(min(count, 2)):
        assert house.at_work.acquire(timeout=PATIENCE_S)
    return ids


def test_opensearch_is_away(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks in line cannot be ended; those at work have their grace all the same, and then it is over."""
    monkeypatch.setattr(runner, "ENDING_S", 0.1)
    busy(house, 4)

    def away() -> Any:
        raise StoreUnavailable("away")

    monkeypatch.setattr(house.tasks, "update", lambda *_: house.tasks.patiently(away))
    closing = threading.Thread(target=house.runner.close, args=(0.1,), daemon=True)
    closing.start()
    closing.join(PATIENCE_S)
    over = not closing.is_alive()
    house.tasks.close()
    closing.join(PATIENCE_S)
    assert over


@pytest.mark.parametrize("error", [StoreUnavailable("away"), RuntimeError("a defect")])
def test_an_offer_that_cannot_be_written(house: House, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """They are still this process's, and ended by it."""
    monkeypatch.setattr(handover, "PATIENCE_S", 0.1)
    with House(beside=house) as other:
        other.replica.announced("ml-other")
        ids = busy(house, 3)
        write = house.index.write

        def refuse(whole: Any, changed: Any, gone: Any) -> None:
            if any(document.get("owner") == NOBODY for document in whole.values()):
                raise error
            write(whole, changed, gone)

        monkeypatch.setattr(house.index, "write", refuse)
        house.runner.close(0)
        assert {house.tasks.sources[one]["state"] for one in ids} == {"FAILED"}
        assert {house.tasks.sources[one]["error"] for one in ids} == {STOPPED}
