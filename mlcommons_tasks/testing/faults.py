"""Faults as a test writes them, and the handle of one that is set. What they do is the service's business."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from mlcommons_tasks.testing.control import Control

#: Arguments, and where they stand in a fault.
_MATCH = ("method", "path", "opaque_id", "user_agent")
_WHEN = ("first", "every", "probability")


class Fault:
    """A fault that is set in a namespace."""

    def __init__(self, control: Control, name: str) -> None:
        self._control = control
        self.name = name

    def __repr__(self) -> str:
        return f"Fault({self.name!r})"

    @property
    def definition(self) -> dict[str, Any]:
        """The fault as the service has it."""
        return dict(self._control.get("faults", self.name))

    @property
    def seen(self) -> int:
        """How many requests it could have changed."""
        return int(self.definition["seen"])

    @property
    def applied(self) -> int:
        """How many requests it did change."""
        return int(self.definition["applied"])

    def reset(self) -> None:
        """Begin to count anew."""
        self._control.post("faults", self.name, "_reset")

    def delete(self) -> None:
        """Take it away."""
        self._control.delete("faults", self.name)


class Faults:
    """Sets faults in a namespace: call it with what shall happen, and to which requests."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._numbers = itertools.count(1)

    def __call__(
        self,
        fault: Mapping[str, Any] | None = None,
        /,
        *,
        name: str | None = None,
        method: str | None = None,
        path: str | None = None,
        opaque_id: str | None = None,
        user_agent: str | None = None,
        first: int | None = None,
        every: int | None = None,
        probability: float | None = None,
        seed: int | None = None,
        times: int | None = None,
        status: int | None = None,
        type: str | None = None,
        reason: str | None = None,
        retry_after: int | None = None,
        delay: float | Mapping[str, Any] | None = None,
        drop: bool = False,
        reset: bool = False,
        truncate_after: int | None = None,
        malformed: bool = False,
        stale_reads: int | None = None,
    ) -> Fault:
        """Set a fault, and return its handle.

        `fault(status=503, path="/_plugins/_ml/tasks/*", first=1)`: the first read of a task gets a 503. What happens
        is one of `status` (with `type`, `reason`, `retry_after`), `delay` (seconds, or a distribution), `drop`,
        `reset`, `truncate_after` (bytes), `malformed` and `stale_reads`; when, one of `first`, `every` and
        `probability`, or always; `times` is a bound; `seed` makes a probability or a delay the same in each run.
        `fault({...})` is a whole fault as in a file.

        Raises:
            EmulatorError: the service finds it wrong; the message names the field.
        """
        given = locals()
        body = dict(fault or {})
        effects = {
            "status": status,
            "type": type,
            "reason": reason,
            "retry_after": retry_after,
            "delay": {"fixed": delay} if isinstance(delay, (int, float)) else delay,
            "drop": drop or None,
            "reset": reset or None,
            "truncate": None if truncate_after is None else {"after": truncate_after},
            "malformed": malformed or None,
            "stale": None if stale_reads is None else {"reads": stale_reads},
        }
        _put(body, "match", {key: given[key] for key in _MATCH})
        _put(body, "when", {key: given[key] for key in _WHEN})
        _put(body, "effect", effects)
        if seed is not None:
            _put(body, "when" if probability is not None else "effect", {"seed": seed})
        if times is not None:
            body["times"] = times
        body["name"] = name or body.get("name") or f"fault-{next(self._numbers)}"
        self._control.post("faults", body=body)
        return Fault(self._control, body["name"])


def _put(body: dict[str, Any], key: str, values: Mapping[str, Any]) -> None:
    """Add what is given to a part of a body."""
    given = {name: value for name, value in values.items() if value is not None}
    if given:
        body[key] = {**body.get(key, {}), **given}
