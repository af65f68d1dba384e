"""A machine whose time a test tells."""

from __future__ import annotations

from mlcommons_tasks.clock import SystemClock


class Machine(SystemClock):
    """Its clock, which goes on only with `pass_s`."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000
        self.seconds = 100.0

    def now_in_millis(self) -> int:
        """Return its milliseconds."""
        return self.now

    def elapsed_s(self) -> float:
        """Return its seconds."""
        return self.seconds

    def pass_s(self, seconds: float) -> None:
        """Let time pass."""
        self.now += round(seconds * 1000)
        self.seconds += seconds
