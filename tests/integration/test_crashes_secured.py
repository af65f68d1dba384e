"""A service over a secured cluster dies: what only its callers' credentials can read ends FAILED, and none is kept."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator

import pytest

from tests import crashes
from tests.clients import FEATURES, FINAL, long_body, query_body
from tests.native_tasks import MANY_ITERATIONS
from tests.secured_node import SecuredNode
from tests.services import Service, service, wait_until
from tests.stages import PROCESSES

pytestmark = pytest.mark.embedded

LEASE_S = 4.0
OVER_S = 2 * LEASE_S + 20
QUERIES = 6
OWNER = re.compile(re.escape(socket.gethostname()) + r"-(\d+)-[0-9a-f]+")
CALLER = "ml_full"


@pytest.fixture
def replicas(secured_cluster: SecuredNode) -> Iterator[tuple[Service, Service]]:
    flags = ("--opensearch", secured_cluster.url, "--ca-file", str(secured_cluster.ca_file), "--lease", f"{LEASE_S:g}")
    environment = secured_cluster.account("service").environment
    with service(*flags, environment=environment) as one, service(*flags, environment=environment) as other:
        yield one, other


def test_nobody_reads_again_with_a_callers_credentials(
    secured_cluster: SecuredNode, replicas: tuple[Service, Service]
) -> None:
    """Trainings that wait end FAILED and name who died; what is written down for them holds no credentials."""
    victim, survivor = replicas
    client = secured_cluster.client(CALLER, victim.url)
    busy = [client.train_async(long_body(MANY_ITERATIONS)) for _ in range(PROCESSES)]
    wait_until(lambda: {client.task(task_id)["state"] for task_id in busy} == {"RUNNING"}, what="busy processes")
    waiting = [client.train_async(query_body("iris", FEATURES, 150)) for _ in range(QUERIES)]
    admin = secured_cluster.client("admin")
    admin.ok("POST", "/.mlcommons-tasks-*/_refresh")  # which those who read these indices do themselves
    hits = admin.ok("GET", "/.mlcommons-tasks-*/_search?size=1000")["hits"]["hits"]
    known = json.dumps(hits)
    assert all(f"ml_task[{task_id}]" in known for task_id in waiting)
    account = secured_cluster.account(CALLER)
    assert account.password not in known
    assert account.headers["Authorization"].split()[1] not in known
    pids = crashes.kill(victim)
    other = secured_cluster.client(CALLER, survivor.url)
    wait_until(
        lambda: all(other.task(task_id)["state"] in FINAL for task_id in waiting + busy),
        deadline_s=OVER_S,
        what="their ends",
    )
    for task_id in waiting + busy:
        task = other.task(task_id)
        assert task["state"] == "FAILED", task
        named = OWNER.search(task["error"])
        assert named, task
        assert int(named[1]) in pids, task
    again = other.ended(other.train_async(query_body("iris", FEATURES, 150)))
    assert again["state"] == "COMPLETED"
