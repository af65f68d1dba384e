"""The end of `--retain`: tasks that are over for so long are deleted, and what `_tasks` tells of them.

Each process does it, for it does no harm twice. Tasks that are not over stay, and so do models: they are their users'.
Tasks of the plugin, where the cluster has it, are in the same index and look like ours: they go as well.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Protocol

from mlcommons_tasks.clock import Clock
from mlcommons_tasks.errors import TaskPluginError
from mlcommons_tasks.execution.rounds import Rounds, noted
from mlcommons_tasks.store.connection import SPREAD

log = logging.getLogger(__name__)

LONGEST_PAUSE_S = 60.0
SHORTEST_PAUSE_S = 0.25
BREATH_S = 0.05  #: between two requests that delete: others work there too


class Remains(Protocol):
    """What is over, in the store; each call deletes so many, and says how many."""

    def prune_tasks(self, before: int) -> int:
        """Delete tasks that ended before a time."""
        ...

    def prune_results(self, before: int) -> int:
        """Delete results of trainings that ended before a time."""
        ...


class Retention:
    """The job, in a thread of its own once `start` is called."""

    def __init__(self, remains: Remains, clock: Clock, retain_in_millis: int) -> None:
        self._remains = remains
        self._clock = clock
        self._retain_in_millis = retain_in_millis
        #: Nothing is kept for longer than it should be by more than a quarter, or a minute.
        self.pause_s = min(max(retain_in_millis / 4000, SHORTEST_PAUSE_S), LONGEST_PAUSE_S)
        failures = partial(noted, log, "tasks that are over could not be deleted")
        self._rounds = Rounds("retention", self._round, self._pause, failures, clock)

    def start(self) -> None:
        """Look from now on."""
        self._rounds.start()

    def close(self) -> None:
        """Look no more."""
        self._rounds.close()

    def look(self) -> int:
        """Delete what is over for long enough, and return how many documents that were.

        Raises:
            StoreUnavailable, UpstreamError: OpenSearch did not take it.
        """
        before = self._clock.now_in_millis() - self._retain_in_millis
        return self._all(self._remains.prune_tasks, before) + self._all(self._remains.prune_results, before)

    def _all(self, prune: Callable[[int], int], before: int) -> int:
        deleted = 0
        while not self._rounds.closing.is_set() and (some := prune(before)):
            deleted += some
            self._rounds.closing.wait(BREATH_S)
        return deleted

    def _pause(self) -> float:
        return self.pause_s * SPREAD.uniform(0.5, 1.0)  # replicas started together need not look so

    def _round(self) -> None:
        try:
            if deleted := self.look():
                log.info("%d documents of tasks that are over were deleted", deleted)
        except TaskPluginError:
            raise
        except Exception:
            if not self._rounds.closing.is_set():  # or the connections are closed already
                raise
