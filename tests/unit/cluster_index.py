"""A stand-in for the index of cluster tasks, which several processes may share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mlcommons_tasks.cluster_task import ClusterTask, Recipe, TaskId
from mlcommons_tasks.store.batches import Written
from mlcommons_tasks.store.cluster_tasks import Unfinished, task_document


@dataclass
class ClusterTaskIndex:
    """The index of cluster tasks in memory, shared by those who are given it.

    `errors` are raised by the next writes, in order; `writing` is called before each.
    """

    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    errors: list[Exception] = field(default_factory=list)
    writing: Callable[[], None] = lambda: None
    written: int = 0
    versions: dict[str, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def write(self, whole: Mapping[str, Any], changed: Mapping[str, Any], gone: Iterable[str]) -> None:
        """Write, change and delete documents."""
        self.writing()
        with self.lock:
            if self.errors:
                raise self.errors.pop(0)
            self.written += 1
            self.documents |= {key: dict(document) for key, document in whole.items()}
            for key in (*whole, *changed):
                self.versions[key] = self.versions.get(key, 0) + 1
            for key, changes in changed.items():
                if key in self.documents:
                    before = self.documents[key]
                    task = {**before["task"], **changes.get("task", {})}
                    self.documents[key] = {**before, **changes, "task": task}
            for key in gone:
                self.documents.pop(key, None)

    def running(self, now: int) -> tuple[list[ClusterTask], set[str]]:
        """Return the trainings that have not ended and whose owners live, and the owners."""
        with self.lock:
            found = list(self.documents.values())
        running = [each for each in found if each["kind"] == "task" and not each["completed"]]
        living = [ClusterTask.from_source(each["task"]) for each in running if self.owner_lives(each["owner"], now)]
        return living, {each["owner"] for each in found if each["kind"] == "owner"}

    def owners(self, before: int | None = None) -> set[str]:
        """Return the owners there are."""
        return set(self.leases()[0])

    def leases(self) -> tuple[dict[str, int], set[str]]:
        """Return until when owners live, and which have unfinished trainings."""
        with self.lock:
            if self.errors:
                raise self.errors.pop(0)
            found = list(self.documents.values())
        leases = {each["owner"]: each["lease_until"] for each in found if each["kind"] == "owner"}
        return leases, {each["owner"] for each in found if each["kind"] == "task" and not each["completed"]}

    def unfinished_of(self, owners: Iterable[str], most: int) -> list[Unfinished]:
        """Return trainings of owners that have not ended; their version is what they say at the moment."""
        wanted = set(owners)
        with self.lock:
            return [
                Unfinished(
                    key,
                    ClusterTask.from_source(each["task"]),
                    Recipe.from_source(each["recipe"]) if "recipe" in each else None,
                    Written(self.versions.get(key, 0), 1),
                )
                for key, each in self.documents.items()
                if each["kind"] == "task" and not each["completed"] and each["owner"] in wanted
            ][:most]

    def claim(self, trainings: Iterable[Unfinished], owner: str) -> list[Unfinished]:
        """Write an owner down where nobody else wrote since."""
        claimed = []
        for each in trainings:
            with self.lock:
                if (
                    self.versions.get(each.document_id, 0) != each.written.seq_no
                    or each.document_id not in self.documents
                ):
                    continue
                mine = replace(each, task=replace(each.task, owner=owner))
                self.documents[each.document_id] = task_document(mine.task, mine.recipe)
                self.versions[each.document_id] = each.written.seq_no + 1
                claimed.append(mine)
        return claimed

    def owners_of(self, task_ids: Iterable[str]) -> dict[str, str]:
        """Return who owns trainings."""
        with self.lock:
            return {key: self.documents[key]["owner"] for key in task_ids if key in self.documents}

    def get(self, task_id: TaskId) -> ClusterTask | None:
        """Return a training."""
        found = self.documents.get(str(task_id))
        return ClusterTask.from_source(found["task"]) if found is not None else None

    def owner_lives(self, owner: str, now: int) -> bool:
        """Say whether an owner has said that it is alive."""
        return bool(self.documents.get(owner, {"lease_until": 0})["lease_until"] > now)

    def unfinished(self, task_ids: Iterable[str]) -> set[str]:
        """Return which trainings have not ended."""
        return {key for key in task_ids if key in self.documents and not self.documents[key]["completed"]}

    def delete(self, task_id: TaskId) -> bool:
        """Delete a training's document."""
        with self.lock:
            return self.documents.pop(str(task_id), None) is not None

    def cancelled_of(self, owner: str) -> dict[str, int]:
        """Return when trainings of an owner were cancelled."""
        with self.lock:
            return {
                key: document["task"]["cancellation_time"]
                for key, document in self.documents.items()
                if document["owner"] == owner and document.get("cancelled") and not document["completed"]
            }

    def cancel(self, task_ids: Iterable[str], now: int) -> None:
        """Note that trainings are cancelled."""
        self.write({}, {key: {"cancelled": True, "task": {"cancellation_time": now}} for key in task_ids}, ())
