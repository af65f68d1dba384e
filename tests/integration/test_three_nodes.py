"""Three services over a cluster of three nodes, behind a plain balancer, are one service; a node may be lost."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests import crowds
from tests.balancer import Balancer, balancer
from tests.clients import MODELS, NOBODY, TASKS, Client
from tests.histories import MODEL_INDEX, TASK_INDEX, stored_tasks
from tests.native_tasks import MANY_ITERATIONS, flat
from tests.services import wait_until
from tests.stages import Stage, stage
from tests.three_nodes import Cluster, several_nodes

pytestmark = pytest.mark.embedded

SERVICES = 3
MANY = 100
ITERATIONS = 1000  #: a twentieth of a second
POLLS = 1000
TRAININGS = "/_tasks?actions=*ml/train*&group_by=none"


@dataclass
class Together:
    """Services over a cluster, and what stands before them."""

    cluster: Cluster
    stage: Stage
    front: Balancer

    @property
    def client(self) -> Client:
        return Client(self.front.url)

    @property
    def each(self) -> list[Client]:
        return [Client(url) for url in self.front.targets]


@pytest.fixture(scope="module")
def together() -> Iterator[Together]:
    with several_nodes() as cluster:
        crowds.load(cluster.client(), replicas=1)
        with contextlib.ExitStack() as stack:
            made = stack.enter_context(stage(cluster.urls[0], cluster.url))
            # each service asks another node first, as it would in a cluster
            urls = [",".join(cluster.urls[number:] + cluster.urls[:number]) for number in range(SERVICES)]
            running = [made.serve(opensearch=url) for url in urls]
            front = stack.enter_context(balancer([each.url for each in running]))
            yield Together(cluster, made, front)


def test_the_nodes_are_one_cluster(together: Together) -> None:
    """It has three nodes, formed soon enough for a test, and the indices are on two of them."""
    assert together.cluster.formed_s < 60
    together.client.ended(together.client.train_async(crowds.query(1)))
    nodes = together.client.ok("GET", "/_cat/nodes?format=json&h=name")
    assert sorted(node["name"] for node in nodes) == sorted(together.cluster.names)
    together.cluster.await_nodes(3, status="green")
    for index in (TASK_INDEX, MODEL_INDEX):
        rows = together.client.ok("GET", f"/_cat/shards/{index}?format=json")
        assert len({row["node"] for row in rows}) == 2


def test_a_hundred_trainings_of_several_clients_are_spread_and_completed(together: Together) -> None:
    """Whichever service took one, the balancer's next answer knows it; each node has its share of the tasks."""
    before = dict(together.front.passed)
    crowd = together.stage.started(crowds.mixed(MANY, 100), together.client)
    states = [together.client.task(task_id)["state"] for task_id in crowd.task_ids]
    assert len(states) == MANY
    assert together.stage.ended(crowd) == {"COMPLETED": MANY}
    passed = [together.front.passed[url] - before.get(url, 0) for url in together.front.targets]
    assert max(passed) - min(passed) <= 2, passed
    workers = {
        stored.source["worker_node"][0] for stored in stored_tasks(together.stage.direct, crowd.task_ids).values()
    }
    assert len(workers) == 3


def test_one_life_through_all_services(together: Together) -> None:
    """Trained by one, polled, found and deleted through the others: every answer is the same, and at once."""
    one, two, three = together.each
    task_id = one.train_async(crowds.query(10))
    assert two.task(task_id)["task_type"] == "TRAINING"
    task = three.ended(task_id)
    assert one.task(task_id) == two.task(task_id) == task
    found = {"query": {"ids": {"values": [task_id]}}}
    hits = [client.ok("POST", f"{TASKS}/_search", found)["hits"]["hits"] for client in together.each]
    assert [[hit["_id"] for hit in hit_list] for hit_list in hits] == [[task_id]] * SERVICES
    assert two.ok("GET", f"{MODELS}/{task['model_id']}")["algorithm"] == "KMEANS"
    assert two.ok("DELETE", f"{TASKS}/{task_id}")["result"] == "deleted"
    assert [client.send("GET", f"{TASKS}/{task_id}").status for client in together.each] == [404] * SERVICES
    assert task_id not in three.states()


@pytest.mark.parametrize("way", ["", "?pretty"], ids=["fast lane", "usual way"])
def test_no_poll_is_behind_an_earlier_one(together: Together, way: str) -> None:
    """A write reaches one node's copy before the other's: whichever service is asked, what was seen stays seen."""
    task_id = together.client.train_async(crowds.inline(1))
    ended = together.client.ended(task_id)
    document = f"/{TASK_INDEX}/_doc/{task_id}?refresh=true"
    polled = threading.Event()

    def write() -> None:
        nodes = together.cluster.client()
        for millis in itertools.takewhile(lambda _: not polled.is_set(), itertools.count(ended["last_update_time"])):
            nodes.ok("PUT", document, {**ended, "last_update_time": millis})

    with ThreadPoolExecutor() as pool:
        writing = pool.submit(write)
        try:
            polls = itertools.islice(itertools.cycle(together.each), POLLS)
            seen = [client.ok("GET", f"{TASKS}/{task_id}{way}")["last_update_time"] for client in polls]
        finally:
            polled.set()
        writing.result()
    assert seen == sorted(seen)
    assert len(set(seen)) > POLLS / 100


def test_a_training_is_cancelled_through_the_balancer(together: Together) -> None:
    """Whoever has it: it is listed, cancelled and awaited by whoever is asked."""
    made = together.each[0].train_async(crowds.inline(MANY_ITERATIONS))
    client = together.client

    def running() -> list[str]:
        tasks = flat(client.ok("GET", "/_tasks?actions=*ml/train&detailed"))
        return [task_id for task_id, task in tasks.items() if made in task["description"]]

    ids = {running()[0] for _ in range(SERVICES)}
    assert len(ids) == 1
    client.ok("POST", f"/_tasks/{ids.pop()}/_cancel")
    assert client.ended(made, deadline_s=10)["state"] == "CANCELLED"


def test_a_search_finds_the_tasks_of_all(together: Together) -> None:
    """Each service finds what the others made."""
    made = {client.train_async(crowds.inline(1)) for client in together.each}
    for client in together.each:
        hits = client.ok("POST", f"{TASKS}/_search", {**NOBODY, "size": 1000})["hits"]["hits"]
        assert made <= {hit["_id"] for hit in hits}


@pytest.mark.parametrize("lost", ["of the tasks", "of the manager"])
def test_one_of_three_nodes_is_lost(together: Together, lost: str) -> None:
    """Killed with the first copy of the tasks, or while it manages: all are COMPLETED, and no poll fails for long."""
    cluster = together.cluster
    cluster.await_nodes(3, status="green")
    crowd = together.stage.accepted(crowds.mixed(MANY, ITERATIONS), together.client, plugged=together.each)
    together.stage.release(crowd)
    number = cluster.manager()
    if lost == "of the tasks":
        rows = cluster.client().ok("GET", f"/_cat/shards/{TASK_INDEX}?format=json&h=prirep,node")
        number = cluster.names.index(next(row["node"] for row in rows if row["prirep"] == "p"))
    cluster.kill(number)
    together.stage.direct = cluster.client()
    try:
        for client in together.each:
            wait_until(
                lambda client=client: client.send("GET", f"{TASKS}/{crowd.task_ids[0]}").status == 200, what="a poll"
            )
        assert together.stage.ended(crowd) == {"COMPLETED": MANY}
        again = together.client.train_async(crowds.query(10))
        assert together.client.ended(again)["state"] == "COMPLETED"
    finally:
        cluster.start(number)
    wait_until(lambda: not together.client.ok("GET", TRAININGS)["tasks"], what="silence")
