"""Which processes are dead, by what they told and for how long they have told nothing else. Pure but for the clock.

Three measures, none of which is enough alone. For how long a process was silent, in seconds in which this one listened
and the clock ran: two machines' clocks may differ, and nothing times out while a clock stands. Whether its lease is
over by the clock. And, once that clock was moved, for how long it had the time to answer that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from mlcommons_tasks.clock import NEVER, Clock


@dataclass(frozen=True)
class _Silence:
    """What a process told last, and what passed since.

    Attributes:
        said: until when it lives, as it told it.
        silent_s: seconds in which it could have told something else.
        by_clock_s: seconds by the clock, with what it was moved on.
        over_s: seconds since its lease was over by the clock; None if it is not.
    """

    said: int
    silent_s: float = 0.0
    by_clock_s: float = 0.0
    over_s: float | None = None

    def longer(self, silent_s: float, by_clock_s: float) -> _Silence:
        """Return it after so much more."""
        return replace(self, silent_s=self.silent_s + silent_s, by_clock_s=self.by_clock_s + by_clock_s)

    def seen(self, passed_s: float, *, is_over: bool) -> _Silence:
        """Return it with a look at its lease, so long after the one before."""
        if not is_over:
            return replace(self, over_s=None)
        return replace(self, over_s=0.0 if self.over_s is None else self.over_s + passed_s)


class Listener:
    """What one process has heard of the others."""

    def __init__(self, clock: Clock, lease_s: float, answer_s: float, began_at: float) -> None:
        """Begin at a `time.monotonic`; who lives answers a move of the clock within less than `answer_s`."""
        self._clock = clock
        self._lease_s = lease_s
        self._answer_s = answer_s
        self._looked_at = began_at
        self._elapsed_s = clock.elapsed_s()
        self._now = clock.now_in_millis()
        self._heard: dict[str, _Silence] = {}

    def dead(self, told: Mapping[str, int], owners: Iterable[str], asked_at: float) -> set[str]:
        """Return which owners live no more, by until when each told that it does, asked at a `time.monotonic`."""
        passed_s, self._looked_at = asked_at - self._looked_at, asked_at
        elapsed_s, now = self._clock.elapsed_s(), self._clock.now_in_millis()
        ran_s, self._elapsed_s = elapsed_s - self._elapsed_s, elapsed_s
        moved_s, self._now = (now - self._now) / 1000, now
        is_moved = self._clock.moved_at > NEVER  # asked last: a move meanwhile shows here if it shows in the time
        if passed_s > self._lease_s / 2:  # this process slept, or OpenSearch did: nobody could say anything
            passed_s = 0.0
        by_clock_s = max(0.0, min(ran_s, moved_s))  # set back and on again it is where it was
        before, self._heard = self._heard, {}
        for owner in owners:
            said = told.get(owner, 0)
            heard = before.get(owner, _Silence(said))
            heard = heard.longer(min(passed_s, ran_s), by_clock_s) if said == heard.said else _Silence(said)
            is_over = said < now or heard.by_clock_s >= self._lease_s
            self._heard[owner] = heard.seen(min(passed_s, self._answer_s / 2), is_over=is_over)
        return {owner for owner, heard in self._heard.items() if self._is_dead(heard, now, is_moved=is_moved)}

    def _is_dead(self, heard: _Silence, now: int, *, is_moved: bool) -> bool:
        if heard.silent_s >= self._lease_s or (heard.said < now and heard.silent_s >= self._lease_s / 2):
            return True
        return is_moved and heard.over_s is not None and heard.over_s >= self._answer_s
