"""Tasks that play scenarios, over HTTP: what each read shows, by GET and by `_search`, and what is created."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlcommons_tasks.emulation.presets import PRESETS, preset_of
from mlcommons_tasks.emulation.walk import seen
from mlcommons_tasks.server import RunningService
from tests.clients import MODELS, TASKS, TRAIN, as_envelope, rows_body
from tests.emulators import CONTROL, GONE, SMALL, Stand, by_id, fresh, step

ROOT = Path(__file__).parents[2]
LIMITED = json.loads((ROOT / "fixtures" / "recordings" / "3.6.0" / "cluster_settings.json").read_text())
WALKED = [name for name in PRESETS if preset_of(name, {}).refusal() is None]


@pytest.fixture(params=["memory_service", "embedded_service"])
def anywhere(request: pytest.FixtureRequest) -> Iterator[Stand]:
    """A namespace over an in-memory server, and over a real node."""
    stand = fresh(request.getfixturevalue(request.param).url)
    yield stand
    assert stand.send("DELETE", f"{CONTROL}/namespaces/{stand.namespace}").status == 200


@pytest.fixture
def stand(memory_service: RunningService) -> Stand:
    """A namespace over an in-memory server."""
    return fresh(memory_service.url)


@pytest.mark.parametrize("name", WALKED)
def test_a_preset_walks_as_it_says_by_get_and_by_search(name: str, anywhere: Stand) -> None:
    """Read by read: the last state stays; what ends by the clock ends when that is moved."""
    walk = seen(preset_of(name, {}).steps(), preset_of(name, {}).lag())
    anywhere.preset(name)
    anywhere.clock("_stop")

    for read, states in ((anywhere.state, walk.get), (anywhere.searched, walk.search)):
        task_id = anywhere.create(name)
        for state in states:
            assert read(task_id) == state.partition(" for ")[0], (read, states)
            if " for " in state:
                assert read(task_id) == state.partition(" for ")[0]  # however often
                anywhere.advance("30s")
        assert [read(task_id) for _ in range(3)] == [states[-1]] * 3


@pytest.mark.parametrize("name", [name for name in WALKED if preset_of(name, {}).lag() == 0])
def test_get_and_search_count_the_same_reads(name: str, stand: Stand) -> None:
    """Whoever asks now this way and now that sees the same walk; a `_search` shows the very document of a GET."""
    stand.preset(name)
    stand.clock("_stop")
    task_id = stand.create(name)
    states = seen(preset_of(name, {}).steps()).get
    last: dict[str, Any] | None = None
    for number, state in enumerate(states):
        read = (stand.searched, stand.state)[number % 2]
        assert read(task_id) == state.partition(" for ")[0]
        if " for " in state:
            stand.advance("30s")

    if states[-1] != GONE:
        last = stand.task(task_id)
    assert stand.search(task_id) == last


def test_progress_error_and_workers_are_shown(anywhere: Stand) -> None:
    """By both ways of reading; a node's place stands for its id, which is one of the cluster."""
    nodes = list(anywhere.ok("GET", "/_nodes")["nodes"])
    anywhere.tell(
        step("RUNNING", 2, progress=0.25, worker_nodes=["a-node", "b-node"]),
        step("RUNNING", 2, progress=0.75),
        step("FAILED", error="disk full"),
    )
    task_id = anywhere.create("s")

    shown = []
    for read in (anywhere.task, anywhere.search, anywhere.task, anywhere.search):
        task = read(task_id)
        assert task is not None
        shown.append(task["progress"])
        assert task["worker_node"] == ["a-node", "b-node"]
    assert shown == [0.25, 0.25, 0.75, 0.75]
    for read in (anywhere.task, anywhere.search):
        task = read(task_id) or {}
        assert (task["state"], task["error"], task["progress"]) == ("FAILED", "disk full", 0.75)

    failing = anywhere.create({"name": "n", "steps": [step("FAILED", node_errors={"0": "no room"})]})
    task = anywhere.task(failing)
    assert json.loads(task["error"]) == {nodes[0]: "no room"}
    assert task["worker_node"] == [nodes[0]]


def test_the_keys_are_in_the_plugins_order(stand: Stand) -> None:
    """As a recorded task has them."""
    stand.tell(step("COMPLETED", progress=1.0, error="e"))
    task = stand.task(stand.create("s", input_type="DATA_FRAME"))

    wanted = ["model_id", "task_type", "function_name", "state", "input_type", "progress", "worker_node"]
    assert list(task) == [*wanted, "create_time", "last_update_time", "error", "is_async"]


def test_a_real_model_predicts(anywhere: Stand) -> None:
    """COMPLETED comes with what was really trained on the request's rows."""
    anywhere.tell(step("CREATED", 1), step("RUNNING", 2), step("COMPLETED"))
    task_id = anywhere.train()

    assert [anywhere.state(task_id) for _ in range(3)] == ["CREATED", "RUNNING", "RUNNING"]
    task = anywhere.ended(task_id)
    assert task["state"] == "COMPLETED"
    rows = {name: value for name, value in SMALL.items() if name == "input_data"}
    answer = anywhere.ok("POST", f"/_plugins/_ml/_predict/kmeans/{task['model_id']}", rows)
    assert len(answer["prediction_result"]["rows"]) == 9


@pytest.mark.parametrize("said", [None, "a-model"])
def test_a_played_model_is_found(said: str | None, stand: Stand) -> None:
    """By the id that the task says; it is deleted with the scenario's tasks."""
    stand.tell(step("COMPLETED", model="played", **({} if said is None else {"model_id": said})))
    task = stand.task(stand.train())

    assert task["state"] == "COMPLETED"
    assert said in (None, task["model_id"])
    assert stand.ok("GET", f"{MODELS}/{task['model_id']}")["algorithm"] == "KMEANS"
    stand.ok("POST", f"{CONTROL}/scenarios/s/_reset")
    assert stand.send("GET", f"{MODELS}/{task['model_id']}").status == 404


def test_work_that_fails_says_so_in_the_plugins_words(stand: Stand) -> None:
    """FAILED with the error that the task of a real training has."""
    bad = rows_body(3, centroids=-1)
    real = stand.ended(stand.train(body=bad))
    stand.tell(step("RUNNING", 1), step("COMPLETED"))
    played = stand.ended(stand.train(body=bad))

    assert real["state"] == played["state"] == "FAILED"
    assert played["error"] == real["error"]
    assert list(played) == list(real)


def test_played_and_real_documents_have_the_same_fields(stand: Stand) -> None:
    """A poller cannot tell one from the other."""
    real = stand.ended(stand.train())
    stand.tell(step("RUNNING", 1), step("COMPLETED"))
    played = stand.ended(stand.train())

    assert list(played) == list(real)
    assert {name: type(value) for name, value in played.items()} == {name: type(value) for name, value in real.items()}
    other = ("model_id", "create_time", "last_update_time", "worker_node")
    assert {k: v for k, v in played.items() if k not in other} == {k: v for k, v in real.items() if k not in other}


def test_search_lags(stand: Stand) -> None:
    """`_search` shows what a GET saw so many reads ago; in the end both are the same, and stay so."""
    stand.preset("search_lag", reads=2)
    task_id = stand.create("search_lag")

    assert [stand.state(task_id) for _ in range(2)] == ["RUNNING", "COMPLETED"]
    assert [stand.searched(task_id) for _ in range(3)] == ["RUNNING", "COMPLETED", "COMPLETED"]


@pytest.mark.parametrize("way", ["state", "searched"])
def test_a_task_is_not_found_at_first_and_another_vanishes(way: str, stand: Stand) -> None:
    """However it is read; a real model comes all the same."""
    stand.preset("not_found_at_first", reads=2)
    late = stand.train()
    read = getattr(stand, way)

    assert [read(late) for _ in range(3)] == [GONE, GONE, "RUNNING"]
    assert stand.ended(late)["state"] == "COMPLETED"
    stand.ok("DELETE", f"{CONTROL}/scenarios")
    stand.preset("vanishes", reads=2)
    going = stand.train()
    assert [read(going) for _ in range(4)] == ["RUNNING", "RUNNING", GONE, GONE]


def test_the_limit_is_exceeded_as_recorded(stand: Stand) -> None:
    """Status, body and content type are those of the plugin's answer; no task is stored."""
    recorded = next(it for it in answers(LIMITED) if "reach limitation" in json.dumps(it.get("json")))
    stand.preset("limit_exceeded")
    answer = stand.send("POST", f"{TRAIN}?async=true", SMALL)

    assert answer.status == recorded["status"]
    assert answer.payload == json.dumps(recorded["json"], separators=(",", ":")).encode()
    assert set(recorded["headers"]) <= set(answer.headers)
    assert answer.headers["Content-Type"] == recorded["headers"]["Content-Type"]
    assert stand.states() == {}


def test_a_refusal_of_ones_own(stand: Stand) -> None:
    """It has the status, type and reason that it was told, in the envelope."""
    stand.tell(refuse={"status": 429, "type": "rejected_execution_exception", "reason": "busy"}, times=1)
    answer = stand.send("POST", f"{TRAIN}?async=true", SMALL)

    assert answer.status == 429
    assert as_envelope(answer)["reason"] == "busy"
    assert stand.ended(stand.train())["state"] == "COMPLETED"


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        ({}, True),
        ({"task_type": "TRAINING"}, True),
        ({"task_type": "PREDICTION"}, False),
        ({"function_name": "KMEANS"}, True),
        ({"function_name": "FIT_RCF"}, False),
        ({"index": "ir*"}, True),
        ({"index": "other"}, False),
        ({"opaque_id": "nightly-*"}, True),
        ({"opaque_id": "daily-*"}, False),
        ({"model": "m"}, False),
        ({"function_name": "KMEANS", "index": "iris", "opaque_id": "nightly-7", "task_type": "TRAINING"}, True),
        ({"function_name": "KMEANS", "index": "iris", "opaque_id": "nightly-8"}, False),
    ],
)
def test_a_scenario_is_for_the_tasks_that_match(match: dict[str, str], fits: bool, stand: Stand) -> None:
    """All that is said must fit; without a scenario the work is real."""
    Stand(stand.url).load_iris()
    stand.tell(step("EXPIRED"), match=match)
    query = {"input_query": {"_source": ["petal_width"], "size": 50}, "input_index": ["iris"]}
    task = stand.ended if not fits else stand.task
    task_id = stand.train("nightly-7", {"parameters": {"centroids": 2}, **query})

    assert task(task_id)["state"] == ("EXPIRED" if fits else "COMPLETED")
    assert stand.ok("GET", f"{CONTROL}/scenarios/s")["matched"] == int(fits)


def test_the_first_scenario_with_times_left_takes_a_task(stand: Stand) -> None:
    """In the order in which they were told; one that is told anew keeps its place and counts anew."""
    stand.tell(step("EXPIRED"), name="first", times=1)
    stand.tell(step("UNREACHABLE"), name="second", times=1)
    stand.tell(step("CANCELLED"), name="third")

    states = [stand.state(stand.train()) for _ in range(4)]
    stand.tell(step("FAILED"), name="first", times=1)

    assert states == ["EXPIRED", "UNREACHABLE", "CANCELLED", "CANCELLED"]
    assert [stand.state(stand.train()) for _ in range(2)] == ["FAILED", "CANCELLED"]
    assert [it["name"] for it in stand.ok("GET", f"{CONTROL}/scenarios")["scenarios"]] == ["first", "second", "third"]


def test_a_task_of_another_type_is_played(stand: Stand) -> None:
    """A deploy says its model; a scenario matches by that."""
    stand.tell(step("COMPLETED_WITH_ERROR", node_errors={"0": "x"}), match={"model": "m1", "task_type": "DEPLOY_MODEL"})
    task_id = stand.create(task_type="DEPLOY_MODEL", function_name="TEXT_EMBEDDING", model_id="m1")

    task = stand.task(task_id)
    assert (task["model_id"], task["task_type"], task["state"]) == ("m1", "DEPLOY_MODEL", "COMPLETED_WITH_ERROR")
    refused = stand.send(
        "POST", f"{CONTROL}/tasks", {"task_type": "DEPLOY_MODEL", "function_name": "TEXT_EMBEDDING", "model_id": "m2"}
    )
    assert refused.status == 400
    assert "no scenario matches" in as_envelope(refused)["reason"]


def test_a_running_task_is_not_deleted_an_ended_one_is(stand: Stand) -> None:
    """The plugin's refusal; looking for the state is no read."""
    stand.tell(step("RUNNING", 2), step("COMPLETED"))
    task_id = stand.train()

    refused = stand.send("DELETE", f"{TASKS}/{task_id}")
    assert refused.status == 500
    assert as_envelope(refused)["reason"] == "Task cannot be deleted in running state. Try after some time."
    assert [stand.state(task_id) for _ in range(2)] == ["RUNNING", "RUNNING"]
    assert stand.ended(task_id)["state"] == "COMPLETED"
    deleted = stand.ok("DELETE", f"{TASKS}/{task_id}")
    assert (deleted["result"], deleted["_index"]) == ("deleted", ".plugins-ml-task")
    assert (stand.state(task_id), stand.searched(task_id)) == (GONE, GONE)


def test_a_task_that_still_plays_is_deleted_for_good(stand: Stand) -> None:
    """It does not come back with a later read, nor with its real work."""
    stand.tell(step("CREATED", 3), step("RUNNING", 1), step("COMPLETED"))
    task_id = stand.train()

    stand.ok("DELETE", f"{TASKS}/{task_id}")
    assert [stand.state(task_id) for _ in range(5)] == [GONE] * 5


def test_a_task_may_be_gone_for_a_while(anywhere: Stand) -> None:
    """There, not there, there again: as a shard that was away."""
    anywhere.tell(step("RUNNING", 2), step("ABSENT", 2), step("RUNNING", 1), step("COMPLETED"))
    task_id = anywhere.create("s")

    wanted = ["RUNNING", "RUNNING", GONE, GONE, "RUNNING", "COMPLETED", "COMPLETED"]
    assert [anywhere.state(task_id) for _ in wanted] == wanted


def answers(recording: Any) -> list[dict[str, Any]]:
    """Return the answers of a recording, wherever they stand in it."""
    if isinstance(recording, dict):
        found = [recording] if "headers" in recording else []
        return [*found, *(it for value in recording.values() for it in answers(value))]
    return [it for value in recording for it in answers(value)] if isinstance(recording, list) else []


def test_an_id_search_counts_only_what_it_finds(stand: Stand) -> None:
    """A read of one task is none of another."""
    stand.tell(step("RUNNING", 2), step("COMPLETED"))
    one, other = stand.create("s"), stand.create("s")
    for _ in range(3):
        stand.ok("POST", f"{TASKS}/_search", by_id(one))

    assert stand.state(one) == "COMPLETED"
    assert [stand.state(other) for _ in range(3)] == ["RUNNING", "RUNNING", "COMPLETED"]


def test_times_are_exact_by_a_clock_that_is_stopped_and_moved(anywhere: Stand) -> None:
    """Each step begins when the one before it ends, however late somebody looks; real work changes nothing of that."""
    anywhere.clock("_stop", body={"at": 1_700_000_000_000})
    seconds = {"lasts": {"seconds": 10.5}}
    anywhere.tell(step("CREATED", **seconds), step("RUNNING", **seconds), step("COMPLETED"))
    task_id = anywhere.train()

    shown = []
    for by in ("1ms", "10499ms", "10499ms", "60s"):
        task = anywhere.task(task_id)
        shown.append(
            (task["state"], task["create_time"] - 1_700_000_000_000, task["last_update_time"] - 1_700_000_000_000)
        )
        anywhere.advance(by)
    task = anywhere.task(task_id)

    assert shown == [("CREATED", 0, 0), ("CREATED", 0, 0), ("RUNNING", 0, 10_500), ("RUNNING", 0, 10_500)]
    assert (task["state"], task["last_update_time"]) == ("COMPLETED", 1_700_000_021_000)
    assert anywhere.search(task_id) == task
    assert anywhere.clock()["now"] == 1_700_000_081_000 - 1


def test_a_clock_that_jumps_while_a_training_works_does_not_make_it_late(stand: Stand) -> None:
    """What the training took by the machine's time is all that it may take."""
    stand.clock("_stop")
    stand.preset("slow", seconds=30)
    task_id = stand.train()
    stand.advance("1h")

    task = stand.ended(task_id)
    assert task["last_update_time"] - task["create_time"] == 30_000


def test_ids_follow_from_a_seed(stand: Stand) -> None:
    """The same after a reset, others under another seed, random without one."""

    def ids(seed: int) -> list[str]:
        stand.ok("PUT", f"{CONTROL}/ids", {"seed": seed})
        stand.tell(step("COMPLETED", model="played"), times=2)
        tasks = [stand.train() for _ in range(3)]
        found = [*tasks, *(stand.ended(task_id)["model_id"] for task_id in tasks)]
        stand.reset()
        return found

    first, again, other = ids(7), ids(7), ids(8)
    assert first == again
    assert not set(first) & set(other)
    assert len(set(first)) == len(first)
    stand.ok("PUT", f"{CONTROL}/ids", {"seed": 7})
    stand.ok("DELETE", f"{CONTROL}/ids")
    assert stand.train() not in first
