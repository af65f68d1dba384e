"""Executions on a secured cluster: who may run them, and whose data they read; seen likewise of ML Commons 2.19.1."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients import Client
from tests.secured_node import Account, CallerClient, SecuredNode
from tests.services import Service, wait_until

pytestmark = pytest.mark.embedded

EXECUTE = "/_plugins/_ml/_execute"
API = "/_plugins/_security/api"
BEGAN = 1_600_000_000_000
MINE, OTHERS = "execution-mine", "execution-others"
NO_RESPONSE = (
    'because the return value of "org.opensearch.action.search.MultiSearchResponse$Item.getResponse()" is null'
)


@pytest.fixture(scope="module")
def caller(secured_cluster: SecuredNode, secured_service: Service) -> Iterator[Client]:
    """Somebody who may execute, and read one of two indices."""
    admin = secured_cluster.client("admin")
    fields = {"t": {"type": "date"}, "k": {"type": "keyword"}, "v": {"type": "long"}}
    lines = "".join(
        f'{{"index":{{}}}}\n{{"t":{BEGAN + n * 10},"k":"{"abc"[n % 3]}","v":{500 if n == 75 else 1}}}\n'
        for n in range(100)
    )
    for index in (MINE, OTHERS):
        admin.ok("PUT", f"/{index}", {"mappings": {"properties": fields}})
        assert admin.send("POST", f"/{index}/_bulk?refresh=true", lines.encode()).status == 200
    account = Account("localizer", secrets.token_urlsafe(16))
    role = {
        "cluster_permissions": ["cluster:admin/opensearch/ml/execute", "indices:data/read/msearch"],
        "index_permissions": [{"index_patterns": [MINE], "allowed_actions": ["read"]}],
    }
    for path, body in (
        (f"internalusers/{account.name}", {"password": account.password}),
        ("roles/localizes_mine", role),
        ("rolesmapping/localizes_mine", {"users": [account.name]}),
    ):
        assert admin.send("PUT", f"{API}/{path}", body).status in (200, 201)
    client = CallerClient(secured_service.url, account)
    wait_until(lambda: ask(client, MINE)[0] == 200, what="a role that counts")
    yield client
    for path in (f"/{MINE}", f"/{OTHERS}", f"{API}/rolesmapping/localizes_mine", f"{API}/roles/localizes_mine"):
        admin.send("DELETE", path)
    admin.send("DELETE", f"{API}/internalusers/{account.name}")


def ask(client: Client, index: str) -> tuple[int, Any]:
    """Localize in an index; return status and body."""
    body = {
        "index_name": index,
        "attribute_field_names": ["k"],
        "aggregations": [{"total": {"sum": {"field": "v"}}}],
        "time_field_name": "t",
        "start_time": BEGAN,
        "end_time": BEGAN + 1000,
        "min_time_interval": 500,
        "num_outputs": 3,
    }
    answer = client.send("POST", f"{EXECUTE}/anomaly_localization", body)
    return answer.status, json.loads(answer.payload)


def test_data_is_read_with_the_callers_rights(caller: Client) -> None:
    """The index that may be read is; of the other nothing is told but that the searches failed, as the plugin does."""
    status, body = ask(caller, MINE)
    buckets = body["results"][0]["result"]["buckets"]
    assert status == 200
    assert [entity["key"] for entity in buckets[1]["entities"]] == [["a"]]

    for index in (OTHERS, f"{OTHERS}*", "*"):
        status, body = ask(caller, index)
        assert (status, body["error"]["type"]) == (500, "NullPointerException")
        assert body["error"]["details"].endswith(NO_RESPONSE)


def test_who_may_not_execute(secured_cluster: SecuredNode, secured_service: Service, caller: Client) -> None:
    """The refusal has the form of executions, and comes after what is wrong with the body."""
    reader = secured_cluster.client("ml_read", secured_service.url)
    calculator = f"{EXECUTE}/local_sample_calculator"

    answer = reader.send("POST", calculator, {"operation": "sum", "input_data": [1]})
    assert answer.status == 403
    error = json.loads(answer.payload)["error"]
    assert (error["type"], error["reason"]) == ("OpenSearchSecurityException", "System Error")
    assert error["details"].startswith(
        "no permissions for [cluster:admin/opensearch/ml/execute] and User [name=ml_read"
    )
    assert reader.send("POST", calculator, {"operation": "sum"}).status == 400
    assert ask(reader, MINE)[0] == 403
    assert caller.ok("POST", calculator, {"operation": "sum", "input_data": [1]}) == {"result": 1.0}


def test_a_stranger_is_not_let_in(secured_cluster: SecuredNode, secured_service: Service) -> None:
    """Before anything of the request is read."""
    stranger = secured_cluster.client("anonymous", secured_service.url)
    for body in ({"operation": "sum", "input_data": [1]}, {}):
        assert stranger.send("POST", f"{EXECUTE}/local_sample_calculator", body).status == 401
