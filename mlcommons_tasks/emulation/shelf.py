"""The scenarios of a namespace, or its faults: in their order, each by its name. Knows not what they do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

import msgspec

from mlcommons_tasks.emulation.state import Known, State, States
from mlcommons_tasks.errors import TaskPluginError

K = TypeVar("K", bound=Known)


class UnknownName(TaskPluginError):
    """404: there is no scenario or fault of this name."""

    status = 404
    type = "resource_not_found_exception"


class Shelf(Generic[K]):
    """Those of one kind. Every method raises StoreUnavailable or UpstreamError if OpenSearch does not take it."""

    def __init__(self, states: States, namespace: str, field: str, kind: str) -> None:
        """Begin; `field` is where a state has them, `kind` what one is called."""
        self._states = states
        self._namespace = namespace
        self._field = field
        self.kind = kind

    def all(self) -> tuple[K, ...]:
        """Return all of them."""
        return self._of(self._states.get(self._namespace))

    def get(self, name: str) -> K:
        """Return one; raise UnknownName if there is none."""
        for known in self.all():
            if known.name == name:
                return known
        raise UnknownName(f"no such {self.kind} [{name}]")

    def add(self, new: Iterable[K]) -> None:
        """Have more; one of a name that is known replaces that one, in its place."""
        wanted = list(new)
        if not wanted:
            return

        def added(before: tuple[K, ...]) -> tuple[K, ...]:
            replaced = {each.name: each for each in wanted}
            kept = [replaced.pop(each.name, each) for each in before]
            return (*kept, *replaced.values())

        self._change(added)

    def remove(self, name: str | None) -> None:
        """Have one no more, or with no name none; raise UnknownName if there is none of that name."""
        if name is not None:
            self.get(name)
        self._change(lambda before: tuple(each for each in before if name not in (None, each.name)))

    def reset(self, name: str) -> None:
        """Have one count anew; raise UnknownName if there is none of that name."""
        self.get(name)
        self._change(lambda before: tuple(each.anew() if each.name == name else each for each in before))

    def _of(self, state: State) -> tuple[K, ...]:
        found: tuple[K, ...] = getattr(state, self._field)
        return found

    def _change(self, change: Any) -> None:
        def changed(state: State) -> tuple[State, None]:
            return msgspec.structs.replace(state, **{self._field: change(self._of(state))}), None

        self._states.change(self._namespace, changed)
