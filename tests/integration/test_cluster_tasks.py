"""`_tasks` and `_cat/tasks` with the cluster's own tasks and trainings in one answer: lists, tables, renderings."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.clients import Answer, Client
from tests.native_tasks import (
    OPAQUE,
    busy_index,
    flat,
    long_training,
    reading_body,
    slow_reindex,
    training,
    trainings,
    waiting_training,
)
from tests.services import Service, wait_until

pytestmark = pytest.mark.embedded

TRAIN = "cluster:admin/opensearch/ml/train"
REINDEX = "indices:data/write/reindex"
GROUPINGS = ("", "&group_by=nodes", "&group_by=parents", "&group_by=none")


@dataclass
class Both:
    """A service over a node, and the node itself, with a reindex and a training."""

    ours: Client
    theirs: Client
    reindex: str
    training: str
    ml_task: str

    @property
    def node(self) -> str:
        return self.reindex.partition(":")[0]

    def tasks(self, query: str) -> dict[str, dict[str, Any]]:
        """Return the tasks of a list by id."""
        return flat(self.ours.ok("GET", f"/_tasks?{query}"))


@pytest.fixture(scope="module")
def theirs(embedded_service: Service) -> Client:
    return Client(embedded_service.opensearch_url)


@pytest.fixture(scope="module")
def both(ours: Client, theirs: Client) -> Iterator[Both]:
    """A reindex and a training that outlive the tests that only look at them."""
    with slow_reindex(ours, seconds=300) as reindex, long_training(ours, headers={OPAQUE: "me"}) as ml_task:
        yield Both(ours, theirs, reindex, training(ours, ml_task), ml_task)


@pytest.mark.parametrize("grouping", GROUPINGS)
def test_both_kinds_stand_in_one_answer(both: Both, grouping: str) -> None:
    """What the node lists is there as the node lists it, and the training with its stage beside it."""
    wanted = f"actions=*reindex,*ml/train*{grouping}"
    theirs, ours = both.theirs.ok("GET", f"/_tasks?{wanted}"), both.ours.ok("GET", f"/_tasks?{wanted}")
    assert list(ours) == list(theirs)
    listed = flat(ours)
    assert len(listed) == 3
    for task_id, task in flat(theirs).items():
        still = {key: value for key, value in task.items() if key != "running_time_in_nanos"}
        assert {key: value for key, value in listed[task_id].items() if key != "running_time_in_nanos"} == still
        assert list(listed[task_id]) == list(task)
    if "nodes" in ours:
        ((node, found),) = theirs["nodes"].items()
        assert {**ours["nodes"][node], "tasks": 0} == {**found, "tasks": 0}
        assert list(ours["nodes"][node]) == list(found)
    (stage,) = [task for task in listed.values() if task.get("parent_task_id") == both.training]
    assert (stage["type"], stage["action"]) == ("direct", f"{TRAIN}[fit]")


@pytest.mark.parametrize("more", ["", "&detailed", "&detailed=false", "&human", "&detailed&human"])
def test_a_training_has_the_keys_of_a_native_task(both: Both, more: str) -> None:
    """Ours has the keys of a reindex in their order, whatever is asked for, and their types."""
    listed = both.tasks(f"actions=*reindex,*ml/train{more}")
    native, mine = listed[both.reindex], listed[both.training]
    assert list(mine) == list(native)
    assert {key: type(value) for key, value in mine.items()} == {key: type(value) for key, value in native.items()}
    if "resource_stats" in native:
        for name, value in native["resource_stats"].items():
            assert list(mine["resource_stats"][name]) == list(value)


def test_what_a_training_says_of_itself(both: Both) -> None:
    """Its values are those of the issue: a number that no node gives, its times, who asked, how far it is."""
    before = time.time() * 1000
    with long_training(both.ours, headers={OPAQUE: "someone"}) as ml_task:
        task_id = training(both.ours, ml_task)
        first = both.tasks("detailed")
        task = first[task_id]
        (child_id,) = [key for key, each in first.items() if each.get("parent_task_id") == task_id]
        child = first[child_id]
        for each in (task, child):
            assert each["node"] == both.node
            assert 2**52 <= each["id"] < 2**53
            assert (each["cancellable"], each["cancelled"], each["headers"]) == (True, False, {OPAQUE: "someone"})
            assert before - 1 <= each["start_time_in_millis"] <= time.time() * 1000 + 1
            assert 0 < each["running_time_in_nanos"] < 60e9
        assert (task["type"], task["action"], "parent_task_id" in task) == ("transport", TRAIN, False)
        assert (child["type"], child["action"]) == ("direct", f"{TRAIN}[fit]")
        assert child["start_time_in_millis"] >= task["start_time_in_millis"]
        assert ml_task in task["description"]
        assert len(first) == len({each["id"] for each in first.values()})
        status = task["status"]
        assert (status["state"], status["stage"], status["rows_read"]) == ("RUNNING", "fit", 24)

        def further() -> bool:
            again = both.tasks("detailed")[task_id]
            later = again["running_time_in_nanos"] > task["running_time_in_nanos"]
            return later and status["iteration"] < again["status"]["iteration"] <= again["status"]["iterations"]

        wait_until(further, deadline_s=10, what="a training that gets on")


def test_a_training_on_an_index_names_it_and_reads(both: Both) -> None:
    """While it reads, a training has a child that says so, and its description names the index."""
    with busy_index(both.ours) as index, waiting_training(both.ours, body=reading_body(index)) as ml_task:
        task_id = wait_until(lambda: trainings(both.ours, ml_task), what="the training")[0]
        listed = wait_until(lambda: both.tasks(f"parent_task_id={task_id}"), what="its stage")
        assert [each["action"] for each in listed.values()] == [f"{TRAIN}[read]"]
        task = both.tasks("actions=*ml/train&detailed")[task_id]
        assert index in task["description"]
        assert (task["status"]["rows_read"], task["status"]["state"]) == (0, "CREATED")


@pytest.mark.parametrize(
    ("query", "reindex", "whole", "stage"),
    [
        ("actions=*reindex", True, False, False),
        ("actions=*ml/train", False, True, False),
        ("actions=*ml/train*", False, True, True),
        ("actions=*[fit]", False, False, True),
        ("actions=*[read]", False, False, False),
        ("actions=cluster:admin/opensearch/ml/*,*reindex", True, True, True),
        ("actions=cluster%3Aadmin%2Fopensearch%2Fml%2Ftrain&group_by=none", False, True, False),
        ("actions=*", True, True, True),
        ("actions=", True, True, True),
        ("actions=CLUSTER:*", False, False, False),
        ("nodes=_local", True, True, True),
        ("nodes=_all", True, True, True),
        ("nodes=_cluster_manager", True, True, True),
        ("nodes=data:true", True, True, True),
        ("nodes=mlcommons*", True, True, True),
        ("nodes=127.0.0.1", True, True, True),
        ("nodes=data:false", False, False, False),
        ("nodes=nope", False, False, False),
        ("nodes=nope,{node}", True, True, True),
        ("nodes=shard_indexing_pressure_enabled:true", True, True, True),
        ("nodes={node}&actions=*[fit]&group_by=parents", False, False, True),
        ("parent_task_id={training}", False, False, True),
        ("parent_task_id={training}&actions=*ml/train", False, False, False),
        ("parent_task_id={reindex}", False, False, False),
        ("parent_task_id=", True, True, True),
    ],
)
def test_who_is_asked_for(both: Both, query: str, reindex: bool, whole: bool, stage: bool) -> None:
    """`actions`, `nodes` and `parent_task_id` choose among ours as among the cluster's."""
    asked = query.format(node=both.node, training=both.training, reindex=both.reindex)
    listed = both.tasks(asked)
    assert (both.reindex in listed) is reindex
    assert (both.training in listed) is whole
    assert any(each["action"] == f"{TRAIN}[fit]" for each in listed.values()) is stage


def test_renderings(both: Both) -> None:
    """A merged list is written as OpenSearch writes one, in every form."""
    query = "/_tasks?group_by=none&actions=*ml/train&filter_path=tasks.action,tasks.headers"
    expected = {"tasks": [{"action": TRAIN, "headers": {OPAQUE: "me"}}]}
    plain = both.ours.send("GET", query)
    assert plain.payload == json.dumps(expected, separators=(",", ":")).encode()
    pretty = both.ours.send("GET", f"{query}&pretty")
    assert pretty.payload.decode() == json.dumps(expected, indent=2, separators=(",", " : ")) + "\n"
    yaml = both.ours.send("GET", f"{query}&format=yaml")
    assert yaml.headers["Content-Type"] == "application/yaml"
    assert yaml.payload.decode() == f'---\ntasks:\n- action: "{TRAIN}"\n  headers:\n    {OPAQUE}: "me"\n'
    for form in ("cbor", "smile"):
        packed = both.ours.send("GET", f"{query}&format={form}")
        assert (packed.status, packed.headers["Content-Type"]) == (200, f"application/{form}")
    without = both.ours.ok("GET", "/_tasks?actions=*ml/train*&filter_path=-nodes.*.tasks.*.headers,-nodes.*.name")
    assert all("headers" not in each for each in flat(without).values())
    assert "name" not in without["nodes"][both.node]
    one = both.ours.ok("GET", f"/_tasks/{both.training}?filter_path=completed,task.action")
    assert one == {"completed": False, "task": {"action": TRAIN}}


def same(mine: Answer, native: Answer) -> None:
    """Hold that an answer is another, with every header."""
    assert (mine.status, mine.payload) == (native.status, native.payload)
    headers = [sorted((name.lower(), value) for name, value in each.headers.items()) for each in (mine, native)]
    assert headers[0] == headers[1]


NOT_OURS = [
    *[("GET", f"/_tasks?actions=*nope{grouping}{form}") for grouping in GROUPINGS for form in ("", "&pretty")],
    ("GET", "/_tasks?actions=*nope&format=yaml"),
    ("GET", "/_tasks?actions=*nope&format=cbor"),
    ("GET", "/_tasks?nodes=nope&detailed&wait_for_completion=true&timeout=5s"),
    ("GET", "/_tasks?group_by=nonsense"),
    ("GET", "/_tasks?detailed=nonsense&group_by=none"),
    ("GET", "/_tasks?nonsense=1"),
    ("GET", "/_tasks?timeout=5"),
    ("HEAD", "/_tasks"),
    ("PUT", "/_tasks"),
    ("DELETE", "/_tasks"),
    ("PUT", "/_tasks/_cancel"),
    ("POST", "/_tasks/_cancel?actions=*nope"),
    ("POST", "/_tasks/_cancel?nonsense=1"),
    ("POST", "/_tasks/nope:1/_cancel"),
    ("GET", "/_tasks/nope:1"),
    ("GET", "/_tasks/nope"),
    ("DELETE", "/_tasks/nope:1"),
    ("GET", "/_cat/tasks?help"),
    ("GET", "/_cat/tasks?actions=*nope&v"),
    ("GET", "/_cat/tasks?nonsense=1"),
]


@pytest.mark.parametrize(("method", "path"), NOT_OURS)
def test_what_concerns_no_training_is_the_clusters_own_answer(both: Both, method: str, path: str) -> None:
    """Where no training matches, the answer is the node's byte for byte, though one runs."""
    sent = {OPAQUE: "me", "X-Request-Id": "0123456789abcdef0123456789abcdef"}
    same(both.ours.send(method, path, headers=sent), both.theirs.send(method, path, headers=sent))


def rows(answer: Answer) -> list[list[str]]:
    assert answer.status == 200, answer.payload
    assert answer.headers["Content-Type"] == "text/plain; charset=UTF-8"
    return [line.split() for line in answer.payload.decode().splitlines()]


def test_cat_tasks(both: Both) -> None:
    """`_cat/tasks` has a row for each of ours, in the columns of the cluster's."""
    header, *found = rows(both.ours.send("GET", "/_cat/tasks?v"))
    assert header == rows(both.theirs.send("GET", "/_cat/tasks?v"))[0]
    by_id = {row[1]: dict(zip(header, row, strict=True)) for row in found}
    mine, native = by_id[both.training], by_id[both.reindex]
    assert (mine["action"], mine["parent_task_id"], mine["type"]) == (TRAIN, "-", "transport")
    assert (mine["ip"], mine["node"]) == (native["ip"], native["node"])
    assert re.fullmatch(r"\d\d:\d\d:\d\d", mine["timestamp"])
    assert re.fullmatch(r"[\d.]+(micros|ms|s|m)", mine["running_time"])
    (stage,) = [row for row in by_id.values() if row["parent_task_id"] == both.training]
    assert (stage["action"], stage["type"]) == (f"{TRAIN}[fit]", "direct")


def test_cat_tasks_as_it_is_asked_for(both: Both) -> None:
    """`h`, `s`, `v`, `format` and `detailed` shape the rows of both kinds."""
    asked = "/_cat/tasks?actions=*reindex,*ml/train"
    assert rows(both.ours.send("GET", f"{asked}&h=ac,type,x&s=action")) == [
        [TRAIN, "transport", "me"],
        [REINDEX, "transport", "-"],
    ]
    assert rows(both.ours.send("GET", f"{asked}&h=action,nope&s=action:desc&v")) == [["action"], [REINDEX], [TRAIN]]
    found = both.ours.ok("GET", f"{asked}&format=json&s=action")
    assert [row["action"] for row in found] == [TRAIN, REINDEX]
    assert list(found[0]) == list(found[1])
    detailed = both.ours.ok("GET", f"{asked}&format=json&detailed&s=action")
    assert both.ml_task in detailed[0]["description"]
    assert list(detailed[0]) == list(detailed[1]) == [*found[0], "description"]
    every = both.ours.ok("GET", f"{asked}&format=json&h=*&s=action")
    assert list(every[0]) == list(every[1])
    assert every[0]["task_id"] == both.training
    only = both.ours.send("GET", "/_cat/tasks?actions=*ml/train&h=action,task_id")
    assert only.payload.decode() == f"{TRAIN} {both.training}\n"
    same(both.ours.send("GET", f"{asked}&s=nope"), both.theirs.send("GET", f"{asked}&s=nope"))
