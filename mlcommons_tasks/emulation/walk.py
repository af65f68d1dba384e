"""What a poller sees of steps, read by read: found by playing them, never written down."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from mlcommons_tasks.emulation.play import MILLIS_IN_A_SECOND, Play
from mlcommons_tasks.emulation.steps import Span, Step

NOT_FOUND = "404"
MOST_READS = 1_000  #: after so many reads nothing more is looked at


@dataclasses.dataclass(frozen=True)
class Seen:
    """The states that reads show, the last of which stays: with GET, and with `_search`.

    A state that ends by the clock stands once, with its seconds: `RUNNING for 30 s`.
    """

    get: tuple[str, ...]
    search: tuple[str, ...]


def seen(steps: Sequence[Step], search_lag: int = 0) -> Seen:
    """Return what a poller sees of a played task."""
    return Seen(_polled(steps, search_lag, Play.source), _polled(steps, search_lag, Play.stored_source))


def _polled(
    steps: Sequence[Step], search_lag: int, look: Callable[[Play], dict[str, object] | None]
) -> tuple[str, ...]:
    play = Play.begin("task", "walk", steps, search_lag, {"task_type": "TRAINING"}, 0)
    now, states = 0, []
    for _ in range(MOST_READS):
        source = look(play)
        state = NOT_FOUND if source is None else str(source["state"])
        lasts = play.steps[play.position].lasts
        if isinstance(lasts, Span) and lasts.seconds is not None:
            now += round(lasts.seconds * MILLIS_IN_A_SECOND)
            state = f"{state} for {lasts.seconds:g} s"
        states.append(state)
        if play.is_over:
            break
        play = play.was_read().advanced(now)
    while states[-2:-1] == states[-1:]:
        states.pop()  # the last one stays anyway
    return tuple(states)
