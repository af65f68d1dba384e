"""The application: the only place that builds and wires."""

from __future__ import annotations

import atexit
import os
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Protocol

from flask import Flask, Response, request

from mlcommons_tasks.clock import Clock, SystemClock
from mlcommons_tasks.cluster_task import TASK_HEADERS
from mlcommons_tasks.config import EMBEDDED, MEMORY, Settings, SettingsError
from mlcommons_tasks.errors import PayloadTooLarge
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
from mlcommons_tasks.rest.authorization import authorize
from mlcommons_tasks.rest.cluster_edge import ClusterEdge
from mlcommons_tasks.rest.cluster_settings import NAME as CLUSTER_SETTINGS
from mlcommons_tasks.rest.cluster_settings import cluster_settings_blueprint
from mlcommons_tasks.rest.cluster_tasks import NAME as CLUSTER_TASKS
from mlcommons_tasks.rest.cluster_tasks import cluster_tasks_blueprint
from mlcommons_tasks.rest.exchange import IDENTITY_HEADERS, LONGEST_BODY, compress
from mlcommons_tasks.rest.execute import execute_blueprint
from mlcommons_tasks.rest.failures import AnsweringFlask, handle_failures
from mlcommons_tasks.rest.gate import refuse_early
from mlcommons_tasks.rest.models import models_blueprint
from mlcommons_tasks.rest.passage import Passage
from mlcommons_tasks.rest.plugins import NAME as PLUGINS
from mlcommons_tasks.rest.plugins import plugins_blueprint
from mlcommons_tasks.rest.predict import predict_blueprint, train_predict_blueprint
from mlcommons_tasks.rest.proxy import NAME as PROXY
from mlcommons_tasks.rest.proxy import forward, is_forwarded, proxy_blueprint
from mlcommons_tasks.rest.routing import (
    ElsewhereConverter,
    ExactMethodsRule,
    RawPaths,
    SegmentConverter,
    own_segments,
)
from mlcommons_tasks.rest.tasks import tasks_blueprint
from mlcommons_tasks.rest.train import train_blueprint
from mlcommons_tasks.store.aggregations import AggregationIndex
from mlcommons_tasks.store.batches import Batches
from mlcommons_tasks.store.cluster import Cluster, ClusterFacts, wait_for_cluster
from mlcommons_tasks.store.cluster_tasks import ClusterTaskStore
from mlcommons_tasks.store.connection import Client, open_client
from mlcommons_tasks.store.endpoint import Endpoint
from mlcommons_tasks.store.models import ModelStore
from mlcommons_tasks.store.pruning import Pruner
from mlcommons_tasks.store.security import Security
from mlcommons_tasks.store.settings import PluginSettings, SettingsStore
from mlcommons_tasks.store.sources import SourceIndex
from mlcommons_tasks.store.tasks import TaskStore
from mlcommons_tasks.store.upstream import Upstream
from mlcommons_tasks.store.worker_nodes import WorkerNodes
from mlcommons_tasks.versions import Profile, profile_of

EXTENSION = "mlcommons_tasks"  #: where an app keeps its `Service`
VERSION_HEADER = "X-OpenSearch-Version"
FIRST_WITH_VERSION_HEADER = 3  #: the first major version of OpenSearch that says its version in every answer
#: The reason phrases of HTTP as OpenSearch writes them.
REASONS = {status.value: status.phrase for status in HTTPStatus} | {413: "Request Entity Too Large"}


class Caretaker(Protocol):
    """Who does something from time to time, in a thread."""

    def start(self) -> None:
        """Begin."""

    def close(self) -> None:
        """Do no more of it."""


@dataclass
class Service:
    """What one application runs on; `close` ends it."""

    facts: ClusterFacts
    clock: Clock
    upstream: Upstream
    client: Client
    tasks: TaskStore
    models: ModelStore
    sources: SourceIndex
    nodes: WorkerNodes
    ml_settings: SettingsStore
    current_settings: CurrentSettings
    registry: Registry
    membership: Membership
    cluster_tasks: ClusterTasks
    pools: list[Pool]
    runner: TaskRunner
    calls: Calls
    execution: Execution
    #: those who look after trainings from time to time: time-outs, what dead processes left behind, what is pruned
    caretakers: list[Caretaker]
    #: what `X-OpenSearch-Version` says, None where the version that is emulated has no such header
    version: str | None
    closed: bool = field(default=False)

    def start(self) -> None:
        """Begin with what is done without a request."""
        self.membership.join_in_background()
        for caretaker in self.caretakers:
            caretaker.start()

    def end_trainings(self, grace_s: float) -> None:
        """Let trainings end for `grace_s` seconds, then hand over or fail the others; requests are answered still."""
        for caretaker in self.caretakers:
            caretaker.close()
        self.runner.close(grace_s)
        self.registry.close()
        self.membership.close()
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


def _bare_app() -> Flask:
    """Return an application that matches paths and methods as OpenSearch does, and has no routes."""
    app = AnsweringFlask("mlcommons_tasks", static_folder=None)
    app.url_rule_class = ExactMethodsRule
    app.url_map.merge_slashes = False
    app.url_map.converters.update(segment=SegmentConverter, elsewhere=ElsewhereConverter)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.config["MAX_CONTENT_LENGTH"] = LONGEST_BODY + 1  # a stream that ends there cannot be told from a longer one
    return app


def _service(settings: Settings, profile: Profile, clock: Clock, facts: ClusterFacts | None) -> Service:
    """Build what an application runs on, over an OpenSearch that is there; waits for it unless `facts` are known.

    Raises:
        SettingsError, StartError: as `create_app` does.
    """
    endpoint = endpoint_of(settings)
    client = open_client(endpoint, settings.timeout)
    facts_are_known = facts is not None
    if facts is None:
        facts = wait_for_cluster(Cluster(client), endpoint.url, settings.wait)
    upstream = _upstream(endpoint, settings, facts)
    batches = Batches(client)
    tasks = TaskStore(client, upstream, profile, batches)
    models = ModelStore(client, upstream, profile, batches)
    sources = SourceIndex(upstream)
    nodes = WorkerNodes(client)
    ml_settings = SettingsStore(client, upstream, nodes.manager_runs)
    current = CurrentSettings(
        PluginSettings(client).read if facts.has_ml_commons else lambda: ml_settings.read().effective
    )
    traces = ClusterTaskStore(client, upstream)
    registry = Registry(traces, clock, settings.lease)
    membership = Membership(registry.owner, traces, clock, settings.lease)
    cluster_tasks = ClusterTasks(registry, membership, traces, tasks, clock)
    pools = _pools(settings, is_checked=facts_are_known)
    trainer = Trainer(sources.read, pools[0], pools[1], settings.seed)
    dispatcher = Dispatcher(current, nodes, cluster_tasks.running, profile)
    queue = Queue(longest=settings.queue)
    runner = TaskRunner(
        tasks,
        models,
        trainer,
        registry,
        membership,
        dispatcher.next_worker_node,
        clock,
        queue=queue,
        asks_callers=facts.is_secured,
        handover=Handover(traces, registry),
    )
    calls = Calls(models, trainer, registry, membership, dispatcher, clock, queue)
    caretakers: list[Caretaker] = [
        SyncUp(current, runner, models.index_exists),
        Recovery(traces, registry, tasks, models, runner, clock, settings.lease),
    ]
    retention = _retention(settings, client, clock)
    if retention is not None:
        caretakers.append(retention)
    says_version = profile.says_version and int(facts.version.split(".")[0]) >= FIRST_WITH_VERSION_HEADER
    return Service(
        facts=facts,
        clock=clock,
        upstream=upstream,
        client=client,
        tasks=tasks,
        models=models,
        sources=sources,
        nodes=nodes,
        ml_settings=ml_settings,
        current_settings=current,
        registry=registry,
        membership=membership,
        cluster_tasks=cluster_tasks,
        pools=pools,
        runner=runner,
        calls=calls,
        execution=Execution(Localizer(AggregationIndex(upstream)), dispatcher.next_worker_node),
        caretakers=caretakers,
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


def create_app(
    settings: Settings | None = None, *, clock: Clock | None = None, facts: ClusterFacts | None = None
) -> Flask:
    """Return the WSGI application over a running OpenSearch.

    Without `settings` they are read from the environment. Waits for OpenSearch as long as they say; with `facts`,
    which somebody found out already, it does not even ask.

    Raises:
        SettingsError: a setting cannot be used.
        StartError: OpenSearch is not there, or refuses the service.
    """
    settings = settings or Settings.resolve({}, os.environ)
    profile = profile_of(settings.ml_commons_version)
    service = _service(settings, profile, clock or SystemClock(), facts)
    facts, upstream, tasks, models = service.facts, service.upstream, service.tasks, service.models

    app = _bare_app()
    app.config[IDENTITY_HEADERS] = sorted(upstream.identity_headers)
    if facts.is_secured:
        authorize(app, Security(upstream))
    app.register_blueprint(tasks_blueprint(tasks, models, profile))
    app.register_blueprint(models_blueprint(models, profile))
    forward_other = (lambda: forward(upstream, was_read=True)) if facts.has_ml_commons else None
    check_query, calls = service.sources.refuse_bad_query, service.calls
    app.register_blueprint(train_blueprint(service.runner, calls, check_query, profile, forward_other))
    app.register_blueprint(predict_blueprint(models, calls, check_query, profile, forward_other))
    app.register_blueprint(train_predict_blueprint(calls, check_query, profile, forward_other))
    app.register_blueprint(execute_blueprint(service.execution, profile, forward_other))
    edge = ClusterEdge(
        service.cluster_tasks, Cluster(service.client), upstream, service.clock, alone=not facts.has_tasks
    )
    app.register_blueprint(cluster_tasks_blueprint(edge))
    if not facts.has_ml_commons:
        app.register_blueprint(
            cluster_settings_blueprint(service.ml_settings, service.current_settings, upstream, profile)
        )
        app.register_blueprint(plugins_blueprint(service.nodes, upstream, profile.version))
    app.register_blueprint(proxy_blueprint(upstream))
    elsewhere = {PROXY, CLUSTER_TASKS, CLUSTER_SETTINGS, PLUGINS}
    refuse_early(app, elsewhere=elsewhere, forwards_unknown=facts.has_ml_commons)
    handle_failures(app, (lambda: forward(upstream)) if facts.has_ml_commons else None, profile)
    if (ours := own_segments(app.url_map.iter_rules(), PROXY)) is not None:
        app.wsgi_app = Passage(app.wsgi_app, upstream, ours)  # type: ignore[method-assign]
    app.wsgi_app = RawPaths(app.wsgi_app)  # type: ignore[method-assign]
    _finish_replies(app, service.version)
    app.extensions[EXTENSION] = service
    atexit.register(service.close_in, os.getpid())
    service.start()
    return app


def _retention(settings: Settings, client: Client, clock: Clock) -> Retention | None:
    """Delete tasks that are over from now on, if that is asked for."""
    if settings.retain_in_millis is None:
        return None
    return Retention(Pruner(client), clock, settings.retain_in_millis)


def _finish_replies(app: Flask, version: str | None) -> None:
    """Give every reply of ours what OpenSearch gives all of its."""

    @app.after_request
    def finish(response: Response) -> Response:
        if is_forwarded():
            return response
        response.status = f"{response.status_code} {REASONS.get(response.status_code, '')}"
        if response.status_code == PayloadTooLarge.status:  # Netty's own, which knows no headers
            return response
        if version is not None:
            response.headers.setdefault(VERSION_HEADER, version)
        else:
            response.headers.pop(VERSION_HEADER, None)
        for name in TASK_HEADERS:
            if name in request.headers and (version is not None or name == "X-Opaque-Id"):
                response.headers[name] = request.headers[name]
        compress(response)
        return response
