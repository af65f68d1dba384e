"""What polls and plain searches are answered, byte for byte what Flask and gunicorn send. Sends nothing itself."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from mlcommons_tasks.rest import searches, tasks
from mlcommons_tasks.store.mappings import TASK_INDEX
from mlcommons_tasks.versions import Profile
from mlcommons_tasks.wire.content_encoding import encoded
from mlcommons_tasks.wire.rendering import JSON_CONTENT_TYPE

MOST_REMEMBERED = 4096  #: renderings
LONGEST_REMEMBERED = 16 * 1024  #: bytes of a source
LONGEST_SHOWN = 64 * 1024  #: bytes of a source; to render a longer one would keep all others waiting
LONGEST_REMEMBERED_SEARCH = 4096
BEGINS, ENDS = b'{"docs":[', b"]}"

#: A document of an `_mget`, up to its source, as OpenSearch writes one that is there.
_DOCUMENT = re.compile(
    rb'\{"_index":"[^"\\]*","_id":"([A-Za-z0-9_-]+)","_version":[0-9]+,"_seq_no":[0-9]+,"_primary_term":[0-9]+,'
    rb'(?:"_routing":"[^"\\]*",)?"found":true,"_source":'
)
_MISSING = re.compile(rb'\{"_index":"[^"\\]*","_id":"([A-Za-z0-9_-]+)","found":false\}')
_DECODER = json.JSONDecoder()


@dataclass
class _Rendering:
    """A stored source and what is answered for it, by the answer's encoding; None where there is more to it."""

    source: bytes
    body: bytes | None
    replies: dict[str | None, bytes] = field(default_factory=dict)


class Answers:
    """Answers as one version of the plugin gives them; `version` is what `X-OpenSearch-Version` says, if anything.

    What is remembered are renderings, by the source they are of: what is stored is read for each answer.
    """

    def __init__(self, profile: Profile, version: str | None) -> None:
        self._profile = profile
        self._version = version
        self._renderings: dict[str, _Rendering] = {}
        self._target_of = functools.lru_cache(256)(self._target)

    def of_source(self, task_id: str, source: bytes, encoding: str | None) -> bytes | None:
        """Return the reply to a poll of a task with this source, None if it is not the plain one."""
        rendering = self._renderings.get(task_id)
        if len(source) > LONGEST_SHOWN:
            return None
        if rendering is None or rendering.source != source:
            rendering = _Rendering(source, tasks.plain_answer(source, self._profile))
            if len(source) <= LONGEST_REMEMBERED:
                if len(self._renderings) >= MOST_REMEMBERED:
                    self._renderings.pop(next(iter(self._renderings)))
                self._renderings[task_id] = rendering
        reply = rendering.replies.get(encoding)
        if reply is None and rendering.body is not None:
            reply = rendering.replies[encoding] = self._reply(
                rendering.body, JSON_CONTENT_TYPE, self._version, encoding
            )
        return reply

    def sources_in(self, payload: bytes, task_ids: Iterable[str]) -> dict[str, bytes]:
        """Return the sources that an `_mget` found, in the order asked for; from what is strange in it on, none."""
        found: dict[str, bytes] = {}
        if not payload.startswith(BEGINS):
            return found
        at = len(BEGINS)
        for task_id in task_ids:
            document = _DOCUMENT.match(payload, at)
            if document is not None and document[1].decode() == task_id:
                start = document.end()
                end = self._end_of_source(task_id, payload, start)
                if end is None or payload[end : end + 1] != b"}":
                    return found
                found[task_id] = payload[start:end]
                at = end + 1
            else:
                missing = _MISSING.match(payload, at)
                if missing is None or missing[1].decode() != task_id:
                    return found
                at = missing.end()
            if payload[at : at + 1] != b",":
                break
            at += 1
        return found

    def _end_of_source(self, task_id: str, payload: bytes, start: int) -> int | None:
        """Return where a source ends; a whole JSON object that stands there already is the one that stood there."""
        rendering = self._renderings.get(task_id)
        if rendering is not None and rendering.body is not None and payload.startswith(rendering.source, start):
            end = start + len(rendering.source)
            if payload[end : end + 1] == b"}":
                return end
        try:
            text = payload[start:].decode()
            return start + len(text[: _DECODER.raw_decode(text)[1]].encode())
        except (ValueError, RecursionError):
            return None

    def search_target(self, payload: bytes, user_agent: str) -> str | None:
        """Return where a search with this body goes, path and query; None if it is not plain."""
        if len(payload) > LONGEST_REMEMBERED_SEARCH:
            return self._target(payload, user_agent)
        return self._target_of(payload, user_agent)

    def _target(self, payload: bytes, user_agent: str) -> str | None:
        query = searches.plain_search(payload, user_agent, self._profile)
        return None if query is None else f"/{TASK_INDEX}/_search?{urlencode(query)}"

    def of_search(self, payload: bytes, headers: Mapping[str, str]) -> bytes | None:
        """Return the reply to a plain search that OpenSearch answered with 200, None if there is more to it.

        `headers` are those of its answer, by their names in lower case.
        """
        kind = headers.get("content-type", "")
        if "warning" in headers or "content-encoding" in headers or not kind.startswith("application/json"):
            return None
        body = searches.plain_answer(payload)
        version = self._version and headers.get("x-opensearch-version", self._version)
        return None if body is None else self._reply(body, kind, version, None)

    @staticmethod
    def _reply(body: bytes, kind: str, version: str | None, encoding: str | None) -> bytes:
        payload = encoded(body, encoding) if encoding else body
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(payload)}\r\n"
        head += f"X-OpenSearch-Version: {version}\r\n" if version else ""
        head += f"Content-Encoding: {encoding}\r\n" if encoding else ""
        return head.encode("latin-1") + b"\r\n" + payload
