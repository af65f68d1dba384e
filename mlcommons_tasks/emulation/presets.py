"""The scenarios that have a name of their own: what they are told and the states that they walk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from mlcommons_tasks.emulation.steps import (
    ABSENT,
    LONGEST_S,
    MOST_NODES,
    MOST_READS,
    Body,
    Refusal,
    Span,
    State,
    Step,
)
from mlcommons_tasks.emulation.walk import seen
from mlcommons_tasks.wire.typed_json import convert

Reads = Annotated[int, Meta(ge=0, le=MOST_READS)]
OneRead = Annotated[int, Meta(ge=1, le=MOST_READS)]
Lag = Annotated[int, Meta(ge=1, le=1_000)]

#: ml-commons 3.6.0 `MLTaskDispatcher`, recorded under least_load with no task allowed on any node.
LIMIT = Refusal(
    status=500,
    type="limit_exceeded_exception",
    reason="All nodes' executing ML task count reach limitation.",
)
DEFAULT_ERROR = "the value isn't Double type"  #: what KMEANS says of a text, recorded
DEFAULT_NODE_ERROR = "Memory Circuit Breaker is open, please check your resources!"  #: the plugin's, of a full heap


class Preset(Body, frozen=True):
    """A scenario by name; its fields are its parameters, its docstring says what it is for."""

    preset: ClassVar[str]

    def steps(self) -> tuple[Step, ...]:
        """Return the steps it walks; none if the task is refused."""
        return ()

    def lag(self) -> int:
        """Return how many reads `_search` is behind GET."""
        return 0

    def refusal(self) -> Refusal | None:
        """Return what the request that would create the task is answered instead."""
        return None


class StuckCreated(Preset, frozen=True):
    """The task stays in CREATED for ever: no worker takes it up."""

    preset = "stuck_created"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps it walks."""
        return (Step(state="CREATED"),)


class StuckRunning(Preset, frozen=True):
    """The task stays in RUNNING for ever: its worker is lost or hangs."""

    preset = "stuck_running"

    def steps(self) -> tuple[Step, ...]:
        """Return the steps it walks."""
        return (Step(state="CREATED"), Step(state="RUNNING"))


class Slow(Preset, frozen=True):
    """The task is RUNNING for a given time by the emulator's clock, then done."""

    preset = "slow"
    seconds: Annotated[float, Meta(ge=0, le=LONGEST_S, description="how long it is RUNNING")] = 30.0

    def steps(self) -> tuple[Step, ...]:
        """Return the steps it walks."""
        running = Step(state="RUNNING", lasts=Span(seconds=self.seconds))
        return (Step(state="CREATED"), running, Step(state="COMPLETED"))


class Fails(Preset, frozen=True):
    """The task ends in FAILED with an error."""

    preset = "fails"
    reads: Annotated[Reads, Meta(description="how many reads show RUNNING before")] = 1
    error: Annotated[str, Meta(description="the task's `error`")] = DEFAULT_ERROR

    def steps(self) -> tuple[Step, ...]:
        """Return the steps it walks."""
        return (*_running(self.reads), Step(state="FAILED", error=self.error))


class FailsOnOneNode(Preset, frozen=True):
    """The task has one worker node, which fails: FAILED, and `error` is a JSON object in a text, by node id."""

    preset = "fails_on_one_node"
    reads: Annotated[Reads, Meta(description="how many reads show RUNNING before")] = 1
    error: Annotated[str, Meta(description="what the node says")] = DEFAULT_NODE_ERROR

    def steps(self) -> tuple[Step, ...]:
        """Return the steps it walks."""
        return (*_running(self.reads), Step(state="FAILED", worker_nodes=1, node_errors={"0": self.error}))


class CompletedWithError(Preset, frozen=True):
    """The task is done on some of its nodes only; `error` is a JSON object in a text, by node id."""

    preset = "completed_with_error"
    reads: Annotated[Reads, Meta(description="how many reads show RUNNING before")] = 1
    worker_nodes: Annotated[int, Meta(ge=1, le=MOST_NODES, description="how many nodes the task has")] = 3
    failed: Annotated[int, Meta(ge=1, le=MOST_NODES, description="how many of them fail, the first ones")] = 1
    error: Annotated[str, Meta(description="what each of those says")] = DEFAULT_NODE_ERROR

    def __post_init__(self) -> None:
        if self.failed > self.worker_nodes:
            raise ValueError(f"`failed` is {self.failed}, more than the {self.worker_nodes} of `worker_nodes`")

    def steps(self) -> tuple[Step, ...]:
        """Return the steps it walks."""
        errors = {str(node): self.error for node in range(self.failed)}
        created = Step(state="CREATED", worker_nodes=self.worker_nodes)
        return (created, *_running(self.reads)[1:], Step(state="COMPLETED_WITH_ERROR", node_errors=errors))


class CancelLag(Preset, frozen=True):
    """The task is CANCELLING for some reads before it is CANCELLED: a remote job that takes its time to stop."""

    preset = "cancel_lag"
    reads: Annotated[OneRead, Meta(description="how many reads show CANCELLING")] = 3

    def steps(self) -> tuple[Step, ...]:
        """Return the steps it walks."""
        return (*_running(1), Step(state="CANCELLING", lasts=Span(reads=self.reads)), Step(state="CANCELLED"))


class _Ends(Preset, frozen=True):
    """RUNNING, then an end that pollers forget."""

    end: ClassVar[State]
    reads: Annotated[Reads, Meta(description="how many reads show RUNNING before")] = 1

    def steps(self) -> tuple[Step, ...]:
        """Return the steps it walks."""
        return (*_running(self.reads), Step(state=self.end))


class Cancelled(_Ends, frozen=True):
    """The task ends in CANCELLED: somebody cancelled it."""

    preset = "cancelled"
    end = "CANCELLED"


class Expired(_Ends, frozen=True):
    """The task ends in EXPIRED: a remote job ran out of time."""

    preset = "expired"
    end = "EXPIRED"


class Unreachable(_Ends, frozen=True):
    """The task ends in UNREACHABLE: the state of a remote job could not be had."""

    preset = "unreachable"
    end = "UNREACHABLE"


class Vanishes(Preset, frozen=True):
    """The task is gone after some reads, 404: somebody deleted it, or its index."""

    preset = "vanishes"
    reads: Annotated[OneRead, Meta(description="how many reads show RUNNING before")] = 2

    def steps(self) -> tuple[Step, ...]:
        """Return the steps it walks."""
        return (*_running(self.reads), Step(state=ABSENT))


class LimitExceeded(Preset, frozen=True):
    """The request that would create the task is answered the plugin's error for too many tasks, 500."""

    preset = "limit_exceeded"

    def refusal(self) -> Refusal:
        """Return the plugin's answer."""
        return LIMIT


class SkipsRunning(Preset, frozen=True):
    """The task goes from CREATED straight to COMPLETED: nobody ever sees it RUNNING."""

    preset = "skips_running"
    reads: Annotated[OneRead, Meta(description="how many reads show CREATED")] = 1

    def steps(self) -> tuple[Step, ...]:
        """Return the steps it walks."""
        return (Step(state="CREATED", lasts=Span(reads=self.reads)), Step(state="COMPLETED"))


class SearchLag(Preset, frozen=True):
    """`_search` is some reads behind GET, as an index is that was not refreshed."""

    preset = "search_lag"
    reads: Annotated[Lag, Meta(description="how many reads `_search` is behind")] = 2

    def steps(self) -> tuple[Step, ...]:
        """Return the steps it walks."""
        return (*_running(1), Step(state="COMPLETED"))

    def lag(self) -> int:
        """Return how many reads `_search` is behind GET."""
        return self.reads


class NotFoundAtFirst(Preset, frozen=True):
    """The task is not there for some reads, 404, though it was created; then it is."""

    preset = "not_found_at_first"
    reads: Annotated[OneRead, Meta(description="how many reads do not find it")] = 2

    def steps(self) -> tuple[Step, ...]:
        """Return the steps it walks."""
        return (Step(state=ABSENT, lasts=Span(reads=self.reads)), *_running(1), Step(state="COMPLETED"))


#: Every preset by its name, in the order in which they are listed.
PRESETS: Mapping[str, type[Preset]] = {
    kind.preset: kind
    for kind in (
        StuckCreated,
        StuckRunning,
        Slow,
        Fails,
        FailsOnOneNode,
        CompletedWithError,
        CancelLag,
        Cancelled,
        Expired,
        Unreachable,
        Vanishes,
        LimitExceeded,
        SkipsRunning,
        SearchLag,
        NotFoundAtFirst,
    )
}


def preset_of(name: str, parameters: Mapping[str, Any]) -> Preset:
    """Return a preset with its parameters.

    Raises:
        ValueError: there is none of that name, or a parameter is unknown or has a value that cannot be used; names it.
    """
    if name not in PRESETS:
        raise ValueError(f"Unknown preset `{name}` in `preset`; there are {', '.join(PRESETS)}")
    try:
        return convert(dict(parameters), PRESETS[name])
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        raise ValueError(f"{what} in `with{where or '`'} of preset {name}") from error


def description_of(kind: type[Preset]) -> str:
    """Return what a preset is for, in a sentence."""
    return " ".join((kind.__doc__ or "").split())


def presets() -> list[dict[str, Any]]:
    """Return all of them for people; steps and what is seen are those of the defaults."""
    return [_listed(kind) for kind in PRESETS.values()]


def _listed(kind: type[Preset]) -> dict[str, Any]:
    preset = kind()
    _, components = msgspec.json.schema_components([kind])
    listed: dict[str, Any] = {
        "name": kind.preset,
        "description": description_of(kind),
        "parameters": components[kind.__name__]["properties"],
        "steps": [msgspec.to_builtins(step) for step in preset.steps()],
    }
    if preset.steps():
        walk = seen(preset.steps(), preset.lag())
        listed["seen"] = {"get": walk.get, "search": walk.search}
    if preset.lag():
        listed["search_lag"] = preset.lag()
    refusal = preset.refusal()
    if refusal is not None:
        listed["refuse"] = msgspec.to_builtins(refusal)
    return listed


def _running(reads: int) -> tuple[Step, ...]:
    """Return how a task comes to RUNNING, which `reads` reads show; with none nobody sees it."""
    running = Step(state="RUNNING", lasts=Span(reads=reads)) if reads else Step(state="RUNNING")
    return (Step(state="CREATED"), running)
