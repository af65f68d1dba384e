"""The journal where several processes serve: whoever asks one of them sees what all were asked."""

from __future__ import annotations

import json
import logging
import time

from mlcommons_tasks.emulation.entries import Entry
from mlcommons_tasks.emulation.journal import Journal, Wanted
from mlcommons_tasks.errors import TaskPluginError
from mlcommons_tasks.store.journal import JournalStore

log = logging.getLogger(__name__)


class SharedJournal:
    """As `Journal`, over an index; each entry is written before its answer is sent."""

    def __init__(self, store: JournalStore) -> None:
        self._store = store

    def append(self, entry: Entry) -> None:
        """Keep an entry; where OpenSearch does not take it that is logged, for its request has its answer."""
        text = json.dumps(entry.to_document(), separators=(",", ":"))
        try:
            self._store.write(entry.namespace, entry.at, time.time_ns() // 1000, text)
        except TaskPluginError as error:
            log.warning("a request is not in the journal: %s", error)

    def find(self, namespace: str, wanted: Wanted | None = None) -> list[Entry]:
        """Return the entries that are wanted, the newest last.

        Raises:
            StoreUnavailable, UpstreamError: they could not be read.
        """
        return self._read(namespace).find(namespace, wanted)

    def count(self, namespace: str, wanted: Wanted | None = None) -> int:
        """Return how many entries are wanted; raises as `find` does."""
        return self._read(namespace).count(namespace, wanted)

    def entries(self, namespace: str) -> list[Entry]:
        """Return all entries of a namespace; raises as `find` does."""
        return self._read(namespace).entries(namespace)

    def last_answers(
        self, namespace: str, method: str, target: str, body: bytes = b"", content_type: str = ""
    ) -> list[Entry]:
        """Return the entries of the same request that were answered, the newest first; raises as `find` does."""
        return self._read(namespace).last_answers(namespace, method, target, body, content_type)

    def clear(self, namespace: str) -> None:
        """Forget the entries of a namespace; raises as `find` does."""
        self._store.clear(namespace)

    def _read(self, namespace: str) -> Journal:
        journal = Journal()
        for text in self._store.read(namespace):
            journal.append(Entry.from_document(json.loads(text)))
        return journal
