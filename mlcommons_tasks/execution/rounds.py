"""What is looked at again and again in a thread of its own, whatever goes wrong, until the service ends.

It knows when it is looked and what is said of a look that failed; what is looked at, and why, it does not know.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator

from mlcommons_tasks.clock import Clock
from mlcommons_tasks.errors import TaskPluginError

GATHER_S = 0.02  #: how long a look that was called for waits: several calls in a row are one


class Rounds:
    """A thread that does one thing after each pause, and at once when it is called for."""

    def __init__(
        self,
        name: str,
        look: Callable[[], object],
        pause_s: Callable[[], float],
        failures: Callable[[], contextlib.AbstractContextManager[None]],
        clock: Clock | None = None,
    ) -> None:
        """Prepare the thread.

        Args:
            name: the thread's.
            look: what to do.
            pause_s: asked before each look, for the seconds until then.
            failures: what a look runs in; as `noted` it lets none of its errors through.
            clock: each of its moves calls for a look.
        """
        self.closing = threading.Event()  #: set once there is to be no further look
        self._look = look
        self._pause_s = pause_s
        self._failures = failures
        self._clock = clock
        self._hear_no_more: Callable[[], None] = lambda: None
        self._called = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Look from now on."""
        if self._clock is not None:
            self._hear_no_more = self._clock.on_move(self.wake)
        self._thread.start()

    def wake(self) -> None:
        """Look now, whatever is left of the pause."""
        self._called.set()

    def close(self, patience_s: float = 0.0) -> None:
        """Look no more, and wait so long for a look that is under way."""
        self._hear_no_more()
        self.closing.set()
        self._called.set()
        if patience_s and self._thread.is_alive():
            self._thread.join(patience_s)

    def _run(self) -> None:
        while not self.closing.is_set():
            if self._called.wait(self._pause_s()) and not self.closing.is_set():
                self.closing.wait(GATHER_S)
            self._called.clear()  # what comes from here on calls for another look
            if self.closing.is_set():
                return
            with self._failures():
                self._look()


@contextlib.contextmanager
def noted(log: logging.Logger, problem: str, *, level: int = logging.WARNING, defect: str = "") -> Iterator[None]:
    """Log what goes wrong in a block, and go on.

    An error that OpenSearch accounts for is a line of this level; any other is a defect, and is logged with its trace,
    as `problem` unless it has words of its own.
    """
    try:
        yield
    except TaskPluginError as error:
        log.log(level, "%s: %s", problem, error)
    except Exception:
        log.exception("%s", defect or problem)
