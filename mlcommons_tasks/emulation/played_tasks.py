"""The tasks of a namespace as callers have them: those that are played move with each read, others are as stored."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping

from mlcommons_tasks.emulation.plays import Plays
from mlcommons_tasks.store.tasks import TaskStore
from mlcommons_tasks.store.upstream import Reply

#: What a second look at a search asks for, whatever the caller's answer is to show.
IDS_ONLY = {"format": "json", "filter_path": "hits.hits._id"}
SHAPING = ("pretty", "human", "error_trace")


class PlayedTasks(TaskStore):
    """A task store whose tasks may be played; `has_plays` says whether any is."""

    def __init__(self, tasks: TaskStore, plays: Plays, has_plays: Callable[[], bool]) -> None:
        self.__dict__.update(tasks.__dict__)  # the same index, the same version, the same ids
        self._plays = plays
        self._has_plays = has_plays

    def poll(self, task_id: str) -> bytes | None:
        """Return a task's source, and count the read."""
        return self._plays.read(task_id) if self._has_plays() else super().source(task_id)

    def source(self, task_id: str) -> bytes | None:
        """Return a task's source as a poll would find it."""
        return self._plays.look(task_id) if self._has_plays() else super().source(task_id)

    def delete(self, document_id: str, query: Mapping[str, str]) -> Reply:
        """Delete a task, which plays no more."""
        answer = super().delete(document_id, query)
        if self._has_plays():
            self._plays.forget(document_id)
        return answer

    def search(
        self, payload: bytes, query: Mapping[str, str], headers: Iterable[tuple[str, str]], *, nothing: bool = False
    ) -> Reply:
        """Search, and count a read of each task that is found."""
        sent = list(headers)
        if nothing or not self._has_plays():
            return super().search(payload, query, sent, nothing=nothing)
        return self._counted(query, lambda query: super(PlayedTasks, self).search(payload, query, sent))

    def search_point_in_time(
        self, payload: bytes, query: Mapping[str, str], headers: Iterable[tuple[str, str]]
    ) -> Reply:
        """Search a point in time, and count a read of each task that is found."""
        sent = list(headers)
        if not self._has_plays():
            return super().search_point_in_time(payload, query, sent)
        return self._counted(query, lambda query: super(PlayedTasks, self).search_point_in_time(payload, query, sent))

    def _counted(self, query: Mapping[str, str], search: Callable[[Mapping[str, str]], Reply]) -> Reply:
        moving = self._plays.move_all()
        answer = search(query)
        if answer.status != 200:
            return answer
        shown = answer
        if query.get("format") != "json" or "filter_path" in query:
            ids_only = {name: value for name, value in query.items() if name not in SHAPING} | IDS_ONLY
            shown = search(ids_only)
        hits = json.loads(shown.payload).get("hits", {}).get("hits", ())
        self._plays.count_reads(moving.intersection(hit["_id"] for hit in hits if "_id" in hit))
        return answer
