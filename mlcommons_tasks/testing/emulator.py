"""A service and its control in a context, for tests without pytest."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from mlcommons_tasks.testing.namespace import Namespace, name_for
from mlcommons_tasks.testing.process import Service, ServiceProcess, default_opensearch


class Emulator(Namespace):
    """A service for tests, from `with` to its end; it is its own main namespace.

        with Emulator(opensearch="memory") as emulator:
            emulator.scenario("slow", seconds=30)
            run_my_pipeline(emulator.url)

    Over a service that runs already, `Emulator(url="http://127.0.0.1:9201")`, it has a namespace of its own there.
    """

    def __init__(
        self, opensearch: str | None = None, *, url: str | None = None, token: str | None = None, **settings: Any
    ) -> None:
        """Choose `embedded`, `memory` or the URL of an OpenSearch, or the `url` of a service that runs already.

        `settings` are those of `mlcommons-tasks serve`, such as `seed=7` or `ml_commons_version="2.19.1"`.
        """
        if url is not None and (opensearch is not None or settings):
            raise ValueError("a service that runs already has its own settings: give url alone, or with its token")
        self._opensearch = opensearch
        self._settings = settings
        self._service = Service(url, token=token) if url is not None else None
        self._process: ServiceProcess | None = None

    def __enter__(self) -> Emulator:
        """Start the service."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave nothing of it."""
        self.stop()

    def start(self) -> Emulator:
        """Start the service, and return this; for a `setUpClass`, with `stop` as its clean-up.

        Raises:
            CannotStart: it does not start; the message says why.
            EmulatorError: there is no service at `url`.
        """
        if self._service is not None:
            super().__init__(self._service.url, name_for("emulator"), self._service.token)
            try:
                self.info()
            except BaseException:
                self.close()
                raise
            return self
        self._process = ServiceProcess(self._opensearch or default_opensearch(), self._settings)
        try:
            service = self._process.wait_ready()
        except BaseException:
            self._process.stop()
            raise
        super().__init__(service.url, None, service.token)
        self._running = service
        return self

    def stop(self) -> None:
        """Leave nothing of it."""
        if self._process is None:
            self.discard()
            return
        try:
            self.close()
        finally:
            self._process.stop()

    @contextlib.contextmanager
    def namespace(self, title: str = "test") -> Iterator[Namespace]:
        """Give a test a namespace of its own, which is deleted at the end of the block."""
        service = self._service or self._running
        namespace = Namespace(service.url, name_for(title), service.token)
        try:
            yield namespace
        finally:
            namespace.discard()
