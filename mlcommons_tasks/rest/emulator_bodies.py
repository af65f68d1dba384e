"""What calls to `/_emulator/` are told in their bodies, beside scenarios and faults. Knows not what comes of it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from mlcommons_tasks.emulation.scenarios import Scenario
from mlcommons_tasks.emulation.steps import Body
from mlcommons_tasks.task import FunctionName, InputType, TaskType


class Advance(Body, frozen=True):
    """By how much the clock is moved on."""

    by: Annotated[str, Meta(min_length=1, description="a time value, such as 30s, 5m or 250ms")]


class StopAt(Body, frozen=True):
    """At what time the clock is stopped; without one it is where it stands."""

    at: Annotated[int, Meta(ge=0, description="milliseconds since the epoch")] | None = None


class Seed(Body, frozen=True):
    """What ids follow from."""

    seed: Annotated[int, Meta(ge=0)]


class NewTask(Body, frozen=True):
    """A task of any type that plays a scenario: one that is given, or known by name, or that matches."""

    task_type: TaskType
    function_name: FunctionName
    input_type: InputType | None = None
    model_id: Annotated[str, Meta(min_length=1)] | None = None
    is_async: bool = True
    scenario: Scenario | str | None = None
