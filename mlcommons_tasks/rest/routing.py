"""Paths and methods as OpenSearch matches them, taught to Flask: raw segments, no implied HEAD, our paths apart.

Source: OpenSearch 3.6.0 `RestController`, `PathTrie`: split first, decode then; slashes at the end do not count,
and a segment that stands in the table as it is, such as `_search`, is never an id.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterable
from typing import Any

from werkzeug.routing import BaseConverter, Rule

from mlcommons_tasks.wire.content_encoding import BrokenContent

ML_PREFIX = "/_plugins/_ml"
EVERY_METHOD = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"]

#: Where slashes at the end of a path do not count; elsewhere they are the cluster's business.
SLASHES_AT_THE_END = (
    f"{ML_PREFIX}/",
    "/_tasks/",
    "/_cat/tasks/",
    "/_cat/plugins/",
    "/_cluster/settings/",
    "/_nodes/",
    "/_emulator/",
)

_WHOLE_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://[^/?#]*(.*)")

StartResponse = Callable[..., Any]
WsgiApp = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


class ExactMethodsRule(Rule):
    """A rule that answers the methods it lists: werkzeug would add HEAD to GET."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        listed = {method.upper() for method in kwargs.get("methods") or ()}
        if self.methods is not None and "HEAD" not in listed:
            self.methods.discard("HEAD")


class SegmentConverter(BaseConverter):
    """One raw segment of a path, which may be empty; `refuse_early` decodes it: an id may hold an encoded slash."""

    regex = "(?!_search$)[^/]*"


class ElsewhereConverter(BaseConverter):
    """Any path outside `/_plugins/_ml`."""

    regex = r"(?!_plugins/_ml(?:/|$)).*"
    part_isolating = False


class RawPaths:
    """Hands Flask the path as it was sent, and keeps the whole target in `mlcommons_tasks.target`."""

    def __init__(self, app: WsgiApp) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        put_target(environ, raw_target(environ))
        environ["SCRIPT_NAME"] = ""
        environ.pop("HTTP_UPGRADE", None)  # nobody here speaks anything else, though the router might think so
        try:
            return self._app(environ, start_response)
        except BrokenContent as error:
            raise ConnectionResetError(errno.ECONNRESET, str(error)) from error  # servers close without an answer


def close_answer(answer: Iterable[bytes]) -> None:
    """Be done with an answer, as servers are: it may hold something."""
    close = getattr(answer, "close", None)
    if close is not None:
        close()


def put_target(environ: dict[str, Any], target: str) -> None:
    """Have a request ask for a target: its path as Flask matches it, and the whole in `mlcommons_tasks.target`."""
    path = target.partition("?")[0]
    if path.startswith(SLASHES_AT_THE_END):
        path = path.rstrip("/")
    elif path.startswith("//"):
        path = f"/.{path}"  # for the router slashes at the start are one; to OpenSearch this is none of our paths
    environ["mlcommons_tasks.target"] = target
    environ["PATH_INFO"] = path


def raw_target(environ: dict[str, Any]) -> str:
    """Return the path and query of the request line as they were sent.

    A scheme and a host before them are dropped, and a host alone, which CONNECT has: OpenSearch is the only one we
    speak to.
    """
    target = str(environ.get("RAW_URI") or environ.get("REQUEST_URI") or "/")
    if target.startswith("/") or target == "*":
        return target
    found = _WHOLE_URL.fullmatch(target)
    rest = found[1] if found else ""
    return rest if rest.startswith("/") else f"/{rest}"


def own_segments(rules: Iterable[Rule], forwarding: str) -> frozenset[str] | None:
    """Return the first segments of the paths of all rules but those of the blueprint `forwarding`.

    None if one of them may begin with anything.
    """
    firsts = {rule.rule.split("/")[1] for rule in rules if not rule.endpoint.startswith(f"{forwarding}.")}
    return None if any("<" in first for first in firsts) else frozenset(firsts)
