"""A service of these tests' own: what is sent to it deletes, cancels and changes at random."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.services import Service, service

from . import campaign


@pytest.fixture(scope="package")
def fuzzed() -> Iterator[Service]:
    """A service over a node of its own, as users run it."""
    with service() as running:
        campaign.prepare(running.url)
        yield running
