"""Documents in one of our own indices: created with the right mapping, written so that everyone sees it at once.

Knows an index, and nothing of what its documents mean.
"""

from __future__ import annotations

import base64
import contextlib
import logging
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import opensearchpy

from mlcommons_tasks.errors import IndexNotFound, StoreUnavailable, TaskPluginError, UpstreamError
from mlcommons_tasks.store.batches import MOST, Batches, Create, Replace, Update, Written, raise_failure
from mlcommons_tasks.store.connection import is_not_recovered, refused, translated, until_it_counts
from mlcommons_tasks.store.index_upgrade import IndexUpgrade
from mlcommons_tasks.store.mappings import SAME_COPY
from mlcommons_tasks.store.names import renamed
from mlcommons_tasks.store.upstream import Reply, Upstream

log = logging.getLogger(__name__)

Result = TypeVar("Result")
WRITE_DEADLINE_S = 120.0
NO_INDEX = b"index_not_found_exception"
NOT_FOUND, CONFLICT = 404, 409  #: of a write: the document is gone, somebody else wrote it
CREATE_DEADLINE_S = 5.0  #: somebody waits for it


def new_document_id() -> str:
    """Return an id as OpenSearch makes them: 15 bytes, 20 characters of URL-safe base64."""
    return base64.urlsafe_b64encode(secrets.token_bytes(15)).decode("ascii")


class DocumentIndex:
    """One index of ours.

    Every write is refreshed: a search sees it once the call returns, as with the plugin. Writes of several threads go
    together, those to other indices too that have the same `batches`. With `shown_as` OpenSearch's own answers name it
    so.
    """

    def __init__(
        self,
        name: str,
        body: Mapping[str, Any],
        client: opensearchpy.OpenSearch,
        upstream: Upstream,
        batches: Batches | None = None,
        shown_as: str | None = None,
    ) -> None:
        self.name = name
        self._shown_as = shown_as if shown_as != name else None
        self._body = body if self._shown_as is None else _hidden(body)
        self._client = client
        self._upstream = upstream
        self._batches = batches or Batches(client)
        self._upgrade = IndexUpgrade(name, body, client)
        self._closing = threading.Event()

    def close(self) -> None:
        """Give up on writes that OpenSearch does not take at once."""
        self._closing.set()

    def until_it_counts(self, action: Callable[[], Result], *, deadline_s: float | None) -> Result:
        """Return what `action` gives, repeated while its error is a passing one and this is not closed.

        `deadline_s` None is for as long as it takes.

        Raises:
            TaskPluginError: the last one.
        """
        return until_it_counts(action, deadline_s=deadline_s, closing=self._closing)

    def ensure(self) -> str:
        """Create the index with its mapping unless it is there; bring up an older mapping, once.

        Returns what tells the index from others of its name.

        Raises:
            StoreUnavailable, UpstreamError: it could not be created, or brought up.
        """
        if (uuid := self._uuid()) is not None:
            self._upgrade.run()
            return uuid
        try:
            with translated():
                self._client.indices.create(index=self.name, body=dict(self._body))
        except UpstreamError as error:
            if error.type != "resource_already_exists_exception":
                raise
        return self._uuid() or ""

    def identity(self) -> str | None:
        """Return what tells the index from others of its name, None if it is missing.

        An OpenSearch that starts says of every index that it is missing, until it has read which there are. A task
        must not be taken for deleted then.

        Raises:
            StoreUnavailable: OpenSearch does not know yet, or cannot be reached.
            UpstreamError: it does not say.
        """
        if (uuid := self._uuid()) is not None:
            return uuid
        with translated():
            state = self._client.cluster.state(metric="blocks", params={"filter_path": "blocks.global"})
        if is_not_recovered(state):
            raise StoreUnavailable("OpenSearch has just started, and does not know its indices yet")
        return self._uuid()  # it may have come to know meanwhile

    def _uuid(self) -> str | None:
        try:
            with translated():
                found = self._client.indices.get(index=self.name, params={"filter_path": "*.settings.index.uuid"})
        except IndexNotFound:
            return None
        return next((str(each["settings"]["index"]["uuid"]) for each in found.values()), "")

    def create(
        self, document_id: str, source: Mapping[str, Any], *, deadline_s: float | None = CREATE_DEADLINE_S
    ) -> Written:
        """Store a new document, the index being created first where it is missing.

        Raises:
            StoreUnavailable, UpstreamError: it is not stored.
        """

        def write() -> Written:
            try:
                return self._batches.run(Create(self, document_id, source))
            except UpstreamError as error:
                if error.type == IndexNotFound.type:  # it was deleted after it was looked at
                    raise StoreUnavailable(error.reason) from error
                raise

        return self._written(write, document_id, source, deadline_s)

    def update(self, document_id: str, changes: Mapping[str, Any], expected: Written) -> Written:
        """Change a stored document, provided that nobody else did since `expected`; OpenSearch may be away meanwhile.

        Raises:
            UpstreamError: status 409 if somebody did, 404 if it is gone; or anything else that will not pass.
            IndexNotFound: the whole index is gone.
            StoreUnavailable: OpenSearch was away when this was closed.
        """
        write = Update(self, document_id, changes, expected)
        return self._written(lambda: self._batches.run(write), document_id, changes, None)

    def replace(self, document_id: str, source: Mapping[str, Any], expected: Written) -> Written:
        """Store a document over the one that is there, provided that nobody else wrote it since `expected`.

        Raises:
            UpstreamError: status 409 if somebody did, 404 if it is gone; or anything else that will not pass.
            IndexNotFound: the whole index is gone.
        """
        write = Replace(self, document_id, source, expected)
        return self._written(lambda: self._batches.run(write), document_id, source, None)

    def _written(
        self, write: Callable[[], Written], document_id: str, fields: Mapping[str, Any], deadline_s: float | None
    ) -> Written:
        """Write until it counts, and return where the document is.

        One that has these fields already has them by a write of ours whose answer was lost. opensearch-py, too, repeats
        a write by itself, at the next address.
        """
        try:
            return self.until_it_counts(write, deadline_s=deadline_s)
        except UpstreamError as error:
            if error.status == CONFLICT:
                stored, written = self.until_it_counts(lambda: self.read(document_id), deadline_s=deadline_s)
                if all(stored.get(key) == value for key, value in fields.items()):
                    return written
            raise

    def positions(
        self, document_ids: Iterable[str], *, fields: str = "true"
    ) -> dict[str, tuple[dict[str, Any], Written] | None]:
        """Return the sources of documents and where they were put, None for those that are not there.

        `fields` are those wanted of each source, by default all.

        Raises:
            StoreUnavailable, UpstreamError: they could not be read.
        """
        wanted = list(document_ids)
        try:
            with translated():
                body = {"ids": wanted}
                found = self._client.mget(index=self.name, body=body, params={"_source": fields, **SAME_COPY})["docs"]
        except IndexNotFound:
            self.make_sure_it_is_missing()
            return dict.fromkeys(wanted)
        raise_unread(found)
        return {each["_id"]: (each["_source"], Written.of(each)) if each.get("found") else None for each in found}

    def update_all(self, changes: Mapping[str, tuple[Mapping[str, Any], Written]]) -> list[str]:
        """Change documents that nobody else changed since; return the ids of those that somebody did, or deleted.

        Raises:
            StoreUnavailable, UpstreamError: OpenSearch did not take one of them.
        """
        writes = [Update(self, document_id, change, expected) for document_id, (change, expected) in changes.items()]
        undecided = []
        for write, outcome in zip(writes, self._batches.run_all(writes), strict=True):
            if isinstance(outcome, Written):
                continue
            if not isinstance(outcome, TaskPluginError) or outcome.status not in (NOT_FOUND, CONFLICT):
                raise outcome
            undecided.append(write.document_id)
        return undecided

    def mend(self, seen: str) -> None:
        """Give the index its mapping if it is not the one that was seen: that went, and a write brought it back bare.

        One whose first documents were given a mapping by OpenSearch's guess is made anew, with these documents.
        """
        wanted = self._body["mappings"]
        with contextlib.suppress(TaskPluginError, KeyError), translated():  # KeyError: it is an alias, and not ours
            if self._uuid() in (seen, None):
                return
            found = self._client.indices.get_mapping(index=self.name)[self.name]["mappings"]
            if "_meta" in found or wanted["properties"].keys() <= found.get("properties", {}).keys():
                return  # somebody else has made it anew
            replicas = {"auto_expand_replicas": self._body["settings"]["index"]["auto_expand_replicas"]}
            try:
                self._client.indices.put_mapping(index=self.name, body=wanted)
            except opensearchpy.exceptions.RequestError:
                self._make_anew()
            else:
                self._client.indices.put_settings(index=self.name, body={"index": replicas})

    def _make_anew(self) -> None:
        hits = self._client.search(index=self.name, body={"size": MOST, "seq_no_primary_term": True})["hits"]["hits"]
        if any(hit["_seq_no"] >= MOST for hit in hits) or not hits:
            return  # it is no index of a moment ago
        log.warning("index %s had come back without its mapping; it is made anew", self.name)
        self._client.indices.delete(index=self.name)
        self._client.indices.create(index=self.name, body=dict(self._body))
        lines: list[Any] = []
        for hit in hits:
            lines += [{"create": {"_id": hit["_id"]}}, hit["_source"]]
        self._client.bulk(index=self.name, body=lines, params={"refresh": "true"})

    def source(self, document_id: str, *, excludes: Iterable[str] = ()) -> bytes | None:
        """Return the stored source as it was sent, or None if the document or the index is missing.

        Raises:
            StoreUnavailable, UpstreamError: it could not be read.
        """
        query = {"_source_excludes": ",".join(excludes)} if excludes else {}
        target = f"/_source/{quote(document_id, safe='')}?{urlencode({**query, **SAME_COPY})}"
        reply = self._request("GET", target)
        if reply.status == 404 and NO_INDEX in reply.payload and self.exists():
            reply = self._request("GET", target)  # it was not known yet
        if reply.status == 404:
            return None
        if reply.status >= 400:
            raise refused(reply)
        return reply.payload

    def exists(self) -> bool:
        """Say whether the index is there; raises as `identity` does."""
        return self.identity() is not None

    def make_sure_it_is_missing(self) -> None:
        """Return if the index is missing, of which OpenSearch said so.

        Raises:
            StoreUnavailable: it did not know then, or does not know yet.
            UpstreamError: it does not say.
        """
        if self.exists():
            raise StoreUnavailable("OpenSearch has just come to know its indices")

    def delete(self, document_id: str, query: Mapping[str, str]) -> Reply:
        """Delete a document and return OpenSearch's own answer, whatever its status."""
        target = f"/_doc/{quote(document_id, safe='')}?" + urlencode({"refresh": "true", **query})
        return self._request("DELETE", target)

    def refresh(self) -> Reply:
        """Let searches find all that was written, and return OpenSearch's own answer, whatever its status."""
        return self._request("POST", "/_refresh")

    def search(
        self, payload: bytes, query: Mapping[str, str], headers: Iterable[tuple[str, str]], *, nothing: bool = False
    ) -> Reply:
        """Run a caller's search and return OpenSearch's own answer, whatever its status.

        `payload` is the caller's body, passed as it is; `query` the parameters beside it. With `nothing` the search
        goes to an index that is not there, and finds nothing: OpenSearch's parser looks at the body, and that is all.
        """
        where = "-none/_search?ignore_unavailable=true&" if nothing else "/_search?"
        return self._request("POST", where + urlencode(dict(query)), headers, payload)

    def search_point_in_time(
        self, payload: bytes, query: Mapping[str, str], headers: Iterable[tuple[str, str]]
    ) -> Reply:
        """Run a search whose body names a point in time: with the caller's rights only, for it may be of any index."""
        return self._upstream.for_callers.request("POST", "/_search?" + urlencode(dict(query)), list(headers), payload)

    def _request(
        self, method: str, target: str, headers: Iterable[tuple[str, str]] = (), payload: bytes | None = None
    ) -> Reply:
        own = self._upstream.endpoint.authorization.items()
        answer = self._upstream.request(method, f"/{self.name}{target}", [*headers, *own], payload)
        return answer if self._shown_as is None else renamed(answer, {self.name: self._shown_as})

    def find(self, document_id: str) -> tuple[dict[str, Any], Written] | None:
        """Return a document's source and where it was put, None if the document or the index is missing.

        Raises:
            StoreUnavailable, UpstreamError: it could not be read.
        """
        try:
            return self.read(document_id)
        except (IndexNotFound, UpstreamError) as error:
            if error.status != IndexNotFound.status:
                raise
            return None

    def read(self, document_id: str) -> tuple[dict[str, Any], Written]:
        """Return a document's source and where it was put.

        Raises:
            IndexNotFound, UpstreamError: it is not there, status 404; or it could not be read.
        """
        with translated():
            found = self._client.get(index=self.name, id=document_id, params=SAME_COPY)
        return found["_source"], Written.of(found)


class IndexedStore:
    """What the stores of tasks and of models have in common: one index of ours, and what callers do with it."""

    def __init__(self, documents: DocumentIndex) -> None:
        self._documents = documents

    @property
    def documents(self) -> DocumentIndex:
        """The index."""
        return self._documents

    def close(self) -> None:
        """Give up on writes that OpenSearch does not take at once."""
        self._documents.close()

    def patiently(self, action: Callable[[], Result]) -> Result:
        """Return what `action` gives, repeated while its error is a passing one and this is not closed.

        Raises:
            TaskPluginError: the last one.
        """
        return self._documents.until_it_counts(action, deadline_s=None)

    def index_exists(self) -> bool:
        """Say whether anything was ever stored."""
        return self._documents.exists()

    def delete(self, document_id: str, query: Mapping[str, str]) -> Reply:
        """Delete a document; return OpenSearch's answer."""
        return self._documents.delete(document_id, query)

    def search(
        self, payload: bytes, query: Mapping[str, str], headers: Iterable[tuple[str, str]], *, nothing: bool = False
    ) -> Reply:
        """Search with a caller's body, or with `nothing` no index at all; return OpenSearch's answer."""
        return self._documents.search(payload, query, headers, nothing=nothing)

    def search_point_in_time(
        self, payload: bytes, query: Mapping[str, str], headers: Iterable[tuple[str, str]]
    ) -> Reply:
        """Run a search whose body names a point in time, with the rights of `headers`; return OpenSearch's answer."""
        return self._documents.search_point_in_time(payload, query, headers)


def _hidden(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of an index that wildcards do not reach: one namespace's tasks are not found in another."""
    return {**body, "settings": {**body["settings"], "index": {**body["settings"]["index"], "hidden": True}}}


def raise_unread(documents: Iterable[Mapping[str, Any]]) -> None:
    """Raise the first error among the documents of an mget, which says of each why it could not be read.

    Raises:
        UpstreamError: what OpenSearch says of it, with a status of 503; a missing index is no error.
    """
    errors = (document["error"] for document in documents if "error" in document)
    raise_failure({"status": 503, "error": error} for error in errors if error["type"] != IndexNotFound.type)
