"""A cluster of several real nodes on this machine, each of which can be killed and brought back."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mlcommons_tasks.node.distribution import fetch
from mlcommons_tasks.node.process import EmbeddedNode
from tests.clients import Client
from tests.services import wait_until

NODES = 3
HEAP = "512m"
FORM_S = 90.0  #: how long the nodes may take to find each other; a machine that is busy takes its time


@dataclass
class Cluster:
    """Nodes that are one cluster."""

    folder: Path
    names: tuple[str, ...]
    ports: tuple[int, ...]
    transports: tuple[int, ...]
    nodes: dict[int, EmbeddedNode] = field(default_factory=dict)  #: those that run, by their number
    formed_s: float = 0.0  #: how long the start of all took

    @property
    def urls(self) -> list[str]:
        """The addresses of all, also of those that do not run."""
        return [f"http://127.0.0.1:{port}" for port in self.ports]

    @property
    def url(self) -> str:
        """All addresses, as a service is told them."""
        return ",".join(self.urls)

    def client(self) -> Client:
        """Return a client of one that runs."""
        return Client(self.urls[min(self.nodes)])

    def start(self, *numbers: int) -> None:
        """Start nodes, and wait until all that run are one cluster."""
        for number in numbers:
            node = EmbeddedNode(
                fetch(),
                self.folder / self.names[number],
                port=self.ports[number],
                heap=HEAP,
                settings={
                    "cluster.name": self.folder.name,
                    "node.name": self.names[number],
                    "discovery.type": "zen",
                    "discovery.seed_hosts": ",".join(f"127.0.0.1:{port}" for port in self.transports),
                    "cluster.initial_cluster_manager_nodes": ",".join(self.names),
                    "transport.port": str(self.transports[number]),
                },
            )
            node.start()
            self.nodes[number] = node
        for number in numbers:
            self.nodes[number].wait_ready(FORM_S)
        self.await_nodes(len(self.nodes))

    def await_nodes(self, count: int, *, status: str = "") -> None:
        """Wait until the cluster has so many nodes, and all its data is in place twice."""
        found: dict[str, object] = {}

        def formed() -> bool:
            answer = self.client().send("GET", "/_cluster/health?timeout=1s")
            found.update(answer.body)
            return answer.status == 200 and found["number_of_nodes"] == count and found["status"] in (status, "green")

        wait_until(formed, deadline_s=FORM_S, what=f"a cluster of {count} nodes, now {found}")

    def kill(self, number: int) -> None:
        """End a node as a power failure does."""
        node = self.nodes.pop(number)
        os.kill(node.pid, signal.SIGKILL)
        node.stop()

    def manager(self) -> int:
        """Return the number of the node that manages the cluster."""
        rows = self.client().ok("GET", "/_cat/cluster_manager?format=json")
        return self.names.index(rows[0]["node"])

    def stop(self) -> None:
        """End all of them; nobody needs what they hold."""
        for number in list(self.nodes):
            self.kill(number)


@contextlib.contextmanager
def several_nodes(count: int = NODES) -> Iterator[Cluster]:
    """Run a cluster of `count` nodes for the length of a block."""
    folder = Path(tempfile.mkdtemp(prefix="several-nodes-"))
    ports = free_ports(2 * count)
    names = tuple(f"node-{number}" for number in range(count))
    cluster = Cluster(folder, names, tuple(ports[:count]), tuple(ports[count:]))
    began = time.monotonic()
    try:
        cluster.start(*range(count))
        cluster.formed_s = time.monotonic() - began
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on, for the moment, all of them different."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
