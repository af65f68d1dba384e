"""A look that is taken again and again: after a pause each time, whatever goes wrong, until the end."""

from __future__ import annotations

import logging
import threading
from functools import partial

import pytest

from mlcommons_tasks.errors import StoreUnavailable
from mlcommons_tasks.execution.rounds import Rounds, noted
from tests.services import wait_until
from tests.unit.doubles import PATIENCE_S

log = logging.getLogger(__name__)


def is_running(name: str) -> bool:
    return any(thread.name == name for thread in threading.enumerate())


def test_looks_go_on_whatever_goes_wrong_until_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """What OpenSearch accounts for is a line of its level, a defect has its trace."""
    outcomes: list[Exception] = [StoreUnavailable("away"), RuntimeError("a bug")]
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        if outcomes:
            raise outcomes.pop(0)

    failures = partial(noted, log, "it is not known", level=logging.INFO, defect="it broke")
    rounds = Rounds("some-rounds", look, lambda: 0.001, failures)
    assert not is_running("some-rounds")
    with caplog.at_level(logging.INFO):
        rounds.start()
        wait_until(lambda: looks > 2, deadline_s=PATIENCE_S, what="a look after the failures")
    rounds.close(PATIENCE_S)
    assert not is_running("some-rounds")
    said = [
        (record.levelno, record.getMessage(), bool(record.exc_info))
        for record in caplog.records
        if record.name == __name__
    ]
    assert said == [(logging.INFO, "it is not known: away", False), (logging.ERROR, "it broke", True)]


def test_the_end_waits_for_a_look_no_longer_than_it_is_told() -> None:
    """And not at all unless it is told to."""
    at_it, go = threading.Event(), threading.Event()

    def look() -> None:
        at_it.set()
        assert go.wait(PATIENCE_S)

    rounds = Rounds("slow-rounds", look, lambda: 0.0, partial(noted, log, "it is not known"))
    rounds.start()
    assert at_it.wait(PATIENCE_S)
    rounds.close()
    rounds.close(0.01)
    assert is_running("slow-rounds")
    go.set()
    rounds.close(PATIENCE_S)
    assert not is_running("slow-rounds")


def test_rounds_that_never_began_end() -> None:
    """A service may stop before it has started all there is."""
    rounds = Rounds("no-rounds", lambda: None, lambda: 0.0, partial(noted, log, "it is not known"))
    rounds.close(PATIENCE_S)
    assert rounds.closing.is_set()
