"""What is looked at again and again in a thread of its own, whatever goes wrong, until the service ends.

It knows when it is looked and what is said of a look that failed; what is looked at, and why, it does not know.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator

from mlcommons_tasks.errors import TaskPluginError


class Rounds:
    """A thread that does one thing after each pause."""

    def __init__(
        self,
        name: str,
        look: Callable[[], object],
        pause_s: Callable[[], float],
        failures: Callable[[], contextlib.AbstractContextManager[None]],
    ) -> None:
        """Prepare the thread.

        Args:
            name: the thread's.
            look: what to do.
            pause_s: asked before each look, for the seconds until then.
            failures: what a look runs in; as `noted` it lets none of its errors through.
        """
        self.closing = threading.Event()  #: set once there is to be no further look
        self._look = look
        self._pause_s = pause_s
        self._failures = failures
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Look from now on."""
        self._thread.start()

    def close(self, patience_s: float = 0.0) -> None:
        """Look no more, and wait so long for a look that is under way."""
        self.closing.set()
        if patience_s and self._thread.is_alive():
            self._thread.join(patience_s)

    def _run(self) -> None:
        while not self.closing.wait(self._pause_s()):
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
