"""The played tasks of a namespace: what is remembered of each, and the document of it that searches see.

A read is counted before it is answered, by a write that only one of several readers can make; so all replicas agree on
how often a state was seen. What a task does is `play`'s business.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mlcommons_tasks.clock import Clock
from mlcommons_tasks.emulation.play import Outcome, Play
from mlcommons_tasks.emulation.turns import Turns
from mlcommons_tasks.errors import IndexNotFound, UpstreamError
from mlcommons_tasks.model import MLModel
from mlcommons_tasks.store.batches import Written
from mlcommons_tasks.store.documents import CONFLICT, NOT_FOUND
from mlcommons_tasks.store.emulation import Conflict, Memory, Remembered
from mlcommons_tasks.store.models import ModelStore
from mlcommons_tasks.store.tasks import TaskStore
from mlcommons_tasks.task import FunctionName, TaskType

KIND = "play"  #: of what is remembered of a task that moves
ENDED = "ended"  #: of one that does not any more: which scenario it was of
MODEL = "model"  #: of a model that was made for one: which task that was

log = logging.getLogger(__name__)

Found = tuple[dict[str, Any], Written]
#: Says of a task whose real work is awaited why that will never come, None while it may.
LostWork = Callable[[str], str | None]
AWAITED_S = 2.0  #: how long a read waits for the real work of a task whose time to show it has come


class Plays:
    """Those of one namespace."""

    def __init__(self, namespace: str, memory: Memory, tasks: TaskStore, models: ModelStore, clock: Clock) -> None:
        self._namespace = namespace
        self._memory = memory
        self._tasks = tasks
        self._models = models
        self._clock = clock
        self.turns = Turns()
        self.lost_work: LostWork = lambda _: None
        self.await_work: Callable[[str, float], None] = lambda _task_id, _timeout_s: None

    def begin(self, play: Play) -> None:
        """Have a new task: its document first, for what is remembered must never be of a task that is not there.

        Raises:
            StoreUnavailable, UpstreamError: it could not be stored.
        """
        source = play.stored_source()
        if play.played_model_id is not None:
            self._store_model(play)
        if source is not None:
            self._tasks.documents.create(play.task_id, self._tasks.as_stored(source))
        else:
            self._tasks.documents.ensure()  # it is the task that is not there, not its index
        self._memory.put(KIND, self._namespace, play.task_id, _text(play), None)

    def look(self, task_id: str) -> bytes | None:
        """Return a task's document as a read would find it, and count nothing; None if it is not there."""
        return self._read(task_id, counts=False)

    def read(self, task_id: str) -> bytes | None:
        """Return a task's document for a reader, and count the read; None if it is not there.

        Raises:
            StoreUnavailable, UpstreamError: OpenSearch does not say, or did not take the next state.
        """
        return self._read(task_id, counts=True)

    def move_all(self, wait_s: float = AWAITED_S) -> None:
        """Bring every task to where it is by now, so that a search finds what a GET would.

        Real work that is due is waited for, in all as long as one read would wait.
        """
        until = time.monotonic() + wait_s
        for kept in self._memory.all(KIND, self._namespace):
            if self._has_to_go(_play(kept)):
                self._read(kept.name, counts=False, until=until)

    def moved_all(self) -> dict[str, Play]:
        """Do the same without waiting, alone; return every task that plays as a search shows it."""
        plays = {kept.name: _play(kept) for kept in self._memory.all(KIND, self._namespace)}
        documents = self._tasks.documents.positions(plays) if plays else {}
        moved = {}
        for task_id, play in plays.items():
            is_there = self._says(documents[task_id], play.stored_source())
            shown = play if is_there and not self._has_to_go(play) else self._look(task_id)
            if shown is not None:
                moved[task_id] = shown
        return moved

    def count_reads(self, shown: Mapping[str, Play]) -> bool:
        """Count, alone, a read of each of these tasks as they were shown; False if one is not as it was."""
        return all(self._counted_as(task_id, play) for task_id, play in shown.items())

    def finish(self, task_id: str, outcome: Outcome) -> bool:
        """Say what came of a task's real work; False if nobody wants to know it any more."""
        if outcome.model_id is not None:
            self.note_model(outcome.model_id, task_id)
        while True:
            kept = self._memory.get(KIND, self._namespace, task_id)
            if kept is None:
                self._memory.delete(MODEL, self._namespace, [outcome.model_id] if outcome.model_id else [])
                return False
            try:
                self._memory.put(KIND, self._namespace, task_id, _text(_play(kept).finished(outcome)), kept)
            except Conflict:
                continue
            self._read(task_id, counts=False)
            return True

    def forget(self, task_id: str) -> None:
        """Let a task play no more; its document is not touched."""
        self._memory.delete(KIND, self._namespace, [task_id])

    def seen(self, task_id: str) -> Play | None:
        """Return what is remembered of a task that moves."""
        kept = self._memory.get(KIND, self._namespace, task_id)
        return None if kept is None else _play(kept)

    def moving(self) -> list[Play]:
        """Return the tasks that are not over, as they are by now."""
        now = self._clock.now_in_millis()
        return [_play(kept).advanced(now) for kept in self._memory.all(KIND, self._namespace)]

    def cancel(self, task_id: str) -> bool:
        """Cancel a task; False if that changes nothing, or it plays no more.

        Raises:
            StoreUnavailable, UpstreamError: OpenSearch did not take it.
        """
        while (kept := self._memory.get(KIND, self._namespace, task_id)) is not None:
            before = _play(kept)
            now = self._clock.now_in_millis()
            after = before.advanced(now).cancelled(now)
            if after == before.advanced(now):
                return False
            with contextlib.suppress(Conflict), self.turns.together():
                self._write(kept, before, after, self._tasks.find(task_id))
                return True
        return False

    def note_model(self, model_id: str, task_id: str) -> None:
        """Remember that a model was made here, and for which task."""
        with contextlib.suppress(Conflict):  # it is known
            self._memory.put(MODEL, self._namespace, model_id, task_id, None)

    def of_scenario(self, name: str | None) -> list[str]:
        """Return the ids of the tasks that a scenario played, all that were played without a name."""
        ended = [kept.name for kept in self._memory.all(ENDED, self._namespace) if name in (None, kept.text)]
        moving = [kept.name for kept in self._memory.all(KIND, self._namespace) if name in (None, _play(kept).scenario)]
        return ended + moving

    def delete(self, task_ids: Iterable[str]) -> None:
        """Delete played tasks with the models that were made for them, and all that is remembered of them."""
        wanted = list(task_ids)
        self._memory.delete(KIND, self._namespace, wanted)  # first: nobody writes a task that does not play
        models = [kept.name for kept in self._memory.all(MODEL, self._namespace) if kept.text in wanted]
        for model_id in models:
            self._models.delete(model_id, {})
        for task_id in wanted:
            self._tasks.delete(task_id, {})
        self._memory.delete(MODEL, self._namespace, models)
        self._memory.delete(ENDED, self._namespace, wanted)

    def _has_to_go(self, play: Play) -> bool:
        """Say whether a task is somewhere else by now, or may be."""
        return play.is_done or play.waits_for_work or play.advanced(self._clock.now_in_millis()) != play

    def _read(self, task_id: str, *, counts: bool, until: float | None = None) -> bytes | None:
        until = time.monotonic() + AWAITED_S if until is None else until
        while True:
            kept = self._memory.get(KIND, self._namespace, task_id)
            if kept is None:
                return self._tasks.source(task_id)
            before = _play(kept)
            if _wants_only_work(before, self._clock.now_in_millis()) and (rest := until - time.monotonic()) > 0:
                self.await_work(task_id, rest)
                continue
            try:
                with self.turns.together():
                    shown = self._step(kept, counts=counts)
            except Conflict:
                continue
            source = None if shown is None else shown.source()
            return None if source is None else json.dumps(self._tasks.as_stored(source)).encode()

    def _look(self, task_id: str) -> Play | None:
        """Return a task as it is by now, None if it plays no more; its document says so, too."""
        while (kept := self._memory.get(KIND, self._namespace, task_id)) is not None:
            with contextlib.suppress(Conflict):
                return self._step(kept, counts=False)
        return None

    def _counted_as(self, task_id: str, wanted: Play) -> bool:
        """Count a read of a task that is as `wanted` says, or say that it is not."""
        while (kept := self._memory.get(KIND, self._namespace, task_id)) is not None:
            shown = _play(kept).advanced(self._clock.now_in_millis())
            if shown.stored_source() != wanted.stored_source():
                return False
            with contextlib.suppress(Conflict):
                self._step(kept, counts=True)
                return True
        return self._says(self._tasks.find(task_id), wanted.stored_source())  # it has ended since, or was deleted

    def _step(self, kept: Remembered, *, counts: bool) -> Play | None:
        """Return a task as a reader finds it, having remembered that; None if it was deleted.

        Raises:
            Conflict: somebody else moved it meanwhile.
        """
        before = _play(kept)
        found = self._tasks.find(kept.name)
        if found is None and before.stored_source() is not None:
            self._require_same(kept)  # or it is absent by now, and nobody deleted it
            self.forget(kept.name)
            return None
        shown = before.advanced(self._clock.now_in_millis())
        if shown.waits_for_work and (reason := self.lost_work(kept.name)) is not None:
            shown = shown.finished(Outcome(error=reason)).advanced(self._clock.now_in_millis())
        self._write(kept, before, shown.was_read() if counts else shown, found)
        return shown

    def is_known(self, task_id: str) -> bool:
        """Say whether a task is, or was, played."""
        return any(self._memory.get(kind, self._namespace, task_id) is not None for kind in (KIND, ENDED))

    def _require_same(self, kept: Remembered) -> None:
        """Raise Conflict if a task was moved since: what was found of its document may be of later than `kept`."""
        if self._memory.get(KIND, self._namespace, kept.name) != kept:
            raise Conflict

    def _write(self, kept: Remembered, before: Play, after: Play, found: Found | None) -> None:
        """Remember how far a task is, and store its document as that says.

        Raises:
            Conflict: somebody else moved it meanwhile.
        """
        source = after.stored_source()
        if after.played_model_id not in (None, before.played_model_id):
            self._store_model(after)
        comes = found is None and source is not None
        if source is not None and comes:
            found = self._create(after.task_id, source)
        if after != before:
            try:
                kept = self._memory.put(KIND, self._namespace, after.task_id, _text(after), kept)
            except Conflict:
                if comes and not self.is_known(after.task_id):  # it was deleted before it came
                    self._tasks.delete(after.task_id, {})
                raise
        elif not self._says(found, source):
            self._require_same(kept)
        self._store(after, found)
        if after.is_done and after.stored_source() == after.source():
            self._end(kept, after)

    def _store_model(self, play: Play) -> None:
        """Store the model that a training only plays: one that is found, and has learnt nothing."""
        if play.base["task_type"] != TaskType.TRAINING.value or play.played_model_id is None:
            return
        try:
            self._models.create(play.played_model_id, MLModel(FunctionName(play.base["function_name"]), b""))
        except UpstreamError as error:
            if error.status != CONFLICT:
                raise
        else:  # one that was there already is somebody's
            self.note_model(play.played_model_id, play.task_id)

    def _create(self, task_id: str, source: dict[str, Any]) -> Found | None:
        try:
            written = self._tasks.documents.create(task_id, self._tasks.as_stored(source))
        except UpstreamError as error:
            if error.status != CONFLICT:
                raise
            return self._tasks.find(task_id)  # another reader was as fast
        return source, written

    def _store(self, play: Play, found: Found | None) -> None:
        """Have a task's document say what it is to say; one that says so already is left."""
        while True:
            source = play.stored_source()
            if source is None:
                if found is not None:
                    self._tasks.delete(play.task_id, {})
                return
            if found is None or self._says(found, source):
                return
            try:
                self._tasks.documents.replace(play.task_id, self._tasks.as_stored(source), found[1])
            except (IndexNotFound, UpstreamError) as error:
                if error.status not in (CONFLICT, NOT_FOUND):
                    raise
            else:
                return
            found = self._tasks.find(play.task_id)  # first, so that it is never of later than what is remembered
            kept = self._memory.get(KIND, self._namespace, play.task_id)  # whoever was faster may know more by now
            if kept is None or found is None:
                return
            play = _play(kept)

    def _says(self, found: Found | None, source: dict[str, Any] | None) -> bool:
        """Say whether a document is what it is to be."""
        if found is None or source is None:
            return found is None and source is None
        return found[0] == self._tasks.as_stored(source)

    def _end(self, kept: Remembered, play: Play) -> None:
        """Leave a task that moves no more to its document."""
        if self._memory.get(ENDED, self._namespace, play.task_id) is None:
            try:
                self._memory.put(ENDED, self._namespace, play.task_id, play.scenario, None)
            except Conflict:
                log.debug("task %s was ended by another reader", play.task_id)
        self._memory.delete(KIND, self._namespace, [kept.name])


def _wants_only_work(play: Play, now: int) -> bool:
    """Say whether a task would go on by now, were its real work done."""
    return play.waits_for_work and play.finished(Outcome(model_id="any")).advanced(now).position > play.position


def _play(kept: Remembered) -> Play:
    return Play.from_document(json.loads(kept.text))


def _text(play: Play) -> str:
    return json.dumps(play.to_document())
