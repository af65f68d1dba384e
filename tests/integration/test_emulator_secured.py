"""The emulator over a secured cluster: a token directs it, roles say who may do what, and its account suffices."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.clients import TASKS, rows_body
from tests.secured_node import CallerClient, SecuredNode, documented
from tests.services import Service, service

pytestmark = pytest.mark.embedded

TOKEN = "only-for-this-test"
SHOWN = {"X-Emulator-Token": TOKEN}
ROLE = "mlcommons_tasks_emulator"
SECURITY = "/_plugins/_security/api"
INSIDE = "/_emulator/in/secured"


@pytest.fixture(scope="module")
def running(secured_cluster: SecuredNode) -> Iterator[Service]:
    """A service with a token, whose account has the role that is documented for that."""
    admin = secured_cluster.client("admin")
    role = {key: value for key, value in documented("emulator_role")[ROLE].items() if key != "reserved"}
    admin.ok("PUT", f"{SECURITY}/roles/{ROLE}", role)
    admin.ok("PUT", f"{SECURITY}/rolesmapping/{ROLE}", {"users": ["service"]})
    flags = ("--opensearch", secured_cluster.url, "--ca-file", str(secured_cluster.ca_file))
    environment = {**secured_cluster.account("service").environment, "MLCOMMONS_TASKS_EMULATOR_TOKEN": TOKEN}
    with service(*flags, environment=environment) as found:
        yield found
    admin.ok("DELETE", f"{SECURITY}/rolesmapping/{ROLE}")
    admin.ok("DELETE", f"{SECURITY}/roles/{ROLE}")


@pytest.fixture
def caller(secured_cluster: SecuredNode, running: Service) -> Iterator[CallerClient]:
    """A caller who may use ML; whatever is told is forgotten afterwards."""
    client = secured_cluster.client("ml_full", running.url)
    yield client
    client.ok("POST", "/_emulator/_reset", headers=SHOWN)


def test_the_token_directs_it_and_an_account_does_not(caller: CallerClient) -> None:
    """Without the token nobody is let in, whatever else they may do."""
    refused = caller.send("GET", "/_emulator/scenarios")
    wrong = caller.send("GET", "/_emulator/scenarios", headers={"X-Emulator-Token": "another"})

    assert (refused.status, wrong.status) == (401, 401)
    assert json.loads(refused.payload)["error"]["type"] == "security_exception"
    assert caller.ok("GET", "/_emulator/scenarios", headers=SHOWN) == {"scenarios": []}


@pytest.mark.parametrize("prefix", ["", INSIDE])
def test_a_played_task_is_under_the_same_roles(
    secured_cluster: SecuredNode, running: Service, caller: CallerClient, prefix: str
) -> None:
    """Who may not read tasks is refused a played one as well, in every namespace; who may sees it walk."""
    caller.ok("POST", f"{prefix}/_emulator/scenarios", {"name": "no", "preset": "fails"}, headers=SHOWN)
    created = caller.ok("POST", f"{prefix}/_plugins/_ml/_train/kmeans?async=true", rows_body())
    stranger = secured_cluster.client("no_ml", running.url)

    states = [caller.ok("GET", f"{prefix}{TASKS}/{created['task_id']}")["state"] for _ in range(4)]
    found = caller.ok("POST", f"{prefix}{TASKS}/_search", {"query": {"ids": {"values": [created["task_id"]]}}})
    refused = stranger.send("GET", f"{prefix}{TASKS}/{created['task_id']}")

    assert states[-1] == "FAILED"
    assert [hit["_index"] for hit in found["hits"]["hits"]] == [".plugins-ml-task"]
    assert refused.status == 403


def test_a_played_registration_is_under_the_same_roles(
    secured_cluster: SecuredNode, running: Service, caller: CallerClient
) -> None:
    """Who may not register models is refused where a scenario plays that, and a stranger is not let in."""
    told = {"name": "r", "match": {"task_type": "REGISTER_MODEL"}, "preset": "stuck_created"}
    caller.ok("POST", "/_emulator/scenarios", told, headers=SHOWN)
    model = {"name": "m", "version": "1", "model_format": "TORCH_SCRIPT"}
    path = "/_plugins/_ml/models/_register"

    allowed = caller.send("POST", path, model)
    reader = secured_cluster.client("ml_read", running.url).send("POST", path, model)
    stranger = secured_cluster.client("wrong_password", running.url).send("POST", path, model)

    assert (allowed.status, reader.status, stranger.status) == (200, 403, 401)
    assert caller.ok("GET", "/_emulator/scenarios/r", headers=SHOWN)["matched"] == 1


def test_a_namespace_goes_with_its_indices(secured_cluster: SecuredNode, caller: CallerClient) -> None:
    """The account may make them and delete them; no other index is touched."""
    caller.ok("POST", f"{INSIDE}/_plugins/_ml/_train/kmeans", rows_body())
    admin = secured_cluster.client("admin")
    before = admin.ok("GET", "/_cat/indices/.mlcommons-tasks-ns-secured-*?format=json&expand_wildcards=all")

    caller.ok("DELETE", "/_emulator/namespaces/secured", headers=SHOWN)

    assert before
    assert admin.ok("GET", "/_cat/indices/.mlcommons-tasks-ns-secured-*?format=json&expand_wildcards=all") == []


def test_no_credentials_are_in_the_journal(secured_cluster: SecuredNode, caller: CallerClient) -> None:
    """Neither in what is shown nor in the index that keeps it, though every request had them."""
    caller.send("GET", f"{TASKS}/none")
    secret = caller.account.headers["Authorization"].split()[1] if caller.account else ""
    admin = secured_cluster.client("admin")

    shown = caller.send("GET", "/_emulator/requests", headers=SHOWN).payload.decode()
    admin.ok("POST", "/.mlcommons-tasks-journal/_refresh")
    kept = admin.send("GET", "/.mlcommons-tasks-journal/_search?size=1000").payload.decode()

    assert f"{TASKS}/none" in shown
    for text in (shown, kept):
        assert secret not in text
        assert TOKEN not in text
