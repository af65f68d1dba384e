"""Which node a training runs on, and whether it may start there, as the settings say.

Source: ml-commons 3.6.0 `MLTaskDispatcher`, `DiscoveryNodeHelper`, `MemoryCircuitBreaker`, `DiskCircuitBreaker`;
the errors are recorded. The work is done here, the node is the one that the plugin would choose for it.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterable

from mlcommons_tasks.cluster_task import ClusterTask
from mlcommons_tasks.errors import IllegalArgument, ServerError, error_of
from mlcommons_tasks.execution.current_settings import CurrentSettings
from mlcommons_tasks.store.worker_nodes import Usage, WorkerNode, WorkerNodes
from mlcommons_tasks.versions import CURRENT, Profile
from mlcommons_tasks.wire.ml_settings import MLSettings

ML_ROLE, DATA_ROLE = "ml", "data"
BUSIEST_HEAP = 85  #: percent, from which on least_load takes no node
MEMORY, DISK = "Memory", "Disk"
PATIENCE_S = 0.5  #: how long a heap that is too full is looked at
LOOK_S = 0.1
CIRCUIT_BREAKING = "circuit_breaking_exception"
NO_BREAKER = 100  #: percent, from which on the memory breaker is off


NO_NODE_PREDICTS = "no eligible node to run predict request"


class Dispatcher:
    """Chooses nodes. `running` gives the trainings of all replicas that have not ended."""

    def __init__(
        self,
        settings: CurrentSettings,
        nodes: WorkerNodes,
        running: Callable[[], Iterable[ClusterTask]],
        profile: Profile = CURRENT,
        *,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._patience_s = patience_s
        self._profile = profile
        self._settings = settings
        self._nodes = nodes
        self._running = running
        self._turn = itertools.count()

    def next_worker_node(self) -> str:
        """Return the id of the node that the next training is for.

        Raises:
            IllegalArgument: no node may train, or nobody knows the policy.
            ServerError: least_load finds every node busy.
            TaskPluginError: the node is short of memory or disk.
            StoreUnavailable, UpstreamError: the cluster did not say.
        """
        return self._next(self._profile.no_eligible_node)

    def next_predict_node(self) -> str:
        """Return the id of the node that the next prediction is for; see `next_worker_node`."""
        return self._next(NO_NODE_PREDICTS)

    def _next(self, none_eligible: str) -> str:
        settings = self._settings.get()
        if settings.task_dispatch_policy == "round_robin":
            node = self._in_turn(settings, none_eligible)
        elif settings.task_dispatch_policy == "least_load":
            node = self._least_loaded(settings)
        else:
            raise IllegalArgument("Unknown policy")
        self._refuse_if_short(settings, node)
        return node

    def _refuse_if_short(self, settings: MLSettings, node: str) -> None:
        """Refuse a training on a node that is short of something: what is a second old does not refuse one.

        A heap may be full of garbage, so it has some time to be collected; the plugin gives it none.
        """
        breaker = open_breaker(settings, self._nodes.usage().get(node, Usage()))
        until = time.monotonic() + self._patience_s
        while breaker is not None:
            breaker = open_breaker(settings, self._nodes.usage(anew=True).get(node, Usage()))
            if breaker != MEMORY or time.monotonic() > until:
                break
            time.sleep(LOOK_S)
        if breaker is None:
            return
        error = error_of(self._profile.breaker_open, breaker)
        if error.type == CIRCUIT_BREAKING:
            error.metadata = {"bytes_wanted": 0, "bytes_limit": 0, "durability": "TRANSIENT"}
        raise error

    def _in_turn(self, settings: MLSettings, none_eligible: str) -> str:
        nodes = eligible(settings, self._nodes.all())
        if not nodes:
            raise IllegalArgument(none_eligible)
        return nodes[next(self._turn) % len(nodes)]

    def _least_loaded(self, settings: MLSettings) -> str:
        heap = {node: usage.heap_percent for node, usage in self._nodes.usage(anew=True).items()}
        nodes = [node for node in eligible(settings, self._nodes.all()) if heap.get(node, 0) < BUSIEST_HEAP]
        if not nodes:
            raise _exceeded(
                f"All nodes' memory usage exceeds limitation {BUSIEST_HEAP}. No eligible node available to run ml jobs "
            )
        load = Counter(task.id.node for task in self._running())
        nodes = [node for node in nodes if load[node] < settings.max_ml_task_per_node]
        if not nodes:
            raise _exceeded("All nodes' executing ML task count reach limitation.")
        return min(nodes, key=lambda node: (load[node], heap.get(node, 0)))


def eligible(settings: MLSettings, nodes: Iterable[WorkerNode]) -> list[str]:
    """Return the ids of the nodes that may train."""
    return [node.id for node in nodes if node.name not in settings.excluded_nodes and _may_train(settings, node)]


def open_breaker(settings: MLSettings, usage: Usage) -> str | None:
    """Return which circuit breaker is open, None if all are closed."""
    if settings.jvm_heap_threshold < NO_BREAKER and usage.heap_percent > settings.jvm_heap_threshold:
        return MEMORY
    if usage.disk_free is not None and usage.disk_free < settings.disk_free_threshold:
        return DISK
    return None


def _may_train(settings: MLSettings, node: WorkerNode) -> bool:
    if settings.only_run_on_ml_node:
        return ML_ROLE in node.roles
    roles = settings.local_model_roles
    if DATA_ROLE in roles and DATA_ROLE in node.roles and node.box_type == "hot":
        return True
    return bool((roles - {DATA_ROLE}) & node.roles)


def _exceeded(reason: str) -> ServerError:
    return ServerError(reason, type="limit_exceeded_exception")
