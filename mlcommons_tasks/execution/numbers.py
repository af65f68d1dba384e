"""The numbers of the trainings of this process: they rise, and no other process has the same.

Where they begin and how many a training takes `cluster_task` says. A number is a time and a random salt of the process.
"""

from __future__ import annotations

import secrets
import threading

from mlcommons_tasks.cluster_task import FIRST_NUMBER, NUMBERS_OF_A_TASK

EPOCH_IN_MILLIS = 1_767_225_600_000  #: 2026-01-01: numbers count milliseconds from here
SALT_BITS = 10


class Numbers:
    """Gives each training its number."""

    def __init__(self) -> None:
        self._salt = secrets.randbelow(1 << SALT_BITS)  #: makes the numbers of two processes differ
        self._lock = threading.Lock()
        self._last_moment = 0

    def next(self, now: int) -> int:
        """Return the next number at a time in milliseconds; it is higher than the last, though the clock goes back."""
        with self._lock:
            self._last_moment = moment = max(self._last_moment + 1, now - EPOCH_IN_MILLIS)
        return FIRST_NUMBER + (moment << SALT_BITS | self._salt) * NUMBERS_OF_A_TASK
