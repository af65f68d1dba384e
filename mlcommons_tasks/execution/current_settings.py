"""The settings that shape tasks, as they are now: at most a second old, and at once where they were changed here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from mlcommons_tasks.wire.ml_settings import MLSettings
from mlcommons_tasks.wire.settings import Settings

FRESH_S = 1.0


class CurrentSettings:
    """What `read` gives, read again when it is no longer fresh."""

    def __init__(self, read: Callable[[], Settings]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._found: MLSettings | None = None
        self._until = 0.0
        self._changes = 0

    def get(self) -> MLSettings:
        """Return the settings.

        Raises:
            StoreUnavailable, UpstreamError: they could not be read.
        """
        with self._lock:
            if self._found is not None and time.monotonic() < self._until:
                return self._found
            changes = self._changes
        asked_at = time.monotonic()
        found = MLSettings.of(self._read())
        with self._lock:
            if changes == self._changes:  # what was read before a change does not count after it
                self._found, self._until = found, asked_at + FRESH_S
        return found

    def forget(self) -> None:
        """Read them again next time: they were changed."""
        with self._lock:
            self._changes += 1
            self._found = None
