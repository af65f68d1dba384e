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


def send(base_url: str, method: str, path: str, headers: Mapping[str, str | None], body: bytes | None) -> _Raw:
    """Send one request on a connection of its own."""
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
        found = {name: "\n".join(values) for name in HEADERS if (values := response.headers.get_all(name))}
        return _Raw(response.status, found, response.read())
    finally:
        connection.close()


def clean(base_url: str, indices: tuple[str, ...] = ()) -> None:
    """Delete the ML indices and the ones given. Everything in them is lost."""
    names = ",".join((*ML_INDICES, *indices))
    raw = send(base_url, "DELETE", f"/{names}?ignore_unavailable=true", {}, None)
    if raw.status not in (200, 404):
        raise UnplayableError(f"cannot delete {names}: {raw.status} {raw.body.decode(errors='replace')}")


def play(case: Case, base_url: str) -> list[Reply]:
    """Play a case from a clean start and give its compared replies.

    Raises UnplayableError when a setup step is refused, a value to save is not there, or `until` does not come true.
    """
    clean(base_url, case.indices)
    references = References(case.literal, urlsplit(base_url).netloc)
    saved: dict[str, str] = {}
    for step in case.setup:
        raw = _play(case, step, base_url, saved, references)
        if raw.status >= 400 or b'"errors":true' in raw.body:
            raise UnplayableError(
                f"{case.id}: setup {step.request}: {raw.status} {raw.body.decode(errors='replace')[:2000]}"
            )
    replies = []
    for step in case.steps:
        raw = _play(case, step, base_url, saved, references)
        if step.compare:
            replies.append(_reply(step, raw, references))
    return replies


def _play(case: Case, step: Step, base_url: str, saved: dict[str, str], references: References) -> _Raw:
    path = fill(step.path, saved)
    body = None if step.body is None else _filled(step.body, saved)
    deadline = time.monotonic() + (step.until or {}).get("seconds", 20)
    while True:
        try:
            raw = send(base_url, step.method, path, step.headers, body)
        except (OSError, http.client.HTTPException) as error:
            raise UnplayableError(f"{case.id}: {step.request:.200}: no reply: {error!r}") from error
        if step.until is None or select(raw.parsed(), step.until["path"]) in step.until["in"]:
            break
        if time.monotonic() > deadline:
            raise UnplayableError(
                f"{case.id}: {step.request}: {step.until} never came; last: {raw.status} {raw.body!r:.2000}"
            )
        time.sleep(POLL_S)
    for name, where in step.save.items():
        value = select(raw.parsed(), where)
        if value is None:
            raise UnplayableError(f"{case.id}: {step.request}: no {where} to save in {raw.status} {raw.body!r:.2000}")
        saved[name] = str(value)
        references.know(saved[name])
    return raw


def _filled(body: bytes, saved: Mapping[str, str]) -> bytes:
    return fill(body.decode(), saved).encode() if b"${" in body else body


def _reply(step: Step, raw: _Raw, references: References) -> Reply:
    headers = dict(raw.headers)
    if "Allow" in headers:
        headers["Allow"] = ",".join(sorted(headers["Allow"].split(",")))
    try:
        text = raw.body.decode()
    except UnicodeDecodeError:
        return Reply(step.request, raw.status, headers, None, base64.b64encode(raw.body).decode())
    text = _ALLOWED.sub(lambda match: f"allowed: [{', '.join(sorted(match[1].split(', ')))}]", text)
    return Reply(step.request, raw.status, headers, references.apply(text, step.volatile, step.replace))
