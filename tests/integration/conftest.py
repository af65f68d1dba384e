"""What stands under the services of several files."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.raw_upstream import RawUpstream, raw_upstream


@pytest.fixture(scope="module")
def upstream() -> Iterator[RawUpstream]:
    """An OpenSearch of which every byte is seen, a new one for each file."""
    with raw_upstream() as running:
        yield running
