"""How far a training is: a page of memory that its process writes and the service reads, and a flag the other way.

The page is a small file that both map, so a training process can be ended at any moment and leaves nothing locked.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import tempfile
import time
from dataclasses import dataclass

_LAYOUT = struct.Struct("=qqq")  #: iteration, iterations, CPU time
_CANCELLED_AT = _LAYOUT.size
_SIZE = _LAYOUT.size + 1


@dataclass(frozen=True)
class Progress:
    """What a training's process has said of itself: the round, of how many at most, and its CPU time."""

    iteration: int = 0
    iterations: int = 0
    cpu_time_in_nanos: int = 0


class ProgressPage:
    """One page; the service makes it, a process of the pool opens it by its path."""

    def __init__(self, path: str) -> None:
        self.path = path
        with open(path, "r+b") as file:  # noqa: PTH123  # mapped by descriptor
            self._map = mmap.mmap(file.fileno(), _SIZE)
        self._cpu_before = time.process_time_ns()

    @classmethod
    def new(cls) -> ProgressPage:
        """Make a page in the folder for temporary files."""
        handle, path = tempfile.mkstemp(prefix="mlcommons-tasks-progress-")
        os.write(handle, bytes(_SIZE))
        os.close(handle)
        return cls(path)

    def cancel(self) -> None:
        """Ask the training to stop."""
        with contextlib.suppress(ValueError):  # it is closed: so is the training
            self._map[_CANCELLED_AT] = 1

    def cancelled(self) -> bool:
        """Say whether the training shall stop."""
        return bool(self._map[_CANCELLED_AT])

    def report(self, iteration: int, iterations: int) -> None:
        """Say in which round the training is, and how many there will be at most."""
        cpu = time.process_time_ns() - self._cpu_before
        self._map[:_CANCELLED_AT] = _LAYOUT.pack(iteration, iterations, cpu)

    def read(self) -> Progress:
        """Return what was reported last."""
        try:
            return Progress(*_LAYOUT.unpack(self._map[:_CANCELLED_AT]))
        except ValueError:  # it is closed
            return Progress()

    def close(self) -> None:
        """Let go of it."""
        self._map.close()

    def remove(self) -> None:
        """Let go of it for good."""
        self.close()
        with contextlib.suppress(OSError):
            os.unlink(self.path)  # noqa: PTH108
