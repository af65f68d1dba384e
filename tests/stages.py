"""What a test of faults plays on: services over an OpenSearch, every write seen, crowds of trainings, their ends."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlcommons_tasks.node.distribution import fetch
from mlcommons_tasks.node.process import EmbeddedNode
from tests import crowds
from tests.clients import Client
from tests.fault_proxy import FaultProxy, fault_proxy
from tests.histories import History, check_lives, model_ids, stored_tasks
from tests.services import Service, start_service, stopping

IN_FLIGHT = 0.3  #: the least share of a crowd that is not over when a fault begins
ENDS_S = 60.0  #: how long after a fault all may take to be over


@dataclass
class Crowd:
    """Trainings that were accepted, and the models that were there before."""

    task_ids: list[str]
    models_before: set[str]


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

    def accepted(self, bodies: Sequence[dict[str, Any]], *clients: Client, least: float = IN_FLIGHT) -> Crowd:
        """Start trainings, and see that so many of them are in flight."""
        before = model_ids(self.direct)
        crowd = Crowd(crowds.start(clients or [self.client()], bodies), before)
        flying = len(crowds.unfinished(self.direct, crowd.task_ids))
        assert flying >= least * len(bodies), f"only {flying} of {len(bodies)} are in flight: make them longer"
        return crowd

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


def hold(seconds: float) -> None:
    """Let a fault last: its length is what is tested."""
    time.sleep(seconds)
