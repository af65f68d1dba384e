"""A wish to stop that one thread has and others obey. Knows nothing of what is stopped."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator


class Cancelled(Exception):
    """The work saw that it was cancelled, and stopped; nothing came of it."""


class Cancellation:
    """One piece of work's wish to stop; it is never taken back."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self._lock = threading.RLock()
        self._actions: list[Callable[[], None]] = []

    @property
    def wanted(self) -> bool:
        """Whether it is time to stop."""
        return self.event.is_set()

    def cancel(self) -> None:
        """Ask for the stop, and do what stops the work that is under way."""
        with self._lock:  # so that no action is called once its block is over: it would stop somebody else's work
            self.event.set()
            for action in list(self._actions):
                action()

    def on_cancel(self, action: Callable[[], None]) -> None:
        """Call `action`, which must be quick, once the stop is asked for, or at once if it was."""
        with self._lock:
            self._actions.append(action)
            if self.wanted:
                action()

    def check(self) -> None:
        """Raise Cancelled if it is time to stop."""
        if self.wanted:
            raise Cancelled

    @contextlib.contextmanager
    def stopped_by(self, action: Callable[[], None]) -> Iterator[None]:
        """Call `action`, which must be quick, once the stop is asked for within the block, or was before."""
        self.on_cancel(action)
        try:
            yield
        finally:
            with self._lock:
                self._actions.remove(action)
