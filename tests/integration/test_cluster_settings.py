"""ML Commons' settings at `_cluster/settings` over a real node: two replicas, restarts, and what each setting does."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mlcommons_tasks.server import RunningService
from tests.clients import MODELS, TRAIN, Answer, Client, rows_body
from tests.native_tasks import long_training
from tests.services import Service, service, wait_until

pytestmark = pytest.mark.embedded

SETTINGS = "/_cluster/settings"
PREFIX = "plugins.ml_commons."
SHARDS = "cluster.max_shards_per_node"
FRESH_S = 1.5  #: within which a replica goes by what another one changed, with some room


class Edge(Client):
    """A client that sets settings."""

    def put(self, scope: str = "persistent", **settings: Any) -> Answer:
        return self.send("PUT", SETTINGS, {scope: {PREFIX + name: value for name, value in settings.items()}})

    def set(self, scope: str = "persistent", **settings: Any) -> None:
        answer = self.put(scope, **settings)
        assert answer.status == 200, answer.payload

    def all(self) -> Any:
        return self.ok("GET", f"{SETTINGS}?flat_settings=true")

    def train(self) -> Answer:
        return self.send("POST", TRAIN, rows_body())


@pytest.fixture(scope="module")
def other_url(opensearch_url: str) -> Iterator[str]:
    """A second service over the same node."""
    with service("--opensearch", opensearch_url) as running:
        yield running.url


@pytest.fixture
def ours(service_url: str) -> Iterator[Edge]:
    """The first service; nothing is set before and after a test."""
    nothing = {"persistent": {f"{PREFIX}*": None, SHARDS: None}, "transient": {f"{PREFIX}*": None}}
    edge = Edge(service_url)
    edge.ok("PUT", SETTINGS, nothing)
    yield edge
    edge.ok("PUT", SETTINGS, nothing)


@pytest.fixture
def other(ours: Edge, other_url: str) -> Edge:
    return Edge(other_url)


@pytest.fixture
def theirs(opensearch_url: str) -> Edge:
    """The node itself."""
    return Edge(opensearch_url)


# --- what is kept, and where


def test_replicas_share_settings_and_the_cluster_has_none_of_ours(ours: Edge, other: Edge, theirs: Edge) -> None:
    """What one sets the other shows at once; the node below hears of its own only."""
    body = {
        "persistent": {f"{PREFIX}max_ml_task_per_node": 7, SHARDS: 777},
        "transient": {f"{PREFIX}stream_enabled": True},
    }
    ours.ok("PUT", SETTINGS, body)
    shown = {
        "persistent": {SHARDS: "777", f"{PREFIX}max_ml_task_per_node": "7"},
        "transient": {f"{PREFIX}stream_enabled": "true"},
    }
    assert ours.all() == other.all() == shown
    assert theirs.all() == {"persistent": {SHARDS: "777"}, "transient": {}}
    other.set(max_ml_task_per_node=None)
    assert f"{PREFIX}max_ml_task_per_node" not in ours.all()["persistent"]


def test_changes_at_the_same_time_are_all_kept(ours: Edge, other: Edge) -> None:
    """Two replicas change forty settings at once, and none is lost."""
    names = [
        name for name in ours.ok("GET", f"{SETTINGS}?include_defaults&flat_settings")["defaults"] if PREFIX in name
    ]
    texts = [name for name in names if name.endswith(("_regex", "_enabled")) or "status_regex" in name]
    texts = [name for name in texts if "metrics_collection" not in name and "multi_tenancy" not in name]
    assert len(texts) >= 20
    failed: list[bytes] = []

    def write(edge: Edge, name: str) -> None:
        answer = edge.send("PUT", SETTINGS, {"persistent": {name: "true"}})
        if answer.status != 200:
            failed.append(answer.payload)

    threads = [threading.Thread(target=write, args=(edge, name)) for name, edge in zip(texts, [ours, other] * 20)]  # noqa: B905
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert set(ours.all()["persistent"]) == set(texts[: len(threads)])


def test_what_is_not_ours_passes_byte_for_byte(ours: Edge, theirs: Edge) -> None:
    """Requests without a setting of ML Commons are answered by the cluster alone."""
    for path in (SETTINGS, f"{SETTINGS}?pretty", f"{SETTINGS}?flat_settings=nope", f"{SETTINGS}?foo=1"):
        assert ours.send("GET", path).payload == theirs.send("GET", path).payload
    for body in ({"persistent": {SHARDS: 5000}}, {"persistent": {"nope": 1}}, {}, {"persistent": {"plugins.x": 1}}):
        for query in ("", "?pretty", "?format=yaml"):
            mine, direct = (edge.send("PUT", SETTINGS + query, body) for edge in (ours, theirs))
            assert (mine.status, mine.payload) == (direct.status, direct.payload)


def test_defaults_are_the_clusters_with_ours(ours: Edge, theirs: Edge) -> None:
    """In OpenSearch's order, nested and flat; only_run_on_ml_node is false."""
    path = f"{SETTINGS}?include_defaults=true&flat_settings=true"
    mine, direct = ours.ok("GET", path)["defaults"], theirs.ok("GET", path)["defaults"]
    assert list(mine) == sorted(mine)
    assert {name: value for name, value in mine.items() if not name.startswith(PREFIX)} == direct
    assert mine[f"{PREFIX}only_run_on_ml_node"] == "false"
    nested = ours.ok("GET", f"{SETTINGS}?include_defaults=true")["defaults"]
    plain = [name for name in nested if name != "plugins"]
    assert plain == [
        name for name in theirs.ok("GET", f"{SETTINGS}?include_defaults=true")["defaults"] if name != "plugins"
    ]


@pytest.mark.parametrize(
    ("ml", "cluster"), [(-1, 600), (8, -1), ("x", 600), (8, "x")], ids=["ours", "theirs", "ours text", "theirs text"]
)
def test_a_mixed_body_is_taken_whole_or_not_at_all(ours: Edge, theirs: Edge, ml: Any, cluster: Any) -> None:
    """A bad setting of either side leaves both as they were."""
    ours.ok("PUT", SETTINGS, {"persistent": {f"{PREFIX}max_ml_task_per_node": 5, SHARDS: 555}})
    before = ours.all()
    answer = ours.send("PUT", SETTINGS, {"persistent": {f"{PREFIX}max_ml_task_per_node": ml, SHARDS: cluster}})
    assert answer.status == 400
    assert ours.all() == before
    assert theirs.all()["persistent"] == {SHARDS: "555"}


def test_what_the_cluster_refuses_at_last_is_taken_back(ours: Edge, theirs: Edge) -> None:
    """A setting that only fails beside another one of the cluster's leaves ours as they were."""
    ours.set(max_ml_task_per_node=5)
    before = ours.all()
    bad = {"cluster.routing.allocation.disk.watermark.low": "99%", f"{PREFIX}max_ml_task_per_node": 6}
    answer = ours.send("PUT", SETTINGS, {"persistent": bad})
    assert answer.status == 400
    assert b"low disk watermark" in answer.payload
    assert ours.all() == before
    assert theirs.all()["persistent"] == {}


def test_a_cluster_that_is_read_only_keeps_ours_too(ours: Edge, theirs: Edge) -> None:
    """As there, nothing is set while metadata is blocked, and the block can be taken away."""
    ours.set(max_ml_task_per_node=5)
    theirs.ok("PUT", SETTINGS, {"transient": {"cluster.blocks.read_only": True}})
    try:
        assert ours.put(max_ml_task_per_node=6).status == 403
        mixed = {"persistent": {f"{PREFIX}max_ml_task_per_node": 6, SHARDS: 600}}
        assert ours.send("PUT", SETTINGS, mixed).status == 403
    finally:
        ours.ok("PUT", SETTINGS, {"transient": {"cluster.blocks.read_only": None}})
    assert ours.all()["persistent"] == {f"{PREFIX}max_ml_task_per_node": "5"}


def test_a_restart_of_the_service_keeps_both_a_restart_of_the_cluster_the_persistent(tmp_path: Path) -> None:
    """Transient settings are lost with the cluster's own, and stay lost."""
    flags = ("--data-dir", str(tmp_path))
    both = {
        "persistent": {f"{PREFIX}max_ml_task_per_node": 7, SHARDS: 700},
        "transient": {f"{PREFIX}stream_enabled": True},
    }
    with service(*flags) as first:
        Edge(first.url).ok("PUT", SETTINGS, both)
        with service("--opensearch", first.opensearch_url) as beside:
            shown = Edge(beside.url).all()
            assert shown["transient"] == {f"{PREFIX}stream_enabled": "true"}
        assert Edge(first.url).all() == shown
    with service(*flags) as second:
        edge = Edge(second.url)
        lost = {"persistent": {SHARDS: "700", f"{PREFIX}max_ml_task_per_node": "7"}, "transient": {}}
        assert edge.all() == lost
        edge.set("transient", ag_ui_enabled=True)
        assert edge.all() == {**lost, "transient": {f"{PREFIX}ag_ui_enabled": "true"}}


def test_without_opensearch_it_is_503() -> None:
    """Both routes say so in the envelope: they keep and merge."""
    with service() as running:
        edge = Edge(running.url)
        edge.set(max_ml_task_per_node=7)
        with service("--opensearch", running.opensearch_url) as beside:
            edge = Edge(beside.url)
            running.stop()
            for answer in (edge.send("GET", SETTINGS), edge.put(max_ml_task_per_node=8)):
                assert answer.status == 503, answer.payload
                assert answer.body["error"]["type"] == "cluster_block_exception"


# --- what settings do


def refused(edge: Edge) -> str:
    """Return why a training is refused, which is said of one that is waited for and of a task alike."""
    answer, task = edge.train(), edge.send("POST", f"{TRAIN}?async=true", rows_body())
    assert answer.status >= 400, answer.payload
    assert (answer.status, answer.payload) == (task.status, task.payload)
    return str(answer.body["error"]["reason"])


REFUSED: Mapping[str, tuple[dict[str, Any], str]] = {
    "only_run_on_ml_node": ({"only_run_on_ml_node": True}, "No eligible node found"),
    "exclude_nodes": ({"exclude_nodes._name": "mlcommons-tasks-node"}, "No eligible node found"),
    "roles": ({"task_dispatcher.eligible_node_role.local_model": ["ml"]}, "No eligible node found"),
    "policy": ({"task_dispatch_policy": "any"}, "Unknown policy"),
    "limit": ({"task_dispatch_policy": "least_load", "max_ml_task_per_node": 0}, "executing ML task count"),
    "heap": ({"jvm_heap_memory_threshold": 0}, "Memory Circuit Breaker is open"),
    "disk": ({"disk_free_space_threshold": "4000pb"}, "Disk Circuit Breaker is open"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_setting_takes_effect_everywhere(ours: Edge, other: Edge, name: str) -> None:
    """At once where it is set, within a second in the other replica; and so does its reset."""
    settings, reason = REFUSED[name]
    assert ours.train().status == other.train().status == 200
    ours.set("transient", **settings)
    assert reason in refused(ours)
    wait_until(lambda: other.train().status >= 400, deadline_s=FRESH_S, what="the other replica's refusal")
    assert reason in refused(other)
    ours.ok("PUT", SETTINGS, {"transient": {f"{PREFIX}*": None}})
    assert ours.train().status == 200
    wait_until(lambda: other.train().status == 200, deadline_s=FRESH_S, what="the other replica's consent")


def test_trainings_of_all_replicas_count_for_the_limit(ours: Edge, other: Edge) -> None:
    """With one at a time, one that runs in one replica keeps both from another."""
    with long_training(ours):
        ours.set(task_dispatch_policy="least_load", max_ml_task_per_node=1)
        assert "executing ML task count reach limitation" in refused(ours)
        wait_until(lambda: other.train().status >= 400, deadline_s=FRESH_S, what="the other replica's refusal")
        assert "executing ML task count reach limitation" in refused(other)
        ours.set(max_ml_task_per_node=2)
        assert ours.train().status == 200
        ours.set(max_ml_task_per_node=1, task_dispatch_policy="round_robin")
        assert ours.train().status == 200


def test_a_training_that_takes_too_long_fails(ours: Edge) -> None:
    """By the job, in the plugin's words; its stage in `_tasks` ends, and there is no model of it."""
    assert ours.train().status == 200, "without any model nothing is timed out"
    models = ours.ok("POST", f"{MODELS}/_search", {"query": {"match_all": {}}})["hits"]["total"]["value"]
    with long_training(ours) as task_id:
        ours.set(ml_task_timeout_in_seconds=1, sync_up_job_interval_in_seconds=0)
        until = time.monotonic() + 2.5
        wait_until(lambda: time.monotonic() > until or ours.task(task_id)["state"] != "RUNNING", what="some time")
        assert ours.task(task_id)["state"] == "RUNNING", "an interval of 0 switches the job off"
        ours.set(sync_up_job_interval_in_seconds=1)
        task = ours.ended(task_id, deadline_s=5)
        assert (task["state"], task["error"]) == ("FAILED", "timeout after 1 seconds")
        wait_until(lambda: not ours.ok("GET", "/_tasks?actions=*ml/train&group_by=none")["tasks"], what="its end")
    found = ours.ok("POST", f"{MODELS}/_search", {"query": {"match_all": {}}})["hits"]["total"]["value"]
    assert found == models


# --- plugins


def test_ml_commons_is_listed_once_beside_the_others(ours: Edge, theirs: Edge) -> None:
    """In both lists, with the version that is emulated; requests for other things pass byte for byte."""
    rows = ours.ok("GET", "/_cat/plugins?format=json&h=*")
    assert [row["version"] for row in rows if row["component"] == "opensearch-ml"] == ["3.6.0.0"]
    assert [row for row in rows if row["component"] != "opensearch-ml"] == theirs.ok(
        "GET", "/_cat/plugins?format=json&h=*"
    )
    for path in ("/_nodes", "/_nodes/plugins", "/_nodes/_local/plugins", "/_nodes/_all/info/plugins,http", "/_nodes/"):
        (node,) = ours.ok("GET", path)["nodes"].values()
        (direct,) = theirs.ok("GET", path)["nodes"].values()
        assert [each["name"] for each in node["plugins"]].count("opensearch-ml") == 1
        assert [each for each in node["plugins"] if each["name"] != "opensearch-ml"] == direct["plugins"]
        assert list(node) == list(direct)
    for path in (
        "/_nodes/http",
        "/_nodes/_local/os,process",
        "/_nodes/plugins/x",
        "/_cat/plugins?help",
        "/_nodes/stats/x",
    ):
        assert ours.send("GET", path).payload == theirs.send("GET", path).payload


# --- other servers


def test_over_the_in_memory_server(memory_service: RunningService) -> None:
    """Settings are kept, mixed, and take effect; it has no heap and no disk to look at."""
    edge = Edge(memory_service.url)
    edge.ok("PUT", SETTINGS, {"persistent": {f"{PREFIX}only_run_on_ml_node": True, SHARDS: 700}})
    assert edge.all()["persistent"] == {SHARDS: "700", f"{PREFIX}only_run_on_ml_node": "true"}
    assert "No eligible node" in refused(edge)
    assert edge.put(max_ml_task_per_node=-1).status == 400
    edge.ok("PUT", SETTINGS, {"persistent": {f"{PREFIX}*": None, SHARDS: None}})
    edge.set("transient", jvm_heap_memory_threshold=0)
    assert edge.train().status == 200
    edge.set("transient", jvm_heap_memory_threshold=None)
    (row,) = edge.ok("GET", "/_cat/plugins?format=json")
    assert row["component"] == "opensearch-ml"
    (node,) = edge.ok("GET", "/_nodes/plugins")["nodes"].values()
    assert [each["name"] for each in node["plugins"]] == ["opensearch-ml"]


def test_a_secured_cluster_says_who_may(secured_cluster: Any, secured_service: Service) -> None:
    """Whom it refuses a change or a look neither sees nor changes ours; the administrator does both."""
    admin = secured_cluster.client("admin", secured_service.url)
    ml = {"persistent": {f"{PREFIX}max_ml_task_per_node": 6}}
    may_look: dict[str, bool] = {}
    with contextlib.ExitStack() as stack:
        stack.callback(admin.send, "PUT", SETTINGS, {"persistent": {f"{PREFIX}*": None}})
        assert admin.ok("PUT", SETTINGS, ml)["persistent"]["plugins"]["ml_commons"] == {"max_ml_task_per_node": "6"}
        for name in ("ml_full", "nobody", "anonymous", "wrong_password"):
            caller = secured_cluster.client(name, secured_service.url)
            for body in (
                {"persistent": {f"{PREFIX}max_ml_task_per_node": 9}},
                {"persistent": {f"{PREFIX}max_ml_task_per_node": -9}},
                {"persistent": {f"{PREFIX}max_ml_task_per_node": 9, SHARDS: 900}},
            ):
                mine, direct = (
                    caller.send("PUT", SETTINGS, body),
                    secured_cluster.client(name).send("PUT", SETTINGS, body),
                )
                assert mine.status == direct.status in (401, 403)
                assert mine.payload == direct.payload
            mine, direct = caller.send("GET", SETTINGS), secured_cluster.client(name).send("GET", SETTINGS)
            may_look[name] = direct.status == 200
            if may_look[name]:
                assert b"max_ml_task_per_node" in mine.payload
                assert b"max_ml_task_per_node" not in direct.payload
            else:
                assert (mine.status, mine.payload) == (direct.status, direct.payload)
        assert may_look == {"ml_full": True, "nobody": False, "anonymous": False, "wrong_password": False}
        assert admin.ok("GET", f"{SETTINGS}?flat_settings")["persistent"] == {f"{PREFIX}max_ml_task_per_node": "6"}
