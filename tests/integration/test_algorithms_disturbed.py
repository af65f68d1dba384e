"""Trainings and predictions that are cancelled, whose process is killed, whose model, OpenSearch or service goes."""

from __future__ import annotations

import functools
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psutil
import pytest

from tests.algorithms.plugin_results import body_of
from tests.clients import MODELS, Answer, Client, as_envelope, rows_body
from tests.integration.test_training import training_processes
from tests.native_tasks import is_running, tasks_of
from tests.services import STOP_S, Service, service, wait_until
from tests.upstreams import osmem

ML = "/_plugins/_ml"
ACTIONS = "cluster:admin/opensearch/ml/*"
OBEYED_S = 2.0  #: how soon who cancelled sees the end
BUSY_S = 0.3  #: of CPU time: a process that has begun with its job
POLLED_S = 3
POLL_S = 0.05  #: what 99 of 100 polls stay below
ROWS = 10_000
MANY_TREES = {"number_of_trees": 1000}
#: Trainings that take half a minute and more: their parameters, and their rows.
LONG: dict[str, tuple[dict[str, Any], int]] = {
    "kmeans": ({"centroids": 3000, "iterations": 10_000, "distance_type": "COSINE"}, ROWS),
    "linear_regression": ({"target": "a", "epochs": 1_000_000}, ROWS),
    "logistic_regression": ({"target": "kind", "epochs": 1_000_000}, ROWS),
    "batch_rcf": ({**MANY_TREES, "sample_size": 1000}, 3 * ROWS),
    "fit_rcf": (MANY_TREES, 3 * ROWS),
    "rcf_summarize": ({"max_k": 99, "initial_k": 5000, "phase1_reassign": True}, ROWS // 2 - 1),
    "ad_libsvm": ({"nu": 0.5}, 4 * ROWS),
}
#: What is trained quickly, and takes long to predict: the parameters, the rows of the training, those to predict.
SLOW: dict[str, tuple[dict[str, Any], int, int]] = {
    "kmeans": ({"centroids": 100_000, "iterations": 1}, 5, ROWS),
    "batch_rcf": ({"number_of_trees": 300}, 500, ROWS),
    "fit_rcf": ({"number_of_trees": 100}, 500, ROWS),
}


@pytest.fixture(scope="module")
def running() -> Iterator[Service]:
    """A service over memory, whose processes may be killed."""
    with service("--opensearch", "memory", "--trainings", "2") as found:
        yield found


@pytest.fixture
def client(running: Service) -> Client:
    return Client(running.url)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as found:
        yield found


@functools.cache
def rows(algorithm: str, count: int) -> dict[str, Any]:
    """Return a body of so many rows that has no parameters."""
    chance = random.Random(3)
    columns: dict[str, list[Any]] = {name: [round(chance.gauss(0, 1), 3) for _ in range(count)] for name in "ab"}
    if algorithm == "fit_rcf":
        columns["timestamp"] = [60_000 * row for row in range(count)]
    if algorithm == "logistic_regression":
        columns["kind"] = [("red", "green", "blue")[row % 3] for row in range(count)]
    return body_of(None, columns)


@functools.cache
def payload(algorithm: str, count: int, parameters: str = "") -> bytes:
    """Return the same as bytes, with parameters, which are JSON."""
    with_parameters = {"parameters": json.loads(parameters)} if parameters else {}
    return json.dumps({**with_parameters, **rows(algorithm, count)}).encode()


def long_training(algorithm: str) -> bytes:
    parameters, count = LONG[algorithm]
    return payload(algorithm, count, json.dumps(parameters))


def slow_prediction(client: Client, algorithm: str) -> Callable[[], Answer]:
    """Train a model that is slow; return what asks it."""
    parameters, few, many = SLOW[algorithm]
    model = client.ok("POST", f"{ML}/_train/{algorithm}", payload(algorithm, few, json.dumps(parameters)))
    return functools.partial(
        client.send, "POST", f"{ML}/_predict/{algorithm}/{model['model_id']}", payload(algorithm, many)
    )


def at_work(running: Service, besides: tuple[int, ...] = ()) -> psutil.Process:
    """Return the process of a pool that works on a job."""
    seen: dict[int, float] = {}

    def busy() -> psutil.Process | None:
        for process in training_processes(running):
            if process.pid in besides:
                continue
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            if times.user - seen.setdefault(process.pid, times.user) > BUSY_S:
                return process
        return None

    found = wait_until(busy, what="a process at work")
    assert isinstance(found, psutil.Process)
    return found


def cancel(running: Service, client: Client, action: str) -> tuple[str, float]:
    """Cancel what runs, of an action, once it is at work; return its id and when it was cancelled."""
    found = wait_until(lambda: tasks_of(client, f"cluster:admin/opensearch/ml/{action}"), what="the task")
    (task_id,) = found
    at_work(running)
    began = time.monotonic()
    client.ok("POST", f"/_tasks/{task_id}/_cancel")
    return task_id, began


def assert_cancelled(client: Client, asking: Future[Answer], task_id: str, began: float) -> None:
    answer = asking.result(STOP_S)
    assert time.monotonic() - began < OBEYED_S
    assert as_envelope(answer)["type"] == "task_cancelled_exception", answer.payload
    wait_until(
        lambda: not is_running(client, task_id), deadline_s=OBEYED_S, what="its end"
    )  # its trace is deleted later
    assert client.send("POST", f"{ML}/_train/kmeans", rows_body()).status == 200, "the service goes on"


@pytest.mark.parametrize("algorithm", LONG)
def test_a_cancelled_training_is_over_soon(running: Service, client: Client, algorithm: str) -> None:
    """Within 2 s, whatever the algorithm is at; no model is left, and the next training has a process."""
    task_id = client.ok("POST", f"{ML}/_train/{algorithm}?async=true", long_training(algorithm))["task_id"]
    _, began = cancel(running, client, "train")
    task = client.ended(task_id)
    wait_until(lambda: not tasks_of(client, ACTIONS), deadline_s=STOP_S, what="no task in _tasks")
    assert time.monotonic() - began < OBEYED_S
    assert task["state"] == "CANCELLED", task
    assert "model_id" not in task
    assert client.send("POST", f"{ML}/_train/kmeans", rows_body()).status == 200


@pytest.mark.parametrize("algorithm", ["batch_rcf", "fit_rcf", "kmeans", "rcf_summarize"])
def test_a_cancelled_training_with_prediction_is_over_soon(
    running: Service, client: Client, threads: ThreadPoolExecutor, algorithm: str
) -> None:
    """Who waits for it is told."""
    asking = threads.submit(client.send, "POST", f"{ML}/_train_predict/{algorithm}", long_training(algorithm))
    assert_cancelled(client, asking, *cancel(running, client, "trainAndPredict"))


@pytest.mark.parametrize("algorithm", SLOW)
def test_a_cancelled_prediction_is_over_soon(
    running: Service, client: Client, threads: ThreadPoolExecutor, algorithm: str
) -> None:
    """Its process is ended if it does not look; one beside it does not notice."""
    ask = slow_prediction(client, algorithm)
    asking = threads.submit(ask)
    found = cancel(running, client, "predict")
    others = [threads.submit(client.send, "POST", f"{ML}/_train_predict/kmeans", rows_body()) for _ in range(4)]
    assert_cancelled(client, asking, *found)
    assert [other.result(STOP_S).status for other in others] == [200] * 4
    assert "Traceback" not in running.log.read_text()


def test_a_prediction_beside_a_cancelled_one_is_done(
    running: Service, client: Client, threads: ThreadPoolExecutor
) -> None:
    """Of two the second goes on, in a process of its own."""
    ask = slow_prediction(client, "batch_rcf")
    first = threads.submit(ask)
    found = cancel(running, client, "predict")
    second = threads.submit(ask)
    assert_cancelled(client, first, *found)
    assert second.result(60).status == 200


def test_a_prediction_whose_process_is_killed_is_answered(
    running: Service, client: Client, threads: ThreadPoolExecutor
) -> None:
    """Killed once it is done again; killed twice it is a 503, and the next one is answered."""
    ask = slow_prediction(client, "batch_rcf")
    wanted = ask()
    assert wanted.status == 200
    asking = threads.submit(ask)
    at_work(running).kill()
    assert asking.result(60).payload == wanted.payload
    asking = threads.submit(ask)
    first = at_work(running)
    first.kill()
    at_work(running, (first.pid,)).kill()
    error = as_envelope(asking.result(60))
    assert (asking.result().status, error["reason"]) == (503, "the process that ran the training died")
    assert ask().payload == wanted.payload


def test_a_model_may_be_deleted_while_it_predicts(
    running: Service, client: Client, threads: ThreadPoolExecutor
) -> None:
    """What has begun is answered; what comes later finds no model."""
    ask = slow_prediction(client, "fit_rcf")
    asking = threads.submit(ask)
    at_work(running)
    client.ok("DELETE", f"{MODELS}/{ask.args[1].rsplit('/', 1)[1]}")  # type: ignore[attr-defined]
    assert asking.result(60).status == 200
    assert ask().status == 404


@pytest.mark.embedded
def test_polls_are_fast_while_both_cores_are_busy(embedded_service: Service, threads: ThreadPoolExecutor) -> None:
    """99 of 100 GETs of a task take less than 50 ms while trainings and predictions take all there is.

    The best second counts: what else the machine does is not the service's.
    """
    client = Client(embedded_service.url)
    done = client.ok("POST", f"{ML}/_train/kmeans?async=true", rows_body())["task_id"]
    client.ended(done)
    asks = [slow_prediction(client, "batch_rcf"), slow_prediction(client, "fit_rcf")]
    over = threading.Event()

    def again(ask: Callable[[], Answer]) -> None:
        while not over.is_set():
            answer = ask()
            assert answer.status == 200 or (over.is_set() and b"task_cancelled_exception" in answer.payload)

    long = [client.ok("POST", f"{ML}/_train/{name}?async=true", long_training(name)) for name in ("fit_rcf", "kmeans")]
    working = [threads.submit(again, ask) for ask in asks]
    at_work(embedded_service)
    seconds = [polled_for_a_second(client, done) for _ in range(POLLED_S)]
    over.set()
    for task_id in tasks_of(client, ACTIONS):
        client.ok("POST", f"/_tasks/{task_id}/_cancel")
    for each in working:
        each.result(STOP_S)
    for each in long:
        assert client.ended(each["task_id"])["state"] == "CANCELLED"
    slowest = [times[int(len(times) * 0.99)] for times in seconds]
    assert min(slowest) < POLL_S, f"{[len(times) for times in seconds]} polls, 99 of 100 within: {slowest}"


def polled_for_a_second(client: Client, task_id: str) -> list[float]:
    """Return how long each GET of a task took, the slowest last."""
    times = []
    until = time.monotonic() + 1
    while time.monotonic() < until:
        began = time.monotonic()
        assert client.task(task_id)["state"] == "COMPLETED"
        times.append(time.monotonic() - began)
    return sorted(times)


def test_a_service_that_stops_does_not_wait_for_predictions(threads: ThreadPoolExecutor) -> None:
    """Who waits for one is told, and the service has ended in time."""
    with service("--opensearch", "memory") as running:
        ask = slow_prediction(Client(running.url), "batch_rcf")
        asking = [threads.submit(ask) for _ in range(3)]
        at_work(running)
        began = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - began < STOP_S
        answers = [each.result(STOP_S) for each in asking]
        assert [answer.status for answer in answers] == [503] * 3
        assert as_envelope(answers[0])["reason"] == "the service is stopping"
        assert "Traceback" not in running.log.read_text(), running.log.read_text()


def test_predictions_say_that_opensearch_is_away() -> None:
    """Whatever route it is, it is a 503 in OpenSearch's envelope."""
    with osmem() as server, service("--opensearch", server.url) as running:
        client = Client(running.url)
        model = client.ok("POST", f"{ML}/_train/kmeans", rows_body())["model_id"]
        server.close()
        query = {"input_query": {"query": {"match_all": {}}}, "input_index": ["x"]}
        for path, body in (
            (f"_predict/kmeans/{model}", rows_body()),
            (f"models/{model}/_predict", rows_body()),
            ("_train_predict/kmeans", query),
        ):
            answer = client.send("POST", f"{ML}/{path}", body)
            assert answer.status == 503, answer.payload
            as_envelope(answer)
        assert "Traceback" not in running.log.read_text()
