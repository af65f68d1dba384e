"""The name of this process, and for how long the others believe that it lives: what it tells them, and when again.

Pure but for the clocks: who writes it is not known here. What is told is a time by the clock, for others compare it
with theirs; whether this process itself was heard of late is measured by a clock that nobody sets.

After a move of the clock what was told may be over at once, so each process tells anew, and the others give it
`answer_s` of real time for that: who lives answers, whoever does not is dead.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from typing import Any

from mlcommons_tasks.clock import NEVER, Clock
from mlcommons_tasks.store.cluster_tasks import owner_document

LEASE_S = 15.0  #: how long others believe that this process lives, unless they are told otherwise
RENEWALS = 3.75  #: how often in that time it says so
#: How long a process has to answer a move of the clock: it may hear of it a second late, and looks twice a second.
ANSWER_S = 3.0
SPARE_S = 1.0  #: by how much that is longer than what passes between two renewals: one may not have heard of it at all


def new_owner() -> str:
    """Return a name for this process that no other has."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


def answer_within_s(length_s: float) -> float:
    """Return how long after a move of the clock a process with such a lease is not dead because of it."""
    return max(ANSWER_S, length_s / RENEWALS + SPARE_S)


class Lease:
    """That of one process. Its threads keep each other out."""

    def __init__(self, owner: str, clock: Clock, length_s: float = LEASE_S) -> None:
        self.owner = owner
        self.length_s = length_s
        #: When OpenSearch was last told that this process lives, by `time.monotonic`.
        self.told_at = time.monotonic()
        self._clock = clock
        self._until = 0

    @property
    def renew_s(self) -> float:
        """How often this process says that it lives: nobody takes anything over from one that did so just now."""
        return self.length_s / RENEWALS

    @property
    def answer_s(self) -> float:
        """How long others wait for this process to answer a move of the clock, and it for them."""
        return answer_within_s(self.length_s)

    @property
    def was_taken(self) -> bool:
        """Whether there was anything to say so for."""
        return self._until > 0

    @property
    def is_due(self) -> bool:
        """Whether it is to be renewed although nothing else is written."""
        return self._ends_within(self.length_s - self.renew_s) or self._is_asked_for

    @property
    def is_short(self) -> bool:
        """Whether it is to be renewed with what is written anyway."""
        return self._ends_within(self.renew_s) or self._is_asked_for

    @property
    def may_be_over(self) -> bool:
        """Whether others may have taken this process for dead."""
        return time.monotonic() - self.told_at > self.length_s or self.told_at <= self._clock.moved_at

    def now_for_others(self) -> int:
        """Return the time to compare what others told with, in milliseconds: 0 while they may have to answer a move."""
        now = self._clock.now_in_millis()
        return now if time.monotonic() - self._clock.moved_at > self.answer_s else 0

    def renewed(self) -> dict[str, Any]:
        """Begin anew; return what others are to be told."""
        self._until = self._clock.now_in_millis() + int(self.length_s * 1000)
        return owner_document(self.owner, self._until)

    @property
    def _is_asked_for(self) -> bool:
        """Whether a clock that was moved asks for it: since it was told last, or from time to time as it may stand."""
        moved_at = self._clock.moved_at
        return moved_at > NEVER and (self.told_at <= moved_at or time.monotonic() - self.told_at > self.renew_s)

    def _ends_within(self, seconds: float) -> bool:
        return self._until - seconds * 1000 < self._clock.now_in_millis()
