"""What the emulator remembers beside the plugin's indices: small documents in an index of its own.

A document is a text of somebody else's making, under a kind, a namespace and a name. Knows nothing of what it means.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import opensearchpy
from elasticsearch_dsl import Keyword, Search
from elasticsearch_dsl import Mapping as IndexMapping

from mlcommons_tasks.errors import IndexNotFound, UpstreamError
from mlcommons_tasks.store.batches import Written, raise_failure
from mlcommons_tasks.store.connection import translated
from mlcommons_tasks.store.documents import CONFLICT, NOT_FOUND, DocumentIndex
from mlcommons_tasks.store.mappings import EMULATION_INDEX, hidden_index_body
from mlcommons_tasks.store.pruning import delete_some
from mlcommons_tasks.store.upstream import Upstream

MOST = 10_000  #: `index.max_result_window`


class Conflict(Exception):
    """Somebody else wrote the document meanwhile, or it is gone."""


@dataclass(frozen=True)
class Remembered:
    """A document as it was last read: its name, its text, and what the next write compares with."""

    name: str
    text: str
    version: Any


class Memory(Protocol):
    """Where documents are kept: in an index that all replicas share, or in a process that is alone."""

    def get(self, kind: str, namespace: str, name: str) -> Remembered | None:
        """Return a document, None if there is none."""

    def put(self, kind: str, namespace: str, name: str, text: str, before: Remembered | None) -> Remembered:
        """Write a document over the one that was there `before`, None if none was.

        Raises:
            Conflict: it is not the one that is there now.
        """

    def all(self, kind: str, namespace: str) -> list[Remembered]:
        """Return the documents of a kind."""

    def delete(self, kind: str, namespace: str, names: Iterable[str]) -> None:
        """Delete documents; those that are gone are no matter."""

    def forget(self, namespace: str) -> None:
        """Delete all documents of a namespace."""

    def namespaces(self) -> set[str]:
        """Return the namespaces that have any."""


class IndexMemory:
    """Documents in an index.

    Every method raises StoreUnavailable or UpstreamError where OpenSearch does not take it.
    """

    def __init__(self, client: opensearchpy.OpenSearch, upstream: Upstream) -> None:
        self._client = client
        self._documents = DocumentIndex(EMULATION_INDEX, emulation_index_body(), client, upstream)

    def get(self, kind: str, namespace: str, name: str) -> Remembered | None:
        """Return a document, None if there is none; never a stale one."""
        found = self._documents.find(_id(kind, namespace, name))
        return None if found is None else Remembered(name, found[0]["text"], found[1])

    def put(self, kind: str, namespace: str, name: str, text: str, before: Remembered | None) -> Remembered:
        """Write a document over the one that was there `before`; raise Conflict if that is another now."""
        document_id = _id(kind, namespace, name)
        try:
            if before is None:
                source = {
                    "kind": kind,
                    "namespace": namespace,
                    "name": name,
                    "text": text,
                    "write": secrets.token_hex(8),
                }
                return Remembered(name, text, self._documents.create(document_id, source))
            written: Written = before.version
            change = {"text": text, "write": secrets.token_hex(8)}  # two may want to write the same: one comes first
            return Remembered(name, text, self._documents.update(document_id, change, written))
        except (IndexNotFound, UpstreamError) as error:
            if error.status in (CONFLICT, NOT_FOUND):
                raise Conflict from error
            raise

    def all(self, kind: str, namespace: str) -> list[Remembered]:
        """Return the documents of a kind, at most 10,000."""
        search = Search().filter("term", kind=kind).filter("term", namespace=namespace)
        return [
            Remembered(hit["_source"]["name"], hit["_source"]["text"], Written.of(hit))
            for hit in self._search(search[0:MOST].extra(seq_no_primary_term=True))
        ]

    def delete(self, kind: str, namespace: str, names: Iterable[str]) -> None:
        """Delete documents."""
        lines: list[dict[str, Any]] = [{"delete": {"_id": _id(kind, namespace, name)}} for name in names]
        if not lines:
            return
        with translated():
            answer = self._client.bulk(index=EMULATION_INDEX, body=lines, params={"refresh": "true"})
        results = (result for item in answer["items"] for result in item.values())
        raise_failure(result for result in results if result["status"] != NOT_FOUND)  # nor is the index there then

    def forget(self, namespace: str) -> None:
        """Delete all documents of a namespace."""
        while delete_some(self._client, EMULATION_INDEX, Search().filter("term", namespace=namespace)):
            pass

    def namespaces(self) -> set[str]:
        """Return the namespaces that have any document."""
        search = Search().filter("term", kind="state")[0:MOST].source(["namespace"])
        return {hit["_source"]["namespace"] for hit in self._search(search)}

    def _search(self, search: Search) -> list[dict[str, Any]]:
        try:
            with translated():
                found = self._client.search(index=EMULATION_INDEX, body=search.to_dict())
        except IndexNotFound:
            return []
        hits: list[dict[str, Any]] = found["hits"]["hits"]
        return hits


def emulation_index_body() -> dict[str, Any]:
    """Return the body that creates the index."""
    mapping = IndexMapping()
    for name in ("kind", "namespace", "name"):
        mapping.field(name, Keyword())
    return hidden_index_body(mapping, schema_version=1)


def drop_indices(client: opensearchpy.OpenSearch, names: Iterable[str]) -> None:
    """Delete indices; those that are not there are no matter.

    Raises:
        StoreUnavailable, UpstreamError: OpenSearch did not do it.
    """
    wanted = ",".join(names)
    if wanted:
        with contextlib.suppress(IndexNotFound), translated():
            client.indices.delete(index=wanted, params={"ignore_unavailable": "true"})


def indices_like(client: opensearchpy.OpenSearch, pattern: str) -> list[str]:
    """Return the names of the indices that fit a pattern, hidden ones too."""
    try:
        with translated():
            found = client.indices.get(index=pattern, params={"expand_wildcards": "all", "filter_path": "*.aliases"})
    except IndexNotFound:
        return []
    return sorted(found)


def _id(kind: str, namespace: str, name: str) -> str:
    return f"{kind}/{namespace}/{name}"
