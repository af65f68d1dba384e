"""Whether something that was seen is what somebody asked for, in what it differs, and what came closest. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import TypeVar

from mlcommons_tasks.emulation.steps import Match
from mlcommons_tasks.wire.simple_match import simple_match

Seen = TypeVar("Seen")


@dataclasses.dataclass(frozen=True)
class Wish:
    """A field that somebody wants to have a value, and the values it has; nothing is wanted of it if that is None."""

    field: str
    wanted: str | None
    was: tuple[str | None, ...]
    is_glob: bool = False

    @property
    def is_met(self) -> bool:
        """Whether one of the values is as wanted."""
        if self.wanted is None:
            return True
        if self.is_glob:
            return any(simple_match(self.wanted, value) for value in self.was if value is not None)
        return self.wanted in self.was


@dataclasses.dataclass(frozen=True)
class Difference:
    """A field that is not as wanted; `was` is None where there was nothing."""

    field: str
    wanted: str
    was: str | None


@dataclasses.dataclass(frozen=True)
class Created:
    """What a request says of the task that it creates: what a scenario may ask about."""

    task_type: str
    function_name: str
    indices: tuple[str, ...] = ()
    model_id: str | None = None
    opaque_id: str | None = None


def unmet(wishes: Iterable[Wish]) -> list[Difference]:
    """Return the fields that are not as wanted."""
    return [
        Difference(wish.field, wish.wanted, ",".join(value for value in wish.was if value is not None) or None)
        for wish in wishes
        if wish.wanted is not None and not wish.is_met
    ]


def differences(match: Match, created: Created) -> list[Difference]:
    """Return in what a task is not one that a scenario is for; nothing if it is."""
    return unmet(
        (
            Wish("task_type", match.task_type.value if match.task_type else None, (created.task_type,)),
            Wish("function_name", match.function_name.value if match.function_name else None, (created.function_name,)),
            Wish("index", match.index, created.indices, is_glob=True),
            Wish("model", match.model, (created.model_id,)),
            Wish("opaque_id", match.opaque_id, (created.opaque_id,), is_glob=True),
        )
    )


def closest(seen: Iterable[Seen], differs: Callable[[Seen], list[Difference]]) -> tuple[Seen, list[Difference]] | None:
    """Return which of what was seen has the fewest differences, the latest of several, and those; None of nothing."""
    best: tuple[Seen, list[Difference]] | None = None
    for one in seen:
        found = differs(one)
        if best is None or len(found) <= len(best[1]):
            best = (one, found)
    return best
