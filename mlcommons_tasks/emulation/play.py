"""One played task: which step it is in, when the next one is due, and what its document shows. Pure.

begin ──▶ advanced(now) ──▶ source() ──▶ was_read() ──▶ advanced(later) ──▶ ...
                ▲
            finished(outcome)          the real work, where a step wants its model
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from mlcommons_tasks.emulation.steps import ABSENT, FOREVER, WORKER, Span, Step, settled
from mlcommons_tasks.errors import IllegalArgument
from mlcommons_tasks.task import TaskType
from mlcommons_tasks.wire.task_document import RENDERED
from mlcommons_tasks.wire.typed_json import convert

COMPLETED: Final = "COMPLETED"
REAL: Final = "real"
PLAYED: Final = "played"
#: What these make is a model, so a played one of them names one when it completes.
MAKE_A_MODEL = frozenset(kind.value for kind in (TaskType.TRAINING, TaskType.REGISTER_MODEL, TaskType.UPLOAD_MODEL))
#: The states in which a task can be cancelled by `_tasks`, and those that it is in then.
CANCELLABLE = frozenset({"CREATED", "RUNNING"})
CANCELLED = frozenset({"CANCELLING", "CANCELLED"})
#: The states in which a training is in `_tasks`.
UNDER_WAY = CANCELLABLE | {"CANCELLING"}
MILLIS_IN_A_SECOND = 1_000


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of the real work of a played task, and when: a model or an error."""

    model_id: str | None = None
    error: str | None = None
    at: int = 0  #: millis


@dataclasses.dataclass(frozen=True)
class Moment:
    """A step that the task was in and since when: all that its document then follows from."""

    position: int
    entered: int  #: millis


@dataclasses.dataclass(frozen=True)
class Play:
    """What is stored of one played task.

    Attributes:
        task_id: the task.
        scenario: the name of what it plays.
        steps: every step, with all said that may be left out.
        search_lag: how many reads `_search` is behind GET.
        base: the fields of the document that no step changes.
        node_ids: the nodes that the task's worker nodes are taken from.
        position: the step it is in.
        reads: how often that step was read, as far as it counts reads.
        entered: when it was entered, in millis.
        outcome: what came of the real work, None before.
        trail: what the last `search_lag` reads saw, the oldest first.
    """

    task_id: str
    scenario: str
    steps: tuple[Step, ...]
    search_lag: int
    base: dict[str, Any]
    node_ids: tuple[str, ...]
    position: int
    reads: int
    entered: int
    outcome: Outcome | None = None
    trail: tuple[Moment, ...] = ()

    @classmethod
    def begin(
        cls,
        task_id: str,
        scenario: str,
        steps: Sequence[Step],
        search_lag: int,
        base: Mapping[str, Any],
        now: int,
        *,
        node_ids: Sequence[str] = (),
        has_work: bool = False,
    ) -> Play:
        """Return a task that has just been created, with its immediate steps behind it.

        `base` has the worker nodes that the dispatcher gave; further ones are taken from `node_ids`, then invented.
        `has_work` says whether there is data to train on: then a COMPLETED step has a real model unless it says
        otherwise.

        Raises:
            IllegalArgument: a step wants a real model and there is nothing to train on.
        """
        settings = tuple(_with_model(step, scenario, has_work) for step in settled(tuple(steps)))
        if _is_real(settings[0]):  # something has to be seen while the work lasts
            settings = (Step(state="CREATED", lasts="immediate"), *settings)
        play = cls(
            task_id=task_id,
            scenario=scenario,
            steps=settings,
            search_lag=search_lag,
            base={"create_time": now, **{name: value for name, value in base.items() if value is not None}},
            node_ids=tuple(node_ids),
            position=0,
            reads=0,
            entered=now,
        ).advanced(now)
        return dataclasses.replace(play, trail=(play._moment,) * search_lag)

    def advanced(self, now: int) -> Play:
        """Return the task with every transition made that is due by `now`."""
        play = self
        while (due := play._due(now)) is not None:
            if play._next_is_real and play.outcome is not None and play.outcome.error is not None:
                play = play._with_failure(play.outcome.error)
            play = dataclasses.replace(play, position=play.position + 1, reads=0, entered=due)
        return play

    def was_read(self) -> Play:
        """Return the task after one more read of what it shows; the same where nothing comes of that."""
        lasts = self.steps[self.position].lasts
        counts = isinstance(lasts, Span) and lasts.reads is not None and self.reads < lasts.reads
        trail = (*self.trail, self._moment)[1:] if self.search_lag else ()
        return dataclasses.replace(self, reads=self.reads + counts, trail=trail)

    def finished(self, outcome: Outcome) -> Play:
        """Return the task once its real work is done."""
        return dataclasses.replace(self, outcome=outcome)

    def cancelled(self, now: int) -> Play:
        """Return the task once somebody cancelled it: at what its steps say of that, or over; if it is, as it is."""
        if self.state not in CANCELLABLE:
            return self
        places = range(self.position + 1, len(self.steps))
        place = next((place for place in places if self.steps[place].state in CANCELLED), None)
        steps = self.steps
        if place is None:
            place = self.position + 1
            steps = (*steps[:place], Step(state="CANCELLED", lasts="forever"))
        moved = dataclasses.replace(self, steps=steps, position=place, reads=0, entered=max(now, self.entered))
        return moved.advanced(now)

    def source(self) -> dict[str, Any] | None:
        """Return the document that GET shows, None while the task is absent."""
        return self._source_at(self._moment)

    def stored_source(self) -> dict[str, Any] | None:
        """Return the document that `_search` shows: GET's as of `search_lag` reads ago."""
        return self._source_at(self.trail[0] if self.trail else self._moment)

    @property
    def state(self) -> str:
        """The state of the step it is in, or ABSENT."""
        return self.steps[self.position].state

    @property
    def is_over(self) -> bool:
        """Whether nothing that it shows can change any more."""
        return self._is_last and all(moment == self._moment for moment in self.trail)

    @property
    def is_done(self) -> bool:
        """Whether it is over in a state that nobody can end: one that hangs can be cancelled, and is in `_tasks`."""
        return self.is_over and self.state not in UNDER_WAY

    @property
    def waits_for_work(self) -> bool:
        """Whether the next step wants what is not there yet: what comes of the real work."""
        return self._next_is_real and self.outcome is None

    @property
    def needs_work(self) -> bool:
        """Whether any step still to come wants what comes of the real work."""
        return self.outcome is None and any(_is_real(step) for step in self.steps[self.position + 1 :])

    @property
    def played_model_id(self) -> str | None:
        """The id of the model that is but played, once a step shows one; None if there is none or it is real."""
        shown = self.source() or {}
        real = self.outcome.model_id if self.outcome is not None else None
        model_id = shown.get("model_id")
        return None if model_id in {real, self.base.get("model_id")} else model_id

    def to_document(self) -> dict[str, Any]:
        """Return it as JSON would have it."""
        document: dict[str, Any] = msgspec.to_builtins(self)
        return document

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Play:
        """Return what `to_document` gave."""
        return convert(document, cls)

    @property
    def _moment(self) -> Moment:
        return Moment(self.position, self.entered)

    @property
    def _is_last(self) -> bool:
        return self.position == len(self.steps) - 1

    @property
    def _next_is_real(self) -> bool:
        return not self._is_last and _is_real(self.steps[self.position + 1])

    def _due(self, now: int) -> int | None:
        """Return when the step it is in ended, None if that is not by `now`."""
        if self._is_last or self.waits_for_work:
            return None
        end = self._end(self.steps[self.position], now)
        if end is None or now < end != self.entered:
            return None
        return max(end, self.outcome.at) if self._next_is_real and self.outcome is not None else end

    def _end(self, step: Step, now: int) -> int | None:
        if step.lasts == FOREVER:
            return None
        if not isinstance(step.lasts, Span):
            return self.entered
        if step.lasts.reads is not None:
            return max(now, self.entered) if self.reads >= step.lasts.reads else None
        return self.entered + round((step.lasts.seconds or 0) * MILLIS_IN_A_SECOND)

    def _with_failure(self, error: str) -> Play:
        """Return the task with FAILED, for good, in place of the step that wanted a model."""
        failed = Step(state="FAILED", lasts="forever", error=error)
        return dataclasses.replace(self, steps=(*self.steps[: self.position + 1], failed))

    def _source_at(self, moment: Moment) -> dict[str, Any] | None:
        if self.steps[moment.position].state == ABSENT:
            return None
        shown = dict(self.base)
        for step in self.steps[: moment.position + 1]:
            shown.update(self._shown_by(step, shown))
        shown["state"] = self.steps[moment.position].state
        shown["last_update_time"] = moment.entered
        known = {name: shown[name] for name in RENDERED if name in shown}
        return {**known, **{name: value for name, value in shown.items() if name not in known}}

    def _shown_by(self, step: Step, before: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a step changes in a document."""
        changes: dict[str, Any] = {}
        if step.progress is not None:
            changes["progress"] = step.progress
        nodes = self._nodes(step, list(before.get("worker_node", ())))
        if nodes != before.get("worker_node", []):
            changes["worker_node"] = nodes
        if step.error is not None:
            changes["error"] = step.error
        if step.node_errors is not None:
            by_node = {nodes[int(key)] if WORKER.fullmatch(key) else key: it for key, it in step.node_errors.items()}
            changes["error"] = json.dumps(by_node, separators=(",", ":"), ensure_ascii=False)
        model_id = self._model_id(step, before)
        if model_id is not None:
            changes["model_id"] = model_id
        return changes

    def _nodes(self, step: Step, before: list[str]) -> list[str]:
        """Return the worker nodes of a step: those it says, and as many as its errors need."""
        places = [int(key) + 1 for key in step.node_errors or () if WORKER.fullmatch(key)]
        nodes, wanted = before, len(before)
        if isinstance(step.worker_nodes, list):
            nodes, wanted = step.worker_nodes, len(step.worker_nodes)
        elif step.worker_nodes is not None:
            wanted = step.worker_nodes
        wanted = max([wanted, *places])
        further = [node for node in self.node_ids if node not in nodes]
        further += [_invented(f"{self.task_id}/{number}", 22) for number in range(wanted)]
        return [*nodes, *further][:wanted]

    def _model_id(self, step: Step, before: Mapping[str, Any]) -> str | None:
        if step.model_id is not None:
            return step.model_id
        if _is_real(step):
            return self.outcome.model_id if self.outcome is not None else None
        if step.state == COMPLETED and "model_id" not in before and self.base.get("task_type") in MAKE_A_MODEL:
            return _invented(f"{self.task_id}/model", 20)
        return None


def _with_model(step: Step, scenario: str, has_work: bool) -> Step:
    """Return a step that says where its model comes from, if it is one that has one."""
    if step.state != COMPLETED:
        return step
    if step.model == REAL and not has_work:
        raise IllegalArgument(f"scenario [{scenario}] wants a real model of a task that has no data to train on")
    is_real = step.model == REAL or (step.model is None and step.model_id is None and has_work)
    return msgspec.structs.replace(step, model=REAL if is_real else PLAYED)


def _is_real(step: Step) -> bool:
    return step.state == COMPLETED and step.model == REAL


def _invented(text: str, length: int) -> str:
    """Return an id that looks like one of OpenSearch's and is always the same for the same text."""
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode()[:length]
