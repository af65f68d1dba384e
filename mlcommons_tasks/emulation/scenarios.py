"""Scenarios as they are told: read, checked and resolved into steps. Does not know which task plays one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from mlcommons_tasks.emulation.faults import Fault
from mlcommons_tasks.emulation.presets import preset_of
from mlcommons_tasks.emulation.steps import NAME, Body, Match, Refusal, Step, problem_of, settled
from mlcommons_tasks.errors import IllegalArgument
from mlcommons_tasks.wire.typed_json import convert, decode

MOST_LAG = 1_000
MOST_STEPS = 1_000
Told = TypeVar("Told")


class Scenario(Body, frozen=True):
    """What the tasks that match shall do: steps of its own, those of a preset, or a refusal."""

    name: Annotated[str, Meta(pattern=NAME, description="by which it is asked for, reset and replaced")]
    match: Annotated[Match, Meta(description="which tasks it is for; without it every task")] = Match()
    times: Annotated[int, Meta(ge=1, description="how many tasks it takes; without it all")] | None = None
    steps: (
        Annotated[
            tuple[Step, ...], Meta(min_length=1, max_length=MOST_STEPS, description="what the task does, in order")
        ]
        | None
    ) = None
    preset: Annotated[str, Meta(description="steps that have a name")] | None = None
    parameters: Annotated[dict[str, Any], Meta(description="the parameters of the preset")] = msgspec.field(
        name="with", default_factory=dict
    )
    search_lag: Annotated[int, Meta(ge=0, le=MOST_LAG, description="how many reads `_search` is behind GET")] = 0
    refuse: Annotated[Refusal, Meta(description="what the request is answered that would create a task")] | None = None

    def __post_init__(self) -> None:
        told = [name for name in ("steps", "preset", "refuse") if getattr(self, name) is not None]
        if len(told) != 1:
            given = " and ".join(f"`{name}`" for name in told) or "none"
            raise ValueError(f"Give exactly one of `steps`, `preset` and `refuse`; there is {given}")
        if self.parameters and self.preset is None:
            raise ValueError("`with` has the parameters of a preset, and there is no `preset`")
        if self.refuse is not None and self.search_lag:
            raise ValueError("`search_lag` is of no use with `refuse`: there is no task to be found")
        if self.preset is not None:
            preset_of(self.preset, self.parameters)
        problem = problem_of(self.steps) if self.steps is not None else None
        if problem is not None:
            raise ValueError(problem)


class ScenarioFile(Body, frozen=True):
    """What a file holds: scenarios in the order in which they are asked, and faults."""

    schema: Annotated[str, Meta(description="where the JSON Schema of this file is")] | None = msgspec.field(
        name="$schema", default=None
    )
    scenarios: tuple[Scenario, ...] = ()
    faults: tuple[Fault, ...] = ()

    def __post_init__(self) -> None:
        for kind in ("scenarios", "faults"):
            names = [told.name for told in getattr(self, kind)]
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"`{kind}` has two of the name {twice[0]}")


@dataclasses.dataclass(frozen=True)
class Plot:
    """What a scenario comes down to: steps with all said, or a refusal."""

    steps: tuple[Step, ...] = ()
    search_lag: int = 0
    refuse: Refusal | None = None


def resolve(scenario: Scenario) -> Plot:
    """Return what a scenario comes down to, its preset spelt out."""
    if scenario.refuse is not None:
        return Plot(refuse=scenario.refuse)
    if scenario.steps is not None:
        return Plot(settled(scenario.steps), scenario.search_lag)
    preset = preset_of(scenario.preset or "", scenario.parameters)
    refusal = preset.refusal()
    if refusal is not None:
        return Plot(refuse=refusal)
    return Plot(settled(preset.steps()), scenario.search_lag or preset.lag())


def scenario_of(body: Mapping[str, Any]) -> Scenario:
    """Return a scenario from what JSON has of it.

    Raises:
        IllegalArgument: it is none; the reason names the field.
    """
    try:
        return convert(body, Scenario)
    except msgspec.ValidationError as error:
        raise IllegalArgument(str(error)) from error


def read_scenario(payload: bytes | str) -> Scenario:
    """Return a scenario from its JSON.

    Raises:
        IllegalArgument: it is none; the reason names the field.
    """
    return _decoded(payload, Scenario)


def read_scenario_file(payload: bytes | str) -> ScenarioFile:
    """Return what a scenario file holds.

    Raises:
        IllegalArgument: it is none; the reason names the field.
    """
    return _decoded(payload, ScenarioFile)


def read_told(payload: bytes | str) -> ScenarioFile:
    """Return what a request tells: a file, or a scenario alone.

    Raises:
        IllegalArgument: it is neither; the reason names the field.
    """
    fields = _decoded(payload, dict[str, msgspec.Raw])
    if fields.keys() & {"scenarios", "faults"}:
        return read_scenario_file(payload)
    return ScenarioFile(scenarios=(read_scenario(payload),))


def _decoded(payload: bytes | str, kind: type[Told]) -> Told:
    try:
        return decode(payload, kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise IllegalArgument(str(error)) from error
