"""Which requests are plain: polls and searches of tasks with nothing in them that calls for more than the one answer.

Pure. What is not recognised for certain is not plain, and goes the usual way.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from mlcommons_tasks.errors import IllegalArgument
from mlcommons_tasks.rest.routing import ML_PREFIX
from mlcommons_tasks.wire import media_types
from mlcommons_tasks.wire.content_encoding import encoding_of_reply
from mlcommons_tasks.wire.media_types import MediaType

LONGEST_HEADERS = 4096  #: bytes
LONGEST_SEARCH = 64 * 1024  #: bytes of a body
MOST_VERDICTS = 512  #: of header blocks that are remembered

_POLL = re.compile(rb"GET %b/tasks/(?!_search )([A-Za-z0-9_-]{1,128}) HTTP/1\.1\r\n" % ML_PREFIX.encode())
_SEARCH = re.compile(rb"(?:POST|GET) %b/tasks/_search HTTP/1\.1\r\n" % ML_PREFIX.encode())
_HEADER = re.compile(r"([A-Za-z-]+):[ \t]*([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)[ \t]*")
_ANYTHING = re.compile(r".+")
#: The headers that change nothing, or only what is looked at here, with the values that are known to.
_KNOWN = {
    "host": re.compile(r"[A-Za-z0-9._\-]+(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?"),
    "user-agent": _ANYTHING,
    "accept": re.compile(r"\*/\*|application/json"),
    "accept-encoding": _ANYTHING,
    "accept-language": _ANYTHING,
    "authorization": _ANYTHING,  # nobody asks for it: where somebody does there is no lane
    "cache-control": _ANYTHING,
    "connection": re.compile(r"(?i:keep-alive)"),
    "content-length": re.compile(r"[1-9][0-9]{0,7}"),
    "content-type": re.compile(r"(?i:application/json(?:; ?charset=utf-8)?)"),
    "pragma": _ANYTHING,
}


class Headers(NamedTuple):
    """What the headers of a plain request say: how long it is with them, and how its answer is wanted."""

    encoding: str | None
    user_agent: str
    length: int | None  #: of a body


class Poll(NamedTuple):
    """A request for one task; `size` is how many bytes it has."""

    task_id: str
    encoding: str | None
    size: int


class Search(NamedTuple):
    """A search of tasks; `size` is how many bytes it has."""

    payload: bytes
    user_agent: str
    size: int


class Plain:
    """Recognises plain requests; remembers what it thinks of header blocks, for a client sends the same ones."""

    def __init__(self) -> None:
        self._verdicts: dict[bytes, Headers | None] = {}

    def request_in(self, data: bytes) -> Poll | Search | None:
        """Return the plain request that bytes begin with, None if they begin with none, or with a part of one."""
        found = _POLL.match(data)
        if found is None:
            return self._search_in(data)
        block = data[found.end() :]
        headers = self._verdicts.get(block)
        if headers is None:
            headers = self._headers_in(block)
            if headers is None or headers.length is not None:
                return None
            block = block[: block.find(b"\r\n\r\n") + 4]
        elif headers.length is not None:
            return None
        return Poll(found[1].decode(), headers.encoding, found.end() + len(block))

    def _search_in(self, data: bytes) -> Search | None:
        found = _SEARCH.match(data)
        if found is None:
            return None
        start = data.find(b"\r\n\r\n") + 4
        headers = self._headers_in(data[found.end() : start]) if start > 4 else None
        if headers is None or headers.length is None or headers.encoding is not None:
            return None
        size = start + headers.length
        if headers.length > LONGEST_SEARCH or len(data) < size:
            return None
        return Search(data[start:size], headers.user_agent, size)

    def _headers_in(self, block: bytes) -> Headers | None:
        """Return what is in the headers that bytes begin with, None if it is not plain."""
        end = block.find(b"\r\n\r\n")
        if not 0 < end <= LONGEST_HEADERS:
            return None
        block = block[: end + 4]
        if block in self._verdicts:
            return self._verdicts[block]
        if len(self._verdicts) >= MOST_VERDICTS:
            self._verdicts.clear()
        headers = self._verdicts[block] = _judged(block)
        return headers


def _judged(block: bytes) -> Headers | None:
    found: dict[str, str] = {}
    for line in block[:-4].decode("latin-1").split("\r\n"):
        header = _HEADER.fullmatch(line)
        name = header[1].lower() if header else ""
        if header is None or name in found or name not in _KNOWN or not _KNOWN[name].fullmatch(header[2]):
            return None
        found[name] = header[2]
    if "host" not in found or ("content-length" in found and "content-type" not in found):
        return None
    try:
        body = media_types.of_content_type(found.get("content-type"))
    except IllegalArgument:
        return None
    if media_types.of_reply(None, found.get("accept"), body) is not MediaType.JSON:
        return None
    length = int(found["content-length"]) if "content-length" in found else None
    return Headers(encoding_of_reply(found.get("accept-encoding", "")), found.get("user-agent", ""), length)
