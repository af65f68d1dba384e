"""How far a training is, and whether it shall stop: what a job is given to say the one and ask the other.

On this machine that is a page of memory that its process writes and the service reads, with a flag the other way: a
small file that both map, so a training process can be ended at any moment and leaves nothing locked.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import tempfile
import time
from dataclasses import dataclass
from typing import Protocol

_LAYOUT = struct.Struct("=qqq")  #: iteration, iterations, CPU time
_CANCELLED_AT = _LAYOUT.size
_SIZE = _LAYOUT.size + 1


@dataclass(frozen=True)
class Progress:
    """What a training has said of itself: the round, of how many at most, and its CPU time."""

    iteration: int = 0
    iterations: int = 0
    cpu_time_in_nanos: int = 0


class Report(Protocol):
    """What a job has of who watches it; handed to it as its last argument, wherever it runs."""

    def cancelled(self) -> bool:
        """Say whether the job shall stop; cheap enough for every round."""

    def progress(self, iteration: int, iterations: int) -> None:
        """Say in which round the job is, and how many there will be at most."""


class Reported(Protocol):
    """Where the service reads what a job reports."""

    def read(self) -> Progress:
        """Return what was reported last."""


class ProgressPage:
    """One page; the service makes it and reads it."""

    def __init__(self) -> None:
        """Make a page in the folder for temporary files."""
        handle, path = tempfile.mkstemp(prefix="mlcommons-tasks-progress-")
        os.write(handle, bytes(_SIZE))
        os.close(handle)
        self._path = path
        self._map = _mapped(path)

    def report(self) -> PageReport:
        """Return what a job gets of it, to be pickled."""
        return PageReport(self._path)

    def cancel(self) -> None:
        """Ask the training to stop."""
        with contextlib.suppress(ValueError):  # it is closed: so is the training
            self._map[_CANCELLED_AT] = 1

    def read(self) -> Progress:
        """Return what was reported last."""
        try:
            return Progress(*_LAYOUT.unpack(self._map[:_CANCELLED_AT]))
        except ValueError:  # it is closed
            return Progress()

    def remove(self) -> None:
        """Let go of it for good."""
        self._map.close()
        with contextlib.suppress(OSError):
            os.unlink(self._path)  # noqa: PTH108


class PageReport:
    """A job's side of a page, opened when it is used first: one that is gone hurts no job that has nothing to say."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._page: mmap.mmap | None = None
        self._cpu_before = time.process_time_ns()

    def __reduce__(self) -> tuple[type[PageReport], tuple[str]]:
        return PageReport, (self._path,)

    def cancelled(self) -> bool:
        """Say whether the training shall stop."""
        return bool(self._open()[_CANCELLED_AT])

    def progress(self, iteration: int, iterations: int) -> None:
        """Say in which round the training is, and how many there will be at most."""
        cpu = time.process_time_ns() - self._cpu_before
        self._open()[:_CANCELLED_AT] = _LAYOUT.pack(iteration, iterations, cpu)

    def _open(self) -> mmap.mmap:
        if self._page is None:
            self._page = _mapped(self._path)
        return self._page


def _mapped(path: str) -> mmap.mmap:
    with open(path, "r+b") as file:  # noqa: PTH123  # mapped by descriptor
        return mmap.mmap(file.fileno(), _SIZE)
