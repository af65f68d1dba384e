"""The one source of now: the machine's, or one that can be stopped and moved.

Knows nothing of what the time is used for, nor who else is told that it was moved.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

NEVER = float("-inf")


class Clock(Protocol):
    """What the rest of the package asks for the time."""

    @property
    def moved_at(self) -> float:
        """When it was last stopped, started or moved, by `time.monotonic`; `NEVER` if it was not."""
        ...

    def now_in_millis(self) -> int:
        """Return milliseconds since the epoch, as the wire has them."""
        ...

    def elapsed_s(self) -> float:
        """Return seconds since some moment, to measure how long something takes: they never go back."""
        ...

    def on_move(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have `callback` called after each move, in the mover's thread; return what ends that."""
        ...


class SystemClock:
    """The machine's clock: nobody moves it."""

    moved_at = NEVER

    def now_in_millis(self) -> int:
        """Return milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    def elapsed_s(self) -> float:
        """Return seconds of `time.monotonic`."""
        return time.monotonic()

    def on_move(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Do nothing, for there are no moves."""
        _ = callback
        return _nothing


@dataclasses.dataclass(frozen=True)
class ClockState:
    """How a clock differs from the machine's. Its methods return another; `machine_now` is in milliseconds.

    Attributes:
        offset_in_millis: by how much it was moved.
        stopped_at: the time at which it stands, in milliseconds since the epoch; None while it runs.
    """

    offset_in_millis: int = 0
    stopped_at: int | None = None

    def now(self, machine_now: int) -> int:
        """Return what such a clock shows."""
        return machine_now + self.offset_in_millis if self.stopped_at is None else self.stopped_at

    def stopped(self, machine_now: int, at: int | None = None) -> ClockState:
        """Stand still, where it is or `at` a time; one that stands stays there unless it is told another time."""
        now = self.now(machine_now)
        at = now if at is None else at
        return ClockState(self.offset_in_millis + at - now, at)

    def started(self, machine_now: int) -> ClockState:
        """Go on from where it stands."""
        return self if self.stopped_at is None else ClockState(self.stopped_at - machine_now)

    def advanced(self, millis: int) -> ClockState:
        """Show so much more, whether it stands or runs.

        Raises:
            ValueError: it would go back; `stopped` can do that.
        """
        if millis < 0:
            raise ValueError(f"a clock cannot be advanced by {millis} milliseconds")
        at = None if self.stopped_at is None else self.stopped_at + millis
        return ClockState(self.offset_in_millis + millis, at)

    def to_document(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return dataclasses.asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> ClockState:
        """Return what `to_document` gave.

        Raises:
            KeyError, TypeError, ValueError: it is none of ours.
        """
        stopped_at = document["stopped_at"]
        return cls(int(document["offset_in_millis"]), None if stopped_at is None else int(stopped_at))


@dataclasses.dataclass(frozen=True)
class _Position:
    """A state, and what the measured seconds were when it came to be: all that a reader needs, seen at once."""

    state: ClockState
    elapsed_s: float
    entered_s: float  #: by the machine's clock

    def elapsed_at(self, machine_s: float) -> float:
        return self.elapsed_s if self.state.stopped_at is not None else self.elapsed_s + machine_s - self.entered_s


class EmulatedClock:
    """A clock that can be stopped and moved, over one that cannot. Until then it is that one.

    Its threads keep each other out. `elapsed_s` goes forward with each move that does, stands still while the clock is
    stopped, and goes on from where it is when the clock is set back.
    """

    def __init__(self, machine: Clock | None = None) -> None:
        self._machine: Clock = machine or SystemClock()
        self._lock = threading.Lock()
        self._position: _Position | None = None
        self._callbacks: list[Callable[[], None]] = []

    @property
    def moved_at(self) -> float:
        """When it was last stopped, started or moved, by the clock below; `NEVER` if it was not."""
        position = self._position
        return NEVER if position is None else position.entered_s

    @property
    def state(self) -> ClockState:
        """How it differs from the clock below."""
        position = self._position
        return ClockState() if position is None else position.state

    def now_in_millis(self) -> int:
        """Return milliseconds since the epoch."""
        position = self._position
        now = self._machine.now_in_millis()
        return now if position is None else position.state.now(now)

    def elapsed_s(self) -> float:
        """Return seconds since some moment."""
        position = self._position
        elapsed_s = self._machine.elapsed_s()
        return elapsed_s if position is None else position.elapsed_at(elapsed_s)

    def stop(self, at: int | None = None) -> ClockState:
        """Stand still, where it is or `at` a time in milliseconds, which may have been before; return the new state."""
        return self._move(lambda state, machine_now: state.stopped(machine_now, at))

    def start(self) -> ClockState:
        """Go on from where it stands; return the new state."""
        return self._move(lambda state, machine_now: state.started(machine_now))

    def advance(self, millis: int) -> ClockState:
        """Show so much more; return the new state.

        Raises:
            ValueError: it would go back.
        """
        return self._move(lambda state, _: state.advanced(millis))

    def reset(self) -> ClockState:
        """Show the time of the clock below again; return the new state."""
        return self.load(ClockState())

    def load(self, state: ClockState | None) -> ClockState:
        """Be as another replica made its own, None: as the clock below; a state that it has already is no move."""
        wanted = ClockState() if state is None else state
        return wanted if wanted == self.state else self._move(lambda _, __: wanted)

    def on_move(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have `callback` called after each move, in the mover's thread; return what ends that."""
        with self._lock:
            self._callbacks.append(callback)

        def end() -> None:
            with self._lock, contextlib.suppress(ValueError):
                self._callbacks.remove(callback)

        return end

    def _move(self, change: Callable[[ClockState, int], ClockState]) -> ClockState:
        with self._lock:
            machine_now, machine_s = self._machine.now_in_millis(), self._machine.elapsed_s()
            before, position = self.state, self._position
            after = change(before, machine_now)
            if after == before:
                return after
            elapsed_s = machine_s if position is None else position.elapsed_at(machine_s)
            forward_s = (after.now(machine_now) - before.now(machine_now)) / 1000
            self._position = _Position(after, elapsed_s + max(0.0, forward_s), machine_s)
            callbacks = list(self._callbacks)
        for callback in callbacks:
            callback()
        return after


def _nothing() -> None:
    """Do nothing."""
