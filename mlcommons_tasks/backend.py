"""The OpenSearch under a service: an embedded node, an in-memory server, or one that runs already.

Starts it, waits for it, stops it. Knows nothing of what is served over it.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol

from mlcommons_tasks.config import EMBEDDED, MEMORY, Settings
from mlcommons_tasks.errors import StartError

Progress = Callable[[int, int], None]  #: bytes done, bytes in all


class Backend(Protocol):
    """One OpenSearch; `start` returns at once, `wait_ready` when it answers."""

    kind: str
    #: Its version if it is known to be ours alone, without ML Commons and without accounts; None if it must be asked.
    version: str | None

    @property
    def url(self) -> str:
        """Its address, once it is ready."""

    def start(self) -> None:
        """Begin to start it."""

    def wait_ready(self, timeout_s: float) -> None:
        """Wait until it answers; raise StartError if it does not."""

    def speed_up_next_start(self) -> None:
        """Begin what makes the next start faster, in the background."""

    def stop(self) -> None:
        """Stop what `start` started; may be called twice."""


class EmbeddedBackend:
    """A node of our own, from the locked distribution."""

    kind = EMBEDDED

    def __init__(self, settings: Settings, progress: Progress | None) -> None:
        self._settings = settings
        self._progress = progress
        self.version: str | None = settings.opensearch_version
        self._node: Any = None
        self._recording: Any = None

    @property
    def url(self) -> str:
        """The node's address."""
        return str(self._node.url)

    def start(self) -> None:
        """Fetch what is missing and start the node."""
        from mlcommons_tasks.node.distribution import fetch
        from mlcommons_tasks.node.process import EmbeddedNode

        settings = self._settings
        distribution = fetch(
            settings.opensearch_version,
            cache_dir=settings.cache_dir,
            maven_url=settings.maven_url,
            progress=self._progress,
        )
        self._node = EmbeddedNode(distribution, data_dir=settings.data_dir)
        self._node.start()

    def wait_ready(self, timeout_s: float) -> None:
        """Wait until the node answers."""
        self._node.wait_ready(timeout_s)

    def speed_up_next_start(self) -> None:
        """Record the node's AOT cache unless there is one: about 20 s of a niced process, once for a version."""
        from mlcommons_tasks.node.recording import start_recording_in_background

        self._recording = start_recording_in_background(self._node.distribution)

    def stop(self) -> None:
        """Stop the node, and a recording that is not done."""
        if self._recording is not None:
            self._recording.stop(0.5)
        if self._node is not None:
            self._node.stop()


class MemoryBackend:
    """The `osmem-server` wheel: it keeps nothing, and has its own order of keys."""

    kind = MEMORY
    version: str | None = None

    def __init__(self) -> None:
        self._server: Any = None

    @property
    def url(self) -> str:
        """The server's address."""
        return str(self._server.url)

    def start(self) -> None:
        """Start the server."""
        try:
            from osmem_server import OsmemError, OsmemServer
        except ImportError as error:
            raise StartError(
                "the in-memory server is not installed", hint="pip install 'mlcommons-tasks[memory]'"
            ) from error
        try:
            self._server = OsmemServer.start()
        except OsmemError as error:
            raise StartError(f"the in-memory server did not start: {error}") from error

    def wait_ready(self, timeout_s: float) -> None:
        """Return at once: it is ready when it has started."""

    def speed_up_next_start(self) -> None:
        """Do nothing: it starts in milliseconds."""

    def stop(self) -> None:
        """Stop the server."""
        if self._server is not None:
            self._server.close()
            self._server.process.stdout.close()  # which its own close forgets


class ExistingBackend:
    """An OpenSearch that runs already; it is left as it is."""

    kind = "url"
    version: str | None = None

    def __init__(self, url: str) -> None:
        self.url = url

    def start(self) -> None:
        """Do nothing: it is not ours."""

    def wait_ready(self, timeout_s: float) -> None:
        """Do nothing: the application waits for it."""

    def speed_up_next_start(self) -> None:
        """Do nothing: it is not ours."""

    def stop(self) -> None:
        """Do nothing: it is not ours."""


def backend_for(settings: Settings, progress: Progress | None = None) -> Backend:
    """Return the OpenSearch that the settings ask for, not started yet."""
    if settings.opensearch == EMBEDDED:
        return EmbeddedBackend(settings, progress)
    if settings.opensearch == MEMORY:
        return MemoryBackend()
    return ExistingBackend(settings.opensearch)


class Running:
    """A backend from start to stop, as a context."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def __enter__(self) -> Backend:
        try:
            self.backend.start()
        except BaseException:
            self.backend.stop()
            raise
        return self.backend

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.backend.stop()
