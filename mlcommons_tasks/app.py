"""The application: the only place that builds and wires."""

from __future__ import annotations

import atexit
import os
from http import HTTPStatus

from flask import Blueprint, Flask, Response, request

from mlcommons_tasks.clock import Clock, EmulatedClock, SystemClock
from mlcommons_tasks.cluster_task import TASK_HEADERS
from mlcommons_tasks.config import Settings
from mlcommons_tasks.emulation.scenario_files import load
from mlcommons_tasks.emulation.stage import Stage
from mlcommons_tasks.errors import PayloadTooLarge
from mlcommons_tasks.namespaces import Namespaces
from mlcommons_tasks.rest.authorization import authorize
from mlcommons_tasks.rest.cluster_edge import ClusterEdge
from mlcommons_tasks.rest.cluster_settings import NAME as CLUSTER_SETTINGS
from mlcommons_tasks.rest.cluster_settings import cluster_settings_blueprint
from mlcommons_tasks.rest.cluster_tasks import NAME as CLUSTER_TASKS
from mlcommons_tasks.rest.cluster_tasks import cluster_tasks_blueprint
from mlcommons_tasks.rest.emulator import emulator_blueprint
from mlcommons_tasks.rest.emulator_edge import EmulatorEdge
from mlcommons_tasks.rest.emulator_guard import Guard
from mlcommons_tasks.rest.exchange import IDENTITY_HEADERS, LONGEST_BODY, compress
from mlcommons_tasks.rest.execute import execute_blueprint
from mlcommons_tasks.rest.failures import AnsweringFlask, handle_failures
from mlcommons_tasks.rest.gate import refuse_early
from mlcommons_tasks.rest.models import models_blueprint
from mlcommons_tasks.rest.passage import Passage
from mlcommons_tasks.rest.played_creations import play_creations
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
    WsgiApp,
    own_segments,
)
from mlcommons_tasks.rest.tasks import tasks_blueprint
from mlcommons_tasks.rest.train import train_blueprint
from mlcommons_tasks.service import Service, Space, build_service
from mlcommons_tasks.store.cluster import Cluster, ClusterFacts
from mlcommons_tasks.store.names import MAIN
from mlcommons_tasks.store.security import Security
from mlcommons_tasks.versions import profile_of

EXTENSION = "mlcommons_tasks"  #: where an app keeps its `Service`
VERSION_HEADER = "X-OpenSearch-Version"
#: The reason phrases of HTTP as OpenSearch writes them.
REASONS = {status.value: status.phrase for status in HTTPStatus} | {413: "Request Entity Too Large"}


def _bare_app() -> AnsweringFlask:
    """Return an application that matches paths and methods as OpenSearch does, and has no routes."""
    app = AnsweringFlask("mlcommons_tasks", static_folder=None)
    app.url_rule_class = ExactMethodsRule
    app.url_map.merge_slashes = False
    app.url_map.converters.update(segment=SegmentConverter, elsewhere=ElsewhereConverter)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.config["MAX_CONTENT_LENGTH"] = LONGEST_BODY + 1  # a stream that ends there cannot be told from a longer one
    return app


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
    service = build_service(settings, profile_of(settings.ml_commons_version), facts)
    if has_emulator(settings):
        app = _with_emulator(service, clock)
    else:
        space = service.open_space(MAIN, clock or SystemClock())
        app = _space_app(service, space)
        space.start()
    app.wsgi_app = RawPaths(app.wsgi_app)  # type: ignore[method-assign]
    app.extensions[EXTENSION] = service
    atexit.register(service.close_in, os.getpid())
    return app


def has_emulator(settings: Settings) -> bool:
    """Say whether a service has an emulator: if it is told to, or has a token.

    Whoever starts OpenSearch for it says so where that is safe: see `config.Settings.over`.
    """
    return settings.emulator if settings.emulator is not None else settings.emulator_token is not None


def _with_emulator(service: Service, clock: Clock | None) -> Flask:
    """Return the application of the main namespace, by which all others are reached as well."""
    apps: dict[str, Flask] = {}
    guard = Guard(service.settings.emulator_token, service.settings.host)

    def build(space: Space, stage: Stage) -> WsgiApp:
        control = emulator_blueprint(stage, namespaces, namespaces.journal, guard)
        app = _space_app(service, space, stage, control, like=apps.get(MAIN))
        if space.name == MAIN:
            apps[MAIN] = app
        return app.wsgi_app

    main_clock = clock if isinstance(clock, EmulatedClock) else None
    namespaces = Namespaces(service, build, is_shared=service.settings.shares_emulation, main_clock=main_clock)
    service.emulation = namespaces
    main = namespaces.get(MAIN)
    if service.settings.scenarios is not None:
        for told in load([service.settings.scenarios]):
            main.stage.add_new(told.scenarios, told.faults)
    namespaces.start()
    app = apps[MAIN]
    app.wsgi_app = EmulatorEdge(  # type: ignore[method-assign]
        namespaces.get,
        namespaces.journal,
        identity_headers=service.upstream.identity_headers,
        version=service.version,
    )
    return app


def _space_app(
    service: Service,
    space: Space,
    stage: Stage | None = None,
    control: Blueprint | None = None,
    *,
    like: Flask | None = None,
) -> Flask:
    """Return the application of one namespace; it wants to be told the path as `RawPaths` does it.

    With a `stage` its tasks may be played, `control` are the routes by which it is directed. All routes are those of
    the one that it is `like`, of another namespace.
    """
    facts, upstream, profile = service.facts, service.upstream, service.profile
    models, calls = space.models, space.calls
    tasks = space.tasks if stage is None else stage.tasks
    runner = space.runner if stage is None else stage.director
    app = _bare_app()
    if like is not None:
        app.be_like(like)
    app.config[IDENTITY_HEADERS] = sorted(upstream.identity_headers)
    security = Security(upstream) if facts.is_secured else None
    if security is not None:
        authorize(app, security)
    app.register_blueprint(tasks_blueprint(tasks, models, profile))
    app.register_blueprint(models_blueprint(models, profile, space.clock))
    forward_other = (lambda: forward(upstream, was_read=True)) if facts.has_ml_commons else None
    check_query = service.sources.refuse_bad_query
    app.register_blueprint(train_blueprint(runner, calls, check_query, profile, forward_other))
    app.register_blueprint(predict_blueprint(models, calls, check_query, profile, forward_other))
    app.register_blueprint(train_predict_blueprint(calls, check_query, profile, forward_other))
    app.register_blueprint(execute_blueprint(space.execution, profile, forward_other))
    edge = ClusterEdge(space.cluster_tasks, Cluster(service.client), upstream, space.clock, alone=not facts.has_tasks)
    app.register_blueprint(cluster_tasks_blueprint(edge))
    if not facts.has_ml_commons:
        app.register_blueprint(
            cluster_settings_blueprint(service.ml_settings, service.current_settings, upstream, profile)
        )
        app.register_blueprint(plugins_blueprint(service.nodes, upstream, profile.version))
    if control is not None:
        app.register_blueprint(control)
    app.register_blueprint(proxy_blueprint(upstream))
    elsewhere = {PROXY, CLUSTER_TASKS, CLUSTER_SETTINGS, PLUGINS}
    refuse_early(app, elsewhere=elsewhere, forwards_unknown=facts.has_ml_commons)
    if stage is not None:
        play_creations(app, stage, models, security, profile)
    handle_failures(app, (lambda: forward(upstream)) if facts.has_ml_commons else None, profile)
    if (ours := own_segments(app.url_map.iter_rules(), PROXY)) is not None:
        app.wsgi_app = Passage(app.wsgi_app, upstream, ours)  # type: ignore[method-assign]
    _finish_replies(app, service.version)
    return app


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
