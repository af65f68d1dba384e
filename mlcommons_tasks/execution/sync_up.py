"""The sync-up job: fails the tasks that take too long. Source: ml-commons 3.6.0 `MLSyncUpCron`,
`TransportSyncUpOnNodeAction`.

Like each node of the plugin each process looks at the tasks that it runs itself. As there, nothing is timed out while
no model was ever stored, and a training that its caller waits for never is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Protocol

from mlcommons_tasks.clock import Clock, SystemClock
from mlcommons_tasks.execution.current_settings import CurrentSettings
from mlcommons_tasks.execution.rounds import Rounds, noted

log = logging.getLogger(__name__)

LOOK_S = 0.5


class Tasks(Protocol):
    """What runs here."""

    @property
    def has_open(self) -> bool:
        """Whether there is a task that has not ended."""
        ...

    def time_out(self, timeout_s: int) -> None:
        """Fail the tasks that were created longer ago."""
        ...


class SyncUp:
    """The job, in a thread of its own once `start` is called."""

    def __init__(
        self, settings: CurrentSettings, tasks: Tasks, has_models: Callable[[], bool], clock: Clock | None = None
    ) -> None:
        self._settings = settings
        self._tasks = tasks
        self._has_models = has_models
        failures = partial(noted, log, "tasks that take too long could not be looked for")
        clock = clock or SystemClock()
        self._rounds = Rounds("sync-up", lambda: self.look(clock.elapsed_s()), lambda: LOOK_S, failures, clock)
        self.last_look = clock.elapsed_s()

    def start(self) -> None:
        """Look from now on."""
        self._rounds.start()

    def close(self) -> None:
        """Look no more."""
        self._rounds.close()

    def look(self, now: float) -> None:
        """Do the job if it is due; `now` is of the clock's `elapsed_s`.

        Raises:
            StoreUnavailable, UpstreamError: OpenSearch could not be asked.
        """
        if not self._tasks.has_open:
            return
        settings = self._settings.get()
        if settings.sync_up_interval_s == 0 or now < self.last_look + settings.sync_up_interval_s:
            return
        self.last_look = now
        if self._has_models():
            self._tasks.time_out(settings.ml_task_timeout_s)
