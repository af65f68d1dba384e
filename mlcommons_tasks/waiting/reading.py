"""Reads a task once, with a client of opensearch-py or from a URL, and says what came of it. Never waits."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import quote, unquote, urlsplit

#: Answers that say "later".
PASSING = frozenset({429, 502, 503, 504})
#: How ML Commons up to 2.18 said that a task is not there: with a status of 500.
OLD_NOT_FOUND = "m_l_resource_not_found_exception"
LONGEST_ANSWER_S = 30.0
LONGEST_TROUBLE = 500  #: characters of an answer that are shown

#: What the exceptions of client libraries are called where an answer was lost on its way, or cut.
_LOST = frozenset({"ConnectionError", "ConnectionTimeout", "SerializationError", "HTTPError"})
#: Of these, what the next try meets again.
_NEVER_LOST = frozenset({"SSLError", "SSLCertVerificationError"})


@dataclasses.dataclass(frozen=True)
class Answer:
    """One read: a task, or why there is none."""

    task: dict[str, Any] | None = None
    trouble: str = ""
    status: int | None = None  #: HTTP's; None if no answer came
    is_absent: bool = False  #: the cluster does not know the task
    may_pass: bool = False  #: the next read may have more luck
    retry_after_s: float = 0.0
    cause: BaseException | None = None


class Reader(Protocol):
    """A context in which tasks can be read."""

    def __enter__(self) -> Reader: ...

    def __exit__(self, *_: object) -> None: ...

    def read(self, task_id: str, timeout_s: float) -> Answer:
        """Read the task once."""


def reader_of(client: Any) -> Reader:
    """Return what reads tasks with a client, or from a URL.

    Raises:
        TypeError: it is neither.
        ValueError: it is a text, and no URL.
    """
    if isinstance(client, str):
        return _UrlReader(client)
    if hasattr(getattr(client, "transport", None), "perform_request"):
        return _ClientReader(lambda task_id: client.transport.perform_request("GET", _path_of(task_id)))
    if hasattr(getattr(getattr(client, "plugins", None), "ml", None), "get_task"):
        return _ClientReader(lambda task_id: client.plugins.ml.get_task(task_id=task_id))
    raise TypeError(f"give a client of opensearch-py or a URL, not {type(client).__name__}")


class _ClientReader:
    """Reads with a client, whose exceptions are known by what they look like: its library is not imported."""

    def __init__(self, get: Callable[[str], Any]) -> None:
        self._get = get

    def __enter__(self) -> _ClientReader:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, task_id: str, timeout_s: float) -> Answer:
        """Read the task once; how long that may take is the client's own business."""
        try:
            body = self._get(task_id)
        except Exception as error:
            status = getattr(error, "status_code", None)
            if isinstance(status, int):
                return _refusal(status, getattr(error, "info", None) or getattr(error, "error", None), cause=error)
            names = {kind.__name__ for kind in type(error).__mro__}
            if not (names & _LOST or isinstance(error, OSError)):
                raise
            return _lost(error, may_pass=not names & _NEVER_LOST)
        if inspect.isawaitable(body):
            if inspect.iscoroutine(body):
                body.close()
            raise TypeError("the client is asynchronous: give one that is not, or a URL")
        return _found(body)


class _UrlReader:
    """Reads from a URL, which may have an account in it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("the URL of a cluster begins with http:// or https:// and has a host")
        self._url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
        self._account = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else None

    def __enter__(self) -> _UrlReader:
        import urllib3

        headers = urllib3.make_headers(basic_auth=self._account) if self._account else {}
        self._pool = urllib3.PoolManager(headers=headers, retries=False)
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.clear()

    def read(self, task_id: str, timeout_s: float) -> Answer:
        """Read the task once."""
        import urllib3

        try:
            timeout = min(timeout_s, LONGEST_ANSWER_S)
            reply = self._pool.request("GET", self._url + _path_of(task_id), timeout=timeout)
        except urllib3.exceptions.HTTPError as error:
            return _lost(error, may_pass=not isinstance(error, urllib3.exceptions.SSLError))
        try:
            body = json.loads(reply.data)
        except ValueError:
            body = reply.data.decode("utf-8", "replace")
        if reply.status != 200:
            return _refusal(reply.status, body, _seconds(reply.headers.get("Retry-After")))
        return _found(body)


def _path_of(task_id: str) -> str:
    return f"/_plugins/_ml/tasks/{quote(task_id, safe='')}"


def _found(body: Any) -> Answer:
    if isinstance(body, Mapping):
        return Answer(dict(body), status=200)
    return Answer(trouble=f"the answer is no task: {body}"[:LONGEST_TROUBLE], status=200, may_pass=True)


def _lost(error: BaseException, *, may_pass: bool) -> Answer:
    return Answer(trouble=f"{type(error).__name__}: {error}"[:LONGEST_TROUBLE], may_pass=may_pass, cause=error)


def _refusal(status: int, body: Any, retry_after_s: float = 0.0, cause: BaseException | None = None) -> Answer:
    """Return what an error of OpenSearch says; its body may be anything."""
    error = body.get("error") if isinstance(body, Mapping) else None
    kind, reason = (error.get("type"), error.get("reason")) if isinstance(error, Mapping) else (None, error)
    return Answer(
        trouble=f"{status} {reason or body or ''}".strip()[:LONGEST_TROUBLE],
        status=status,
        is_absent=status == 404 or (status == 500 and kind == OLD_NOT_FOUND),
        may_pass=status in PASSING,
        retry_after_s=retry_after_s,
        cause=cause,
    )


def _seconds(text: str | None) -> float:
    """Return the seconds of a Retry-After header; a date in it is not waited for."""
    return float(text) if text and text.isdigit() else 0.0
