"""Scenarios as a test writes them, and the handle of one that is set. What they do is the service's business."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from mlcommons_tasks.testing.control import Control


class Scenario:
    """A scenario that is set in a namespace."""

    def __init__(self, control: Control, name: str) -> None:
        self._control = control
        self.name = name

    def __repr__(self) -> str:
        return f"Scenario({self.name!r})"

    @property
    def definition(self) -> dict[str, Any]:
        """The scenario as the service has it."""
        return dict(self._control.get("scenarios", self.name))

    @property
    def matched(self) -> int:
        """How many tasks it took."""
        return int(self.definition["matched"])

    def reset(self) -> None:
        """Begin anew: it has taken no task, and those that it played are deleted."""
        self._control.post("scenarios", self.name, "_reset")

    def delete(self) -> None:
        """Take it away: further tasks are real, or another scenario's."""
        self._control.delete("scenarios", self.name)


class Scenarios:
    """Sets scenarios in a namespace: call it with a preset, with steps, or with a whole scenario."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._numbers = itertools.count(1)

    def __call__(
        self,
        preset: str | Mapping[str, Any] | None = None,
        /,
        *,
        name: str | None = None,
        match: Mapping[str, Any] | None = None,
        times: int | None = None,
        steps: Sequence[Mapping[str, Any] | str] | None = None,
        search_lag: int | None = None,
        refuse: Mapping[str, Any] | None = None,
        **parameters: Any,
    ) -> Scenario:
        """Set a scenario, and return its handle.

        `scenario("slow", seconds=30)` takes a preset and its parameters, `scenario(steps=["CREATED", …])` steps, of
        which a text is a state; `scenario({...})` is a whole scenario as in a file. `match` says which tasks,
        `times` how many.

        Raises:
            EmulatorError: the service finds it wrong; the message names the field.
        """
        if isinstance(preset, Mapping):
            body = dict(preset)
        else:
            body = {} if preset is None else {"preset": preset}
            if parameters:
                body["with"] = parameters
        if steps is not None:
            body["steps"] = [{"state": step} if isinstance(step, str) else dict(step) for step in steps]
        more = {"match": match, "times": times, "search_lag": search_lag, "refuse": refuse, "name": name}
        body.update({key: value for key, value in more.items() if value is not None})
        body.setdefault("name", f"{body.get('preset', 'scenario')}-{next(self._numbers)}")
        self._control.post("scenarios", body=body)
        return Scenario(self._control, body["name"])
