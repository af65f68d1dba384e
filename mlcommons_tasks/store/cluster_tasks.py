"""The trainings of all replicas as `_tasks` shows them, and the results of those that ended: an index of our own.

A training's document is written by the process that runs it, its owner; a replica that cancels it adds `cancelled`.
An owner says by a document of its own that it is alive. A training whose owner is dead is not shown as running.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import opensearchpy
from elasticsearch_dsl import Boolean, Keyword, Long, Object, Search
from elasticsearch_dsl import Mapping as IndexMapping

from mlcommons_tasks.cluster_task import ClusterTask, Recipe, TaskId
from mlcommons_tasks.store.batches import Written, raise_failure
from mlcommons_tasks.store.connection import refused, translated, until_it_counts
from mlcommons_tasks.store.documents import CREATE_DEADLINE_S, DocumentIndex
from mlcommons_tasks.store.mappings import CLUSTER_TASK_INDEX, hidden_index_body
from mlcommons_tasks.store.upstream import Reply, Upstream
from mlcommons_tasks.wire.rendering import render_json

log = logging.getLogger(__name__)

MOST_RUNNING = 10_000  #: `index.max_result_window`: OpenSearch gives no more at once
START_S = 5.0
FOUND_ONLY = {"filter_path": "hits.hits._source"}
LEASES_ONLY = {"filter_path": "hits.hits._source,aggregations"}
JSON = [("Content-Type", "application/json")]
OWNER, TASK = "owner", "task"
SCHEMA_VERSION = 1  #: to be raised with each new field of the mapping: an index that is there gets it then
NOBODY = "nobody"  #: the owner of trainings that are offered to whoever takes them

Document = Mapping[str, Any]


def cluster_task_index_body() -> dict[str, Any]:
    """Return the body that creates the index."""
    mapping = IndexMapping()
    for name in ("kind", "owner"):
        mapping.field(name, Keyword())
    for name in ("completed", "cancelled"):
        mapping.field(name, Boolean())
    for name in ("lease_until", "ended"):
        mapping.field(name, Long())
    mapping.field("task", Object(enabled=False))
    return hidden_index_body(mapping, SCHEMA_VERSION)


def task_document(task: ClusterTask, recipe: Recipe | None = None) -> dict[str, Any]:
    """Return the whole document of a training; the recipe is kept until it has ended."""
    document = {"kind": TASK, "owner": task.owner, "completed": task.completed, "task": task.source()}
    if task.cancellation_time is not None:
        document["cancelled"] = True
    if task.completed:
        document["ended"] = task.start_time + (task.running_time_in_nanos or 0) // 1_000_000
    if recipe is not None and not task.completed:
        document["recipe"] = recipe.source()
    return document


def task_changes(before: ClusterTask, after: ClusterTask) -> dict[str, Any]:
    """Return the fields of a document's task that an update has to write, None for one that is gone."""
    old, new = before.source(), after.source()
    return {name: new.get(name) for name in old.keys() | new.keys() if old.get(name) != new.get(name)}


@dataclass(frozen=True)
class Unfinished:
    """A training that has not ended, as it is stored: its document's id, and what the next write compares with."""

    document_id: str
    task: ClusterTask
    recipe: Recipe | None
    written: Written

    @classmethod
    def of(cls, hit: Mapping[str, Any]) -> Unfinished:
        """Return what a hit of a search shows.

        Raises:
            KeyError, TypeError, ValueError: it is none of ours.
        """
        recipe = hit["_source"].get("recipe")
        return cls(
            hit["_id"],
            _task(hit["_source"]),
            Recipe.from_source(recipe) if recipe is not None else None,
            Written.of(hit),
        )


def owner_document(owner: str, lease_until: int) -> dict[str, Any]:
    """Return the document by which an owner says that it is alive until a time, in milliseconds."""
    return {"kind": OWNER, "owner": owner, "completed": False, "lease_until": lease_until}


def begin_to_create(url: str) -> HTTPConnection:
    """Have an OpenSearch of our own create the index, and do not wait for it; the connection is to be kept meanwhile.

    The first index of a node takes a while, in which the service starts.
    """
    connection = HTTPConnection(urlsplit(url).netloc, timeout=START_S)
    body = render_json(cluster_task_index_body())
    connection.request("PUT", f"/{CLUSTER_TASK_INDEX}", body, dict(JSON))
    return connection


class ClusterTaskStore:
    """The index of our entries of `_tasks`."""

    def __init__(self, client: opensearchpy.OpenSearch, upstream: Upstream, *, index: str = CLUSTER_TASK_INDEX) -> None:
        self._client = client
        self._index = index
        self._documents = DocumentIndex(index, cluster_task_index_body(), client, upstream)

    def prepare(self) -> None:
        """Create the index unless it is there.

        Raises:
            StoreUnavailable, UpstreamError: it could not be created.
        """
        self._documents.ensure()

    def write(self, whole: Mapping[str, Document], changed: Mapping[str, Document], gone: Iterable[str]) -> None:
        """Write documents by their ids, all at once: whole ones, changes of some, and those to delete.

        A document that is not there is not changed: somebody deleted it.

        Raises:
            StoreUnavailable, UpstreamError: they are not written.
        """
        operations: list[Any] = []
        for document_id, document in whole.items():
            operations += [{"index": {"_id": document_id}}, document]
        for document_id, changes in changed.items():
            operations += [{"update": {"_id": document_id, "retry_on_conflict": 5}}, {"doc": changes}]
        operations += [{"delete": {"_id": document_id}} for document_id in gone]
        if whole:
            self._documents.ensure()
        elif not self._documents.exists():
            return
        with translated():
            answer = self._client.bulk(index=self._index, body=operations)
        results = (result for item in answer["items"] for result in item.values())
        raise_failure(result for result in results if result["status"] != 404)

    def owners(self, before: int | None = None) -> set[str]:
        """Return the owners there are, or those that said last before a time, in milliseconds, that they live.

        Raises:
            StoreUnavailable, UpstreamError: they could not be read.
        """
        wanted = Search().filter("term", kind=OWNER)
        if before is not None:
            wanted = wanted.filter("range", lease_until={"lt": before})
        return {each["owner"] for each in self._search(wanted[0:MOST_RUNNING])}

    def running(self, now: int) -> tuple[list[ClusterTask], set[str]]:
        """Return the trainings that have not ended and whose owners live, and every owner there is.

        `now` is in milliseconds.

        Raises:
            StoreUnavailable, UpstreamError: they could not be read.
        """
        found = self._search(Search().filter("term", completed=False)[0:MOST_RUNNING])
        leases = {each["owner"]: each["lease_until"] for each in found if each["kind"] == OWNER}
        running = [each for each in found if each["kind"] == TASK and leases.get(each["owner"], 0) > now]
        return [_task(each) for each in running], set(leases)

    def cancelled_of(self, owner: str) -> dict[str, int]:
        """Return when each training of an owner was cancelled that still runs: task ids and milliseconds.

        Raises:
            StoreUnavailable, UpstreamError: they could not be read.
        """
        wanted = Search().filter("term", owner=owner).filter("term", completed=False).filter("term", cancelled=True)
        return {each["task"]["id"]: each["task"]["cancellation_time"] for each in self._search(wanted[0:MOST_RUNNING])}

    def leases(self) -> tuple[dict[str, int], set[str]]:
        """Return until when each owner lives that is there, in milliseconds, and the owners of unfinished trainings.

        Raises:
            StoreUnavailable, UpstreamError: they could not be read.
        """
        wanted = Search().filter("term", completed=False)
        wanted.aggs.bucket("trainings", "filter", {"term": {"kind": TASK}}).bucket(
            "owners", "terms", field="owner", size=MOST_RUNNING
        )
        found = self._answer(wanted.post_filter("term", kind=OWNER)[0:MOST_RUNNING], LEASES_ONLY)
        hits = [hit["_source"] for hit in found.get("hits", {}).get("hits", [])]
        buckets = found.get("aggregations", {}).get("trainings", {}).get("owners", {}).get("buckets", [])
        return {each["owner"]: each["lease_until"] for each in hits}, {bucket["key"] for bucket in buckets}

    def unfinished_of(self, owners: Iterable[str], most: int) -> list[Unfinished]:
        """Return the oldest trainings of owners that have not ended.

        Raises:
            StoreUnavailable, UpstreamError: they could not be read.
        """
        wanted = Search().filter("term", kind=TASK).filter("term", completed=False).filter("terms", owner=list(owners))
        found = self._answer(wanted.extra(seq_no_primary_term=True)[0:most], {"filter_path": "hits.hits"})
        unfinished = []
        for hit in found.get("hits", {}).get("hits", []):
            try:
                unfinished.append(Unfinished.of(hit))
            except (KeyError, TypeError, ValueError) as error:  # somebody wrote over it; the others are none the worse
                log.warning("what %s says cannot be read, and is left alone: %r", hit["_id"], error)
        return unfinished

    def claim(self, trainings: Iterable[Unfinished], owner: str) -> list[Unfinished]:
        """Write down an owner for trainings, of those that nobody else wrote since; return these, with their owner.

        Raises:
            StoreUnavailable, UpstreamError: OpenSearch did not take it.
        """
        operations: list[Any] = []
        wanted = [replace(each, task=replace(each.task, owner=owner)) for each in trainings]
        for each in wanted:
            where = {"if_seq_no": each.written.seq_no, "if_primary_term": each.written.primary_term}
            operations += [{"index": {"_id": each.document_id, **where}}, task_document(each.task, each.recipe)]
        if not operations or not self._documents.exists():
            return []
        with translated():
            answer = self._client.bulk(index=self._index, body=operations)
        results = [item["index"] for item in answer["items"]]
        raise_failure(result for result in results if result["status"] not in (404, 409))
        return [each for each, result in zip(wanted, results, strict=True) if "error" not in result]

    def ended(self) -> list[ClusterTask]:
        """Return the trainings that have ended and are tasks of ML, at most 10,000.

        Raises:
            StoreUnavailable, UpstreamError: they could not be read.
        """
        found = self._search(Search().filter("term", kind=TASK).filter("term", completed=True)[0:MOST_RUNNING])
        return [task for task in map(_task, found) if task.ml_task_id is not None]

    def owners_of(self, task_ids: Iterable[str]) -> dict[str, str]:
        """Return who owns trainings now, those that are gone left out.

        Raises:
            StoreUnavailable, UpstreamError: they could not be read.
        """
        found = self._documents.positions(task_ids, fields="owner")
        return {task_id: position[0]["owner"] for task_id, position in found.items() if position is not None}

    def get(self, task_id: TaskId) -> ClusterTask | None:
        """Return a training, whether it runs or has ended; None if there is none, or its owner died.

        Raises:
            StoreUnavailable, UpstreamError: it could not be read.
        """
        source = self._documents.source(str(task_id))
        return _task(json.loads(source)) if source is not None else None

    def owner_lives(self, owner: str, now: int) -> bool:
        """Say whether an owner has said that it is alive.

        Raises:
            StoreUnavailable, UpstreamError: it could not be read.
        """
        source = self._documents.source(owner)
        return source is not None and int(json.loads(source)["lease_until"]) > now

    def unfinished(self, task_ids: Iterable[str]) -> set[str]:
        """Return which of these trainings have not ended.

        Raises:
            StoreUnavailable, UpstreamError: they could not be read.
        """
        found = self._documents.positions(task_ids, fields="completed")
        return {task_id for task_id, position in found.items() if position and not position[0]["completed"]}

    def cancel(self, task_ids: Iterable[str], now: int) -> None:
        """Note for their owners that trainings are cancelled.

        Raises:
            StoreUnavailable, UpstreamError: it could not be written.
        """
        note = {"cancelled": True, "task": {"cancellation_time": now}}
        changes = dict.fromkeys(task_ids, note)
        until_it_counts(lambda: self.write({}, changes, ()), deadline_s=CREATE_DEADLINE_S)

    def delete(self, task_id: TaskId) -> bool:
        """Delete a training's document; say whether it was there.

        Raises:
            StoreUnavailable, UpstreamError: it could not be deleted.
        """
        answer = self._documents.delete(str(task_id), {})
        if answer.status >= 400 and answer.status != 404:
            raise refused(answer)
        return answer.status == 200

    def _search(self, search: Search) -> list[Any]:
        hits = self._answer(search, FOUND_ONLY).get("hits", {}).get("hits", [])
        return [hit["_source"] for hit in hits]

    def _answer(self, search: Search, query: Mapping[str, str]) -> Mapping[str, Any]:
        # by the raw connection: this is on the way of every `_tasks`, most often for nothing
        payload = render_json(search.to_dict())

        def ask() -> Reply:
            answer = self._documents.refresh()  # which no write waits for: there are many, and few searches
            if answer.status < 400:
                answer = self._documents.search(payload, query, JSON)
            if answer.status == 404:
                self._documents.make_sure_it_is_missing()
            elif answer.status >= 400:
                raise refused(answer)
            return answer

        answer = until_it_counts(ask, deadline_s=CREATE_DEADLINE_S)  # 503 while the index is being made
        found: Mapping[str, Any] = {} if answer.status == 404 else json.loads(answer.payload)
        return found


def _task(document: Document) -> ClusterTask:
    return ClusterTask.from_source(document["task"])
