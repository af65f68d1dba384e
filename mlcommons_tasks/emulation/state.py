"""What one namespace was told: scenarios and faults with their counts, time, ids. The same on every replica.

Knows how it is kept and changed, and not what any of it does.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from mlcommons_tasks.clock import ClockState
from mlcommons_tasks.emulation.faults import Fault, FaultState
from mlcommons_tasks.emulation.scenarios import Scenario
from mlcommons_tasks.store.documents import new_document_id
from mlcommons_tasks.store.emulation import Conflict, Memory, Remembered
from mlcommons_tasks.wire.typed_json import decode

KIND, NAME = "state", "state"
Result = TypeVar("Result")


class KnownScenario(msgspec.Struct, frozen=True):
    """A scenario, and how many tasks it has taken."""

    scenario: Scenario
    matched: int = 0

    @property
    def name(self) -> str:
        """Its name."""
        return self.scenario.name

    def anew(self) -> KnownScenario:
        """Return it with nothing counted."""
        return KnownScenario(self.scenario)

    def shown(self) -> dict[str, Any]:
        """Return it as it was told, and its count."""
        return {**msgspec.to_builtins(self.scenario), "matched": self.matched}


class KnownFault(msgspec.Struct, frozen=True):
    """A fault, and how often it was looked at and applied."""

    fault: Fault
    counts: FaultState = FaultState()

    @property
    def name(self) -> str:
        """Its name."""
        return self.fault.name

    def anew(self) -> KnownFault:
        """Return it with nothing counted."""
        return KnownFault(self.fault)

    def shown(self) -> dict[str, Any]:
        """Return it as it was told, and its counts."""
        return {**msgspec.to_builtins(self.fault), **self.counts._asdict()}


Known = KnownScenario | KnownFault


class State(msgspec.Struct, frozen=True):
    """What a namespace was told.

    Attributes:
        scenarios: in the order in which they are asked whether a task is theirs.
        faults: likewise.
        clock: how its time differs from the machine's.
        seed: what its ids follow from, None for random ones.
        drawn: how many ids were drawn from the seed.
        has_plays: whether there may be a task that a scenario moves.
    """

    scenarios: tuple[KnownScenario, ...] = ()
    faults: tuple[KnownFault, ...] = ()
    clock: ClockState = ClockState()
    seed: int | None = None
    drawn: int = 0
    has_plays: bool = False

    @property
    def is_quiet(self) -> bool:
        """Whether a request is answered as it would be without an emulator."""
        return not (self.scenarios or self.faults or self.has_plays or self.clock != ClockState())


class States:
    """The states of all namespaces, kept in a memory."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._read: dict[str, tuple[Remembered, State]] = {}

    def get(self, namespace: str) -> State:
        """Return what a namespace was told.

        Raises:
            StoreUnavailable, UpstreamError: OpenSearch does not say.
        """
        return self._get(namespace)[1]

    def change(self, namespace: str, change: Callable[[State], tuple[State, Result]]) -> Result:
        """Change what a namespace was told, whatever others do meanwhile; return what `change` gives beside it.

        `change` may be called several times.

        Raises:
            StoreUnavailable, UpstreamError: OpenSearch did not take it.
        """
        while True:
            before, state = self._get(namespace)
            after, result = change(state)
            if after == state and before is not None:
                return result
            try:
                kept = self._memory.put(KIND, namespace, NAME, msgspec.json.encode(after).decode(), before)
            except Conflict:
                continue
            self._read[namespace] = (kept, after)
            return result

    def new_id(self, namespace: str) -> str:
        """Return an id for a task or a model: of 15 bytes as OpenSearch makes them, random unless there is a seed."""
        if self.get(namespace).seed is None:
            return new_document_id()

        def draw(state: State) -> tuple[State, State]:
            return msgspec.structs.replace(state, drawn=state.drawn + 1), state

        state = self.change(namespace, draw)
        text = f"{namespace}/{state.seed}/{state.drawn}".encode()
        return base64.urlsafe_b64encode(hashlib.sha256(text).digest()[:15]).decode("ascii")

    def _get(self, namespace: str) -> tuple[Remembered | None, State]:
        kept = self._memory.get(KIND, namespace, NAME)
        if kept is None:
            return None, State()
        known = self._read.get(namespace)
        if known is not None and known[0] == kept:
            return kept, known[1]
        state = decode(kept.text, State)
        self._read[namespace] = (kept, state)
        return kept, state
