"""What a namespace's service was asked, and assertions about it that say what was asked instead."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from mlcommons_tasks.testing.control import Control

MOST = 10_000
SHOWN = 20  #: lines of requests in a message
TOLD = 500  #: requests that those are made of
#: What is wrong with any poller.
POLLED_WELL = ("never-final", "polls-after-final", "no-retry")


class Journal:
    """The requests of a namespace, oldest first; control calls are not among them.

    Requests are found by `method`, `path` (with stars), `status` (404, `4xx` or `dropped`), `opaque_id`, `user_agent`
    (with stars), `task_id` and `since` (milliseconds since the epoch).
    """

    def __init__(self, control: Control) -> None:
        self._control = control

    def find(self, *, limit: int = MOST, **wanted: Any) -> list[dict[str, Any]]:
        """Return the requests that are wanted, with what was answered."""
        return list(self._control.get("requests", limit=limit, **wanted)["requests"])

    def count(self, **wanted: Any) -> int:
        """Return how many requests are wanted ones."""
        return int(self._control.get("requests", "_count", **wanted)["count"])

    def misses(self) -> list[dict[str, Any]]:
        """Return the scenarios and faults that never matched, each with the closest request and how it differs."""
        return list(self._control.get("requests", "_misses")["misses"])

    def audit(self) -> dict[str, Any]:
        """Return what each client did as a poller: its interval, what it read too often and what it never read."""
        return dict(self._control.get("audit"))

    def har(self) -> dict[str, Any]:
        """Return the requests as HAR 1.2, which browsers and other tools show."""
        return dict(self._control.get("requests", "_har"))

    def clear(self) -> None:
        """Forget all requests."""
        self._control.delete("requests")

    def assert_requested(self, *, times: int | None = None, **wanted: Any) -> None:
        """Fail unless the wanted requests came: at least one, or so many `times`.

        Raises:
            AssertionError: they did not; the message lists what came.
        """
        count = self.count(**wanted)
        if count != times if times is not None else not count:
            said = ", ".join(f"{name}={value!r}" for name, value in wanted.items()) or "any"
            much = "at least once" if times is None else f"{times} times"
            raise AssertionError(f"a request with {said} was to come {much}, and came {count} times\n{self.told()}")

    def assert_all_matched(self) -> None:
        """Fail if there is a scenario or a fault that never matched.

        Raises:
            AssertionError: there is one; the message says which request was closest, and what differs.
        """
        misses = self.misses()
        if misses:
            raise AssertionError("\n".join(told_miss(miss) for miss in misses))

    def assert_polled_well(self, *checks: str) -> None:
        """Fail if a check of the audit finds something: `never-final`, `no-retry`, `polls>100` and so on.

        Without a word these are checked: each final state was read, nothing was read after that, and no poll that
        failed was the last.

        Raises:
            AssertionError: it does; the message says which client did what.
            IllegalArgument: there is no such check; the message lists them.
        """
        from mlcommons_tasks.emulation.audit import Report
        from mlcommons_tasks.emulation.audit_checks import findings

        found = findings(Report.from_document(self.audit()), checks or POLLED_WELL)
        if found:
            raise AssertionError("\n".join(map(str, found)))

    def told(self, most: int = SHOWN) -> str:
        """Return the last requests for people, a line each; those that are alike share one."""
        alike = [
            (line, len(list(group))) for line, group in itertools.groupby(map(told_request, self.find(limit=TOLD)))
        ]
        lines = [line if count == 1 else f"{line}, {count} times" for line, count in alike[-most:]]
        return "\n".join(["the last requests:", *lines]) if lines else "there were no requests"


def told_request(request: Mapping[str, Any]) -> str:
    """Return a request in a line: what was asked, what was answered, and which scenario or fault had a part in it."""
    parts = [f"{request.get('method')} {request.get('target')} -> {_answered(request)}"]
    parts += [f"{kind} {request[kind]}" for kind in ("fault", "scenario") if request.get(kind)]
    return "  " + ", ".join(parts)


def told_miss(miss: Mapping[str, Any]) -> str:
    """Return in a line why a scenario or a fault never matched."""
    name = f"{miss.get('kind')} {miss.get('name')} never matched"
    request = miss.get("request")
    if not request:
        return f"{name}: there was no request that it could be for"
    differs = "; ".join(f"{it.get('field')} was {it.get('was')}, not {it.get('wanted')}" for it in miss["differs"])
    return f"{name}; closest was {request.get('method')} {request.get('target')}: {differs}"


def _answered(request: Mapping[str, Any]) -> str:
    if request.get("dropped"):
        return "dropped"
    return str(request.get("status"))
