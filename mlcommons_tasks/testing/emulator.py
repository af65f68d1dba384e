"""A service and its control in a context, for tests without pytest."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from mlcommons_tasks.config import Settings
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

        Raises:
            TypeError: there is no such setting.
            ValueError: a service that runs already is told how to run.
        """
        if url is not None and (opensearch is not None or settings):
            raise ValueError("a service that runs already has its own settings: give url alone, or with its token")
        known = sorted(it.name for it in dataclasses.fields(Settings) if not it.metadata.get("derived"))
        unknown = [name for name in settings if name not in known]
        if unknown:
            raise TypeError(f"there is no setting {', '.join(unknown)}; there are {', '.join(known)}")
        self._opensearch = opensearch
        self._settings = settings
        self._service = Service(url, token=token) if url is not None else None
        self._process: ServiceProcess | None = None

    if not TYPE_CHECKING:  # a type checker is still to find names that are misspelt

        def __getattr__(self, name: str) -> Any:
            """Say of what a service has that it is not there yet."""
            if "_control" not in self.__dict__:
                raise AttributeError(
                    f"this Emulator has no {name} before it is started: use it with `with`, or call start()"
                )
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

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
