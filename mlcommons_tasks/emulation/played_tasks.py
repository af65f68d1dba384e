"""The tasks of a namespace as callers have them: those that are played move with each read, others are as stored."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping

from mlcommons_tasks.emulation.play import Play
from mlcommons_tasks.emulation.plays import Plays
from mlcommons_tasks.store.mappings import TASK_INDEX
from mlcommons_tasks.store.names import renamed
from mlcommons_tasks.store.tasks import ReadableTasks
from mlcommons_tasks.store.upstream import Reply

#: What a second look at a search asks for, whatever the caller's answer is to show.
IDS_ONLY = {"format": "json", "filter_path": "hits.hits._id"}
SHAPING = ("pretty", "human", "error_trace")
ATTEMPTS = 10  #: a search is repeated if another replica moves a task between looking and counting


class PlayedTasks(ReadableTasks):
    """Tasks that may be played; `has_plays` says whether any is."""

    def __init__(self, tasks: ReadableTasks, plays: Plays, has_plays: Callable[[], bool]) -> None:
        super().__init__(tasks.documents)
        self._plays = plays
        self._has_plays = has_plays

    def poll(self, task_id: str) -> bytes | None:
        """Return a task's source, and count the read."""
        return self._plays.read(task_id) if self._has_plays() else super().source(task_id)

    def source(self, task_id: str) -> bytes | None:
        """Return a task's source as a poll would find it."""
        return self._plays.look(task_id) if self._has_plays() else super().source(task_id)

    def is_played(self, task_id: str) -> bool:
        """Say whether a task shows what it was told, and there is nothing behind it."""
        return self._has_plays() and self._plays.is_known(task_id)

    def delete(self, document_id: str, query: Mapping[str, str]) -> Reply:
        """Delete a task, which plays no more."""
        answer = super().delete(document_id, query)
        if self._has_plays():
            self._plays.forget(document_id)
        return answer

    def search(
        self, payload: bytes, query: Mapping[str, str], headers: Iterable[tuple[str, str]], *, nothing: bool = False
    ) -> Reply:
        """Search, and count a read of each task that is found, or asked for by its id while it is absent."""
        sent = list(headers)
        if nothing or not self._has_plays():
            return super().search(payload, query, sent, nothing=nothing)
        return self._counted(payload, query, lambda query: super(PlayedTasks, self).search(payload, query, sent))

    def search_point_in_time(
        self, payload: bytes, query: Mapping[str, str], headers: Iterable[tuple[str, str]]
    ) -> Reply:
        """Search a point in time, and count a read of each task that is found, though it is shown as it was then."""
        sent = list(headers)
        names = {self.documents.name: TASK_INDEX}

        def search(query: Mapping[str, str]) -> Reply:
            return renamed(super(PlayedTasks, self).search_point_in_time(payload, query, sent), names)

        answer = search(query)
        if answer.status == 200 and self._has_plays():
            for task_id in _states(answer if _is_whole(query) else search(_ids_only(query))):
                self._plays.read(task_id)
        return answer

    def _counted(self, payload: bytes, query: Mapping[str, str], search: Callable[[Mapping[str, str]], Reply]) -> Reply:
        self._plays.move_all()
        with self._plays.turns.alone():
            for _ in range(ATTEMPTS):
                plays = self._plays.moved_all()
                answer = search(query)
                if not plays or answer.status != 200:
                    break
                states = _states(answer if _is_whole(query) else search(_ids_only(query)))
                found = {task_id: play for task_id, play in plays.items() if task_id in states}
                if all(states[task_id] in (None, _state(play)) for task_id, play in found.items()):
                    absent = {task_id: play for task_id, play in plays.items() if _is_asked_for(play, payload, query)}
                    if self._plays.count_reads(found | absent):
                        break
        return answer


def _is_whole(query: Mapping[str, str]) -> bool:
    return query.get("format") == "json" and "filter_path" not in query


def _ids_only(query: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in query.items() if name not in SHAPING} | IDS_ONLY


def _states(answer: Reply) -> dict[str, str | None]:
    """Return the tasks of a search's answer with their states, None where it does not say."""
    if answer.status != 200:
        return {}
    hits = json.loads(answer.payload).get("hits", {}).get("hits", ())
    return {hit["_id"]: hit.get("_source", {}).get("state") for hit in hits if "_id" in hit}


def _state(play: Play) -> str | None:
    source = play.stored_source()
    return None if source is None else source["state"]


def _is_asked_for(play: Play, payload: bytes, query: Mapping[str, str]) -> bool:
    """Say whether a search names a task that is absent: no hit can tell."""
    if play.stored_source() is not None:
        return False
    return play.task_id.encode() in payload or play.task_id in query.get("source", "")
