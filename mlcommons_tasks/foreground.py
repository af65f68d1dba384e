"""The service's worker processes, by gunicorn: threads, raw paths, a clean end, and no worker without its master."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.http.errors import ParseException
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser

from mlcommons_tasks.app import EXTENSION, create_app
from mlcommons_tasks.config import Settings
from mlcommons_tasks.lane.answers import Answers
from mlcommons_tasks.lane.connections import LoopWorker
from mlcommons_tasks.lane.desk import Desk
from mlcommons_tasks.lane.links import places_of
from mlcommons_tasks.netty import broken_body, prepare, refusal, served
from mlcommons_tasks.rest.exchange import LONGEST_BODY
from mlcommons_tasks.rest.passage import HEAD
from mlcommons_tasks.store.cluster import ClusterFacts
from mlcommons_tasks.tls import server_context
from mlcommons_tasks.versions import profile_of

LEAVE_S = 8  #: how long a worker may take after its grace, to hand over trainings and write their last states
KEEP_ALIVE_S = 75
LONGEST_REQUEST_LINE = 8190
LONGEST_HEADER = 16 * 1024
MOST_HEADERS = 1000
#: How long a thread may compute while the loop waits to go on: with Python's own 5 ms, and several that read trainings,
#: each poll would wait for all of them.
SWITCH_S = 0.0005
MOST_FILES = 65_536  #: open files that are asked for
FILES_OF_OURS = 512  #: that are no callers' connections
FEW_CONNECTIONS = 2_048  #: of fewer the log says so

log = logging.getLogger(__name__)


def run_workers(settings: Settings, facts: ClusterFacts, listener: socket.socket, announce: Callable[[], None]) -> None:
    """Run workers on `listener` until a signal ends them, and close it; leaves by SystemExit.

    A worker ends here for good: what the caller holds, such as a node, is its master's to stop.
    """
    master = os.getpid()
    try:
        _Master(_Workers(settings, facts, listener.detach(), announce)).run()
    except SystemExit as end:
        if os.getpid() == master:
            raise
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else 0)


def most_connections() -> int:
    """Return how many connections a worker may hold; raises the limit on open files as far as that goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    files = MOST_FILES if soft == resource.RLIM_INFINITY else min(soft, MOST_FILES)
    most = max(files - FILES_OF_OURS, files // 2)
    if most < FEW_CONNECTIONS:
        log.warning("%d connections at most: raise the limit on open files (ulimit -n)", most)
    return most


class _Master(Arbiter):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's master, for which Ctrl-C is as good as SIGTERM: workers end their tasks first."""

    def handle_int(self) -> None:
        """End the workers, and with them the service."""
        self.handle_term()

    def handle_hup(self) -> None:
        """End with the terminal; gunicorn would start new workers."""
        self.handle_term()


class _Worker(LoopWorker):
    """A worker, which never answers HTML, and ends its trainings while it ends its requests."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ending: threading.Thread | None = None

    def run(self) -> None:
        """Answer until told to stop."""
        self.desk = self.app.desk_for(self)
        self.journal = self.app.service.emulation.note if self.app.service.emulation is not None else None
        super().run()
        if self.desk is not None:
            log.info("%d polls and %d searches went the short way", self.desk.polls, self.desk.searches)
            self.desk.close()

    def end_trainings(self, service: Any) -> None:
        """End the trainings of this worker, once; return when they are ended."""
        if self._ending is None:
            grace_s = self.app.grace_s
            self._ending = threading.Thread(target=service.end_trainings, args=(grace_s,), name="end-trainings")
            self._ending.start()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Begin to end."""
        super().handle_exit(sig, frame)
        service = self.app.service
        if service is not None:
            self.end_trainings(service)

    def close_service(self) -> None:
        """End what the worker holds."""
        service = self.app.service
        if service is None:
            return
        self.end_trainings(service)
        if self._ending is not None:
            self._ending.join()
        service.close()

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer a request that is none as OpenSearch does; gunicorn would send a page."""
        if not isinstance(exc, (ParseException, OSError)):
            self.log.error("a request broke", exc_info=exc)
        answer = refusal(exc, self.app.service.version)
        try:
            if answer is not None:
                client.sendall(answer)
        except OSError:
            self.log.info("the client went away")


class _Request(Request):  # type: ignore[misc]  # likewise
    """gunicorn's request, with the lines of its headers as they were sent."""

    head = b""

    def parse_headers(self, data: bytes, from_trailer: bool = False) -> Any:
        """Keep what is parsed."""
        if not from_trailer:
            self.head = data
        return super().parse_headers(data, from_trailer)


class _Body:
    """A request's body; one that is broken ends like one whose sender went away."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def read(self, size: int = -1) -> bytes:
        """Return at most `size` bytes, none at the end."""
        try:
            return bytes(self._body.read(None if size < 0 else size))
        except ParseException as error:
            raise broken_body(error) from error


class _Workers(BaseApplication):  # type: ignore[misc]  # likewise
    """What gunicorn is told, and the application it runs."""

    def __init__(self, settings: Settings, facts: ClusterFacts, listener: int, announce: Callable[[], None]) -> None:
        self._settings = settings
        self.grace_s = math.ceil(settings.grace)  #: how long running requests and trainings may take at the stop
        self._facts = facts
        self._listener = listener
        self._announce = announce
        self._lifeline = os.pipe()
        self.service: Any = None
        super().__init__()

    def load_config(self) -> None:
        """Tell gunicorn what to do."""
        settings = {
            "bind": f"fd://{self._listener}",
            "worker_class": _Worker,
            "workers": self._settings.workers,
            "threads": self._settings.threads,
            "keepalive": KEEP_ALIVE_S,
            "worker_connections": most_connections(),
            "timeout": 120,
            "graceful_timeout": self.grace_s + LEAVE_S,
            "limit_request_line": LONGEST_REQUEST_LINE,
            "limit_request_fields": MOST_HEADERS,
            "limit_request_field_size": LONGEST_HEADER,
            "forwarded_allow_ips": "",  # nobody says by `SCRIPT_NAME` or `X-Forwarded-Proto` what was asked for
            "loglevel": "warning",
            "control_socket_disable": True,
            "http_parser": "python",  # of which `_Request` keeps the head
            "pre_request": lambda _worker, request: prepare(request, LONGEST_BODY),
            **self._tls(),
            "post_fork": self._after_fork,
            "post_worker_init": self._after_start,
            "worker_exit": self._before_end,
        }
        for name, value in settings.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def _tls(self) -> dict[str, Any]:
        cert, key = self._settings.cert, self._settings.key
        if cert is None:
            return {}
        context = server_context(cert, key)  # once, where gunicorn would read the files for each connection
        return {"certfile": str(cert), "keyfile": str(key or cert), "ssl_context": lambda _config, _default: context}

    def desk_for(self, worker: LoopWorker) -> Desk | None:
        """Return who answers polls the short way; nobody where callers have to prove who they are, or speak TLS."""
        places = places_of(self.service.upstream.endpoint)
        if not self._settings.fast_lane or self._facts.is_secured or self._settings.cert is not None or not places:
            return None
        emulation = self.service.emulation
        if emulation is not None and emulation.is_shared:  # what others were told would have to be asked each time
            return None
        answers = Answers(profile_of(self._settings.ml_commons_version), self.service.version)
        is_open = emulation.is_quiet if emulation is not None else lambda: True
        return Desk(worker, worker, answers, places, self.service.upstream.endpoint.authorization, is_open)

    def load(self) -> Any:
        """Build the application, in the worker."""
        app = create_app(self._settings, facts=self._facts)
        self.service = app.extensions[EXTENSION]

        RequestParser.mesg_class = _Request

        def serve(environ: dict[str, Any], start_response: Any) -> Any:
            environ[HEAD] = start_response.__self__.req.head
            environ["wsgi.input"] = _Body(environ["wsgi.input"])
            return served(app, environ, start_response)

        return serve

    def _after_fork(self, _server: Any, _worker: Any) -> None:
        """End this worker when its master, which alone holds the pipe's other end, is gone."""
        self.cfg.set("graceful_timeout", max(1, self.grace_s))  # of a worker's requests; its master waits longer
        reading, writing = self._lifeline
        os.close(writing)

        def end_with_master() -> None:
            os.read(reading, 1)
            os._exit(1)

        threading.Thread(target=end_with_master, name="end-with-master", daemon=True).start()

    def _after_start(self, worker: Any) -> None:
        sys.setswitchinterval(SWITCH_S)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches us too; the master says when to end
        self.service.pools[0].start()  # predictions have processes from the first on
        if worker.age == 1:
            self._announce()

    def _before_end(self, _server: Any, worker: Any) -> None:
        if os.getpid() == worker.pid:  # the master calls this as well, of a worker it finds dead
            worker.close_service()
