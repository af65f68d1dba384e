"""What a scenario's steps, matcher and refusal look like on the wire. Knows what they may say, not what they do."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from mlcommons_tasks.task import FunctionName, TaskState, TaskType

ABSENT: Final = "ABSENT"  #: the task is not there
IMMEDIATE: Final = "immediate"
FOREVER: Final = "forever"
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"  #: of a scenario or a fault: it stands in URLs
MOST_NODES = 100
MOST_READS = 1_000_000
LONGEST_S = 3_153_600_000.0  #: a hundred years
WORKER = re.compile(r"\d{1,2}")  #: a worker node by its place; a node id is longer

State = Literal[
    "CREATED",
    "RUNNING",
    "COMPLETED",
    "FAILED",
    "CANCELLED",
    "COMPLETED_WITH_ERROR",
    "CANCELLING",
    "EXPIRED",
    "UNREACHABLE",
    "ABSENT",
]
#: The same by its plain text, for code that compares.
STATES: tuple[str, ...] = (*(state.value for state in TaskState), ABSENT)
Glob = Annotated[str, Meta(min_length=1, description="a pattern in which `*` is any text")]


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What every body of the control API is: no field but the known ones; what is not said is not written."""


class Span(Body, frozen=True):
    """How long a step lasts: seconds by the emulator's clock, or a number of reads of the task."""

    seconds: Annotated[float, Meta(ge=0, le=LONGEST_S)] | None = None
    reads: Annotated[int, Meta(ge=1, le=MOST_READS)] | None = None

    def __post_init__(self) -> None:
        if (self.seconds is None) == (self.reads is None):
            raise ValueError("Give one of `seconds` and `reads`")


class Step(Body, frozen=True):
    """A state that the task is in, and what its document says then.

    `progress`, `error`, `worker_nodes` and `model_id` stay until a later step says otherwise, as they do in the
    plugin, whose updates are partial.
    """

    state: Annotated[State, Meta(description="what the task's `state` is; ABSENT: the task is not there")]
    lasts: Annotated[
        Literal["immediate", "forever"] | Span | None,
        Meta(description="how long; a step that says nothing is immediate, the last one is for ever"),
    ] = None
    progress: Annotated[float, Meta(description="the task's `progress`")] | None = None
    error: Annotated[str, Meta(description="the task's `error`")] | None = None
    node_errors: (
        Annotated[
            dict[Annotated[str, Meta(min_length=1)], str],
            Meta(
                min_length=1,
                description="a message by node, a worker node's place counted from 0 or a node id: a JSON object"
                " in the text of `error`, as deploying a model writes it",
            ),
        ]
        | None
    ) = None
    worker_nodes: (
        Annotated[int, Meta(ge=1, le=MOST_NODES, description="how many worker nodes")]
        | Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(min_length=1, description="their ids")]
        | None
    ) = None
    model_id: Annotated[str, Meta(min_length=1, description="the task's `model_id`")] | None = None
    model: (
        Annotated[
            Literal["real", "played"],
            Meta(description="COMPLETED only: whether the data is trained on, or the model is but an id"),
        ]
        | None
    ) = None

    def __post_init__(self) -> None:
        if self.error is not None and self.node_errors is not None:
            raise ValueError("Give one of `error` and `node_errors`")
        if self.model is not None and self.state != TaskState.COMPLETED.value:
            raise ValueError(f"`model` is for COMPLETED only, not for {self.state}")
        if self.model == "real" and self.model_id is not None:
            raise ValueError("A real model has an id of its own: give one of `model` real and `model_id`")
        if self.state == ABSENT and any(getattr(self, field) is not None for field in SHOWN):
            raise ValueError(f"A task that is ABSENT shows nothing: leave out {', '.join(f'`{it}`' for it in SHOWN)}")


#: The fields of a step that are seen in the task's document.
SHOWN = ("progress", "error", "node_errors", "worker_nodes", "model_id")


class Match(Body, frozen=True):
    """Which tasks a scenario is for: those that fit all that is said here; without any, every task."""

    task_type: TaskType | None = None
    function_name: FunctionName | None = None
    index: Annotated[Glob, Meta(description="one of the indices that the data comes from")] | None = None
    model: Annotated[str, Meta(min_length=1, description="the id of the model that the task is about")] | None = None
    opaque_id: Annotated[Glob, Meta(description="the request's X-Opaque-Id")] | None = None


class Refusal(Body, frozen=True):
    """What the request that would create a task is answered instead, in OpenSearch's envelope."""

    status: Annotated[int, Meta(ge=400, le=599)]
    type: Annotated[str, Meta(min_length=1)]
    reason: str


def problem_of(steps: tuple[Step, ...]) -> str | None:
    """Return what is wrong with a list of steps as a whole, None if nothing is."""
    if not steps:
        return "`steps` is empty: give at least one"
    for number, step in enumerate(steps[:-1]):
        if step.lasts == FOREVER:
            return f"`steps[{number}].lasts` is forever, which only the last step may be"
    if isinstance(steps[-1].lasts, Span):
        return f"`steps[{len(steps) - 1}].lasts` ends, but no step follows; the last step lasts for ever"
    return None


def settled(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return the steps with every `lasts` said."""
    last = len(steps) - 1
    return tuple(
        msgspec.structs.replace(step, lasts=FOREVER if number == last else step.lasts or IMMEDIATE)
        for number, step in enumerate(steps)
    )
