"""What calls to `/_emulator/` answer, as the OpenAPI document describes it; `tests/fuzz` holds the answers to it.

Answers may have more one day, so these say what is there and not that there is nothing else.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from mlcommons_tasks.emulation.faults import Fault
from mlcommons_tasks.emulation.scenarios import Scenario
from mlcommons_tasks.emulation.steps import Refusal, Step

Millis = Annotated[int, Meta(description="milliseconds since the epoch")]
Headers = Annotated[dict[str, str], Meta(description="values of one name are joined; credentials are left out")]


class Cause(Struct):
    """What went wrong."""

    type: str
    reason: str | None


class Causes(Cause):
    """What went wrong, and what led to it."""

    root_cause: list[Cause]


class Error(Struct):
    """OpenSearch's envelope."""

    error: Annotated[Causes | str, Meta(description="a text where OpenSearch has one, as of a wrong Content-Type")]
    status: Annotated[int, Meta(ge=400, le=599)]


class Call(Struct):
    """A call of this API."""

    method: str
    path: str
    summary: str


class Info(Struct):
    """Which service this is, and what it can be told."""

    name: str
    version: str
    namespace: str
    namespace_header: str
    token_header: str
    openapi: Annotated[str, Meta(description="where this document is")]
    calls: list[Call]


class Health(Struct):
    """That the emulator is there and can read what it was told."""

    status: str
    namespace: str


class Seen(Struct):
    """The states that a poller sees, read by read."""

    get: list[str]
    search: list[str]


class ShownPreset(Struct):
    """A preset, with the steps and what is seen of it by its default parameters."""

    name: str
    description: str
    parameters: Annotated[dict[str, Any], Meta(description="a JSON Schema by name")]
    steps: Annotated[list[Step], Meta(description="none if the task is refused")]
    seen: Seen | None = None
    search_lag: int | None = None
    refuse: Refusal | None = None


class Presets(Struct):
    """All of them."""

    presets: list[ShownPreset]


class KnownScenario(Scenario, frozen=True, kw_only=True):
    """A scenario, and how many tasks it has taken."""

    matched: int


class Scenarios(Struct):
    """In the order in which they are asked."""

    scenarios: list[KnownScenario]


class KnownFault(Fault, frozen=True, kw_only=True):
    """A fault, how many requests it was asked about, and to how many it was applied."""

    seen: int
    applied: int


class Faults(Struct):
    """In the order in which they are asked."""

    faults: list[KnownFault]


class Added(Struct):
    """The names of what the emulator was told."""

    scenarios: list[str]
    faults: list[str]


class Acknowledged(Struct):
    """That it is done."""

    acknowledged: bool


class Deleted(Struct):
    """The ids of the tasks that were deleted."""

    deleted_tasks: list[str]


class ClockShown(Struct):
    """How the namespace's time stands."""

    now: Millis
    stopped: bool
    offset_in_millis: Annotated[int, Meta(description="by how much it differs from the machine's")]


class CreatedTask(Struct):
    """As the plugin answers who starts a training."""

    task_id: str
    status: str


class InsteadOf(Struct):
    """What would have been answered, where a stale answer was."""

    status: int
    headers: Headers
    body: str | None = None
    body_base64: str | None = None


class ShownRequest(Struct):
    """A request and its answer; bodies are decompressed and cut off, one that is no text is in base64."""

    at: Millis
    took_in_millis: float
    namespace: str
    method: str
    target: str
    status: Annotated[int | None, Meta(description="null if nothing was answered")]
    opaque_id: str | None
    user_agent: str | None
    address: str | None
    request_headers: Headers
    request_truncated: bool
    response_headers: Headers
    response_truncated: bool
    fault: Annotated[str | None, Meta(description="the fault that was applied")]
    scenario: Annotated[str | None, Meta(description="whose task it was")]
    task_id: Annotated[str | None, Meta(description="of the task that it made or was about")]
    dropped: Annotated[bool, Meta(description="the answer did not come to its end")]
    request_body: str | None = None
    request_body_base64: str | None = None
    response_body: str | None = None
    response_body_base64: str | None = None
    instead_of: InsteadOf | None = None


class Requests(Struct):
    """Those that were asked for, the newest last."""

    total: Annotated[int, Meta(description="how many there are; `limit` does not count")]
    requests: list[ShownRequest]


class Counted(Struct):
    """How many requests there are."""

    count: int


class MissedRequest(Struct):
    """The request that came closest."""

    at: Millis
    method: str
    target: str
    status: int | None
    opaque_id: str | None
    user_agent: str | None


class Difference(Struct):
    """A field that was not as wanted; null where there was nothing."""

    field: str
    wanted: str
    was: str | None


class Miss(Struct):
    """A scenario or a fault that no request has matched yet."""

    kind: Annotated[str, Meta(description="scenario or fault")]
    name: str
    request: Annotated[MissedRequest | None, Meta(description="null if there was none that could have")]
    differs: list[Difference]


class Misses(Struct):
    """Of each that never matched."""

    misses: list[Miss]


class Namespace(Struct):
    """A namespace."""

    name: str


class Namespaces(Struct):
    """All that there are."""

    namespaces: list[Namespace]
