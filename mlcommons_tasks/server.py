"""Runs the application: in the foreground with workers, or in a thread for tests. Decides nothing about requests."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import logging
import os
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlcommons_tasks.backend import Progress, Running, backend_for
from mlcommons_tasks.config import EMBEDDED, Settings
from mlcommons_tasks.errors import StartError
from mlcommons_tasks.tls import server_context

if TYPE_CHECKING:
    from flask import Flask

    from mlcommons_tasks.store.cluster import ClusterFacts

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ready:
    """A service that answers: its address, its OpenSearch, its process."""

    url: str
    kind: str
    opensearch_url: str
    version: str
    pid: int

    def as_json(self) -> dict[str, Any]:
        """Return the ready line's object."""
        opensearch = {"kind": self.kind, "url": self.opensearch_url, "version": self.version}
        return {"url": self.url, "opensearch": opensearch, "pid": self.pid}


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 picks a free one.

    Raises:
        StartError: the port is taken, or the address is not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            hint = "Stop what listens there, or choose another: --port 0 picks a free one."
            raise StartError(f"port {port} of {host} is in use", hint=hint) from error
        raise StartError(
            f"cannot listen on {host} port {port}: {error.strerror}", hint="Choose another --host or --port."
        ) from error
    return listener


def address_of(listener: socket.socket, scheme: str = "http") -> str:
    """Return the URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def serve(
    settings: Settings,
    announce: Callable[[Ready], None],
    *,
    progress: Progress | None = None,
    on_ml_commons: Callable[[], None] = lambda: None,
    on_wait: Callable[[str], None] = log.warning,
) -> None:
    """Run the service until SIGINT or SIGTERM, then exit with code 0.

    `announce` is called once, in a worker, when requests are answered; `progress` while something is fetched;
    `on_ml_commons` if the cluster turns out to have the real plugin; `on_wait` when OpenSearch does not answer at
    once.

    Raises:
        StartError: the service cannot start.
    """
    tls = _tls_of(settings)
    if settings.scenarios is not None:
        from mlcommons_tasks.emulation.scenario_files import load

        load([settings.scenarios])  # before anything is started; workers read them again
    with (
        contextlib.closing(listen(settings.host, settings.port)) as listener,
        _Interrupts() as interrupts,
        Running(backend_for(settings, progress)) as backend,
    ):
        with interrupts.held_back():
            from mlcommons_tasks.foreground import run_workers  # the imports take as long as the node does
            from mlcommons_tasks.store.cluster import ClusterFacts
            from mlcommons_tasks.store.cluster_tasks import begin_to_create
        if settings.dask is not None:
            from mlcommons_tasks.execution.dask_pool import DaskCluster

            DaskCluster(settings.dask).check()
        backend.wait_ready(settings.wait)
        creating = begin_to_create(backend.url) if backend.kind == EMBEDDED else None
        over = settings.over(backend.url)
        facts = ClusterFacts(backend.version, has_ml_commons=False) if backend.version else _facts(over, on_wait)
        if facts.has_ml_commons:
            on_ml_commons()
        ready = Ready(
            address_of(listener, "https" if tls else "http"), backend.kind, _shown(over), facts.version, os.getpid()
        )
        backend.speed_up_next_start()
        interrupts.obey()
        with contextlib.closing(creating) if creating else contextlib.nullcontext():
            run_workers(over, facts, listener, lambda: announce(ready))


@dataclass(frozen=True)
class RunningService:
    """A service in a thread of this process: its address, that of its OpenSearch, and the application."""

    url: str
    opensearch_url: str
    app: Flask


@contextlib.contextmanager
def running_service(
    settings: Settings | None = None, *, progress: Progress | None = None, **changes: Any
) -> Iterator[RunningService]:
    """Run a service in a thread on a free port, for tests.

    `changes` are fields of Settings: `with running_service(opensearch="memory") as service: …`;
    `progress` is called while something is fetched.

    Raises:
        StartError: the service cannot start.
    """
    from werkzeug.serving import WSGIRequestHandler, make_server

    from mlcommons_tasks.app import EXTENSION, create_app
    from mlcommons_tasks.rest.passage import HEAD

    class QuietHandler(WSGIRequestHandler):
        """Logs requests where a library should, and keeps headers as they were sent."""

        def make_environ(self) -> dict[str, Any]:
            """Tell the application the lines of the headers."""
            lines = [f"{name}: {' '.join(value.split())}" for name, value in self.headers.items()]
            return {**super().make_environ(), HEAD: "\r\n".join(lines).encode("latin-1")}

        def log(self, type: str, message: str, *args: Any) -> None:
            log.debug("%s: " + message, type, *args)

    settings = dataclasses.replace(settings or Settings(port=0), **changes)
    tls = _tls_of(settings)
    with Running(backend_for(settings, progress)) as backend:
        backend.wait_ready(settings.wait)
        app = create_app(settings.over(backend.url))
        server = make_server(
            settings.host, settings.port, app, threaded=True, request_handler=QuietHandler, ssl_context=tls
        )
        server.daemon_threads = True  # type: ignore[attr-defined]  # of ThreadingMixIn
        server.block_on_close = False  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            scheme = "https" if tls else "http"
            yield RunningService(f"{scheme}://{settings.host}:{server.port}", backend.url, app)
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
            app.extensions[EXTENSION].close()


class _Interrupts:
    """Lets SIGTERM end a start as Ctrl-C does: with what was started stopped, and code 0.

    An exception that a signal raises can be lost, in a callback of the interpreter's own; so the wish is kept,
    and obeyed where the next step begins.
    """

    def __init__(self) -> None:
        self._asked = False
        self._held_back = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Interrupts:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._leave)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def held_back(self) -> Iterator[None]:
        """Obey at the end of the block: inside an import the exception would be lost for certain."""
        self._held_back = True
        yield
        self._held_back = False
        self.obey()

    def obey(self) -> None:
        """Leave if that was asked for."""
        if self._asked:
            raise SystemExit(0)

    def _leave(self, _number: int, _frame: object) -> None:
        self._asked = True
        if not self._held_back:
            raise SystemExit(0)


def _tls_of(settings: Settings) -> ssl.SSLContext | None:
    """Return how to speak to callers, None for http; what cannot be used is found before anything is started."""
    return server_context(settings.cert, settings.key) if settings.cert else None


def _facts(settings: Settings, on_wait: Callable[[str], None]) -> ClusterFacts:
    """Ask the cluster what it is, and whether the service may work there, before anything is forked."""
    from mlcommons_tasks.service import endpoint_of
    from mlcommons_tasks.store.cluster import Cluster, wait_for_cluster
    from mlcommons_tasks.store.connection import open_client
    from mlcommons_tasks.store.upstream import Upstream

    endpoint = endpoint_of(settings)
    client = open_client(endpoint)
    try:
        cluster = Cluster(client)
        facts = wait_for_cluster(cluster, endpoint.url, settings.wait, on_wait)
        if facts.is_secured:
            with contextlib.closing(Upstream(endpoint)) as upstream:
                upstream.keep_certificate_from_callers()
    finally:
        client.close()
    return facts


def _shown(settings: Settings) -> str:
    """Return OpenSearch's address without an account in it."""
    from mlcommons_tasks.service import endpoint_of

    return endpoint_of(settings).url
