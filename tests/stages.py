"""What a test of faults plays on: services over an OpenSearch, every write seen, crowds of trainings, their ends."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlcommons_tasks.node.distribution import fetch
from mlcommons_tasks.node.process import EmbeddedNode
from tests import crowds
from tests.clients import Client
from tests.fault_proxy import FaultProxy, fault_proxy
from tests.histories import History, check_lives, model_ids, stored_tasks
from tests.native_tasks import MANY_ITERATIONS
from tests.services import Service, start_service, stopping, wait_until
from tests.upstreams import free_port

PROCESSES = 2  #: that train, of each service
ENDS_S = 60.0  #: how long after a fault all may take to be over


@dataclass
class Crowd:
    """Trainings that were accepted, the models that were there before, and what keeps the processes busy."""

    task_ids: list[str]
    models_before: set[str] = field(default_factory=set)
    plugs: list[str] = field(default_factory=list)


@dataclass
class Stage:
    """An OpenSearch, and services over it that can be started and lost."""

    direct: Client  #: past all proxies
    opensearch: str  #: what services are told
    stack: contextlib.ExitStack
    history: History | None = None
    services: list[Service] = field(default_factory=list)

    def serve(self, *flags: str, opensearch: str = "") -> Service:
        """Start one more service."""
        running = start_service("--opensearch", opensearch or self.opensearch, *flags)
        self.stack.enter_context(stopping(running))
        self.services.append(running)
        return running

    def client(self, number: int = 0) -> Client:
        """Return a client of a service."""
        return Client(self.services[number].url)

    def started(self, bodies: Sequence[dict[str, Any]], *clients: Client) -> Crowd:
        """Start trainings, which may be over when this returns."""
        before = model_ids(self.direct)
        return Crowd(crowds.start(clients or [self.client()], bodies), before)

    def accepted(self, bodies: Sequence[dict[str, Any]], *clients: Client, plugged: Sequence[Client] = ()) -> Crowd:
        """Start trainings; none of them ends before `release`, for all processes train something else.

        A few are RUNNING and wait for a process, the others CREATED. `plugged` are all services that train, unless
        they are the `clients`.
        """
        clients = clients or (self.client(),)
        plug = crowds.inline(MANY_ITERATIONS)
        plugs = [client.train_async(plug) for client in plugged or clients for _ in range(PROCESSES)]
        wait_until(lambda: self.states(plugs) == {"RUNNING"}, what="processes that are busy")
        crowd = self.started(bodies, *clients)
        crowd.plugs = plugs
        wait_until(lambda: "RUNNING" in self.states(crowd.task_ids), what="some that are RUNNING")
        states = self.states(crowd.task_ids)
        assert states <= {"CREATED", "RUNNING"}, f"{states}\n{self.log()}"
        return crowd

    def release(self, crowd: Crowd) -> None:
        """Let the trainings go on."""
        for listed in self.client(-1).ok("GET", "/_tasks?actions=*ml/train&group_by=none&detailed")["tasks"]:
            if any(f"ml_task[{plug}]" in listed["description"] for plug in crowd.plugs):
                self.client(-1).ok("POST", f"/_tasks/{listed['node']}:{listed['id']}/_cancel")
        wait_until(lambda: self.states(crowd.plugs) <= {"CANCELLED"}, what="processes that are free")

    def states(self, task_ids: Iterable[str]) -> set[str]:
        """Return in which states tasks are, as OpenSearch has them."""
        return {task.state for task in stored_tasks(self.direct, task_ids).values()}

    def ended(self, crowd: Crowd, *, deadline_s: float = ENDS_S, most: int = 3) -> Counter[str]:
        """Wait for the ends of all, check their lives, and return how many ended how."""
        crowds.await_ends(self.direct, crowd.task_ids, deadline_s=deadline_s, log=self.log)
        try:
            return check_lives(self.direct, crowd.task_ids, self.history, models_before=crowd.models_before, most=most)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()}") from error

    def log(self) -> str:
        """Return what the services said, but for that they ask again."""
        logs = [running.log.read_text() for running in self.services if running.log.exists()]
        lines = [line for log in logs for line in log.splitlines() if "is asked again" not in line]
        return "\n".join(lines[-30:])

    def close(self) -> None:
        """Stop the services, and see that nothing was written that may not be, not even late."""
        self.stack.close()
        if self.history is not None:
            faults = self.history.faults(stored_tasks(self.direct))
            assert not faults, "\n".join(faults[:20])


@contextlib.contextmanager
def stage(direct: str, opensearch: str, history: History | None = None) -> Iterator[Stage]:
    """Set a stage over an OpenSearch that runs, for the length of a block."""
    with contextlib.ExitStack() as stack:
        made = Stage(Client(direct), opensearch, stack, history)
        yield made
        made.close()


@contextlib.contextmanager
def proxied_stage() -> Iterator[tuple[Stage, FaultProxy]]:
    """Set a stage over a node of its own, behind a proxy that sees every write."""
    with EmbeddedNode(fetch()) as node:
        crowds.load(Client(node.url))
        history = History()
        with (
            fault_proxy(node.url, watchers=[history]) as proxy,
            stage(node.url, proxy.url, history) as made,
        ):
            yield made, proxy


@contextlib.contextmanager
def restarted_stage(folder: Path, bodies: Sequence[dict[str, Any]], number: int) -> Iterator[tuple[Stage, Crowd]]:
    """Set a stage over a node that got a signal with trainings in flight, and started again on its port and data."""
    port = free_port()
    node = EmbeddedNode(fetch(), folder, port=port)
    try:
        node.start()
        node.wait_ready()
        crowds.load(Client(node.url))
        with stage(node.url, node.url) as made:
            made.serve()
            crowd = made.accepted(bodies)
            made.release(crowd)
            os.kill(node.pid, number)
            node.stop()
            node = EmbeddedNode(fetch(), folder, port=port)
            node.start()
            node.wait_ready()
            yield made, crowd
    finally:
        node.stop()


def hold(seconds: float) -> None:
    """Let a fault last: its length is what is tested."""
    time.sleep(seconds)
