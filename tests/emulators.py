"""A namespace of a service's emulator, for tests: requests of it, and what it is told under `/_emulator/`."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from tests.clients import TASKS, Answer, Client, rows_body

CONTROL = "/_emulator"
GONE = "404"
SMALL = rows_body(9)
_numbers = itertools.count(1)


class Stand(Client):
    """Speaks to a service in one namespace, None is the main one."""

    def __init__(self, url: str, namespace: str | None = None, token: str | None = None) -> None:
        super().__init__(url)
        self.namespace = namespace
        self.token = token
        self.prefix = "" if namespace is None else f"{CONTROL}/in/{namespace}"

    def send(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Send a request in the namespace."""
        shown = {} if self.token is None else {"X-Emulator-Token": self.token}
        return super().send(method, f"{self.prefix}{path}", body, {**shown, **(headers or {})})

    def tell(self, *steps: dict[str, Any], name: str = "s", **fields: Any) -> None:
        """Have a scenario; with steps, or whatever else it says."""
        told = {"name": name, **fields, **({"steps": list(steps)} if steps else {})}
        self.ok("POST", f"{CONTROL}/scenarios", told)

    def preset(self, preset: str, **parameters: Any) -> None:
        """Have a scenario by name."""
        self.tell(name=preset, preset=preset, **({"with": parameters} if parameters else {}))

    def train(self, opaque_id: str | None = None, body: dict[str, Any] | None = None) -> str:
        """Start a training; return the task's id."""
        headers = {} if opaque_id is None else {"X-Opaque-Id": opaque_id}
        answer = self.ok("POST", "/_plugins/_ml/_train/kmeans?async=true", body or SMALL, headers)
        assert answer["status"] == "CREATED"
        return str(answer["task_id"])

    def create(self, scenario: dict[str, Any] | str | None = None, **fields: Any) -> str:
        """Create a task that is but played."""
        told = {"task_type": "TRAINING", "function_name": "KMEANS", **fields}
        told |= {} if scenario is None else {"scenario": scenario}
        return str(self.ok("POST", f"{CONTROL}/tasks", told)["task_id"])

    def state(self, task_id: str) -> str:
        """Return the state that a GET shows, or that the task is gone."""
        answer = self.send("GET", f"{TASKS}/{task_id}")
        assert answer.status in (200, 404), answer.payload
        return str(answer.body["state"]) if answer.status == 200 else GONE

    def searched(self, task_id: str) -> str:
        """Return the state that a `_search` shows, or that the task is gone."""
        hits = self.ok("POST", f"{TASKS}/_search", by_id(task_id))["hits"]["hits"]
        assert len(hits) <= 1
        return str(hits[0]["_source"]["state"]) if hits else GONE

    def search(self, task_id: str) -> dict[str, Any] | None:
        """Return the document that a `_search` shows."""
        hits = self.ok("POST", f"{TASKS}/_search", by_id(task_id))["hits"]["hits"]
        return dict(hits[0]["_source"]) if hits else None

    def clock(self, *call: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Stop, start or advance the time; return how it stands."""
        path = "/".join([f"{CONTROL}/clock", *call])
        return dict(self.ok("POST" if call else "GET", path, body))

    def advance(self, by: str) -> None:
        """Move the time on."""
        self.clock("_advance", body={"by": by})

    def reset(self) -> None:
        """Leave nothing that the emulator made."""
        self.ok("POST", f"{CONTROL}/_reset")


def by_id(*task_ids: str) -> dict[str, Any]:
    """Return a search for tasks."""
    return {"query": {"ids": {"values": list(task_ids)}}, "size": 100}


def fresh(url: str, token: str | None = None) -> Stand:
    """Return a namespace that nobody has used."""
    return Stand(url, f"n{next(_numbers)}", token)


def step(state: str, reads: int | None = None, **fields: Any) -> dict[str, Any]:
    """Return a step, which lasts so many reads."""
    return {"state": state, **fields, **({} if reads is None else {"lasts": {"reads": reads}})}
