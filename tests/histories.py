"""What was ever written of each task and model, as OpenSearch took it, and whether that was a legal life.

A `History` watches fault proxies, which see every write and its answer; what passes them by shows as a gap between
versions. Over nodes without a proxy only the versions at the end are looked at.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from tests.clients import FINAL, Client
from tests.fault_proxy import Exchange

TASK_INDEX = ".plugins-ml-task"
MODEL_INDEX = ".plugins-ml-model"
RANK = {"CREATED": 0, "RUNNING": 1, **dict.fromkeys(FINAL, 2)}
_ONE = re.compile(r"/([^/?]+)/_(doc|create|update)/([^/?]+)")
_BULK = re.compile(r"(?:/([^/?]+))?/_bulk(?:\?|$)")
SCAN = 10_000
ANSWER_S = 3.0
WRITES = 3  #: of a life: CREATED, RUNNING, an end


@dataclass(frozen=True)
class Write:
    """A write that OpenSearch took: what it says of the state, None if nothing."""

    seq_no: int
    version: int
    state: str | None
    result: str  #: created, updated, deleted


@dataclass(frozen=True)
class Stored:
    """A task as it stands in the index."""

    version: int
    seq_no: int
    source: dict[str, Any]

    @property
    def state(self) -> str:
        return str(self.source.get("state"))


@dataclass
class History:
    """The writes that were taken, those that were refused, and those whose answer nobody saw."""

    writes: dict[str, dict[int, Write]] = field(default_factory=lambda: defaultdict(dict))  #: by seq_no, by task
    unknown: Counter[str] = field(default_factory=Counter)  #: by task
    conflicts: Counter[str] = field(default_factory=Counter)  #: by task: refused by `if_seq_no`
    models_named: set[str] = field(default_factory=set)  #: by tasks that were COMPLETED
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, exchange: Exchange) -> None:
        """Take note of what passed a proxy."""
        with self._lock:
            for index, document_id, body, item in _items(exchange):
                if index == TASK_INDEX:
                    self._note(document_id, body, item)

    def _note(self, task_id: str, body: dict[str, Any], item: dict[str, Any] | None) -> None:
        if item is None:
            self.unknown[task_id] += 1
        elif item["status"] == 409:
            self.conflicts[task_id] += 1
        elif item["status"] < 300 and item["result"] != "noop":
            write = Write(item["_seq_no"], item["_version"], body.get("state"), item["result"])
            self.writes[task_id][write.seq_no] = write
            if write.state == "COMPLETED":
                self.models_named.add(body["model_id"])

    def faults(self, tasks: dict[str, Stored]) -> list[str]:
        """Return what is wrong with the lives of tasks that stand so in the index."""
        until = time.monotonic() + ANSWER_S
        while faults := list(self._faults(tasks)):  # OpenSearch shows a write before it has answered
            if time.monotonic() > until:
                break
            time.sleep(0.05)
        return faults

    def _faults(self, tasks: dict[str, Stored]) -> Iterator[str]:
        with self._lock:
            for task_id, stored in tasks.items():
                known = sorted(self.writes[task_id].values(), key=lambda write: write.seq_no)
                told = f"{task_id} {stored.state}: {[(w.version, w.state, w.result) for w in known]}"
                missing = stored.version - len(known)
                if missing > self.unknown[task_id]:
                    yield f"{missing} writes passed by unseen; {told}"
                states = [write.state for write in known if write.state is not None]
                ends = [state for state in states if state in FINAL]
                if len(ends) > 1 or (not missing and len(ends) != 1):
                    yield f"{len(ends)} final writes; {told}"
                if [RANK[state] for state in states] != sorted(RANK[state] for state in states):
                    yield f"backwards; {told}"
                if ends and known[-1].state != ends[-1]:
                    yield f"written after its end; {told}"


def _items(exchange: Exchange) -> Iterator[tuple[str, str, dict[str, Any], dict[str, Any] | None]]:
    """Yield index, id, what was sent, and what was said of it (None: nothing) of each write in an exchange."""
    one = _ONE.match(exchange.target)
    bulk = _BULK.match(exchange.target)
    answer = json.loads(exchange.answer) if exchange.status and exchange.answer.startswith(b"{") else {}
    if one and exchange.method in ("PUT", "POST", "DELETE"):
        body = json.loads(exchange.body) if exchange.body else {}
        said = None if not exchange.status else {**answer, "status": exchange.status}
        yield unquote(one[1]), unquote(one[3]), body.get("doc", body), said
    elif bulk and exchange.method in ("PUT", "POST"):
        told = iter(answer.get("items", ()))
        lines = iter([line for line in exchange.body.splitlines() if line])
        for line in lines:
            kind, where = next(iter(json.loads(line).items()))
            body = {} if kind == "delete" else json.loads(next(lines))
            said = next(iter(next(told).values())) if exchange.status == 200 else None
            if exchange.status in (0, 200):
                yield where.get("_index", bulk[1] or ""), where.get("_id", ""), body.get("doc", body), said


def stored_tasks(opensearch: Client, task_ids: Iterable[str] | None = None) -> dict[str, Stored]:
    """Return tasks as they stand in the index, by default all, read from OpenSearch itself."""
    if task_ids is None:
        found = _all(opensearch, TASK_INDEX)
    else:
        answer = opensearch.ok("POST", f"/{TASK_INDEX}/_mget", {"ids": list(task_ids)})
        found = [document for document in answer["docs"] if document.get("found")]
    return {each["_id"]: Stored(each["_version"], each["_seq_no"], each["_source"]) for each in found}


def _all(opensearch: Client, index: str) -> list[dict[str, Any]]:
    if opensearch.send("HEAD", f"/{index}").status == 404:
        return []
    opensearch.ok("POST", f"/{index}/_refresh")
    body = {"size": SCAN, "version": True, "seq_no_primary_term": True, "_source": {"excludes": ["content"]}}
    hits = opensearch.ok("POST", f"/{index}/_search", body)["hits"]["hits"]
    assert len(hits) < SCAN
    return list(hits)


def check_lives(
    opensearch: Client,
    task_ids: Iterable[str],
    history: History | None = None,
    *,
    models_before: Iterable[str] = (),
    most: int = WRITES,
) -> Counter[str]:
    """Check that tasks lived legal lives and that no model is nobody's; return how many ended how.

    `most` is how many writes a life may take. Models that were there before are none of these tasks'.
    """
    wanted = list(task_ids)
    stored = stored_tasks(opensearch, wanted)
    assert set(stored) == set(wanted), f"{len(set(wanted) - set(stored))} of {len(wanted)} tasks are gone"
    faults = history.faults(stored) if history else []
    for task_id, task in stored.items():
        source = task.source
        least = WRITES if source["state"] == "COMPLETED" else 2
        if source["state"] not in FINAL:
            faults.append(f"{task_id} is {source['state']}")
        elif not least <= task.version <= most:
            faults.append(f"{task_id} {source['state']}: {task.version} writes")
        if ("model_id" in source) != (source["state"] == "COMPLETED"):
            faults.append(f"{task_id} {source['state']} has the model {source.get('model_id')}")
        if ("error" in source) != (source["state"] == "FAILED"):
            faults.append(f"{task_id} {source['state']} has the error {source.get('error')}")
    named = Counter(task.source["model_id"] for task in stored_tasks(opensearch).values() if task.state == "COMPLETED")
    there = model_ids(opensearch)
    faults += [f"model {model} is named {times} times" for model, times in named.items() if times > 1]
    faults += [f"model {model} is not there" for model in named.keys() - there]
    faults += [f"model {model} is nobody's" for model in there - named.keys() - set(models_before)]
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults[:20])
    return Counter(task.state for task in stored.values())


def model_ids(opensearch: Client) -> set[str]:
    """Return the ids of all models."""
    return {hit["_id"] for hit in _all(opensearch, MODEL_INDEX)}
