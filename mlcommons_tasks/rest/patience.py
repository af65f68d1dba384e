"""How long OpenSearch may take for a request: as long as that says itself, and for ever where it waits on purpose.

Source: OpenSearch 3.6.0, the `Rest…Action` of each route.
"""

from __future__ import annotations

import re

from mlcommons_tasks.errors import IllegalArgument
from mlcommons_tasks.wire.parameters import decode
from mlcommons_tasks.wire.time_value import parse_time_value

LONGEST_S = 1_000_000.0  #: what a socket can be told
WAIT = "wait_for_completion"
#: What a request may say of its own patience; each counts, for one may follow the other.
SPANS = frozenset({"timeout", "master_timeout", "cluster_manager_timeout", "wait_for_completion_timeout"})
#: Work on data without an end that could be foreseen, which answers when it is done unless it is told otherwise.
_WAITS_UNLESS_TOLD = re.compile(
    r"(?:/[^/]+)?/_(?:reindex|update_by_query|delete_by_query|forcemerge)/?"
    r"|/[^/]+/_(?:shrink|split|clone)/[^/]+/?"
    r"|/[^/]+/_open/?"
)
#: Work on a repository that answers when it is done, whatever it is told.
_WAITS = {
    "DELETE": re.compile(r"/_snapshot/[^/]+/[^/]+/?"),
    "POST": re.compile(r"/_snapshot/[^/]+/_(?:cleanup|verify)/?"),
    "PUT": re.compile(r"/_snapshot/[^/]+/[^/]+/_clone/[^/]+/?"),
}


def patience(method: str, target: str, usual_s: float) -> float | None:
    """Return how many seconds to wait for the answer to a request, None for as long as it takes."""
    path, _, query = target.partition("?")
    given: dict[str, str] = {}
    for pair in query.split("&") if "=" in query or WAIT in query else ():
        name, _, value = pair.partition("=")
        try:
            given[decode(name, plus_is_space=True)] = decode(value, plus_is_space=True)
        except IllegalArgument:
            continue  # OpenSearch will refuse it
    if WAIT in given:
        if given[WAIT] != "false":
            return None
    elif method in ("POST", "PUT") and _WAITS_UNLESS_TOLD.fullmatch(path):
        return None
    if (waits := _WAITS.get(method)) is not None and waits.fullmatch(path):
        return None
    seconds = usual_s
    for name in SPANS & given.keys():
        try:
            nanos = parse_time_value(given[name], name)
        except IllegalArgument:
            continue  # likewise
        if nanos < 0:
            return None
        seconds += nanos / 1e9
    return min(seconds, LONGEST_S)
