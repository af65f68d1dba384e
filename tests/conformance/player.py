"""Plays a case against a base URL over raw HTTP: paths, headers and bodies go out exactly as written."""

from __future__ import annotations

import base64
import http.client
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from . import raw
from .cases import Case, Step, fill
from .json_spans import select
from .references import References

#: what of the headers is part of the protocol; everything else is the HTTP server's own business
HEADERS = ("Content-Type", "Allow", "X-Opaque-Id", "Warning", "X-OpenSearch-Version")
ML_INDICES = (".plugins-ml-task", ".plugins-ml-model")
#: the methods of a path are a Java set of enum constants: each start of a node has another order, so they are sorted
_ALLOWED = re.compile(r"allowed: \[([A-Z, ]+)\]")
POLL_S = 0.05
TIMEOUT_S = 60
#: the trainings that run, as the cluster's tasks
TRAININGS = "/_tasks?actions=cluster:admin/opensearch/ml/train*"
SETTLED_S = 20


class UnplayableError(AssertionError):
    """A step that other steps depend on did not do what it must."""


@dataclass(frozen=True)
class Reply:
    """A compared reply: references instead of volatile values."""

    request: str
    status: int
    headers: dict[str, str]
    #: None when the body is not text
    text: str | None
    base64: str | None = None


@dataclass(frozen=True)
class _Raw:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def parsed(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class _Connection(http.client.HTTPConnection):
    """Neither refuses nor re-writes a path."""

    def _encode_request(self, request: str) -> bytes:
        return request.encode()

    def _validate_path(self, url: str) -> None:
        pass


def send(
    base_url: str,
    method: str,
    path: str,
    headers: Mapping[str, str | None],
    body: bytes | None,
    more_headers: tuple[str, ...] = (),
) -> _Raw:
    """Send one request on a connection of its own; `more_headers` of the reply are kept beside the usual ones."""
    target = urlsplit(base_url)
    connection = _Connection(target.hostname or "127.0.0.1", target.port or 80, timeout=TIMEOUT_S)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers.items():
            if value is not None:
                connection.putheader(name, value.encode())
        if body is not None or method in ("POST", "PUT", "PATCH"):
            connection.putheader("Content-Length", str(len(body or b"")))
        connection.endheaders(body)
        response = connection.getresponse()
        names = (*HEADERS, *more_headers)
        found = {name: "\n".join(values) for name in names if (values := response.headers.get_all(name))}
        return _Raw(response.status, found, raw.decompressed(response.read(), response.headers))
    finally:
        connection.close()


def clean(base_url: str, indices: tuple[str, ...] = ()) -> None:
    """Delete the ML indices and the ones given, once no training runs that would still write its model.

    Everything in them is lost.
    """
    _settle(base_url)
    names = ",".join((*ML_INDICES, *indices))
    came = send(base_url, "DELETE", f"/{names}?ignore_unavailable=true", {}, None)
    if came.status not in (200, 404):
        raise UnplayableError(f"cannot delete {names}: {came.status} {came.body.decode(errors='replace')}")


def _settle(base_url: str) -> None:
    deadline = time.monotonic() + SETTLED_S
    while b'"action"' in send(base_url, "GET", TRAININGS, {}, None).body:
        if time.monotonic() > deadline:
            raise UnplayableError(f"trainings still run after {SETTLED_S} s")
        time.sleep(POLL_S)


def play(case: Case, base_url: str) -> list[Reply]:
    """Play a case from a clean start and give its compared replies.

    Raises UnplayableError when a setup step is refused, a value to save is not there, or `until` does not come true.
    """
    clean(base_url, case.indices)
    references = References(case.literal, urlsplit(base_url).netloc)
    saved: dict[str, str] = {}
    for step in case.setup:
        came = _play(case, step, base_url, saved, references)
        if came.status >= 400 or b'"errors":true' in came.body:
            raise UnplayableError(
                f"{case.id}: setup {step.request}: {came.status} {came.body.decode(errors='replace')[:2000]}"
            )
    replies = []
    for step in case.steps:
        if step.raw:
            replies.append(_conversed(case, step, base_url, references))
            continue
        came = _play(case, step, base_url, saved, references)
        if step.compare:
            replies.append(_reply(step, came, references))
    return replies


def _is_there(came: _Raw, until: Mapping[str, Any]) -> bool:
    value = select(came.parsed(), until["path"])
    return value in until["in"] if "in" in until else value not in until["not_in"]


def _play(case: Case, step: Step, base_url: str, saved: dict[str, str], references: References) -> _Raw:
    path = fill(step.path, saved)
    body = None if step.body is None else _filled(step.body, saved)
    deadline = time.monotonic() + (step.until or {}).get("seconds", 20)
    while True:
        try:
            came = send(base_url, step.method, path, step.headers, body, step.headers_compared)
        except (OSError, http.client.HTTPException) as error:
            raise UnplayableError(f"{case.id}: {step.request:.200}: no reply: {error!r}") from error
        if step.until is None or _is_there(came, step.until):
            break
        if time.monotonic() > deadline:
            raise UnplayableError(
                f"{case.id}: {step.request}: {step.until} never came; last: {came.status} {came.body!r:.2000}"
            )
        time.sleep(POLL_S)
    for name, where in step.save.items():
        value = select(came.parsed(), where)
        if value is None:
            raise UnplayableError(f"{case.id}: {step.request}: no {where} to save in {came.status} {came.body!r:.2000}")
        saved[name] = str(value)
        references.know(saved[name])
    return came


def _conversed(case: Case, step: Step, base_url: str, references: References) -> Reply:
    """Play a raw step; all its replies are the text of one."""
    try:
        text = raw.converse(base_url, step.raw, (*HEADERS, *step.headers_compared), probe=step.probe)
    except (OSError, raw.Silence) as error:
        raise UnplayableError(f"{case.id}: {step.request:.200}: {error!r}") from error
    return Reply(step.request, 0, {}, references.apply(_sorted_methods(text), step.volatile, step.replace))


def _sorted_methods(text: str) -> str:
    return _ALLOWED.sub(lambda match: f"allowed: [{', '.join(sorted(match[1].split(', ')))}]", text)


def _filled(body: bytes, saved: Mapping[str, str]) -> bytes:
    return fill(body.decode(), saved).encode() if b"${" in body else body


def _reply(step: Step, came: _Raw, references: References) -> Reply:
    headers = dict(came.headers)
    if "Allow" in headers:
        headers["Allow"] = ",".join(sorted(headers["Allow"].split(",")))
    try:
        text = came.body.decode()
    except UnicodeDecodeError:
        return Reply(step.request, came.status, headers, None, base64.b64encode(came.body).decode())
    return Reply(
        step.request, came.status, headers, references.apply(_sorted_methods(text), step.volatile, step.replace)
    )
