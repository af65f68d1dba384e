"""The journal of several processes: entries in an index of our own, each a text of somebody else's making."""

from __future__ import annotations

import threading
from typing import Any

import opensearchpy
from elasticsearch_dsl import Keyword, Long, Search
from elasticsearch_dsl import Mapping as IndexMapping

from mlcommons_tasks.errors import IndexNotFound
from mlcommons_tasks.store.connection import translated
from mlcommons_tasks.store.documents import DocumentIndex
from mlcommons_tasks.store.mappings import JOURNAL_INDEX, hidden_index_body
from mlcommons_tasks.store.pruning import delete_some
from mlcommons_tasks.store.upstream import Upstream

MOST = 10_000  #: entries that are read: `index.max_result_window`
TRIMMED_EVERY = 1_000  #: writes, after which the oldest entries of a namespace go


class JournalStore:
    """Entries of all namespaces.

    Every method raises StoreUnavailable or UpstreamError where OpenSearch does not take it.
    """

    def __init__(self, client: opensearchpy.OpenSearch, upstream: Upstream) -> None:
        self._client = client
        self._documents = DocumentIndex(JOURNAL_INDEX, journal_index_body(), client, upstream)
        self._lock = threading.Lock()
        self._is_there = False
        self._written = 0

    def write(self, namespace: str, at: int, order: int, text: str) -> None:
        """Write an entry that came at a time; `order` tells those of one time apart."""
        with self._lock:
            if not self._is_there:
                self._documents.ensure()
                self._is_there = True
            self._written += 1
            trims = self._written % TRIMMED_EVERY == 0
        body = {"namespace": namespace, "at": at, "order": order, "text": text}
        with translated():
            self._client.index(index=JOURNAL_INDEX, body=body)
        if trims:
            self._trim(namespace)

    def read(self, namespace: str) -> list[str]:
        """Return the entries of a namespace, the newest last; of more than 10,000 the newest."""
        newest = Search().filter("term", namespace=namespace).sort({"order": {"order": "desc"}})[0:MOST]
        try:
            with translated():
                self._client.indices.refresh(index=JOURNAL_INDEX)
                found = self._client.search(index=JOURNAL_INDEX, body=newest.source(["text"]).to_dict())
        except IndexNotFound:
            return []
        return [hit["_source"]["text"] for hit in reversed(found["hits"]["hits"])]

    def clear(self, namespace: str) -> None:
        """Forget the entries of a namespace."""
        self._delete(Search().filter("term", namespace=namespace))

    def _trim(self, namespace: str) -> None:
        newest = Search().filter("term", namespace=namespace).sort({"order": {"order": "desc"}})[MOST - 1 : MOST]
        with translated():
            found = self._client.search(index=JOURNAL_INDEX, body=newest.source(["order"]).to_dict())["hits"]["hits"]
        if found:
            oldest = found[0]["_source"]["order"]
            self._delete(Search().filter("term", namespace=namespace).filter("range", order={"lt": oldest}))

    def _delete(self, search: Search) -> None:
        while delete_some(self._client, JOURNAL_INDEX, search):
            pass


def journal_index_body() -> dict[str, Any]:
    """Return the body that creates the index."""
    mapping = IndexMapping()
    mapping.field("namespace", Keyword())
    for name in ("at", "order"):
        mapping.field(name, Long())
    return hidden_index_body(mapping, schema_version=1)
