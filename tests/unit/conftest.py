"""Fixtures of the unit tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.doubles import House
from tests.unit.heirs import Heir


@pytest.fixture
def dead() -> Iterator[House]:
    """A process that holds its trainings at work, and will say nothing more."""
    with House() as found:
        found.hold()
        yield found


@pytest.fixture
def heir(dead: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[Heir]:
    """A process that looks at what the dead one left behind."""
    with Heir(dead, monkeypatch) as found:
        yield found
