"""Faults: which requests they are for, how often, and what is done to the answer. Pure; who counts is elsewhere.

    {"name": "busy", "match": {"path": "/_plugins/_ml/tasks/*"}, "when": {"first": 2}, "effect": {"status": 503}}

Whether a fault applies, and how long it delays, follows from its seed and the request's running number alone, so a
run can be repeated.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from mlcommons_tasks.emulation.matching import Difference, Wish, unmet
from mlcommons_tasks.emulation.steps import NAME, Body, Glob
from mlcommons_tasks.errors import IllegalArgument
from mlcommons_tasks.wire.typed_json import convert, decode

LONGEST_DELAY_S = 3600.0
CONTROL = "/_emulator"  #: calls below that path are never faulty

Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(ge=0, le=LONGEST_DELAY_S)]


class Asked(NamedTuple):
    """What of a request a fault is matched by; `path` is as it was sent, without its query."""

    method: str
    path: str
    opaque_id: str | None = None
    user_agent: str | None = None


class FaultState(NamedTuple):
    """How many requests a fault was asked about, and to how many it was applied."""

    seen: int = 0
    applied: int = 0


class FaultMatch(Body, frozen=True):
    """Which requests a fault is for: those that fit all that is said here; without any, every request."""

    method: Annotated[str, Meta(min_length=1, description="such as GET")] | None = None
    path: Annotated[Glob, Meta(description="the path as it is sent, without its query")] | None = None
    opaque_id: Annotated[Glob, Meta(description="the request's X-Opaque-Id")] | None = None
    user_agent: Annotated[Glob, Meta(description="the request's User-Agent")] | None = None

    def __post_init__(self) -> None:
        """Refuse a path that no request can have, for the fault would silently do nothing."""
        path = self.path
        if path is None:
            return
        if not path.startswith(("/", "*")):
            raise ValueError(f"`path` begins with `/` or `*`; [{path}] matches no request")
        if "?" in path:
            raise ValueError(
                f"`path` is without the query, and `?` stands for nothing in it: [{path}] matches no request"
            )
        if path == CONTROL or path.startswith((f"{CONTROL}/", f"{CONTROL}*", f"{CONTROL}?")):
            raise ValueError(
                f"`path` is that of a request of a namespace, without `{CONTROL}/in/<name>`, and no call of the"
                f" emulator's own is ever faulty: [{path}] matches no request"
            )


class When(Body, frozen=True):
    """To which of the requests that match: the first so many, every so manieth, or by chance."""

    first: Count | None = None
    every: Count | None = None
    probability: Annotated[float, Meta(ge=0, le=1)] | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        _one_of(self, "first", "every", "probability")
        if self.seed is not None and self.probability is None:
            raise ValueError("`seed` goes with `probability`")


class Lognormal(Body, frozen=True):
    """Delays half of which are below the median; the larger sigma is, the longer is the longest."""

    median: Seconds
    sigma: Annotated[float, Meta(ge=0, le=10)]


class Delay(Body, frozen=True):
    """How long an answer is held back, in seconds."""

    fixed: Seconds | None = None
    uniform: tuple[Seconds, Seconds] | None = None
    lognormal: Lognormal | None = None

    def __post_init__(self) -> None:
        _one_of(self, "fixed", "uniform", "lognormal")
        if self.uniform is not None and self.uniform[0] > self.uniform[1]:
            raise ValueError("`uniform` goes from the shorter to the longer")

    def sampled_s(self, chance: float) -> float:
        """Return the delay that a number between 0 and 1 stands for."""
        if self.uniform is not None:
            shortest, longest = self.uniform
            return shortest + (longest - shortest) * chance
        if self.lognormal is not None:
            deviation = NormalDist().inv_cdf(min(max(chance, 1e-12), 1 - 1e-12))
            return min(self.lognormal.median * math.exp(self.lognormal.sigma * deviation), LONGEST_DELAY_S)
        return self.fixed or 0.0


class Truncate(Body, frozen=True):
    """How many bytes of the body are sent before the connection ends."""

    after: Annotated[int, Meta(ge=0)]


class Stale(Body, frozen=True):
    """How many reads of the same an answer is behind."""

    reads: Count


class Effect(Body, frozen=True):
    """What is done to an answer; one of `status`, `delay`, `drop`, `reset`, `truncate`, `malformed`, `stale`."""

    status: Annotated[int, Meta(ge=400, le=599)] | None = None
    type: str | None = None
    reason: str | None = None
    retry_after: Annotated[int, Meta(ge=0)] | None = None
    delay: Delay | None = None
    seed: int | None = None
    drop: bool | None = None
    reset: bool | None = None
    truncate: Truncate | None = None
    malformed: bool | None = None
    stale: Stale | None = None

    def __post_init__(self) -> None:
        _one_of(self, "status", "delay", "drop", "reset", "truncate", "malformed", "stale")
        for name in ("drop", "reset", "malformed"):
            if getattr(self, name) is False:
                raise ValueError(f"`{name}` is true, or is left out")
        for name in ("type", "reason", "retry_after"):
            if getattr(self, name) is not None and self.status is None:
                raise ValueError(f"`{name}` goes with `status`")
        if self.seed is not None and self.delay is None:
            raise ValueError("`seed` goes with `delay`")


class Fault(Body, frozen=True, kw_only=True):
    """A fault: a name, the requests it is for, to which of them and how often it is applied, and its effect."""

    name: Annotated[str, Meta(pattern=NAME, description="by which it is asked for, reset and replaced")]
    match: FaultMatch = FaultMatch()
    when: When | None = None
    times: Count | None = None
    effect: Effect

    @classmethod
    def read(cls, body: bytes | Mapping[str, Any]) -> Fault:
        """Return the fault that a body describes, JSON or parsed.

        Raises:
            IllegalArgument: it describes none; the reason names the field.
        """
        try:
            if isinstance(body, bytes):
                return decode(body, cls)
            return convert(body, cls)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise IllegalArgument(str(error)) from error

    def to_document(self) -> dict[str, Any]:
        """Return the fault as JSON has it."""
        document: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        return document

    def matches(self, asked: Asked) -> bool:
        """Say whether the fault is for a request."""
        return not differences(self.match, asked)

    def decide(self, seen: int, applied: int = 0) -> bool:
        """Say whether the fault is applied to the request of a running number, which counts from 1.

        `applied` is to how many it was before.
        """
        if self.times is not None and applied >= self.times:
            return False
        when = self.when
        if when is None:
            return True
        if when.first is not None:
            return seen <= when.first
        if when.every is not None:
            return seen % when.every == 0
        return self._chance(when.seed, "when", seen) < (when.probability or 0.0)

    def asked(self, state: FaultState) -> tuple[bool, FaultState]:
        """Return whether the fault is applied to the next request that matches, and how it stands after that."""
        applies = self.decide(state.seen + 1, state.applied)
        return applies, FaultState(state.seen + 1, state.applied + applies)

    def delay_s(self, seen: int) -> float:
        """Return how long the request of a running number waits; 0 unless the effect is a delay."""
        delay = self.effect.delay
        return 0.0 if delay is None else delay.sampled_s(self._chance(self.effect.seed, "delay", seen))

    def _chance(self, seed: int | None, what: str, number: int) -> float:
        """Return a number from 0 up to 1; without a seed the fault's name is one, so that no two do the same."""
        text = f"{self.name if seed is None else seed}/{what}/{number}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest(), "big") / 2**56


def choose(
    faults: Sequence[Fault], states: Mapping[str, FaultState], asked: Asked
) -> tuple[Fault | None, dict[str, FaultState]]:
    """Return the fault that is applied to a request, and how those stand now that were asked.

    The first one in order that matches and wants the request has it; those behind it are not asked.
    """
    changed: dict[str, FaultState] = {}
    for fault in faults:
        if fault.matches(asked):
            applies, changed[fault.name] = fault.asked(states.get(fault.name, FaultState()))
            if applies:
                return fault, changed
    return None, changed


def differences(match: FaultMatch, asked: Asked) -> list[Difference]:
    """Return where a request is not what a match wants; nothing if it is."""
    return unmet(
        (
            Wish("method", match.method.upper() if match.method else None, (asked.method,)),
            Wish("path", match.path, (asked.path,), is_glob=True),
            Wish("opaque_id", match.opaque_id, (asked.opaque_id,), is_glob=True),
            Wish("user_agent", match.user_agent, (asked.user_agent,), is_glob=True),
        )
    )


def _one_of(part: Body, *names: str) -> None:
    given = [name for name in names if getattr(part, name) is not None]
    if len(given) == 1:
        return
    listed = ", ".join(f"`{name}`" for name in names)
    raise ValueError(f"Give exactly one of {listed}; there is {' and '.join(f'`{name}`' for name in given) or 'none'}")
