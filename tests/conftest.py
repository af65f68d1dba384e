"""Fixtures for every tier: one embedded service for the session, in a process of its own as users run it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from mlcommons_tasks import running_service
from mlcommons_tasks.backend import Backend, MemoryBackend, Running
from mlcommons_tasks.server import RunningService
from tests.secured_node import SecuredNode, secured_node
from tests.services import Service, service

logging.getLogger("opensearch").setLevel(logging.ERROR)  # a missing index is no warning, and hides what failed


@pytest.fixture(scope="session")
def embedded_service() -> Iterator[Service]:
    """A service over the embedded node."""
    with service() as running:
        yield running


@pytest.fixture(scope="session")
def service_url(embedded_service: Service) -> str:
    """The address of the service over the embedded node."""
    return embedded_service.url


@pytest.fixture(scope="session")
def opensearch_url(embedded_service: Service) -> str:
    """The address of the embedded node itself."""
    return embedded_service.opensearch_url


@pytest.fixture
def memory_server() -> Iterator[Backend]:
    """An in-memory OpenSearch of the test's own."""
    with Running(MemoryBackend()) as server:
        yield server


@pytest.fixture(scope="session")
def memory_service() -> Iterator[RunningService]:
    """A service in a thread over an in-memory OpenSearch."""
    with running_service(opensearch="memory") as running:
        yield running


@pytest.fixture(scope="session")
def secured_cluster() -> Iterator[SecuredNode]:
    """A real secured OpenSearch, with iris in it."""
    with secured_node() as node:
        node.client("admin").load_iris()
        yield node


@pytest.fixture(scope="session")
def secured_service(secured_cluster: SecuredNode) -> Iterator[Service]:
    """A service over the secured OpenSearch, with the account that is documented."""
    flags = ("--opensearch", secured_cluster.url, "--ca-file", str(secured_cluster.ca_file))
    with service(*flags, environment=secured_cluster.account("service").environment) as running:
        yield running
