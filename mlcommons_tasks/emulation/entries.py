"""An entry of the journal: one request and its answer as far as they are kept. Pure; knows no server."""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec

from mlcommons_tasks.emulation.credentials import HIDDEN, kept_body, kept_headers, kept_target, kept_text
from mlcommons_tasks.errors import TaskPluginError
from mlcommons_tasks.wire.bodies import json_of
from mlcommons_tasks.wire.media_types import MediaType, of_media_type
from mlcommons_tasks.wire.typed_json import decode

MOST_REQUEST = 8 * 1024  #: bytes of a request's body
MOST_RESPONSE = 64 * 1024  #: bytes of an answer's body

Headers = tuple[tuple[str, str], ...]

_TASK = re.compile(r"/_plugins/_ml/tasks/(?!_search(?:/|$))([^/?]+)(/[^?]*)?")
_TASK_SEARCH = re.compile(r"(?:/_plugins/_ml/tasks|/[^/?]*ml-task[^/?]*)/_search/?")
_HIT = re.compile(r'"_id":"([^"\\]+)"(?:(?!"_id":).)*?"state":"([A-Z_]+)"', re.DOTALL)
_WRAPPED = {"gzip": 47, "x-gzip": 47, "deflate": 47, "x-deflate": 47}  # zlib finds out which of the two it is
_RAW = -15
_HIDDEN = HIDDEN.encode()


@dataclass(frozen=True)
class Answer:
    """A whole answer: what `stale` shows again."""

    status: int
    headers: Headers
    body: bytes


class _Source(msgspec.Struct):
    state: str | None = None


class _Hit(msgspec.Struct):
    id: str | None = msgspec.field(name="_id", default=None)
    source: _Source | None = msgspec.field(name="_source", default=None)


class _Hits(msgspec.Struct):
    hits: list[_Hit] = []


class _Reply(msgspec.Struct):
    task_id: str | None = None
    state: str | None = None
    hits: _Hits | None = None


@dataclass(frozen=True)
class Entry:
    """One request and its answer.

    Attributes:
        at: when it came, milliseconds since the epoch by its namespace's clock.
        status: None if nothing was answered.
        request_body: its first 8 KiB, decompressed.
        response_body: its first 64 KiB, decompressed.
        fault: the fault that was applied.
        scenario: whose task it was.
        task_id: of the task that it made or was about.
        dropped: whether the answer did not come to its end.
        instead_of: what would have been answered, where a stale answer was.
    """

    at: int
    took_in_millis: float
    namespace: str
    method: str
    target: str
    status: int | None
    opaque_id: str | None = None
    user_agent: str | None = None
    address: str | None = None
    request_headers: Headers = ()
    request_body: bytes = b""
    request_truncated: bool = False
    response_headers: Headers = ()
    response_body: bytes = b""
    response_truncated: bool = False
    fault: str | None = None
    scenario: str | None = None
    task_id: str | None = None
    dropped: bool = False
    instead_of: Answer | None = None

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def size(self) -> int:
        """How many bytes of bodies it holds."""
        return len(self.request_body) + len(self.response_body) + (len(self.instead_of.body) if self.instead_of else 0)

    @property
    def answer(self) -> Answer | None:
        """What was answered, or would have been but for a stale answer; None if it is not kept as a whole."""
        answer = self.instead_of
        if answer is None and self.status is not None and not (self.dropped or self.response_truncated):
            answer = Answer(self.status, self.response_headers, self.response_body)
        return None if answer is None or _HIDDEN in answer.body else answer

    @cached_property
    def states_read(self) -> dict[str, str | None]:
        """The tasks that a read showed, and their states: the task of a GET, or all that a search found."""
        if self.status != 200:
            return {}
        found = _TASK.fullmatch(self.path)
        if found is not None and self.method == "GET" and self.is_of_task:
            reply = self._reply
            return {found[1]: reply.state if reply else None}
        if _TASK_SEARCH.fullmatch(self.path) and self.method in ("GET", "POST"):
            if self._reply is None:  # cut off
                return dict(_HIT.findall(self.response_body.decode("utf-8", "replace")))
            hits = self._reply.hits.hits if self._reply.hits else []
            return {hit.id: hit.source.state if hit.source else None for hit in hits if hit.id}
        return {}

    @cached_property
    def task_created(self) -> str | None:
        """The id of the task that the request made."""
        if self.status is None or self.status >= 300 or self.method != "POST" or _TASK.match(self.path):
            return None
        if self.task_id is not None:
            return self.task_id
        return self._reply.task_id if b"task_id" in self.response_body and self._reply else None

    @cached_property
    def task_asked(self) -> str | None:
        """The id of the task that stands in the path."""
        found = _TASK.fullmatch(self.path)
        return found[1] if found else None

    @property
    def is_of_task(self) -> bool:
        """Whether the path is that of a task itself, and not of something to be done with it."""
        found = _TASK.fullmatch(self.path)
        return found is not None and (found[2] or "/") == "/"

    @cached_property
    def task_ids(self) -> frozenset[str]:
        """The tasks that the request made, was about, or found."""
        named = (self.task_id, self.task_asked, self.task_created)
        return frozenset(each for each in named if each is not None) | frozenset(self.states_read)

    @property
    def failed(self) -> bool:
        """Whether the client was not given what it asked for: an error, half an answer, a task that is not legible."""
        if self.status is None or self.dropped or self.status >= 400:
            return True
        return self.status == 200 and self.method == "GET" and self.is_of_task and self._reply is None

    @cached_property
    def _reply(self) -> _Reply | None:
        named = {name.lower(): value for name, value in self.response_headers}
        body = self.response_body
        try:
            kind = of_media_type(named.get("content-type")) or MediaType.JSON
            if kind is not MediaType.JSON:
                body = json_of(body, kind) or b"{}"  # of SMILE nothing is known
            return decode(body, _Reply)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TaskPluginError):
            return None

    def to_document(self) -> dict[str, Any]:
        """Return the entry as JSON shows it; a body that is no text is in base64, under a name that says so."""
        document: dict[str, Any] = {
            "at": self.at,
            "took_in_millis": self.took_in_millis,
            "namespace": self.namespace,
            "method": self.method,
            "target": self.target,
            "status": self.status,
            "opaque_id": self.opaque_id,
            "user_agent": self.user_agent,
            "address": self.address,
            "request_headers": _object(self.request_headers),
            **_body_to("request_body", self.request_body),
            "request_truncated": self.request_truncated,
            "response_headers": _object(self.response_headers),
            **_body_to("response_body", self.response_body),
            "response_truncated": self.response_truncated,
            "fault": self.fault,
            "scenario": self.scenario,
            "task_id": self.task_id or self.task_created or self.task_asked,
            "dropped": self.dropped,
        }
        if self.instead_of is not None:
            shown = self.instead_of
            headers = _object(shown.headers)
            document["instead_of"] = {"status": shown.status, "headers": headers, **_body_to("body", shown.body)}
        return document

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Entry:
        """Return the entry that a document shows."""
        fields = {name: value for name, value in document.items() if name in cls.__dataclass_fields__}
        for name in ("request_headers", "response_headers"):
            fields[name] = tuple(document[name].items())
        for name in ("request_body", "response_body"):
            fields[name] = _body_from(name, document)
        if (shown := document.get("instead_of")) is not None:
            fields["instead_of"] = Answer(shown["status"], tuple(shown["headers"].items()), _body_from("body", shown))
        return cls(**fields)


def entry_of(
    *,
    at: int,
    took_in_millis: float,
    namespace: str,
    address: str | None,
    method: str,
    target: str,
    request_headers: Iterable[tuple[str, str]],
    request_body: bytes,
    request_truncated: bool,
    status: int | None,
    response_headers: Iterable[tuple[str, str]] = (),
    response_body: bytes = b"",
    response_truncated: bool = False,
    identity_headers: Iterable[str] = (),
    instead_of: Answer | None = None,
    dropped: bool = False,
    **more: Any,
) -> Entry:
    """Return the entry of a request and its answer, without what is never kept.

    `identity_headers` are those by which a proxy in front says who asks, in lower case; `more` are fields of Entry.
    """
    request_headers, response_headers = tuple(request_headers), tuple(response_headers)
    request, request_truncated = _kept(request_body, request_headers, MOST_REQUEST, request_truncated)
    is_cut = response_truncated or bool(dropped and response_body)
    response, response_truncated = _kept(response_body, response_headers, MOST_RESPONSE, is_cut)
    asked = {name.lower(): value for name, value in reversed(request_headers)}
    if instead_of is not None:
        body, _ = _kept(instead_of.body, instead_of.headers, MOST_RESPONSE, is_cut=False)
        instead_of = Answer(instead_of.status, kept_headers(instead_of.headers, identity_headers), body)
    return Entry(
        at=at,
        took_in_millis=took_in_millis,
        namespace=namespace,
        method=method,
        target=kept_target(target),
        status=status,
        opaque_id=_kept_or_none(asked.get("x-opaque-id")),
        user_agent=_kept_or_none(asked.get("user-agent")),
        address=address,
        request_headers=kept_headers(request_headers, identity_headers),
        request_body=request,
        request_truncated=request_truncated,
        response_headers=kept_headers(response_headers, identity_headers),
        response_body=response,
        response_truncated=response_truncated,
        instead_of=instead_of,
        dropped=dropped,
        **more,
    )


def entry_of_bytes(
    at: int, namespace: str, address: str | None, request: bytes, reply: bytes, took_in_millis: float
) -> Entry:
    """Return the entry of a request and a whole reply as they were on the wire, of the fast lane."""
    head, _, body = request.partition(b"\r\n\r\n")
    line, _, lines = head.decode("latin-1").partition("\r\n")
    method, target = line.split(" ")[:2]
    reply_head, _, reply_body = reply.partition(b"\r\n\r\n")
    reply_line, _, reply_lines = reply_head.decode("latin-1").partition("\r\n")
    return entry_of(
        at=at,
        took_in_millis=took_in_millis,
        namespace=namespace,
        address=address,
        method=method,
        target=target,
        request_headers=_headers_in(lines),
        request_body=body,
        request_truncated=False,
        status=int(reply_line.split(" ")[1]),
        response_headers=_headers_in(reply_lines),
        response_body=reply_body,
    )


def _headers_in(lines: str) -> list[tuple[str, str]]:
    pairs = [line.partition(":") for line in lines.split("\r\n") if line]
    return [(name, value.strip(" \t")) for name, _, value in pairs]


def _kept(body: bytes, headers: Headers, most: int, is_cut: bool) -> tuple[bytes, bool]:
    """Return the beginning of a body, decompressed and without secrets, and whether there is more of it."""
    if not body:
        return b"", is_cut
    named = {name.lower(): value for name, value in reversed(headers)}
    encoding = named.get("content-encoding", "").strip().lower()
    if encoding and encoding != "identity":
        unpacked = _unpacked(body, encoding, most + 1)
        if unpacked is None:
            return _HIDDEN, True  # nobody can see what is in it
        body = unpacked
    is_cut = is_cut or len(body) > most
    return kept_body(body[:most], named.get("content-type", ""), is_cut=is_cut), is_cut


def _unpacked(body: bytes, encoding: str, most: int) -> bytes | None:
    if encoding not in _WRAPPED:
        return None
    for wrapped in (_WRAPPED[encoding], _RAW):
        try:
            return zlib.decompressobj(wrapped).decompress(body, most)
        except zlib.error:
            continue
    return None


def _kept_or_none(text: str | None) -> str | None:
    return None if text is None else kept_text(text)


def _object(headers: Headers) -> dict[str, str]:
    """Return headers as an object; values of the same name are joined."""
    joined: dict[str, str] = {}
    for name, value in headers:
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined


def _body_to(name: str, body: bytes) -> dict[str, str]:
    try:
        return {name: body.decode()}
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data":  # cut off within a character
            return {name: body[: error.start].decode()}
        return {f"{name}_base64": base64.b64encode(body).decode()}


def _body_from(name: str, document: Mapping[str, Any]) -> bytes:
    if (text := document.get(name)) is not None:
        return str(text).encode()
    return base64.b64decode(document.get(f"{name}_base64") or "")
