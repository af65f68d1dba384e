"""What an application runs on: the cluster below it, and for each namespace the tasks and those who work on them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from mlcommons_tasks.clock import Clock
from mlcommons_tasks.config import EMBEDDED, MEMORY, Settings, SettingsError
from mlcommons_tasks.execution.calls import Calls
from mlcommons_tasks.execution.cluster_tasks import ClusterTasks
from mlcommons_tasks.execution.current_settings import CurrentSettings
from mlcommons_tasks.execution.dask_pool import DaskCluster, DaskPool
from mlcommons_tasks.execution.dispatcher import Dispatcher
from mlcommons_tasks.execution.execution import Execution
from mlcommons_tasks.execution.executors import Pool, TrainingPool
from mlcommons_tasks.execution.handover import Handover
from mlcommons_tasks.execution.localization import Localizer
from mlcommons_tasks.execution.membership import Membership
from mlcommons_tasks.execution.queue import Queue
from mlcommons_tasks.execution.recovery import Recovery
from mlcommons_tasks.execution.registry import Registry
from mlcommons_tasks.execution.retention import Retention
from mlcommons_tasks.execution.runner import TaskRunner
from mlcommons_tasks.execution.sync_up import SyncUp
from mlcommons_tasks.execution.training import Trainer, warm_up
from mlcommons_tasks.store.aggregations import AggregationIndex
from mlcommons_tasks.store.batches import Batches
from mlcommons_tasks.store.cluster import Cluster, ClusterFacts, wait_for_cluster
from mlcommons_tasks.store.cluster_tasks import ClusterTaskStore
from mlcommons_tasks.store.connection import Client, open_client
from mlcommons_tasks.store.documents import new_document_id
from mlcommons_tasks.store.endpoint import Endpoint
from mlcommons_tasks.store.models import ModelStore
from mlcommons_tasks.store.names import MAIN, names_of
from mlcommons_tasks.store.pruning import Pruner
from mlcommons_tasks.store.settings import PluginSettings, SettingsStore
from mlcommons_tasks.store.sources import SourceIndex
from mlcommons_tasks.store.tasks import TaskStore
from mlcommons_tasks.store.upstream import Upstream
from mlcommons_tasks.store.worker_nodes import WorkerNodes
from mlcommons_tasks.versions import Profile

FIRST_WITH_VERSION_HEADER = 3  #: the first major version of OpenSearch that says its version in every answer

NewId = Callable[[], str]


class Caretaker(Protocol):
    """Who does something from time to time, in a thread."""

    def start(self) -> None:
        """Begin."""

    def close(self) -> None:
        """Do no more of it."""


class Emulation(Protocol):
    """The emulator of a service, as far as the service has to know it."""

    @property
    def is_shared(self) -> bool:
        """Whether other processes serve the same namespaces."""

    def is_quiet(self) -> bool:
        """Say whether requests of the main namespace are answered as they would be without an emulator."""

    def note(self, address: str, request: bytes, reply: bytes, took_in_millis: float) -> None:
        """Take note of a request of the main namespace and its reply, both as they were on the wire."""

    def close(self) -> None:
        """Do nothing any more by itself."""


@dataclass
class Space:
    """One namespace: its tasks, its models, its time, and those who work on them."""

    name: str
    clock: Clock
    tasks: TaskStore
    models: ModelStore
    registry: Registry
    membership: Membership
    cluster_tasks: ClusterTasks
    dispatcher: Dispatcher
    runner: TaskRunner
    calls: Calls
    execution: Execution
    traces: ClusterTaskStore
    #: those who look after trainings from time to time: time-outs, what dead processes left behind, what is pruned
    caretakers: list[Caretaker]
    closed: bool = field(default=False)

    def start(self) -> None:
        """Begin with what is done without a request."""
        if self.name == MAIN:  # of others most never train
            self.membership.join_in_background()
        for caretaker in self.caretakers:
            caretaker.start()

    def end_trainings(self, grace_s: float) -> None:
        """Let trainings end for `grace_s` seconds, then hand over or fail the others; requests are answered still."""
        if self.closed:
            return
        self.closed = True
        for caretaker in self.caretakers:
            caretaker.close()
        self.runner.close(grace_s)
        self.registry.close()
        self.membership.close()


@dataclass
class Service:
    """What one application runs on; `close` ends it."""

    settings: Settings
    profile: Profile
    facts: ClusterFacts
    upstream: Upstream
    client: Client
    batches: Batches
    sources: SourceIndex
    nodes: WorkerNodes
    ml_settings: SettingsStore
    current_settings: CurrentSettings
    pools: list[Pool]
    trainer: Trainer
    queue: Queue
    #: what `X-OpenSearch-Version` says, None where the version that is emulated has no such header
    version: str | None
    spaces: list[Space] = field(default_factory=list)
    emulation: Emulation | None = None  #: what moves played tasks, where there is an emulator
    closed: bool = field(default=False)

    def open_space(self, name: str, clock: Clock, new_id: NewId = new_document_id) -> Space:
        """Build a namespace, once for each name in a process; the caller starts it."""
        space = self._space(name, clock, new_id)
        self.spaces.append(space)
        return space

    def close_space(self, space: Space) -> None:
        """End what runs in a namespace, at once."""
        self.spaces.remove(space)
        space.end_trainings(0.0)

    def _space(self, name: str, clock: Clock, new_id: NewId) -> Space:
        settings, profile = self.settings, self.profile
        names = names_of(name)
        tasks = TaskStore(self.client, self.upstream, profile, self.batches, index=names.tasks, new_id=new_id)
        models = ModelStore(self.client, self.upstream, profile, self.batches, index=names.models, new_id=new_id)
        traces = ClusterTaskStore(self.client, self.upstream, index=names.cluster_tasks)
        registry = Registry(traces, clock, settings.lease)
        membership = Membership(registry.owner, traces, clock, settings.lease)
        cluster_tasks = ClusterTasks(registry, membership, traces, tasks, clock)
        dispatcher = Dispatcher(self.current_settings, self.nodes, cluster_tasks.running, profile)
        runner = TaskRunner(
            tasks,
            models,
            self.trainer,
            registry,
            membership,
            dispatcher.next_worker_node,
            clock,
            queue=self.queue,
            asks_callers=self.facts.is_secured,
            handover=Handover(traces, registry),
        )
        caretakers: list[Caretaker] = [
            SyncUp(self.current_settings, runner, models.index_exists, clock),
            Recovery(traces, registry, tasks, models, runner, clock, settings.lease),
        ]
        if settings.retain_in_millis is not None:
            pruner = Pruner(self.client, tasks=names.tasks, results=names.cluster_tasks)
            caretakers.append(Retention(pruner, clock, settings.retain_in_millis))
        return Space(
            name=name,
            clock=clock,
            tasks=tasks,
            models=models,
            registry=registry,
            membership=membership,
            cluster_tasks=cluster_tasks,
            dispatcher=dispatcher,
            runner=runner,
            calls=Calls(models, self.trainer, registry, membership, dispatcher, clock, self.queue),
            execution=Execution(Localizer(AggregationIndex(self.upstream)), dispatcher.next_worker_node),
            traces=traces,
            caretakers=caretakers,
        )

    def end_trainings(self, grace_s: float) -> None:
        """Let trainings end for `grace_s` seconds, then hand over or fail the others; requests are answered still."""
        if self.emulation is not None:
            self.emulation.close()
        threads = [threading.Thread(target=space.end_trainings, args=(grace_s,)) for space in self.spaces]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for pool in self.pools:
            pool.close()

    def close_in(self, process: int) -> None:
        """Close in the process that built the application; one that was forked from it has no part in it."""
        if os.getpid() == process:
            self.close()

    def close(self, grace_s: float = 0.0) -> None:
        """Let trainings end for `grace_s` seconds, hand over or fail the others, and free what is held."""
        if self.closed:
            return
        self.closed = True
        self.end_trainings(grace_s)
        self.upstream.close()
        self.client.close()


def endpoint_of(settings: Settings) -> Endpoint:
    """Return where the settings say that OpenSearch is.

    Raises:
        SettingsError: they name no URL; an embedded node is started by the server, not by the app. Or the password's
            file cannot be read.
    """
    if settings.opensearch in (EMBEDDED, MEMORY):
        raise SettingsError(
            f"create_app needs the URL of a running OpenSearch, not {settings.opensearch}: set OPENSEARCH_URL,"
            " or use `mlcommons-tasks serve` or `mlcommons_tasks.running_service()`"
        )
    return Endpoint.at(
        settings.opensearch,
        settings.username,
        settings.read_password(),
        ca_file=settings.ca_file,
        insecure=settings.insecure,
        client_cert=settings.client_cert,
        client_key=settings.client_key,
    )


def _upstream(endpoint: Endpoint, settings: Settings, facts: ClusterFacts) -> Upstream:
    names = (settings.identity_headers or "").lower().split(",")
    upstream = Upstream(
        endpoint,
        connections=settings.threads * 2,
        timeout_s=settings.timeout,
        identity_headers=frozenset(name.strip() for name in names if name.strip()),
    )
    if facts.is_secured:
        upstream.keep_certificate_from_callers()
    return upstream


def build_service(settings: Settings, profile: Profile, facts: ClusterFacts | None) -> Service:
    """Build what an application runs on, over an OpenSearch that is there; waits for it unless `facts` are known.

    Raises:
        SettingsError: a setting cannot be used.
        StartError: OpenSearch is not there, or refuses the service.
    """
    endpoint = endpoint_of(settings)
    client = open_client(endpoint, settings.timeout)
    facts_are_known = facts is not None
    if facts is None:
        facts = wait_for_cluster(Cluster(client), endpoint.url, settings.wait)
    upstream = _upstream(endpoint, settings, facts)
    sources = SourceIndex(upstream)
    nodes = WorkerNodes(client)
    ml_settings = SettingsStore(client, upstream, nodes.manager_runs)
    pools = _pools(settings, is_checked=facts_are_known)
    says_version = profile.says_version and int(facts.version.split(".")[0]) >= FIRST_WITH_VERSION_HEADER
    return Service(
        settings=settings,
        profile=profile,
        facts=facts,
        upstream=upstream,
        client=client,
        batches=Batches(client),
        sources=sources,
        nodes=nodes,
        ml_settings=ml_settings,
        current_settings=CurrentSettings(
            PluginSettings(client).read if facts.has_ml_commons else lambda: ml_settings.read().effective
        ),
        pools=pools,
        trainer=Trainer(sources.read, pools[0], pools[1], settings.seed),
        queue=Queue(longest=settings.queue),
        version=f"OpenSearch/{facts.version} (opensearch)" if says_version else None,
    )


def _pools(settings: Settings, *, is_checked: bool) -> list[Pool]:
    """Return where trainings run, and where predictions do; a Dask cluster is looked at unless somebody has done so.

    Raises:
        StartError: the cluster is not there, or cannot run our jobs.
    """
    if settings.dask is None:
        return [TrainingPool(settings.trainings, warm_up), TrainingPool(settings.trainings, warm_up)]
    cluster = DaskCluster(settings.dask)
    if not is_checked:
        cluster.check()
    return [DaskPool(cluster, settings.trainings), DaskPool(cluster, settings.trainings, priority=1)]
