"""Where a request comes in to a service with an emulator: its namespace is found, faults strike, the journal is kept.

Calls to `/_emulator/` itself are spared both. WSGI; below it each namespace has an application of its own.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from mlcommons_tasks.emulation.entries import Answer, Entry
from mlcommons_tasks.emulation.faults import Asked
from mlcommons_tasks.emulation.stage import Stage
from mlcommons_tasks.emulation.state import State
from mlcommons_tasks.errors import TaskPluginError
from mlcommons_tasks.rest.emulator_guard import INSIDE, NAMESPACE_HEADER, PREFIX
from mlcommons_tasks.rest.emulator_journal import AnyJournal
from mlcommons_tasks.rest.fault_effects import apply
from mlcommons_tasks.rest.journal_edge import BODY, recorded
from mlcommons_tasks.rest.namespace_paths import in_namespace
from mlcommons_tasks.rest.passage import TARGET
from mlcommons_tasks.rest.routing import StartResponse, WsgiApp, put_target
from mlcommons_tasks.store.names import MAIN
from mlcommons_tasks.wire.envelope import error_body
from mlcommons_tasks.wire.rendering import JSON_CONTENT_TYPE, render_json

NAMESPACE = "HTTP_" + NAMESPACE_HEADER.upper().replace("-", "_")

log = logging.getLogger(__name__)


class Place(Protocol):
    """A namespace that is open."""

    @property
    def stage(self) -> Stage:
        """What it was told."""

    @property
    def app(self) -> WsgiApp:
        """Its routes."""


class EmulatorEdge:
    """The application of a service with an emulator."""

    def __init__(
        self,
        open_place: Callable[[str], Place],
        journal: AnyJournal,
        *,
        identity_headers: Iterable[str] = (),
        version: str | None = None,
    ) -> None:
        """Open namespaces when they are asked for; `version` is what `X-OpenSearch-Version` says, if anything."""
        self._version = version
        self._open_place = open_place
        self._journal = journal
        self._identity_headers = frozenset(identity_headers)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        name, target = place_of(environ[TARGET], environ.get(NAMESPACE))
        try:
            place = self._open_place(name)
        except TaskPluginError as error:
            return _refused(error, start_response)
        if target != environ[TARGET]:
            put_target(environ, target)
        if is_control(target):
            return place.app(environ, start_response)
        app = place.app if name == MAIN else in_namespace(place.app, name)
        state = _told(place.stage)  # its clock among it: the journal goes by that
        return recorded(
            lambda environ, start_response: self._answered(place.stage, state, app, environ, start_response),
            environ,
            start_response,
            lambda entry: self._keep(place.stage, entry),
            namespace=name,
            now_in_millis=place.stage.clock.now_in_millis,
            identity_headers=self._identity_headers,
        )

    def _keep(self, stage: Stage, entry: Entry) -> None:
        """Keep an entry, and of one that created a task which scenario that plays."""
        if entry.method == "POST" and entry.task_created is not None:
            try:
                entry = dataclasses.replace(entry, scenario=stage.scenario_of(entry.task_created))
            except TaskPluginError as error:
                log.info("which scenario a task plays could not be read: %s", error)
        self._journal.append(entry)

    def _answered(
        self,
        stage: Stage,
        state: State,
        app: WsgiApp,
        environ: dict[str, Any],
        start_response: StartResponse,
    ) -> Iterable[bytes]:
        """Have the application answer, or a fault in its place."""
        try:
            found = stage.struck(_asked(environ), state)
        except TaskPluginError as error:  # whoever answers will find OpenSearch away as well, and say so
            log.warning("what the emulator was told could not be read: %s", error)
            found = None
        if found is None:
            return app(environ, start_response)
        fault, number = found

        def earlier(reads: int) -> Answer | None:
            return self._earlier(stage.namespace, environ, reads)

        return apply(fault, number, environ, start_response, app, earlier=earlier, version=self._version)

    def _earlier(self, namespace: str, environ: dict[str, Any], reads: int) -> Answer | None:
        """Return what the same request was answered so many reads ago, or the oldest answer that is known."""
        entries = self._journal.last_answers(
            namespace,
            environ["REQUEST_METHOD"],
            environ[TARGET],
            environ[BODY].first,
            environ.get("CONTENT_TYPE", ""),
        )
        return entries[min(reads, len(entries)) - 1].answer if entries else None


def place_of(target: str, header: str | None) -> tuple[str, str]:
    """Return the namespace that a request is of, and what it asks for there."""
    if not target.startswith(INSIDE):
        return header or MAIN, target
    path, mark, query = target.partition("?")
    name, _, rest = path.removeprefix(INSIDE).partition("/")
    return name, f"/{rest}{mark}{query}"


def is_control(target: str) -> bool:
    """Say whether a request is for the emulator itself."""
    path = target.partition("?")[0]
    return path == PREFIX or path.startswith(f"{PREFIX}/")


def _told(stage: Stage) -> State:
    """Return what a namespace was told, nothing where that cannot be read: whoever answers will say so."""
    try:
        return stage.follow()
    except TaskPluginError as error:
        log.warning("what the emulator was told could not be read: %s", error)
        return State()


def _asked(environ: dict[str, Any]) -> Asked:
    return Asked(
        environ["REQUEST_METHOD"],
        str(environ[TARGET]).partition("?")[0],
        environ.get("HTTP_X_OPAQUE_ID"),
        environ.get("HTTP_USER_AGENT"),
    )


def _refused(error: TaskPluginError, start_response: StartResponse) -> Iterable[bytes]:
    payload = render_json(error_body(error))
    start_response(
        f"{error.status} Bad Request", [("Content-Type", JSON_CONTENT_TYPE), ("Content-Length", str(len(payload)))]
    )
    return [payload]
