"""Trainings on a Dask cluster: their workers die, its scheduler goes, and the service lives on."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from mlcommons_tasks.cancellation import Cancelled
from mlcommons_tasks.execution import dask_link, dask_pool
from mlcommons_tasks.execution.executors import WorkerDied
from tests import crowds
from tests.clients import TRAIN, Client
from tests.dask_clusters import DaskCluster, dask_cluster, die, ignore, obey, where
from tests.integration.test_starts_that_fail import failed
from tests.native_tasks import MANY_ITERATIONS, trainings
from tests.services import service, wait_until
from tests.unit.doubles import PATIENCE_S, a_watch
from tests.upstreams import free_port, osmem

OBEYED_S = 5.0  #: how soon a cancelled training is over, as far as the service is asked
GIVEN_UP_S = 60.0  #: how soon trainings end whose scheduler is gone
SECONDS = 40_000  #: iterations


def rounds(client: Client, task: str) -> int:
    """Return how far a training says it is, 0 before its fit."""
    return int(client.ok("GET", f"/_tasks/{task}")["task"].get("status", {}).get("iteration", 0))


@pytest.fixture
def cluster() -> Iterator[DaskCluster]:
    with dask_cluster() as running:
        yield running


@pytest.fixture
def pool(cluster: DaskCluster) -> Iterator[dask_pool.DaskPool]:
    found = dask_pool.DaskPool(dask_pool.DaskCluster(cluster.address), 8)
    yield found
    found.close()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as found:
        yield found


def test_a_job_reports_and_stops_when_it_is_told(pool: dask_pool.DaskPool, threads: ThreadPoolExecutor) -> None:
    """Both workers do the next ones; a job that does not look is left alone, and goes on beside them."""
    for job in (obey, ignore):
        live = a_watch()
        future = threads.submit(pool.run, job, watch=live)
        process = wait_until(lambda: live.snapshot().iteration, deadline_s=PATIENCE_S, what="a report")  # noqa: B023
        began = time.monotonic()
        live.cancel(1)
        with pytest.raises(Cancelled):
            future.result(PATIENCE_S)
        assert time.monotonic() - began < OBEYED_S
        found = {each.result(PATIENCE_S) for each in [threads.submit(pool.run, where) for _ in range(8)]}
        assert process != os.getpid()
        assert process in found
        assert len(found) == 2


def test_a_job_whose_worker_dies_is_done_by_another(
    cluster: DaskCluster, pool: dask_pool.DaskPool, threads: ThreadPoolExecutor
) -> None:
    """The scheduler sees to that; one that ends each worker it gets is given up, and says why."""
    live = a_watch()
    future = threads.submit(pool.run, obey, watch=live)
    first = wait_until(lambda: live.snapshot().iteration, deadline_s=PATIENCE_S, what="a report")
    next(worker for worker in cluster.workers if worker.pid == first).kill()
    wait_until(lambda: live.snapshot().iteration != first, deadline_s=PATIENCE_S, what="a report from elsewhere")
    live.cancel(1)
    with pytest.raises(Cancelled):
        future.result(PATIENCE_S)
    for _ in range(4):
        cluster.start_worker()
    cluster.await_workers(5)
    with pytest.raises(WorkerDied, match="the Dask workers that ran the training died, one after another"):
        pool.run(die)
    assert pool.run(where) != os.getpid()


def test_a_cluster_without_workers_is_not_waited_for_without_end(
    cluster: DaskCluster, pool: dask_pool.DaskPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody may start one meanwhile."""
    monkeypatch.setattr(dask_link, "BARREN_S", 2.0)
    for worker in cluster.workers:
        worker.kill()
    with pytest.raises(WorkerDied, match=r"the Dask cluster at tcp://.* has no workers"):
        pool.run(where)
    cluster.start_worker()
    cluster.await_workers(1)
    wait_until(lambda: dask_link.DaskLink.problem(pool._link) is None, what="the worker to be seen")
    assert pool.run(where) == cluster.workers[-1].pid


def test_a_job_is_sent_again_when_the_scheduler_comes_back_soon(
    cluster: DaskCluster, pool: dask_pool.DaskPool, threads: ThreadPoolExecutor
) -> None:
    """It has forgotten everything; whoever waits for the job does not notice, and hears of it again."""
    live = a_watch()
    future = threads.submit(pool.run, obey, watch=live)
    wait_until(lambda: live.snapshot().iteration, deadline_s=PATIENCE_S, what="a report")
    assert cluster.scheduler is not None
    for process in (*cluster.workers, cluster.scheduler):
        process.kill()
    cluster.start_scheduler()
    again = cluster.start_worker().pid
    wait_until(lambda: live.snapshot().iteration == again, deadline_s=GIVEN_UP_S, what="a report from the new worker")
    live.cancel(1)
    with pytest.raises(Cancelled):
        future.result(PATIENCE_S)


def test_the_close_leaves_no_job(cluster: DaskCluster, pool: dask_pool.DaskPool, threads: ThreadPoolExecutor) -> None:
    """Neither one that runs nor one that waits."""
    lives = [a_watch() for _ in range(3)]
    futures = [threads.submit(pool.run, obey, watch=live) for live in lives]
    wait_until(lambda: sum(bool(live.snapshot().iteration) for live in lives) == 2, what="two that run")
    began = time.monotonic()
    pool.close()
    for future in futures:
        with pytest.raises(WorkerDied, match="the service is stopping"):
            future.result(PATIENCE_S)
    assert time.monotonic() - began < OBEYED_S
    wait_until(lambda: cluster.jobs() == 0, deadline_s=OBEYED_S, what="a cluster without jobs")
    with pytest.raises(WorkerDied, match="the service is stopping"):
        pool.run(where)


def test_a_service_trains_there_and_lives_on_when_the_scheduler_goes(cluster: DaskCluster) -> None:
    """Fifty trainings, one more whose worker is killed, two whose scheduler is, and one with a scheduler again."""
    flags = ("--dask", cluster.address, "--trainings", "8", "--grace", "0")
    with osmem() as opensearch, service("--opensearch", opensearch.url, *flags) as running:
        client = Client(running.url)
        began = crowds.start([client], [crowds.inline(1000)] * 50)
        assert {client.ended(task_id)["state"] for task_id in began} == {"COMPLETED"}, cluster.log()

        both = [client.train_async(crowds.inline(4 * SECONDS)) for _ in range(2)]
        wait_until(lambda: {client.task(task_id)["state"] for task_id in both} == {"RUNNING"}, what="both to run")
        cluster.workers[0].kill()
        assert [client.ended(task_id)["state"] for task_id in both] == ["COMPLETED"] * 2, cluster.log()

        cancelled = client.train_async(crowds.inline(MANY_ITERATIONS))
        at = wait_until(lambda: [task for task in trainings(client, cancelled) if rounds(client, task)])
        since = time.monotonic()
        client.ok("POST", f"/_tasks/{at[0]}/_cancel")
        assert client.ended(cancelled)["state"] == "CANCELLED"
        assert time.monotonic() - since < OBEYED_S

        both = [client.train_async(crowds.inline(MANY_ITERATIONS)) for _ in range(2)]
        wait_until(lambda: {client.task(task_id)["state"] for task_id in both} == {"RUNNING"}, what="both to run")
        assert cluster.scheduler is not None
        cluster.scheduler.kill()
        since = time.monotonic()
        ends = [client.ended(task_id, deadline_s=GIVEN_UP_S) for task_id in both]
        assert time.monotonic() - since < GIVEN_UP_S
        assert [end["state"] for end in ends] == ["FAILED"] * 2
        assert all(f"the Dask scheduler at {cluster.address} is away" in end["error"] for end in ends), ends
        refused = client.send("POST", TRAIN, crowds.inline(10))
        assert refused.status == 503
        assert b"is away" in refused.payload

        cluster.start_scheduler()
        cluster.start_worker()
        cluster.await_workers(1)
        wait_until(lambda: client.send("POST", TRAIN, crowds.inline(10)).status == 200, what="a training that works")

        client.train_async(crowds.inline(MANY_ITERATIONS))
        wait_until(cluster.jobs, what="a job")
        assert running.stop() == 0
        wait_until(lambda: cluster.jobs() == 0, deadline_s=OBEYED_S, what="a cluster without jobs")


def test_a_service_that_is_killed_leaves_no_job(cluster: DaskCluster) -> None:
    """Dask forgets the jobs of a client that is gone, and a job sees that."""
    with osmem() as opensearch, service("--opensearch", opensearch.url, "--dask", cluster.address) as running:
        Client(running.url).train_async(crowds.inline(MANY_ITERATIONS))
        wait_until(cluster.jobs, what="a job")
        running.process.kill()
        running.process.wait()
        wait_until(lambda: cluster.jobs() == 0, deadline_s=OBEYED_S * 3, what="a cluster without jobs")


def test_a_start_without_a_scheduler_is_refused() -> None:
    """Within seconds, with what to do."""
    began = time.monotonic()
    said = failed("--opensearch", "memory", "--dask", f"tcp://127.0.0.1:{free_port()}")
    assert "there is no Dask scheduler at tcp://127.0.0.1:" in said
    assert "dask scheduler" in said
    assert time.monotonic() - began < 20
