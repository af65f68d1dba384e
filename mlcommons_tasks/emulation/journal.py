"""The journal of requests: what came and what was answered, the latest of each namespace, in the memory of a process.

What is never kept is left out before an entry is made. An entry from the fast lane is kept as its bytes and read when
somebody asks for it.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mlcommons_tasks.emulation.credentials import is_secret_header, kept_body, kept_target
from mlcommons_tasks.emulation.entries import MOST_REQUEST, Entry, entry_of_bytes
from mlcommons_tasks.emulation.faults import Asked, Fault
from mlcommons_tasks.emulation.faults import differences as fault_differences
from mlcommons_tasks.emulation.matching import Difference, closest
from mlcommons_tasks.errors import IllegalArgument
from mlcommons_tasks.wire.simple_match import simple_match

__all__ = ["PARAMETERS", "Entry", "Journal", "Wanted", "asked_of", "miss", "miss_of_fault"]

MOST_ENTRIES = 10_000  #: of a namespace
MOST_BYTES = 64 * 1024 * 1024  #: of all together
LIMIT = 100  #: entries that are shown unless more are asked for
_OVERHEAD = 2_000  #: bytes that an entry costs beside what is in it
_NUMBER = re.compile("[0-9]{1,18}")
_MOST_HEADS = 1024  #: heads of requests of which is known what to leave out

#: The parameters by which entries are found.
PARAMETERS = ("method", "path", "status", "opaque_id", "task_id", "user_agent", "since", "limit")


@dataclass(frozen=True)
class Wanted:
    """Which entries are wanted: those that fit all that is said here.

    `path`, `opaque_id` and `user_agent` may have stars; `status` is a number, `4xx`, or `dropped`; `task_id` is
    that of a task the request was about, or one that its search found; `since` are milliseconds since the epoch.
    """

    method: str | None = None
    path: str | None = None
    status: str | None = None
    opaque_id: str | None = None
    task_id: str | None = None
    user_agent: str | None = None
    since: int | None = None
    limit: int = LIMIT

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> Wanted:
        """Read the parameters of a request.

        Raises:
            IllegalArgument: one of them is not known or cannot be read; the reason names it.
        """
        for name in parameters:
            if name not in PARAMETERS:
                raise IllegalArgument(f"unknown parameter `{name}`; there are {', '.join(PARAMETERS)}")
        found: dict[str, Any] = dict(parameters)
        for name in ("since", "limit"):
            if name in found and not _NUMBER.fullmatch(found[name]):
                raise IllegalArgument(f"`{name}` must be a number, not [{found[name]}]")
            if name in found:
                found[name] = int(found[name])
        status = found.get("status")
        if status is not None and not (status == "dropped" or (len(status) == 3 and status[0] in "12345")):
            raise IllegalArgument(f"`status` must be like 404, 4xx or dropped, not [{status}]")
        return cls(**found)

    def fits(self, entry: Entry) -> bool:
        """Say whether an entry is wanted."""
        return (
            (self.since is None or entry.at >= self.since)
            and (self.method is None or entry.method == self.method.upper())
            and (self.path is None or simple_match(self.path, entry.path))
            and (self.status is None or self._has_status(entry))
            and (self.opaque_id is None or simple_match(self.opaque_id, entry.opaque_id or ""))
            and (self.user_agent is None or simple_match(self.user_agent, entry.user_agent or ""))
            and (self.task_id is None or self.task_id in entry.task_ids)
        )

    def _has_status(self, entry: Entry) -> bool:
        if self.status == "dropped":
            return entry.dropped
        status = self.status or ""
        return entry.status is not None and (
            str(entry.status) == status or (status[1:].lower() == "xx" and str(entry.status)[0] == status[0])
        )


class _Kept:
    """An entry, or the bytes that one is read from, and its place among all."""

    __slots__ = ("_entry", "_raw", "number", "size")

    def __init__(
        self, size: int, *, entry: Entry | None = None, raw: tuple[int, str, str, bytes, bytes, float] | None = None
    ) -> None:
        self._entry = entry
        self._raw = raw
        self.size = size
        self.number = 0

    def read(self) -> Entry:
        """Return the entry; two threads may both make it, which are the same."""
        raw, entry = self._raw, self._entry  # in this order: the bytes go once the entry is there
        if entry is None:
            assert raw is not None  # noqa: S101  # one of the two is always there
            self._entry = entry = entry_of_bytes(*raw)
            self._raw = None
        return entry

    def may_begin_with(self, start: bytes) -> bool:
        """Say whether its request may begin so; bytes that do not need not be read."""
        raw = self._raw
        return raw is None or raw[3].startswith(start)


class Journal:
    """Entries of all namespaces, the oldest of which make room for new ones."""

    def __init__(self, most_entries: int = MOST_ENTRIES, most_bytes: int = MOST_BYTES) -> None:
        self._most_entries = most_entries
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._kept: dict[str, deque[_Kept]] = {}
        self._bytes = 0
        self._number = 0
        self._heads: dict[bytes, bytes] = {}

    def append(self, entry: Entry) -> None:
        """Keep an entry, the newest of its namespace."""
        self._keep(entry.namespace, _Kept(entry.size + len(entry.target) + _OVERHEAD, entry=entry))

    def add_raw(
        self, at: int, namespace: str, address: str, request: bytes, reply: bytes, took_in_millis: float
    ) -> None:
        """Keep a request of the fast lane and its reply, both as they were on the wire.

        Who asks is left out at once, everything else that is not kept when the entry is read.
        """
        end = request.find(b"\r\n\r\n")
        begin = request.find(b"\r\n")
        head = request[begin:end]
        clean = self._heads.get(head)
        if clean is None:
            clean = self._clean(head)
        if clean != head:
            request = request[:begin] + clean + request[end:]
        raw = (at, namespace, address, request, reply, took_in_millis)
        self._keep(namespace, _Kept(len(request) + len(reply) + _OVERHEAD, raw=raw))

    def find(self, namespace: str, wanted: Wanted | None = None) -> list[Entry]:
        """Return the entries that are wanted, the newest last; of more than `limit` the newest."""
        wanted = wanted or Wanted(limit=self._most_entries)
        found: list[Entry] = []
        for kept in reversed(self._of(namespace)):
            if len(found) >= wanted.limit:
                break
            entry = kept.read()
            if wanted.fits(entry):
                found.append(entry)
        return found[::-1]

    def count(self, namespace: str, wanted: Wanted | None = None) -> int:
        """Return how many entries are wanted; `limit` does not count."""
        return sum((wanted or Wanted()).fits(entry) for entry in self.entries(namespace))

    def entries(self, namespace: str) -> list[Entry]:
        """Return all entries of a namespace, the newest last."""
        return [kept.read() for kept in self._of(namespace)]

    def last_answers(
        self, namespace: str, method: str, target: str, body: bytes = b"", content_type: str = ""
    ) -> list[Entry]:
        """Return the entries of the same request whose answers are there, the newest first."""
        target = kept_target(target)
        body = kept_body(body[:MOST_REQUEST], content_type, is_cut=len(body) > MOST_REQUEST)
        start = f"{method} {target} ".encode()
        entries = [kept.read() for kept in reversed(self._of(namespace)) if kept.may_begin_with(start)]
        return [
            entry
            for entry in entries
            if entry.method == method and entry.target == target and entry.request_body == body and entry.answer
        ]

    def clear(self, namespace: str | None = None) -> None:
        """Forget the entries of a namespace; without one, of all."""
        with self._lock:
            for name in [namespace] if namespace is not None else list(self._kept):
                self._bytes -= sum(kept.size for kept in self._kept.pop(name, ()))

    def _of(self, namespace: str) -> list[_Kept]:
        with self._lock:
            return list(self._kept.get(namespace, ()))

    def _keep(self, namespace: str, kept: _Kept) -> None:
        with self._lock:
            self._number += 1
            kept.number = self._number
            entries = self._kept.get(namespace)
            if entries is None:
                entries = self._kept[namespace] = deque()
            entries.append(kept)
            self._bytes += kept.size
            if len(entries) > self._most_entries:
                self._bytes -= entries.popleft().size
            if self._bytes > self._most_bytes:
                self._make_room()

    def _make_room(self) -> None:
        """Let the oldest entries of all namespaces go, some more than must, so that this is rare."""
        enough = self._most_bytes - self._most_bytes // 16
        while self._bytes > enough and self._kept:
            oldest = min(self._kept, key=lambda name: self._kept[name][0].number)
            entries = self._kept[oldest]
            rest = [each[0].number for name, each in self._kept.items() if name != oldest]
            until = min(rest, default=self._number + 1)
            while entries and entries[0].number < until and self._bytes > enough:
                self._bytes -= entries.popleft().size
            if not entries:
                del self._kept[oldest]

    def _clean(self, head: bytes) -> bytes:
        """Return the lines of headers without the values of those that are not kept."""
        lines = []
        for line in head.split(b"\r\n"):
            name, colon, _ = line.partition(b":")
            lines.append(name + b": ***" if colon and is_secret_header(name.decode("latin-1")) else line)
        clean = b"\r\n".join(lines)
        if len(self._heads) >= _MOST_HEADS:
            self._heads.clear()
        self._heads[head] = clean
        return clean


def asked_of(entry: Entry) -> Asked:
    """Return what a fault is matched by, of an entry."""
    return Asked(entry.method, entry.path, entry.opaque_id, entry.user_agent)


def miss_of_fault(fault: Fault, entries: Iterable[Entry]) -> dict[str, Any]:
    """Return how close the requests came to a fault that none of them matched."""
    return miss("fault", fault.name, entries, lambda entry: fault_differences(fault.match, asked_of(entry)))


def miss(
    kind: str, name: str, entries: Iterable[Entry], differs: Callable[[Entry], list[Difference]]
) -> dict[str, Any]:
    """Return the closest miss as JSON shows it: the request with the fewest differences, None if there was none."""
    found = closest(entries, differs)
    request = None
    if found is not None:
        entry = found[0]
        request = {
            name: getattr(entry, name) for name in ("at", "method", "target", "status", "opaque_id", "user_agent")
        }
    differs_in = [{"field": each.field, "wanted": each.wanted, "was": each.was} for each in (found[1] if found else ())]
    return {"kind": kind, "name": name, "request": request, "differs": differs_in}
