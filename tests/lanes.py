"""How tests come to know what went the short way: a service says so in its log when it ends."""

from __future__ import annotations

import re

from tests.services import Service

_COUNTED = re.compile(r"(\d+) polls and (\d+) searches went the short way")


def logged() -> dict[str, str]:
    """Return the environment in which a service says it."""
    return {"MLCOMMONS_TASKS_LOG_LEVEL": "info"}


def short_ways(stopped: Service) -> tuple[int, int] | None:
    """Return how many polls and searches a service that has ended answered the short way, None if it has none."""
    found = _COUNTED.findall(stopped.log.read_text())
    return (sum(int(polls) for polls, _ in found), sum(int(searches) for _, searches in found)) if found else None
