"""How much of a request has arrived: enough for a thread to take it, or not yet. Pure; gunicorn's parser judges it."""

from __future__ import annotations

import re
from typing import NamedTuple

from mlcommons_tasks.store.http1 import HEADER_LINES

LONGEST_LINE = 8190  #: bytes of a request line; of a longer one the parser says that it is too long
LONGEST_HEAD = 64 * 1024  #: bytes; what goes on beyond is refused without waiting for its end
LONGEST_KEPT_BODY = 1024 * 1024  #: bytes of a body that are waited for here

#: A head that the parser has nothing against at first sight; of any other it says so at once, body or not.
_FINE = re.compile(rb"(?:\r\n)?[A-Z]+ [!-~]+ HTTP/1\.[01]\r\n" + HEADER_LINES + rb"\r\n")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,15})[ \t]*(?=\r\n)")


class Arrival(NamedTuple):
    """What there is of a request.

    `length` is how many bytes it has in all, None while that is not known; `streams` says that the rest of its body
    is to be read as it comes; `too_long` that its head does not end.
    """

    ready: bool
    length: int | None = None
    streams: bool = False
    too_long: bool = False


WAIT = Arrival(ready=False)
STREAMS = Arrival(ready=True, streams=True)
UNCLEAR = Arrival(ready=True)  #: the parser says what is wrong with it
TOO_LONG = Arrival(ready=True, too_long=True)


def arrival_of(data: bytes | bytearray) -> Arrival:
    """Say what there is of a request in the bytes of a connection that were not used yet."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return _without_end(data)
    head = bytes(data[: end + 4])
    if not _FINE.fullmatch(head):
        return UNCLEAR
    head = head.lower()
    if b"transfer-encoding" in head or b"expect" in head:
        return STREAMS
    lengths = head.count(b"\r\ncontent-length")
    found = _LENGTH.findall(head)
    if lengths != len(found) or lengths > 1:
        return UNCLEAR
    body = int(found[0]) if found else 0
    if body > LONGEST_KEPT_BODY:
        return STREAMS
    length = end + 4 + body
    return Arrival(ready=len(data) >= length, length=length)


def _without_end(data: bytes | bytearray) -> Arrival:
    if data.count(b"\n") != data.count(b"\r\n"):
        return UNCLEAR
    if len(data) > LONGEST_HEAD:
        return TOO_LONG
    start = 2 if data.startswith(b"\r\n") else 0
    if data.find(b"\r\n", start) < 0 and len(data) - start - 2 > LONGEST_LINE:
        return UNCLEAR
    return WAIT
