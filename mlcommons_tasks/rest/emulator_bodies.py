"""What calls to `/_emulator/` are told in their bodies, beside scenarios and faults. Knows not what comes of it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from mlcommons_tasks.emulation.scenarios import Scenario
from mlcommons_tasks.emulation.steps import Body
from mlcommons_tasks.task import FunctionName, InputType, TaskType

TIME = r"^[0-9]{1,12}(d|h|m|s|ms)$"
LATEST = 253_402_300_799_999  #: the end of the year 9999: dates after it have another form
LARGEST = 2**63 - 1


class Advance(Body, frozen=True):
    """By how much the clock is moved on."""

    by: Annotated[str, Meta(pattern=TIME, description="a time value: a whole number with d, h, m, s or ms")]


class StopAt(Body, frozen=True):
    """At what time the clock is stopped; without one it is where it stands."""

    at: Annotated[int, Meta(ge=0, le=LATEST, description="milliseconds since the epoch")] | None = None


class Seed(Body, frozen=True):
    """What ids follow from."""

    seed: Annotated[int, Meta(ge=0, le=LARGEST)]


class NewTask(Body, frozen=True):
    """A task of any type that plays a scenario: one that is given, or known by name, or that matches."""

    task_type: TaskType
    function_name: FunctionName
    input_type: InputType | None = None
    model_id: Annotated[str, Meta(min_length=1)] | None = None
    is_async: bool = True
    scenario: Scenario | str | None = None
