"""Which node a training is for, what is said if there is none, and when the sync-up job does its work."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from mlcommons_tasks.cluster_task import FIRST_NUMBER, ClusterTask, TaskId
from mlcommons_tasks.errors import IllegalArgument, ServerError, StoreUnavailable, TaskPluginError
from mlcommons_tasks.execution.current_settings import CurrentSettings
from mlcommons_tasks.execution.dispatcher import Dispatcher
from mlcommons_tasks.execution.sync_up import SyncUp
from mlcommons_tasks.store.worker_nodes import Usage, WorkerNode
from mlcommons_tasks.versions import CURRENT, profile_of
from mlcommons_tasks.versions.settings import PREFIX
from mlcommons_tasks.wire.settings import Value

DATA = [
    WorkerNode("a", "node-a", frozenset({"data", "ingest"})),
    WorkerNode("b", "node-b", frozenset({"data"})),
    WorkerNode("w", "node-w", frozenset({"data"}), box_type="warm"),
    WorkerNode("m", "node-m", frozenset({"cluster_manager"})),
]
ML = WorkerNode("x", "node-x", frozenset({"ml"}))


class Nodes:
    """Nodes as a test wants them."""

    def __init__(self, nodes: list[WorkerNode], usage: Mapping[str, Usage] | None = None) -> None:
        self.nodes = nodes
        self.known = dict(usage or {})
        self.anew = dict(self.known)

    def all(self) -> list[WorkerNode]:
        return self.nodes

    def usage(self, *, anew: bool = False) -> Mapping[str, Usage]:
        return self.anew if anew else self.known


def dispatcher(
    nodes: Nodes, *, running: tuple[str, ...] = (), version: str = CURRENT.version, **settings: Value
) -> Dispatcher:
    values = {PREFIX + name: value for name, value in settings.items()}
    tasks = [ClusterTask(TaskId(node, FIRST_NUMBER + 4 * n), "", {}, 0, "me") for n, node in enumerate(running)]
    current = CurrentSettings(lambda: values)
    return Dispatcher(current, nodes, lambda: tasks, profile_of(version), patience_s=0)  # type: ignore[arg-type]


def chosen(made: Dispatcher, times: int = 4) -> list[str]:
    return [made.next_worker_node() for _ in range(times)]


def test_nodes_take_turns() -> None:
    """Hot data nodes and ml nodes, one after the other."""
    assert chosen(dispatcher(Nodes([*DATA, ML]))) == ["a", "b", "x", "a"]


def test_only_ml_nodes_train_where_that_is_wanted() -> None:
    """And nobody, in the plugin's words, where there is none."""
    assert chosen(dispatcher(Nodes([*DATA, ML]), only_run_on_ml_node="true"), 2) == ["x", "x"]
    with pytest.raises(IllegalArgument, match=r"No eligible node found .* _cluster/settings api$"):
        dispatcher(Nodes(DATA), only_run_on_ml_node="true").next_worker_node()
    with pytest.raises(IllegalArgument, match=r"_cluster/setting api$"):
        dispatcher(Nodes(DATA), only_run_on_ml_node="true", version="2.19.1").next_worker_node()


def test_nodes_are_left_out_by_name() -> None:
    """As the names are written, spaces and all."""
    name = {"exclude_nodes._name": "node-a,node-x"}
    assert chosen(dispatcher(Nodes([*DATA, ML]), **name), 2) == ["b", "b"]
    assert chosen(dispatcher(Nodes(DATA), **{"exclude_nodes._name": "z, node-a"}), 2) == ["a", "b"]


@pytest.mark.parametrize(
    ("roles", "nodes"), [(["ingest"], ["a", "a"]), ("cluster_manager,ml", ["m", "x"]), (["data"], ["a", "b"])]
)
def test_the_roles_that_may_train(roles: Value, nodes: list[str]) -> None:
    """Any role can be named; a data node must be hot."""
    setting = {"task_dispatcher.eligible_node_role.local_model": roles}
    assert chosen(dispatcher(Nodes([*DATA, ML]), **setting), 2) == nodes


def test_an_unknown_policy_is_said() -> None:
    with pytest.raises(IllegalArgument, match="Unknown policy"):
        dispatcher(Nodes(DATA), task_dispatch_policy="ROUND_ROBIN").next_worker_node()


def test_the_least_loaded_node_is_chosen() -> None:
    """Fewest trainings first, of these the emptiest heap; a full heap is none."""
    usage = {"a": Usage(50), "b": Usage(30), "x": Usage(85)}
    nodes = Nodes([*DATA, ML], usage)
    assert dispatcher(nodes, task_dispatch_policy="least_load").next_worker_node() == "b"
    assert dispatcher(nodes, running=("b", "b", "a"), task_dispatch_policy="least_load").next_worker_node() == "a"


def test_least_load_refuses_when_all_are_busy() -> None:
    """By the number of trainings, or by their heaps; round_robin does not look."""
    full = {"task_dispatch_policy": "least_load", "max_ml_task_per_node": "1"}
    with pytest.raises(ServerError, match="All nodes' executing ML task count reach limitation") as caught:
        dispatcher(Nodes(DATA), running=("a", "b"), **full).next_worker_node()
    assert caught.value.type == "limit_exceeded_exception"
    with pytest.raises(ServerError, match="memory usage exceeds limitation 85"):
        dispatcher(Nodes(DATA, {"a": Usage(85), "b": Usage(99)}), **full).next_worker_node()
    assert dispatcher(Nodes(DATA), running=("a", "b"), max_ml_task_per_node="0").next_worker_node() == "a"


@pytest.mark.parametrize(
    ("usage", "settings", "breaker"),
    [
        (Usage(86, 10**12), {}, "Memory"),
        (Usage(85, 10**12), {}, None),
        (Usage(99, 10**12), {"jvm_heap_memory_threshold": "100"}, None),
        (Usage(10, 5 * 2**30 - 1), {}, "Disk"),
        (Usage(10, 5 * 2**30), {}, None),
        (Usage(10, 5), {"disk_free_space_threshold": "-1"}, None),
        (Usage(99, 5), {}, "Memory"),
        (Usage(), {}, None),
    ],
)
def test_a_node_that_is_short_refuses(usage: Usage, settings: dict[str, Any], breaker: str | None) -> None:
    """Beyond the threshold, not at it; where nothing is known, nothing is short."""
    made = dispatcher(Nodes(DATA[:1], {"a": usage}), **settings)
    if breaker is None:
        assert made.next_worker_node() == "a"
        return
    with pytest.raises(TaskPluginError, match=f"^{breaker} Circuit Breaker is open, please check") as caught:
        made.next_worker_node()
    assert (caught.value.status, caught.value.type) == (429, "circuit_breaking_exception")
    assert caught.value.metadata == {"bytes_wanted": 0, "bytes_limit": 0, "durability": "TRANSIENT"}


def test_what_was_short_a_second_ago_is_looked_at_again() -> None:
    """A full heap that was collected since refuses nobody."""
    nodes = Nodes(DATA[:1], {"a": Usage(99)})
    nodes.anew = {"a": Usage(20)}
    assert dispatcher(nodes).next_worker_node() == "a"


def test_a_heap_has_time_to_be_collected() -> None:
    """One that is too full is looked at for a while; a full disk is not."""
    looks = []

    class Collected(Nodes):
        def usage(self, *, anew: bool = False) -> Mapping[str, Usage]:
            looks.append(anew)
            return {"a": Usage(99 if len(looks) < 3 else 20, 10**12)}

    current = CurrentSettings(dict)
    made = Dispatcher(current, Collected(DATA[:1]), list, patience_s=5)  # type: ignore[arg-type]
    assert made.next_worker_node() == "a"
    assert looks == [False, True, True]
    with pytest.raises(TaskPluginError, match="Disk"):
        Dispatcher(current, Nodes(DATA[:1], {"a": Usage(1, 1)}), list, patience_s=60).next_worker_node()  # type: ignore[arg-type]


def test_settings_are_read_once_a_second_and_after_a_change() -> None:
    """What is read while they change does not count afterwards."""
    values: dict[str, Value] = {}
    reads = []

    def read() -> dict[str, Value]:
        reads.append(1)
        return dict(values)

    current = CurrentSettings(read)
    assert current.get() is current.get()
    assert len(reads) == 1
    values[f"{PREFIX}max_ml_task_per_node"] = "3"
    assert current.get().max_ml_task_per_node == 10
    current.forget()
    assert current.get().max_ml_task_per_node == 3

    def read_while_it_changes() -> dict[str, Value]:
        found = dict(values)
        values[f"{PREFIX}max_ml_task_per_node"] = "4"
        current.forget()
        return found

    current = CurrentSettings(read_while_it_changes)
    assert current.get().max_ml_task_per_node == 3
    assert current.get().max_ml_task_per_node == 4


@dataclasses.dataclass
class Tasks:
    """What runs, and what was said to it."""

    has_open: bool = True
    timed_out: list[int] = dataclasses.field(default_factory=list)

    def time_out(self, timeout_s: int) -> None:
        self.timed_out.append(timeout_s)


def a_job(tasks: Tasks, *, has_models: bool = True, **settings: str) -> SyncUp:
    values: dict[str, Value] = {PREFIX + name: value for name, value in settings.items()}
    job = SyncUp(CurrentSettings(lambda: values), tasks, lambda: has_models)
    job.last_look = 0.0
    return job


def test_the_job_is_done_once_an_interval() -> None:
    """With the time-out that is set."""
    tasks = Tasks()
    job = a_job(tasks, sync_up_job_interval_in_seconds="5", ml_task_timeout_in_seconds="7")
    for now in (4.9, 5.0, 9.9, 10.0):
        job.look(now)
    assert tasks.timed_out == [7, 7]


def test_when_the_job_is_not_done() -> None:
    """While nothing runs, with an interval of 0, and before any model was stored."""
    for tasks, job in [
        (idle := Tasks(has_open=False), a_job(idle)),
        (off := Tasks(), a_job(off, sync_up_job_interval_in_seconds="0")),
        (bare := Tasks(), a_job(bare, has_models=False)),
    ]:
        job.look(1000.0)
        assert tasks.timed_out == []


def test_an_opensearch_that_is_away_is_told() -> None:
    """The job goes on; who looks hears of it."""

    def away() -> dict[str, Value]:
        raise StoreUnavailable("gone")

    with pytest.raises(StoreUnavailable):
        SyncUp(CurrentSettings(away), Tasks(), lambda: True).look(1e12)
