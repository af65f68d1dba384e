"""Whether the service's own account may do its work: asked at the start, by requests that change nothing.

Source: what OpenSearch Security 3.4.0 asks of each request; `docs/secured-cluster` has a role that is enough.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import opensearchpy
from elasticsearch_dsl import Search

from mlcommons_tasks.errors import IndexNotFound, StartError, UpstreamError
from mlcommons_tasks.store.cluster_tasks import cluster_task_index_body
from mlcommons_tasks.store.connection import translated
from mlcommons_tasks.store.mappings import CLUSTER_TASK_INDEX, MODEL_INDEX, SETTINGS_INDEX, TASK_INDEX
from mlcommons_tasks.store.security import ACTION_GROUPS, ROLES

INDICES = (TASK_INDEX, MODEL_INDEX, CLUSTER_TASK_INDEX, SETTINGS_INDEX)
NOBODY = "mlcommons-tasks-permission-probe"  #: an id that no document has
REFUSED = (401, 403)
SECURITY = "security_exception"


@dataclass(frozen=True)
class Probe:
    """A request that tells whether something is allowed, and has no other effect."""

    permission: str
    method: str
    path: str
    body: Any = None
    #: whether the answer's items may be refused while the request is not
    has_items: bool = False


def check_account(client: opensearchpy.OpenSearch, *, is_secured: bool) -> None:
    """Find out whether the service's account may use our indices, and on a secured cluster read roles.

    Raises:
        StartError: names the permission that is missing.
        StoreUnavailable, UpstreamError: the cluster did not say.
    """
    secured = (_where_secured(), _everywhere(), _roles())
    for probe in chain(*secured) if is_secured else _everywhere():
        try:
            with translated():
                answer = client.transport.perform_request(probe.method, probe.path, body=probe.body)
        except IndexNotFound:
            continue
        except UpstreamError as error:
            if error.status in REFUSED:
                raise _missing(probe, error.reason) from error
            if error.status >= 500 or error.status == 429:
                raise
            continue  # nothing is there, or the request makes no sense: that is said to whom it is allowed
        if probe.has_items and (reason := _refused_item(answer)) is not None:
            raise _missing(probe, reason)


def _everywhere() -> Iterator[Probe]:
    nothing = Search()[0:0].to_dict()
    for index in INDICES:
        search = f"/{index}/_search?ignore_unavailable=true"
        yield Probe(f"indices:data/read/search on {index}", "POST", search, nothing)
        yield Probe(f"indices:admin/get on {index}", "HEAD", f"/{index}")
        yield Probe(f"indices:data/write/delete on {index}", "DELETE", f"/{index}/_doc/{NOBODY}")  # which makes none


def _where_secured() -> Iterator[Probe]:
    yield Probe("cluster:monitor/state", "GET", "/_cluster/state/master_node?filter_path=cluster_name")
    yield Probe("cluster:monitor/nodes/stats", "GET", "/_nodes/stats/jvm?filter_path=cluster_name")
    body = cluster_task_index_body()  # some things can be found out only of an index that is there
    yield Probe(f"indices:admin/create on {CLUSTER_TASK_INDEX}", "PUT", f"/{CLUSTER_TASK_INDEX}", body)
    yield Probe(f"indices:admin/refresh* on {CLUSTER_TASK_INDEX}", "POST", f"/{CLUSTER_TASK_INDEX}/_refresh")
    for index in INDICES:
        document = f"/{index}/_doc/{NOBODY}"
        alias = "require_alias=true"  # which none of them is
        yield Probe(f"indices:admin/create on {index}", "PUT", f"/{index}", {"settings": {"number_of_shards": 0}})
        yield Probe(f"indices:data/read/get on {index}", "GET", document)
        yield Probe(f"indices:data/write/index on {index}", "PUT", f"{document}?{alias}", {})
        yield Probe(f"indices:data/write/update on {index}", "POST", f"/{index}/_update/{NOBODY}?{alias}", {"doc": {}})
    wanted = {"docs": [{"_index": index, "_id": NOBODY} for index in INDICES]}
    yield Probe("indices:data/read/mget and indices:data/read/mget[shard]", "POST", "/_mget", wanted, has_items=True)
    update = json.dumps({"update": {"_index": CLUSTER_TASK_INDEX, "_id": NOBODY}}) + '\n{"doc":{}}\n'
    yield Probe("indices:data/write/bulk and indices:data/write/bulk[s]", "POST", "/_bulk", update, has_items=True)


def _roles() -> Iterator[Probe]:
    for path in (ROLES, ACTION_GROUPS):
        yield Probe("to read roles, by plugins.security.restapi.roles_enabled of the nodes", "GET", path)


def _refused_item(answer: Mapping[str, Any]) -> str | None:
    """Return the reason of an item that was refused for want of a permission."""
    items = [result for item in answer.get("items", ()) for result in item.values()]
    for result in (*items, *answer.get("docs", ())):
        error = result.get("error") or {}
        if error.get("type") == SECURITY:
            return str(error.get("reason"))
    return None


def _missing(probe: Probe, reason: str | None) -> StartError:
    return StartError(
        f"OpenSearch refuses the service's account: {reason or probe.permission}",
        hint=(
            f"The account needs {probe.permission}. Give it a role with that permission"
            " (an index that is protected as a system index needs system:admin/system_index as well, and the nodes"
            " plugins.security.system_indices.permission.enabled: true); docs/secured-cluster has one that is enough."
            " Or start with another account: OPENSEARCH_USERNAME, OPENSEARCH_PASSWORD."
        ),
    )
