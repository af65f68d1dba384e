"""`_tasks` for callers whom the cluster refuses its own tasks: they see and cancel none of ours either."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.clients import Client
from tests.native_tasks import flat, long_training, slow_reindex, training
from tests.services import service
from tests.upstreams import Request, answering, passing_to

pytestmark = pytest.mark.embedded

LIST, GET, CANCEL = "cluster:monitor/tasks/lists", "cluster:monitor/task/get", "cluster:admin/tasks/cancel"
#: Who may not do what. Nobody else is refused anything.
REFUSED = {"bob": {LIST, GET, CANCEL}, "lister": {GET, CANCEL}, "getter": {LIST, CANCEL}, "canceller": {LIST, GET}}


def permission(method: str, path: str) -> str:
    """Return the permission that a request for tasks needs, empty for any other."""
    path = path.partition("?")[0]
    if path in ("/_tasks", "/_cat/tasks"):
        return LIST
    if not path.startswith("/_tasks/"):
        return ""
    return CANCEL if path.endswith("/_cancel") else GET


@dataclass
class Guarded:
    """A service over a cluster that refuses some callers their tasks, with a training and a reindex in it."""

    client: Client
    training: str
    reindex: str
    over: str

    def asked(self, user: str, method: str, path: str) -> tuple[int, bytes]:
        """Send a request as a user; return status and body."""
        answer = self.client.send(method, path, headers={"Authorization": user})
        return answer.status, answer.payload


def guarding(url: str) -> Callable[[Request], None]:
    """Return an answer that is that of the cluster, but for what is refused."""
    passed = passing_to(url)

    def answer(request: Request) -> None:
        wanted = permission(request.command, request.path)
        user = request.headers.get("Authorization", "")
        if wanted in REFUSED.get(user, ()):
            b"".join(request.read_body())
            request.refuse(403, "security_exception", f"no permissions for [{wanted}] and User [name={user}]")
        else:
            passed(request)

    return answer


@pytest.fixture(scope="module")
def guarded(opensearch_url: str) -> Iterator[Guarded]:
    with answering(guarding(opensearch_url)) as url, service("--opensearch", url) as running:
        client = Client(running.url)
        with long_training(client) as short:
            over = training(client, short)
            client.ok("POST", f"/_tasks/{over}/_cancel?wait_for_completion=true")
        with long_training(client) as ml_task_id, slow_reindex(client, seconds=300) as reindex:
            yield Guarded(client, training(client, ml_task_id), reindex, over)


@pytest.mark.parametrize("user", list(REFUSED))
@pytest.mark.parametrize(
    ("method", "path"),
    [
        *[("GET", f"/_tasks{query}") for query in ("", "?detailed", "?group_by=parents", "?group_by=none")],
        ("GET", "/_tasks?actions=*ml/train"),
        ("GET", "/_tasks?actions=*ml/train&wait_for_completion=true&timeout=1s"),
        ("GET", "/_tasks?parent_task_id={training}"),
        ("GET", "/_tasks?parent_task_id=-1"),
        ("GET", "/_tasks?master_timeout=1s"),
        ("GET", "/_cat/tasks"),
        ("GET", "/_cat/tasks?format=json&v&actions=*ml/train"),
        ("GET", "/_tasks/{training}"),
        ("GET", "/_tasks/{training}?wait_for_completion=true&timeout=1s"),
        ("GET", "/_tasks/{over}"),
        ("POST", "/_tasks/{training}/_cancel"),
        ("POST", "/_tasks/_cancel?actions=*ml/train"),
        ("POST", "/_tasks/_cancel?actions=*ml/train,*reindex"),
        ("POST", "/_tasks/_cancel?parent_task_id={training}"),
    ],
)
def test_who_is_refused_sees_and_cancels_none_of_ours(guarded: Guarded, user: str, method: str, path: str) -> None:
    """The cluster's refusal is the whole answer, and nothing is cancelled; who may, may."""
    path = path.format(training=guarded.training, over=guarded.over)
    needed = permission(method, path)
    if needed not in REFUSED[user]:
        if method == "GET":
            status, payload = guarded.asked(user, method, path)
            assert status == (500 if "wait_for" in path and "/_tasks/" in path else 200), payload
            number = (guarded.over if guarded.over in path else guarded.training).partition(":")[2]
            assert number.encode() in payload or b"Timed out" in payload
        return
    status, payload = guarded.asked(user, method, path)
    assert status == 403, payload
    assert f"no permissions for [{needed}]".encode() in payload
    assert guarded.training.encode() not in payload
    listed = flat(guarded.client.ok("GET", "/_tasks"))
    assert (listed[guarded.training]["cancelled"], listed[guarded.reindex]["cancelled"]) == (False, False)


def test_who_may_not_cancel_does_not_delete(guarded: Guarded) -> None:
    """A result is deleted by nobody whom the cluster refuses to touch tasks."""
    status, payload = guarded.asked("bob", "DELETE", f"/_tasks/{guarded.over}")
    assert status == 403, payload
    assert guarded.client.ok("GET", f"/_tasks/{guarded.over}")["completed"] is True
    status, payload = guarded.asked("bob", "DELETE", f"/_tasks/{guarded.training}")
    assert status == 403, payload


def test_who_may_cancels(guarded: Guarded) -> None:
    """Who may cancel but not list cancels ours."""
    with long_training(guarded.client) as ml_task_id:
        task_id = training(guarded.client, ml_task_id)
        status, payload = guarded.asked("canceller", "POST", f"/_tasks/{task_id}/_cancel")
        assert status == 200, payload
        assert guarded.client.ended(ml_task_id, deadline_s=2)["state"] == "CANCELLED"
