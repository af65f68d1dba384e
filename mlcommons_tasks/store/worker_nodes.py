"""The nodes that may train, as the cluster describes them: roles and names, heap and disk, and since when they run."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import opensearchpy

from mlcommons_tasks.errors import UpstreamError
from mlcommons_tasks.store.connection import translated

log = logging.getLogger(__name__)

Found = TypeVar("Found")
NODES_ARE_FRESH_S = 5.0
USAGE_IS_FRESH_S = 1.0
NODE_FIELDS = {"filter_path": "nodes.*.name,nodes.*.roles,nodes.*.attributes"}
USAGE_FIELDS = {"filter_path": "nodes.*.jvm.mem.heap_used_percent,nodes.*.fs.data.free_in_bytes"}
RUN_FIELDS = {"filter_path": "nodes.*.roles,nodes.*.jvm.start_time_in_millis"}
MANAGER_ROLES = frozenset({"cluster_manager", "master"})


@dataclass(frozen=True)
class WorkerNode:
    """A node of the cluster."""

    id: str
    name: str
    roles: frozenset[str]
    box_type: str = "hot"  #: the attribute by which warm nodes are told apart


@dataclass(frozen=True)
class Usage:
    """What a node has in use: of its heap in percent, and free bytes of its first data folder."""

    heap_percent: int = 0
    disk_free: int | None = None


class _Kept(Generic[Found]):
    """Something that was found out, good for a while."""

    def __init__(self, find: Callable[[], Found], fresh_s: float) -> None:
        self._find = find
        self._fresh_s = fresh_s
        self._lock = threading.Lock()
        self._found: Found | None = None
        self._until = 0.0

    def get(self, *, anew: bool = False) -> Found:
        with self._lock:
            if self._found is not None and not anew and time.monotonic() < self._until:
                return self._found
        asked_at = time.monotonic()
        found = self._find()
        with self._lock:
            self._found, self._until = found, asked_at + self._fresh_s
        return found


class WorkerNodes:
    """The nodes of the cluster."""

    def __init__(self, client: opensearchpy.OpenSearch) -> None:
        self._client = client
        self._nodes = _Kept(self._find_nodes, NODES_ARE_FRESH_S)
        self._usage = _Kept(self._find_usage, USAGE_IS_FRESH_S)
        self._told = False

    def all(self) -> list[WorkerNode]:
        """Return every node, always in the same order.

        Raises:
            StoreUnavailable, UpstreamError: the cluster did not say.
        """
        return self._nodes.get()

    def usage(self, *, anew: bool = False) -> Mapping[str, Usage]:
        """Return what nodes have in use, by their ids, a second old at most; none where nobody can tell.

        Raises:
            StoreUnavailable, UpstreamError: the cluster did not say.
        """
        return self._usage.get(anew=anew)

    def manager_runs(self) -> frozenset[str]:
        """Return the nodes that may be the cluster's manager, each with the time when it was started.

        Raises:
            StoreUnavailable, UpstreamError: the cluster did not say.
        """
        with translated():
            found = self._client.nodes.info(metric="jvm", params=RUN_FIELDS).get("nodes", {})
        starts = {
            node: info.get("jvm", {}).get("start_time_in_millis")
            for node, info in found.items()
            if MANAGER_ROLES & set(info.get("roles", ()))
        }
        return frozenset(f"{node}@{start}" for node, start in starts.items() if start is not None)

    def _find_nodes(self) -> list[WorkerNode]:
        with translated():
            found = self._client.nodes.info(params=NODE_FIELDS).get("nodes", {})
        return [_node(node, found[node]) for node in sorted(found)]

    def _find_usage(self) -> Mapping[str, Usage]:
        try:
            with translated():
                found = self._client.nodes.stats(metric="jvm,fs", params=USAGE_FIELDS).get("nodes", {})
        except UpstreamError as error:
            if error.status not in (400, 401, 403):
                raise
            if not self._told:
                log.warning("heap and disk of the nodes are not looked at before trainings: %s", error.reason)
            self._told = True
            return {}
        return {node: _usage(stats) for node, stats in found.items()}


def _node(node: str, info: Mapping[str, Any]) -> WorkerNode:
    roles = frozenset(info.get("roles", ["data"]))
    return WorkerNode(node, str(info.get("name", "")), roles, info.get("attributes", {}).get("box_type", "hot"))


def _usage(stats: Mapping[str, Any]) -> Usage:
    folders = stats.get("fs", {}).get("data") or [{}]
    return Usage(int(stats.get("jvm", {}).get("mem", {}).get("heap_used_percent", 0)), folders[0].get("free_in_bytes"))
