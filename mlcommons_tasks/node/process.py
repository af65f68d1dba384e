"""A running OpenSearch node: start, readiness, end.

Knows one process, its log and its HTTP address. Must not know what is stored in it.
"""

from __future__ import annotations

import atexit
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from mlcommons_tasks.errors import StartError
from mlcommons_tasks.node import aot
from mlcommons_tasks.node.distribution import Distribution
from mlcommons_tasks.node.folders import Folder, data_folder, temporary_folder
from mlcommons_tasks.node.guard import GuardedProcess
from mlcommons_tasks.node.layout import ML_COMMONS, Home, command_for
from mlcommons_tasks.node.security import HEALTH, Security
from mlcommons_tasks.node.security import PLUGIN as SECURITY

_POLL_S = 0.01
_RED_FOR_S = 10.0  # a node that answers, but whose data stays red, is taken as it is
_STOP_S = 6.5
#: Quick to start and small: a compiler that does not wait to be sure, a heap that grows when it is needed.
JVM_FLAGS = (
    "-Xms32m",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    "--enable-native-access=ALL-UNNAMED",
)
#: As the official distribution runs by default, so that comparing with the real plugin is fair.
PLUGIN_JVM_FLAGS = (
    "-Xms1g",
    "-XX:+UseG1GC",
    "-XX:G1ReservePercent=25",
    "-XX:InitiatingHeapOccupancyPercent=30",
    "-XX:-OmitStackTraceInFastThrow",
    "--enable-native-access=ALL-UNNAMED",
)
_ENDED = (0, 128 + signal.SIGTERM, -signal.SIGTERM, -signal.SIGKILL)  # by somebody, not by itself
_JVM_VARIABLES = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH")
_THROWN_LOG = "thrown.log"
_THROWN = re.compile(r"Exception <a '([^']+)'\{0x[0-9a-f]+\}(?:: (.+?))?>(?: |$)", re.MULTILINE)
_TELLING = re.compile(r"^(org/opensearch|org/apache/lucene|java/lang/Illegal(State|Argument)|java/io)")
_THROWN_TAIL = 200_000  # characters looked at
_THROWN_MOST = 8
_NEWER_DATA = re.compile(r"cannot downgrade a node from version \[([^]]+)\] to version")
_READY = ("green", "yellow", "UP")  # the last word is a secured node's
_PUBLISHED = re.compile(rb"HttpServerTransport *\] publish_address \{127\.0\.0\.1:(\d+)\}")


class EmbeddedNode:
    """One OpenSearch node on loopback, with a port of its own, that ends with this process.

    With a `data_dir` its data outlives it; without one all is in a temporary folder, removed at `stop`.
    """

    def __init__(
        self,
        distribution: Distribution,
        data_dir: Path | None = None,
        *,
        port: int = 0,
        heap: str | None = None,
        use_aot: bool = True,
        jvm_flags: Sequence[str] = (),
        security: Security | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """`port` 0 is a free one, chosen by the system; `heap` is Java's `-Xmx`, `jvm_flags` come after ours.

        With `use_aot` the ahead-of-time cache is used when there is one; see node.recording.
        `security` is for a distribution with the security plugin, which does not start without.
        `settings` are OpenSearch's own and win over ours, for a node that is one of several for example.
        """
        if (security is not None) != (SECURITY in distribution.plugins):
            raise ValueError("security goes with the security plugin")
        self.distribution = distribution
        self._data_dir = data_dir
        self._wanted_port = port
        self._heap = heap
        self._use_aot = use_aot
        self._tried = False
        self._jvm_flags = jvm_flags
        self._security = security
        self._settings = dict(settings or {})
        self._folder: Folder | None = None
        self._home: Home | None = None
        self._process: GuardedProcess | None = None
        self._port = 0
        self._owner = 0
        self._last_log = ""
        self._aot = False
        self._suspect: Path | None = None

    def __enter__(self) -> EmbeddedNode:
        self.start()
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the process and return at once; `wait_ready` waits for it."""
        if self._process is not None:
            raise RuntimeError("the node was started already")
        if self._wanted_port:
            _check_free(self._wanted_port)
        self._folder = data_folder(self._data_dir) if self._data_dir else temporary_folder()
        try:
            self._home = Home(self._folder.path)
            self._home.prepare()
            self._process = self._launch(self._folder, self._home)
        except OSError as error:
            self._folder.close()
            raise StartError(f"the OpenSearch node cannot be started: {error}") from error
        except BaseException:
            self._folder.close()
            raise
        self._owner = os.getpid()
        atexit.register(self.stop)

    def _launch(self, folder: Folder, home: Home) -> GuardedProcess:
        aot_flags = aot.use_flags(self.distribution, JVM_FLAGS) if self._use_aot else []
        self._aot = bool(aot_flags)
        self._port = 0
        usual = PLUGIN_JVM_FLAGS if ML_COMMONS in self.distribution.plugins else JVM_FLAGS
        kept = [flag for flag in usual if not (self._heap and flag.startswith("-Xms"))]
        flags = [*kept, *aot_flags, *self._jvm_flags]
        if self._tried:
            flags.append(f"-Xlog:exceptions=info:file={home.logs}/{_THROWN_LOG}")
        command = command_for(
            self.distribution,
            home,
            heap=self._heap,
            port=self._wanted_port,
            jvm_flags=flags,
            security=self._security,
            settings=self._settings,
        )
        env = {name: value for name, value in os.environ.items() if name not in _JVM_VARIABLES}
        return GuardedProcess(command, home.log, cwd=home.path, env=env, keep_fds=[folder.lock])

    def _relaunch(self, code: int) -> bool:
        """Start once more, without the ahead-of-time cache, for a damaged one shows in many ways.

        This time Java says what it throws: the launcher keeps to itself why a node does not start.
        """
        if self._tried or code in _ENDED or self._folder is None or self._home is None:
            return False
        self._tried = True
        self._suspect = aot.cache_file(self.distribution, JVM_FLAGS) if self._aot else None
        self._use_aot = False
        self._process = self._launch(self._folder, self._home)
        return True

    def _convict(self) -> None:
        """Throw the ahead-of-time cache away when the node runs without it, and only without it."""
        suspect, self._suspect = self._suspect, None
        if suspect:
            with contextlib.suppress(OSError):
                suspect.unlink()

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Wait until the node answers and its data is there; StartError with the log's tail when it does not."""
        deadline = time.monotonic() + timeout_s
        answered = 0.0
        while True:
            if self._process is None:
                raise RuntimeError("the node is not started")
            code = self._process.poll()
            if code is not None and not self._relaunch(code):
                raise self._failed(f"the OpenSearch node ended with exit code {code} before it was ready")
            status = self._health()
            answered = answered or (time.monotonic() if status else 0.0)
            if status in _READY or (answered and time.monotonic() > answered + _RED_FOR_S):
                self._convict()
                return
            if time.monotonic() > deadline:
                raise self._failed(f"the OpenSearch node was not ready within {timeout_s:g} seconds")
            time.sleep(_POLL_S)

    def stop(self, timeout_s: float = _STOP_S) -> None:
        """Stop the node and give its folder back; does nothing when it is stopped, or in a forked child."""
        if self._owner != os.getpid():
            return
        if self._process is not None:
            self._process.stop(timeout_s)
            self._last_log = self.log_tail(400)
            self._process = None
        if self._folder is not None:
            self._folder.close()
            self._folder = None
        atexit.unregister(self.stop)

    @property
    def is_running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def url(self) -> str:
        """Its address, as `http://127.0.0.1:<port>`, a secured node's with `https`; known once the node listens."""
        port = self._port or self._published_port()
        if not port:
            raise RuntimeError("the node does not listen yet")
        return f"{'https' if self._security else 'http'}://127.0.0.1:{port}"

    @property
    def version(self) -> str:
        """The version of OpenSearch."""
        return self.distribution.version

    @property
    def pid(self) -> int:
        """The process id of its JVM."""
        if self._process is None:
            raise RuntimeError("the node is not started")
        return self._process.pid

    @property
    def log(self) -> Path:
        """The file its output goes to."""
        if self._home is None:
            raise RuntimeError("the node is not started")
        return self._home.log

    def log_tail(self, lines: int = 40) -> str:
        """Give the last lines of its log, also after the end."""
        if self._process is None:
            text = self._last_log
        else:
            with contextlib.suppress(OSError):
                text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def _published_port(self) -> int:
        """Read from its own log where it listens: what answers there is no stranger."""
        if self._process is None:
            return 0
        with contextlib.suppress(OSError):
            found = _PUBLISHED.search(self.log.read_bytes())
            self._port = int(found[1]) if found else 0
        return self._port

    def _health(self) -> str:
        """Give the cluster's status; empty when there is no answer."""
        port = self._port or self._published_port()
        if not port:
            return ""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        if self._security:
            connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=_any_certificate())
        try:
            connection.request("GET", HEALTH if self._security else "/_cluster/health")
            answer = connection.getresponse()
            health: dict[str, Any] = json.loads(answer.read())
            return str(health.get("status", "")) if answer.status == 200 else ""
        except (OSError, http.client.HTTPException, ValueError):
            return ""
        finally:
            connection.close()

    def _failed(self, reason: str) -> StartError:
        thrown = "\n".join(self._thrown())
        tail = self.log_tail() + (f"\nwhat Java threw last:\n{thrown}" if thrown else "")
        newer = _NEWER_DATA.search(tail)
        if newer and self._folder is not None:
            return StartError(
                f"the data folder {self._folder.path} was last used by OpenSearch {newer[1]}, and {self.version} opens"
                " no data of a newer version",
                hint=f"Start with --opensearch-version {newer[1]}, or with another --data-dir.",
            )
        hint = "Mend what the log complains of, and start again."
        if self._data_dir:
            hint = f"Its log is {self.log}; if the data is damaged, start with another --data-dir."
        return StartError(reason, hint=hint, log_tail=tail)

    def _thrown(self) -> list[str]:
        """Give what the last start threw last, each once, in the order of its first throw."""
        if not self._tried or self._home is None:
            return []
        with contextlib.suppress(OSError):
            text = (self._home.logs / _THROWN_LOG).read_text(encoding="utf-8", errors="replace")
            found = _THROWN.findall(text[-_THROWN_TAIL:])
            told = [f"{name.replace('/', '.')}: {said}" for name, said in found if said and _TELLING.match(name)]
            return list(dict.fromkeys(told))[-_THROWN_MOST:]
        return []


def _any_certificate() -> ssl.SSLContext:
    """Whom we ask is known by its log; what its certificate is worth is for clients to say."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _check_free(port: int) -> None:
    """Say in one sentence what the node would say in forty lines."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise StartError(
                f"port {port} cannot be had for the OpenSearch node: {error.strerror or error}",
                hint="Name another, or 0 for a free one.",
            ) from error
