"""What several files ask, and what stands under their services."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients import Client
from tests.raw_upstream import RawUpstream, raw_upstream
from tests.services import Service


@pytest.fixture(scope="module")
def upstream() -> Iterator[RawUpstream]:
    """An OpenSearch of which every byte is seen, a new one for each file."""
    with raw_upstream() as running:
        yield running


@pytest.fixture(scope="session")
def ours(embedded_service: Service) -> Client:
    """A client of the service over the embedded node."""
    return Client(embedded_service.url)
