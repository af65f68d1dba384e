"""Writes of single documents that come at the same time, sent as one `_bulk`: one refresh for all of them.

Knows no deadline and repeats nothing: each write is told what became of it, by OpenSearch's own error if it has one.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import opensearchpy

from mlcommons_tasks.errors import IndexNotFound, TaskPluginError, UpstreamError
from mlcommons_tasks.store.connection import translated
from mlcommons_tasks.wire.rendering import JSON_CONTENT_TYPE, render_json

LINGER_S = 0.003  #: for how long a request waits for more writes, for each that went with the last one
LONGEST_LINGER_S = 0.05  #: a refresh costs a fifth of it, be it for one write or for many
MOST = 1_000  #: documents of one request
LONGEST = 16 * 1024 * 1024  #: bytes of one request, unless a single document is longer
ANSWER_S = 30.0


@dataclass(frozen=True)
class Written:
    """Where a write put a document: what the next write compares with."""

    seq_no: int
    primary_term: int

    @classmethod
    def of(cls, reply: Mapping[str, Any]) -> Written:
        """Return what OpenSearch's answer to a write or a read says."""
        return cls(int(reply["_seq_no"]), int(reply["_primary_term"]))


class Index(Protocol):
    """An index that is written to, as a batch needs to know it."""

    name: str

    def ensure(self) -> str:
        """Create it unless it is there; return what tells it from others of its name."""

    def identity(self) -> str | None:
        """Return what tells it from others of its name, None if it is missing."""

    def mend(self, seen: str) -> None:
        """Give it its mapping if it is not the one that was seen: a write has brought it back bare."""


@dataclass(frozen=True)
class Create:
    """Store a new document; its index is created first where it is missing."""

    index: Index
    document_id: str
    source: Mapping[str, Any]
    action = "create"

    def lines(self) -> bytes:
        """Return it as the lines of a bulk request."""
        return _lines({"create": {"_index": self.index.name, "_id": self.document_id}}, self.source)


@dataclass(frozen=True)
class Update:
    """Change a document, provided that nobody else did since `expected`."""

    index: Index
    document_id: str
    changes: Mapping[str, Any]
    expected: Written
    action = "update"

    def lines(self) -> bytes:
        """Return it as the lines of a bulk request."""
        return _lines({"update": _compared(self)}, {"doc": self.changes})


@dataclass(frozen=True)
class Replace:
    """Store a document over the one that is there, provided that nobody else wrote it since `expected`."""

    index: Index
    document_id: str
    source: Mapping[str, Any]
    expected: Written
    action = "index"

    def lines(self) -> bytes:
        """Return it as the lines of a bulk request."""
        return _lines({"index": _compared(self)}, self.source)


Write: TypeAlias = "Create | Update | Replace"


class _Waiting:
    def __init__(self, write: Write) -> None:
        self.write = write
        self.lines = write.lines()
        self.outcome: Written | BaseException | None = None


class Batches:
    """The way by which writes of several threads go together."""

    def __init__(self, client: opensearchpy.OpenSearch) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._waiting: list[_Waiting] = []
        self._is_sending = False
        self._sent = threading.Condition(self._lock)
        self._linger_s = 0.0

    def run(self, write: Write) -> Written:
        """Send a write, with all others that wait; return where it put its document, which a search sees by now.

        Raises:
            IndexNotFound: it is an update, and its index is missing.
            UpstreamError: OpenSearch refused it: 409 if somebody else wrote, 404 if the document is gone.
            StoreUnavailable: OpenSearch cannot be reached; it may have taken the write all the same.
        """
        (outcome,) = self.run_all([write])
        if isinstance(outcome, Written):
            return outcome
        raise outcome

    def run_all(self, writes: Iterable[Write]) -> list[Written | BaseException]:
        """Send writes, with all others that wait; return what became of each, the errors among them."""
        ours = [_Waiting(write) for write in writes]
        with self._lock:
            self._waiting += ours
            while self._is_sending and any(each.outcome is None for each in ours):
                self._sent.wait()
            if all(each.outcome is not None for each in ours):  # another thread sent them
                return [each.outcome for each in ours if each.outcome is not None]
            self._is_sending = True
        try:
            while any(each.outcome is None for each in ours):
                time.sleep(self._linger_s)
                batch = self._taken()
                self._linger_s = min(LONGEST_LINGER_S, LINGER_S * (len(batch) - 1))
                self._send(batch)
        finally:
            with self._lock:
                self._is_sending = False
                self._sent.notify_all()
        return [each.outcome for each in ours if each.outcome is not None]

    def _taken(self) -> list[_Waiting]:
        """Take from those that wait as many as one request may have, the oldest first."""
        with self._lock:
            count, size = 0, 0
            for each in self._waiting[:MOST]:
                size += len(each.lines)
                if count and size > LONGEST:
                    break
                count += 1
            taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken

    def _send(self, batch: list[_Waiting]) -> None:
        try:
            ready, seen = self._with_their_indices(batch)
            if ready:
                self._answer(ready, self._bulk(ready), seen)
        except BaseException as error:
            for each in batch:
                each.outcome = each.outcome or error
            if not isinstance(error, TaskPluginError):
                raise

    def _with_their_indices(self, batch: Sequence[_Waiting]) -> tuple[list[_Waiting], dict[str, str]]:
        """Return the writes whose index is there, and which it is; the others are told why it is not."""
        ready: list[_Waiting] = []
        seen: dict[str, str] = {}
        for name in dict.fromkeys(each.write.index.name for each in batch):
            of_index = [each for each in batch if each.write.index.name == name]
            index = of_index[0].write.index
            try:
                makes = any(isinstance(each.write, Create) for each in of_index)
                identity = index.ensure() if makes else index.identity()
                if identity is None:  # an update would bring it back, empty and without its mapping
                    raise IndexNotFound(name)
                seen[name] = identity
            except TaskPluginError as error:
                for each in of_index:
                    each.outcome = error
            else:
                ready += of_index
        return ready, seen

    def _bulk(self, batch: Sequence[_Waiting]) -> list[Mapping[str, Any]]:
        with translated():
            answer = self._client.bulk(
                body=b"".join(each.lines for each in batch),
                params={"refresh": "true"},
                headers={"content-type": "application/x-ndjson"},
                request_timeout=ANSWER_S,
            )
        return [result for item in answer["items"] for result in item.values()]

    def _answer(self, batch: Sequence[_Waiting], results: Sequence[Mapping[str, Any]], seen: Mapping[str, str]) -> None:
        bare: dict[str, Index] = {}
        for each, result in zip(batch, results, strict=True):
            error = error_of_result(result)
            if not isinstance(each.write, Create):
                lost_its_index = error is not None and result["status"] == IndexNotFound.status
            else:
                lost_its_index = error is None and result["_seq_no"] == 0  # the first of an index, or of its next life
            if lost_its_index:
                bare[each.write.index.name] = each.write.index
            each.outcome = Written.of(result) if error is None else error
        for name, index in bare.items():
            index.mend(seen[name])


def error_of_result(result: Mapping[str, Any]) -> UpstreamError | None:
    """Return what OpenSearch says against one write of a bulk request, None if it took it."""
    error = result.get("error")
    if not error:
        return None
    payload = render_json({"error": {"root_cause": [error], **error}, "status": result["status"]})
    return UpstreamError(int(result["status"]), payload, JSON_CONTENT_TYPE, str(error["type"]), str(error["reason"]))


def raise_failure(results: Iterable[Mapping[str, Any]]) -> None:
    """Raise the first error among the results of a bulk request.

    Raises:
        UpstreamError: what OpenSearch says of it.
    """
    for result in results:
        error = error_of_result(result)
        if error is not None:
            raise error


def _compared(write: Update | Replace) -> dict[str, Any]:
    """Return what a line says of a document that is to be as it was expected."""
    return {
        "_index": write.index.name,
        "_id": write.document_id,
        "if_seq_no": write.expected.seq_no,
        "if_primary_term": write.expected.primary_term,
    }


def _lines(*documents: Mapping[str, Any]) -> bytes:
    # as opensearch-py writes single documents: what is stored is shown as it came
    lines = [json.dumps(document, ensure_ascii=False, separators=(",", ":")) for document in documents]
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass")
