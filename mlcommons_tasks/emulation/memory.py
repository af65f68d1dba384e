"""What the emulator remembers while it is the only process: documents that end with it."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable

from mlcommons_tasks.store.emulation import Conflict, Remembered


class ProcessMemory:
    """As `store.emulation.IndexMemory`, without an index."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._versions = itertools.count(1)
        self._documents: dict[tuple[str, str], dict[str, Remembered]] = {}

    def get(self, kind: str, namespace: str, name: str) -> Remembered | None:
        """Return a document, None if there is none."""
        return self._documents.get((kind, namespace), {}).get(name)

    def put(self, kind: str, namespace: str, name: str, text: str, before: Remembered | None) -> Remembered:
        """Write a document over the one that was there `before`; raise Conflict if that is another now."""
        with self._lock:
            documents = self._documents.setdefault((kind, namespace), {})
            if documents.get(name) is not before:
                raise Conflict
            written = documents[name] = Remembered(name, text, next(self._versions))
            return written

    def all(self, kind: str, namespace: str) -> list[Remembered]:
        """Return the documents of a kind."""
        with self._lock:
            return list(self._documents.get((kind, namespace), {}).values())

    def delete(self, kind: str, namespace: str, names: Iterable[str]) -> None:
        """Delete documents."""
        with self._lock:
            documents = self._documents.get((kind, namespace), {})
            for name in names:
                documents.pop(name, None)

    def forget(self, namespace: str) -> None:
        """Delete all documents of a namespace."""
        with self._lock:
            for key in [key for key in self._documents if key[1] == namespace]:
                del self._documents[key]

    def namespaces(self) -> set[str]:
        """Return the namespaces that have any."""
        with self._lock:
            return {namespace for (_, namespace), documents in self._documents.items() if documents}
