"""What we ask the cluster itself: its version, its nodes, its plugins, whether we may use its indices."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import opensearchpy

from mlcommons_tasks.errors import StartError, StoreUnavailable, TaskPluginError, UpstreamError
from mlcommons_tasks.store.account import check_account
from mlcommons_tasks.store.connection import CertificateRefused, translated
from mlcommons_tasks.store.upstream import AUTHINFO

log = logging.getLogger(__name__)

NO_TASKS = "/_tasks?actions=none"
NO_ROUTE = (400, 404, 405)  #: what a server answers to a path that it does not know
ML_COMMONS = "opensearch-ml"  #: the plugin's name in `_cat/plugins`
FIRST_PAUSE_S = 0.05
NODE_FIELDS = {
    "filter_path": ",".join(
        f"nodes.*.{name}" for name in ("name", "transport_address", "host", "ip", "roles", "attributes", "version")
    )
}


@dataclass(frozen=True)
class ClusterFacts:
    """What was found at the start."""

    version: str
    has_ml_commons: bool
    is_secured: bool = False  #: by OpenSearch's security plugin
    has_tasks: bool = True  #: whether there is a `_tasks` API; the in-memory server has none


class Cluster:
    """The cluster we stand in front of."""

    def __init__(self, client: opensearchpy.OpenSearch) -> None:
        self._client = client

    def facts(self) -> ClusterFacts:
        """Return the version, and whether the real plugin is installed and the one that secures clusters.

        Raises:
            StoreUnavailable, UpstreamError: the cluster did not say.
        """
        with translated():
            version = str(self._client.info()["version"]["number"])
            try:
                plugins = self._client.cat.plugins(params={"format": "json"})
            except opensearchpy.RequestError:  # a server that has no plugins at all, such as the in-memory one
                plugins = []
        names = {plugin.get("component") for plugin in plugins if isinstance(plugin, dict)}
        return ClusterFacts(version, ML_COMMONS in names, self._has(AUTHINFO), self._has(NO_TASKS))

    def _has(self, path: str) -> bool:
        try:
            self._read(path)
        except UpstreamError as error:
            return error.status not in NO_ROUTE
        return True

    def nodes(self, wanted: str | None = None) -> dict[str, dict[str, Any]]:
        """Return what the cluster says of its nodes by their ids: name, addresses, roles, attributes, version.

        `wanted` is a list of ids, names, wildcards and attributes as OpenSearch reads it; None means all.

        Raises:
            StoreUnavailable, UpstreamError: the cluster did not say.
        """
        with translated():
            found = self._client.nodes.info(node_id=wanted, metric="http", params=NODE_FIELDS)
        nodes: dict[str, dict[str, Any]] = found.get("nodes", {})
        return nodes

    def await_manager(self, timeouts: Mapping[str, str]) -> None:
        """Return once the cluster has a manager, within the time that `master_timeout` or its new name says.

        Raises:
            StoreUnavailable: the cluster cannot be reached.
            UpstreamError: it has none after that time, or cannot read the time.
        """
        with translated():
            self._client.cluster.state(metric="master_node", params={**timeouts, "filter_path": "cluster_name"})

    def check_permissions(self, facts: ClusterFacts) -> None:
        """Find out whether the service's account may read and write our indices, and read roles where there are some.

        Raises:
            StartError: names the permission that is missing.
        """
        check_account(self._client, is_secured=facts.is_secured)

    def _read(self, path: str) -> None:
        with translated():
            self._client.transport.perform_request("GET", path)


def wait_for_cluster(
    cluster: Cluster, url: str, wait_s: float, on_wait: Callable[[str], None] = log.warning
) -> ClusterFacts:
    """Return the cluster's facts once it answers and gives access to our indices, within `wait_s` seconds.

    `on_wait` is told once, when it does not do so at once: it may just start, or recover its indices.

    Raises:
        StartError: it did not answer in time, or refused the account.
    """
    until = time.monotonic() + wait_s
    pause = FIRST_PAUSE_S
    told = False
    while True:
        try:
            facts = cluster.facts()
            cluster.check_permissions(facts)
            return facts  # noqa: TRY300
        except UpstreamError as error:
            if error.status in (401, 403):
                raise StartError(
                    f"OpenSearch at {url} refuses the account: {error.status} {error.reason}",
                    hint="Check OPENSEARCH_USERNAME and OPENSEARCH_PASSWORD (or --username and --password).",
                ) from error
            problem: TaskPluginError = error
        except CertificateRefused as error:
            raise StartError(
                f"OpenSearch at {url} cannot be trusted: {error.reason}",
                hint="Give the certificate of its authority with --ca-file, or --insecure for a test.",
            ) from error
        except StoreUnavailable as error:
            problem = error
        if time.monotonic() + pause > until:
            raise StartError(
                f"no OpenSearch at {url} after {wait_s:g} s: {problem.reason}",
                hint="Start it, correct --opensearch, or leave that out to run an embedded node.",
            ) from problem
        if not told:
            on_wait(f"no OpenSearch at {url} yet, waiting up to {wait_s:g} s for it: {problem.reason}")
            told = True
        time.sleep(pause)
        pause = min(pause * 1.5, 1.0)
