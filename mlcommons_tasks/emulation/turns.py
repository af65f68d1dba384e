"""Who comes first: reads go side by side, a search, which looks several times, goes alone. In order of arrival."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterator


class Turns:
    """Those of one namespace in one process."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._tickets = itertools.count()
        self._present: dict[int, bool] = {}  #: who is at it or waits, in order of arrival, and whether alone

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Hold for a block that others of its kind may run beside."""
        with self._turn(alone=False):
            yield

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold for a block that nobody runs beside."""
        with self._turn(alone=True):
            yield

    @contextlib.contextmanager
    def _turn(self, *, alone: bool) -> Iterator[None]:
        with self._changed:
            ticket = next(self._tickets)
            self._present[ticket] = alone
            self._changed.wait_for(lambda: self._may(ticket, alone=alone))
        try:
            yield
        finally:
            with self._changed:
                del self._present[ticket]
                self._changed.notify_all()

    def _may(self, ticket: int, *, alone: bool) -> bool:
        before = itertools.takewhile(lambda each: each[0] != ticket, self._present.items())
        return not any(alone or other for _, other in before)
