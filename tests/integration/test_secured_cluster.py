"""A service over a real secured OpenSearch: what its account needs, and whose rights count where.

The security plugin answers a stranger 401, `Unauthorized` as plain text with `WWW-Authenticate: Basic
realm="OpenSearch Security"`, and a caller whose roles do not allow an action 403, a `security_exception` with the
reason `no permissions for [<action>] and User [name=<name>, backend_roles=[], requestedTenant=null]`; for an index
that is protected as a system index the brackets are empty. `fixtures/recordings/security-*` has it all.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pytest

from tests.clients import FEATURES, MODELS, NOBODY, TASKS, TRAIN, Answer, long_body, query_body
from tests.secured_node import CallerClient, SecuredNode, documented
from tests.services import Service, clean_environment, wait_until

pytestmark = pytest.mark.embedded

STRANGERS = ("anonymous", "wrong_password", "unknown")
ROLE: dict[str, Any] = documented("roles")["mlcommons_tasks_service"]
SAME_EACH_TIME = ("content-type", "www-authenticate", "x-opensearch-version")


@dataclass
class Callers:
    """Everybody, before the service and before OpenSearch itself."""

    node: SecuredNode
    service: Service

    def of(self, name: str) -> CallerClient:
        return self.node.client(name, self.service.url)

    def both(self, name: str, method: str, path: str, body: Any = None) -> tuple[Answer, Answer]:
        """Return the answers of the service and of OpenSearch to the same request."""
        return self.of(name).send(method, path, body), self.node.client(name).send(method, path, body)


@pytest.fixture(scope="module")
def callers(secured_cluster: SecuredNode, secured_service: Service) -> Callers:
    return Callers(secured_cluster, secured_service)


def test_the_documented_account_is_enough_for_a_training_from_start_to_end(callers: Callers) -> None:
    """With its minimal role the service reads as the caller, stores as itself, and answers every route."""
    client = callers.of("ml_full")
    task_id = client.train_async(query_body("iris", FEATURES, 150))
    task = client.ended(task_id)
    assert task["state"] == "COMPLETED", task
    assert client.ok("GET", f"{MODELS}/{task['model_id']}")["name"] == "KMEANS"
    assert client.ok("POST", TRAIN, query_body("iris", FEATURES, 150))["status"] == "COMPLETED"
    assert task_id in client.states()
    assert client.ok("POST", f"{MODELS}/_search", NOBODY)["hits"]["total"]["value"] >= 2
    assert client.ok("DELETE", f"{MODELS}/{task['model_id']}")["result"] == "deleted"
    assert client.ok("DELETE", f"{TASKS}/{task_id}")["result"] == "deleted"


def test_the_account_reads_roles_and_changes_nothing(callers: Callers) -> None:
    """What is documented lets the account read roles and action groups, and nothing else of the REST API."""
    client = callers.node.client("service")
    api = "/_plugins/_security/api"
    assert "ml_full_access" in client.ok("GET", f"{api}/roles")
    assert "ml_lookers" in client.ok("GET", f"{api}/actiongroups")
    for path in ("internalusers", "rolesmapping", "securityconfig", "audit", "tenants"):
        assert client.send("GET", f"{api}/{path}").status == 403, path
    for method in ("PUT", "PATCH", "DELETE"):
        assert client.send(method, f"{api}/roles/own_data", {"cluster_permissions": []}).status == 403, method


#: Everybody has them by the sample role `own_index`.
OF_EVERYBODY = {"indices:data/read/mget", "indices:data/write/bulk"}
#: For indices that another hand made bare; asked for when that is found.
SELDOM = {"indices:admin/mapping/put", "indices:admin/mappings/get", "indices:admin/settings/update"}
ALLOWED = (*ROLE["cluster_permissions"], *ROLE["index_permissions"][0]["allowed_actions"])
#: Without which the service does not start.
CHECKED = [permission for permission in ALLOWED if permission not in OF_EVERYBODY | SELDOM]


@pytest.mark.parametrize("missing", CHECKED)
def test_a_start_with_an_account_that_lacks_a_permission_says_which(secured_cluster: SecuredNode, missing: str) -> None:
    """The service does not start with such an account; it names the permission, and no password."""
    reduced = deepcopy(ROLE)
    for allowed in (reduced["cluster_permissions"], reduced["index_permissions"][0]["allowed_actions"]):
        if missing in allowed:
            allowed.remove(missing)
    said = refused_start(secured_cluster, reduced)
    assert missing in said


def test_a_start_with_an_account_that_may_not_read_roles_says_so(secured_cluster: SecuredNode) -> None:
    """An account with every permission, but a role that the security plugin's REST API is closed to, is refused."""
    assert "roles" in refused_start(secured_cluster, ROLE)


@pytest.mark.parametrize("who", ["wrong_password", "unknown", "anonymous"])
def test_a_start_with_an_account_that_is_none_says_so(secured_cluster: SecuredNode, who: str) -> None:
    """Wrong credentials, or none, end the start at once with the variables to set."""
    said = start_as(secured_cluster, who)
    assert "refuses the account: 401" in said
    assert "OPENSEARCH_PASSWORD" in said


def refused_start(node: SecuredNode, role: dict[str, Any]) -> str:
    """Return what a start with a role says, which must fail."""
    node.change_role("incomplete", role)
    return start_as(node, "incomplete")


def start_as(node: SecuredNode, who: str) -> str:
    account = node.callers[who]
    flags = ["--opensearch", node.url, "--ca-file", str(node.ca_file), "--wait", "5"]
    ended = subprocess.run(
        [sys.executable, "-m", "mlcommons_tasks", "serve", "--port", "0", *flags],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        env=clean_environment(**(account.environment if account else {})),
        check=False,
    )
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr
    assert account is None or account.password not in ended.stderr
    return ended.stderr


@pytest.mark.parametrize("who", [*STRANGERS, "no_ml", "nobody", "ml_read"])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/", None),
        ("HEAD", "/iris", None),
        ("GET", "/_cat/indices?v", None),
        ("GET", "/iris/_search", NOBODY),
        ("PUT", "/iris/_doc/mine", {"a": 1}),
        ("DELETE", "/iris", None),
        ("GET", "/.plugins-ml-task/_search", NOBODY),
        ("GET", "/_plugins/_security/api/roles", None),
        ("PUT", "/_cluster/settings", {"transient": {"cluster.routing.allocation.enable": None}}),
    ],
)
def test_what_is_forwarded_is_refused_by_the_security_plugin_itself(
    callers: Callers, who: str, method: str, path: str, body: Any
) -> None:
    """Strangers get its 401 and callers without the rights its 403, byte for byte, with its headers."""
    ours, theirs = callers.both(who, method, path, body)
    assert theirs.status == (401 if who in STRANGERS else 403)
    assert ours.status == theirs.status
    assert ours.payload == theirs.payload
    for name in SAME_EACH_TIME:
        assert ours.headers.get_all(name) == theirs.headers.get_all(name), name


def test_what_a_caller_may_do_is_forwarded_with_the_callers_account(callers: Callers) -> None:
    """A caller reads and writes through the service what is theirs, though the service's account may not."""
    client = callers.of("no_ml")
    client.ok("PUT", "/mine-1/_doc/1?refresh=true", {"a": 1})
    assert client.ok("GET", "/mine-1/_doc/1")["_source"] == {"a": 1}
    assert callers.of("service").send("GET", "/mine-1/_doc/1").status == 403
    client.ok("DELETE", "/mine-1")


def test_a_training_reads_with_the_callers_rights(callers: Callers) -> None:
    """Who may train, but not read the source, gets the security plugin's own words, as with the real ML Commons."""
    client = callers.of("no_source")
    body = query_body("iris", FEATURES, 150)
    reason = (
        "no permissions for [indices:data/read/search] and"
        " User [name=no_source, backend_roles=[], requestedTenant=null]"
    )
    answer = client.send("POST", TRAIN, body)
    assert (answer.status, answer.body["error"]["reason"]) == (403, reason)
    task = client.ended(client.train_async(body))
    assert (task["state"], task["error"]) == ("FAILED", reason)


@dataclass
class Running:
    """A training that lasts, and its id among the cluster's tasks."""

    callers: Callers
    task_id: str
    cluster_id: str

    @property
    def state(self) -> str:
        return str(self.callers.of("ml_full").task(self.task_id)["state"])


@pytest.fixture
def running(callers: Callers) -> Iterator[Running]:
    owner = callers.of("ml_full")
    task_id = owner.train_async(long_body(100_000_000))

    def shown() -> list[str]:
        nodes = owner.ok("GET", "/_tasks?actions=*ml/train&detailed")["nodes"].values()
        tasks = {key: task for node in nodes for key, task in node["tasks"].items()}
        return [key for key, task in tasks.items() if task_id in task["description"]]

    (cluster_id,) = wait_until(shown, what="the training among the cluster's tasks")
    wait_until(lambda: owner.task(task_id)["state"] == "RUNNING", what="the training's turn")
    try:
        yield Running(callers, task_id, cluster_id)
    finally:
        with contextlib.suppress(AssertionError):
            callers.of("admin").ok("POST", f"/_tasks/{cluster_id}/_cancel")
        assert wait_until(lambda: running_state(owner, task_id), what="the end of the training")


def running_state(client: CallerClient, task_id: str) -> bool:
    return client.task(task_id)["state"] == "CANCELLED"


LOOKS = ("/_tasks", "/_tasks?actions=*ml/train&detailed", "/_tasks?group_by=parents", "/_cat/tasks", "/_tasks/{id}")
LOOKS_AND_WAITS = "/_tasks/{id}?wait_for_completion=true&timeout=1s"
ENDS = (("POST", "/_tasks/_cancel?actions=*ml/train"), ("POST", "/_tasks/{id}/_cancel"), ("DELETE", "/_tasks/{id}"))


@pytest.mark.parametrize("who", ["anonymous", "wrong_password", "nobody", "no_ml", "ml_read", "ml_grouped", "service"])
def test_whom_the_cluster_refuses_its_tasks_sees_and_cancels_none_of_ours(running: Running, who: str) -> None:
    """Not even with ML rights: 401 or 403 of the cluster, and the training goes on."""
    for path in (*LOOKS, LOOKS_AND_WAITS):
        is_refused(running, who, "GET", path)
    for method, path in ENDS:
        is_refused(running, who, method, path)
    assert running.state == "RUNNING"


def test_who_may_look_may_not_cancel(running: Running) -> None:
    """With the rights to list and get tasks ours are seen, and neither cancelled nor deleted."""
    client = running.callers.of("tasks_viewer")
    for path in LOOKS:
        answer = client.send("GET", path.format(id=running.cluster_id))
        assert answer.status == 200, answer.payload
        assert running.cluster_id.partition(":")[2].encode() in answer.payload, path
    for method, path in ENDS:
        is_refused(running, "tasks_viewer", method, path)
    assert running.state == "RUNNING"


def test_who_may_cancel_does(running: Running) -> None:
    """With the right to cancel tasks a training of somebody else is cancelled; ML rights are not asked for."""
    client = running.callers.of("tasks_canceller")
    assert client.ok("POST", f"/_tasks/{running.cluster_id}/_cancel")["nodes"]
    wait_until(lambda: running.state == "CANCELLED", what="the cancellation")
    path = f"/_tasks/{running.cluster_id}"
    wait_until(lambda: client.ok("GET", path)["completed"], what="the end of the training")
    assert client.ok("DELETE", path) == {"acknowledged": True}


def test_asking_whether_one_may_cancels_nothing(running: Running) -> None:
    """`perform_permission_check` makes the cluster say whether it would: it shows, cancels and deletes nothing."""
    for who in ("nobody", "tasks_viewer", "admin"):
        for method, path in (*(("GET", path) for path in LOOKS), *ENDS):
            target = path.format(id=running.cluster_id)
            target += ("&" if "?" in target else "?") + "perform_permission_check=true"
            answer = running.callers.of(who).send(method, target)
            if who == "nobody":
                assert running.cluster_id.partition(":")[2].encode() not in answer.payload, (method, target)
        assert running.state == "RUNNING", who


def is_refused(running: Running, who: str, method: str, path: str) -> None:
    """Assert that the security plugin refuses a request, and that the answer is its own."""
    ours, theirs = running.callers.both(who, method, path.format(id=running.cluster_id))
    assert ours.status == (401 if who in STRANGERS else 403), (method, path, ours.payload)
    assert running.task_id.encode() not in ours.payload
    if method != "DELETE":  # which OpenSearch before 3.9 has not
        assert (ours.status, ours.payload) == (theirs.status, theirs.payload), (method, path)


# The table: every emulated route times every user of `tests.secured_node.USERS` and every stranger. What the real
# ML Commons answers there is recorded in fixtures/recordings/security-2.19.1/ml.json.
