"""The one source of now. Knows nothing of what the time is used for."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What the rest of the package asks for the time."""

    def now_in_millis(self) -> int:
        """Return milliseconds since the epoch, as the wire has them."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_in_millis(self) -> int:
        """Return milliseconds since the epoch."""
        return time.time_ns() // 1_000_000
