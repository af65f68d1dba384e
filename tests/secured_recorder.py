"""Record what the security plugin answers, on nodes that are started for it: `python -m tests.secured_recorder`.

Writes `fixtures/recordings/security-<version>/<topic>.json`: who asked what, and the answer. With
`--version 2.19.1 --java <a Java from 17 to 23>` the node has the real ML Commons as well, and topic `ml` tells what
that answers to whom; its system indices are then protected as in the plugin's demo configuration, which the official
container has. No password and no Authorization header is in a recording.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlcommons_tasks.node.distribution import Kind
from tests.clients import FEATURES, MODELS, NOBODY, TASKS, TRAIN, Answer, query_body, rows_body
from tests.secured_node import AUTHINFO, SYSTEM_INDICES, VERSION, SecuredNode, documented, secured_node
from tests.services import wait_until

RECORDINGS = Path(__file__).parents[1] / "fixtures" / "recordings"
API = "/_plugins/_security/api"
UNSAID = frozenset({"content-length", "date"})
PORT = re.compile(r'"remote_address":"127\.0\.0\.1:\d+"')
ML = "/_plugins/_ml"
STRANGERS = ("anonymous", "wrong_password", "unknown")
TASK_INDEX = ".plugins-ml-task"
NDJSON = {"Content-Type": "application/x-ndjson"}


@dataclass(frozen=True)
class Request:
    """What is asked."""

    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


#: Before anybody knows who asks.
AT_THE_DOOR = [
    Request("GET", "/"),
    Request("HEAD", "/"),
    Request("OPTIONS", "/"),
    Request("GET", "/?pretty", headers={"X-Opaque-Id": "mine"}),
    Request("GET", "/?format=yaml&filter_path=version&error_trace"),
    Request("GET", "/_tasks"),
    Request("POST", "/_bulk", b'{"index":{"_index":"iris"}}\n{"a":1}\n', NDJSON),
    Request("GET", "/iris/_search", b"not json", {"Content-Type": "application/json"}),
    Request("PUT", "/iris"),
    Request("DELETE", "/_search"),
    Request("GET", "/_no/such/handler/at/all"),
    Request("GET", f"{TASKS}/none"),
    Request("GET", f"{TASKS}/none?pretty"),
    Request("HEAD", f"{TASKS}/none"),
    Request("GET", AUTHINFO),
    Request("GET", f"{AUTHINFO}?pretty"),
    Request("GET", "/_plugins/_security/health"),
    Request("GET", "/_plugins/_security/whoami"),
    Request("GET", f"{API}/roles"),
    Request("GET", f"{API}/account"),
]
#: In place of an account.
AUTHORIZATIONS = ["Basic", "Basic ", "Basic !!!", "Basic YWRtaW4=", "Basic YWRtaW46", "Basic Og==", "Bearer x.y.z", "x"]
#: Routes of the cluster that a service forwards or asks itself.
OF_THE_CLUSTER = [
    Request("GET", "/"),
    Request("GET", "/_cluster/health"),
    Request("GET", "/_cat/plugins"),
    Request("GET", "/_nodes/http?filter_path=_nodes"),
    Request("GET", "/_tasks"),
    Request("GET", "/_tasks?pretty"),
    Request("GET", "/_tasks?format=yaml"),
    Request("GET", "/_tasks?filter_path=error.reason"),
    Request("GET", "/_tasks?error_trace=false&actions=*ml/train"),
    Request("GET", "/_tasks?no_such_parameter=1"),
    Request("GET", "/_tasks/node:1"),
    Request("GET", "/_cat/tasks"),
    Request("POST", "/_tasks/_cancel"),
    Request("POST", "/_tasks/node:1/_cancel"),
]
OF_INDICES = [
    Request("GET", "/iris/_search?size=0"),
    Request("GET", "/iris,mine/_search?size=0"),
    Request("GET", "/none-there/_search"),
    Request("GET", "/iris/_doc/none"),
    Request("HEAD", "/iris"),
    Request("GET", "/iris/_search", {"query": {"no_such_query": {}}}),
    Request("POST", "/_mget", {"docs": [{"_index": "iris", "_id": "1"}]}),
    Request("PUT", "/mine/_doc/1?refresh=true", {"a": 1}),
    Request("POST", "/_bulk", b'{"index":{"_index":"iris","_id":"x"}}\n{"a":1}\n', NDJSON),
    Request("PUT", "/iris/_mapping", {"properties": {}}),
    Request("GET", f"/{TASK_INDEX}/_search?size=0"),
    Request("GET", f"/{TASK_INDEX}/_doc/none"),
    Request("GET", f"/{TASK_INDEX}-none/_search?ignore_unavailable=true"),
    Request("PUT", f"/{TASK_INDEX}/_doc/1?require_alias=true", {"a": 1}),
    Request("DELETE", f"/{TASK_INDEX}/_doc/none"),
    Request("PUT", f"/{TASK_INDEX}", {"settings": {"index.number_of_shards": 0}}),
]
OF_ONESELF = [
    Request("GET", AUTHINFO),
    Request("GET", f"{AUTHINFO}?verbose"),
    Request("GET", f"{API}/account"),
    Request("GET", f"{API}/permissionsinfo"),
    Request("GET", "/_plugins/_security/whoami"),
]
#: What changes how the cluster calls a caller.
AS_ANOTHER = [
    Request("GET", AUTHINFO, headers={"securitytenant": "admin_tenant"}),
    Request("GET", AUTHINFO, headers={"security_tenant": "admin_tenant"}),
    Request("GET", "/_tasks", headers={"securitytenant": "global"}),
    Request("GET", "/_tasks", headers={"securitytenant": "another's"}),
    Request("GET", "/_tasks", headers={"opendistro_security_impersonate_as": "admin"}),
    Request("GET", AUTHINFO, headers={"opendistro_security_impersonate_as": "no_ml"}),
]
OF_ROLES = [
    Request("GET", f"{API}/roles"),
    Request("GET", f"{API}/roles/ml_full_access"),
    Request("GET", f"{API}/roles/none"),
    Request("GET", f"{API}/actiongroups"),
    Request("GET", f"{API}/rolesmapping"),
    Request("GET", f"{API}/internalusers"),
    Request("GET", f"{API}/tenants"),
    Request("PUT", f"{API}/roles/none", {"cluster_permissions": ["restapi:admin/roles"]}),
    Request("PUT", f"{API}/roles/none", {"no_such_field": []}),
    Request("DELETE", f"{API}/actiongroups/none"),
]
#: With this parameter the cluster says whether it would, and does nothing.
DRY = "perform_permission_check=true"
DRY_RUNS = [
    Request("GET", f"/?{DRY}"),
    Request("GET", f"/_cluster/health?{DRY}"),
    Request("GET", f"/_tasks?{DRY}"),
    Request("GET", f"/_tasks/node:1?{DRY}"),
    Request("POST", f"/_tasks/_cancel?{DRY}"),
    Request("GET", f"/_cat/tasks?{DRY}"),
    Request("GET", f"/iris/_search?{DRY}"),
    Request("POST", f"/_mget?{DRY}", {"docs": [{"_index": "iris", "_id": "1"}]}),
    Request("PUT", f"/iris/_doc/x?{DRY}", {"a": 1}),
    Request("POST", f"/_bulk?{DRY}", b'{"index":{"_index":"iris","_id":"x"}}\n{"a":1}\n', NDJSON),
    Request("GET", f"/{TASK_INDEX}/_search?{DRY}"),
    Request("PUT", f"/{TASK_INDEX}?{DRY}", {}),
    Request("GET", f"{API}/roles/own_data?{DRY}"),
    Request("GET", f"{TASKS}/none?{DRY}"),
]


def ml_requests(task: str, model: str) -> Iterator[Request]:
    """Yield requests to every route that is emulated, of the kinds that may be refused at different points."""
    yield Request("GET", f"{TASKS}/{task}")
    yield Request("GET", f"{TASKS}/none")
    yield Request("GET", f"{TASKS}/none?pretty")
    yield Request("GET", f"{TASKS}/none?no_such_parameter=1")
    yield Request("HEAD", f"{TASKS}/none")
    yield Request("PUT", f"{TASKS}/none")
    yield Request("POST", f"{TASKS}/_search", {**NOBODY, "size": 0})
    yield Request("GET", f"{TASKS}/_search")
    yield Request("POST", f"{TASKS}/_search", b"not json", {"Content-Type": "application/json"})
    yield Request("POST", f"{TASKS}/_search", {"query": {"no_such_query": {}}})
    yield Request("POST", f"{TASKS}/none/_cancel")
    yield Request("DELETE", f"{TASKS}/none")
    yield Request("GET", f"{MODELS}/{model}")
    yield Request("GET", f"{MODELS}/none")
    yield Request("POST", f"{MODELS}/_search", {**NOBODY, "size": 0})
    yield Request("DELETE", f"{MODELS}/none")
    yield Request("PUT", f"{MODELS}/none", {"name": "other"})
    yield Request("POST", TRAIN, rows_body(6))
    yield Request("POST", f"{TRAIN}?async=true", rows_body(6))
    yield Request("POST", TRAIN, query_body("iris", FEATURES, 150))
    yield Request("POST", f"{TRAIN}?async=true", query_body("iris", FEATURES, 150))
    yield Request("POST", TRAIN, query_body("none-there", FEATURES, 150))
    yield Request("POST", TRAIN, {"parameters": {"centroids": 3}})
    yield Request("POST", TRAIN, b"not json", {"Content-Type": "application/json"})
    yield Request("POST", f"{TRAIN}?no_such_parameter=1", rows_body(6))
    yield Request("POST", "/_plugins/_ml/_train/none", rows_body(6))
    yield Request("GET", "/_plugins/_ml/none")


def work_requests(model: str) -> Iterator[Request]:
    """Yield requests to every route that predicts or executes, of the kinds that may be refused at different points."""
    for path in (f"{ML}/_predict/kmeans/{model}", f"{MODELS}/{model}/_predict", f"{ML}/_train_predict/kmeans"):
        yield Request("POST", path, query_body("iris", FEATURES, 150))
        yield Request("POST", path, query_body("none-there", FEATURES, 150))
        yield Request("POST", path, rows_body(6))
        yield Request("POST", path, {"parameters": {"centroids": 3}})
        yield Request("POST", path, b"not json", {"Content-Type": "application/json"})
        yield Request("POST", f"{path}?no_such_parameter=1", rows_body(6))
        yield Request("GET", path)
    yield Request("POST", f"{ML}/_predict/kmeans/none", rows_body(6))
    yield Request("POST", f"{MODELS}/none/_predict", rows_body(6))
    yield Request("POST", f"{ML}/_predict/kmeans/none", b"not json", {"Content-Type": "application/json"})
    yield Request("POST", f"{ML}/_train_predict/none", rows_body(6))
    sums = {"operation": "sum", "input_data": [1, 2]}
    yield Request("POST", f"{ML}/_execute/local_sample_calculator", sums)
    yield Request("POST", f"{ML}/_execute/local_sample_calculator", {"operation": "none", "input_data": [1]})
    yield Request("POST", f"{ML}/_execute/local_sample_calculator", b"not json", {"Content-Type": "application/json"})
    yield Request("POST", f"{ML}/_execute/local_sample_calculator?no_such_parameter=1", sums)
    yield Request("POST", f"{ML}/_execute/none", sums)
    yield Request("GET", f"{ML}/_execute/local_sample_calculator")


class Recorder:
    """Asks a node and writes what it answers, to `only` these topics if there are any."""

    def __init__(
        self, node: SecuredNode, folder: Path, about: Mapping[str, str], only: Sequence[str] | None = None
    ) -> None:
        self._only = only
        self._node = node
        self._folder = folder
        self._about = about
        self.names: dict[str, str] = {}  #: ids of this run, and what stands for them

    def record(self, topic: str, asked: Iterable[tuple[str, Request]]) -> None:
        """Record one topic: who asks what."""
        if self._only and topic not in self._only:
            return
        entries = [self._entry(who, request, self._ask(who, request)) for who, request in asked]
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{topic}.json"
        path.write_text(json.dumps({**self._about, "answers": entries}, ensure_ascii=False, indent=1) + "\n", "utf-8")
        print(f"{topic:16} {len(entries):4} answers")

    def _ask(self, who: str, request: Request) -> Answer:
        return self._node.client(who).send(request.method, request.path, request.body, request.headers)

    def _entry(self, who: str, request: Request, answer: Answer) -> dict[str, Any]:
        said: dict[str, Any] = {"who": who, "method": request.method, "path": self._named(request.path)}
        if request.headers:
            said["headers"] = dict(request.headers)
        if request.body is not None:
            said["body"] = request.body.decode() if isinstance(request.body, bytes) else request.body
        headers = {name: value for name, value in answer.headers.items() if name.lower() not in UNSAID}
        text = self._named(PORT.sub('"remote_address":"127.0.0.1:0"', answer.payload.decode()))
        return {**said, "answer": {"status": answer.status, "headers": headers, "body": parsed(text)}}

    def _named(self, text: str) -> str:
        for name, stands_for in self.names.items():
            text = text.replace(name, stands_for)
        return text


def parsed(text: str) -> Any:
    """Return JSON as it can be read where the text can be made of it again, and else the text."""
    try:
        body = json.loads(text)
    except ValueError:
        return text
    return body if json.dumps(body, ensure_ascii=False, separators=(",", ":")) == text else text


def each(names: Iterable[str], requests: Iterable[Request]) -> Iterator[tuple[str, Request]]:
    """Yield every request of everybody."""
    asked = list(requests)
    return ((name, request) for name in names for request in asked)


def record(node: SecuredNode, recorder: Recorder, *, ml_commons: bool) -> None:
    """Record all topics."""
    everybody = [name for name in node.callers if name != "incomplete"]
    accounts = [name for name in everybody if name not in STRANGERS]
    admin = node.client("admin")
    admin.load_iris()
    admin.ok("PUT", "/mine/_doc/1?refresh=true", {"a": 1})
    odd = [Request("GET", path, headers={"Authorization": a}) for a in AUTHORIZATIONS for path in ("/", AUTHINFO)]
    recorder.record("strangers", [*each(STRANGERS, AT_THE_DOOR), *each(["anonymous"], odd)])
    recorder.record("oneself", [*each(everybody, OF_ONESELF), *each(["admin", "no_ml"], AS_ANOTHER)])
    recorder.record("cluster", each(accounts, OF_THE_CLUSTER))
    recorder.record("indices", each(accounts, OF_INDICES))
    recorder.record("roles", each(["admin", "service", "nobody"], OF_ROLES))
    recorder.record("dry_runs", each(["admin", "service", "ml_full", "no_ml", "anonymous"], DRY_RUNS))
    if ml_commons:
        record_ml(node, recorder, everybody)


def record_ml(node: SecuredNode, recorder: Recorder, everybody: Iterable[str]) -> None:
    """Record what the real ML Commons answers to whom."""
    owner = node.client("ml_full")
    task = wait_until(lambda: trained(owner), what="a training")
    model = str(owner.ended(task)["model_id"])
    recorder.names = {task: "<task>", model: "<model>"}
    recorder.record("ml", each(everybody, ml_requests(task, model)))
    recorder.record("ml_work", each(everybody, work_requests(model)))
    unread = node.client("no_source").send("POST", f"{TRAIN}?async=true", query_body("iris", FEATURES, 150))
    failed = str(unread.body["task_id"])
    owner.ended(failed)
    recorder.names = {failed: "<task>"}
    recorder.record("ml_no_source", [("no_source", Request("GET", f"{TASKS}/{failed}"))])


def trained(owner: Any) -> str | None:
    """Start a training as soon as the plugin takes it; its index is made meanwhile."""
    answer = owner.send("POST", f"{TRAIN}?async=true", query_body("iris", FEATURES, 150))
    return str(answer.body["task_id"]) if answer.status == 200 else None


def main() -> None:
    """Start a node and record it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", default=VERSION)
    parser.add_argument("--java", help="the Java to run the node with; 2.x needs one from 17 to 23")
    parser.add_argument("--topic", action="append", help="only this one (repeatable)")
    given = parser.parse_args()
    ml_commons = given.version != VERSION
    kind = Kind.SECURITY_ML_COMMONS if ml_commons else Kind.SECURITY
    settings = {**SYSTEM_INDICES, **documented("opensearch")}
    if ml_commons:
        settings.pop("plugins.security.system_indices.permission.enabled")
    about = {
        "recorded": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "opensearch": given.version,
        "kind": kind.value,
    }
    with secured_node(given.version, kind, java=given.java, settings=settings) as node:
        recorder = Recorder(node, RECORDINGS / f"security-{given.version}", about, given.topic)
        record(node, recorder, ml_commons=ml_commons)


if __name__ == "__main__":
    main()
