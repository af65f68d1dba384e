"""Speaks HTTP as a script says it, byte for byte, over one connection; tells what came back as JSON text.

For what a client library would tidy up: broken requests, several on one connection, what follows an error.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import socket
import zlib
from collections.abc import Iterable, Mapping, Sequence
from email.message import Message
from email.parser import BytesHeaderParser
from typing import NamedTuple
from urllib.parse import urlsplit

TIMEOUT_S = 20.0
PROBE = b"GET / HTTP/1.1\r\nHost: probe\r\n\r\n"  #: answered only where the connection still serves
BODILESS = frozenset({204, 304})


class Silence(Exception):
    """Nothing came within the deadline."""


class Answer(NamedTuple):
    """One reply as it came, its body decompressed."""

    version: str
    status: int
    reason: str
    headers: Message
    body: bytes

    def shown(self, names: Iterable[str]) -> str:
        """Give it as the text of a JSON object; a body that is JSON stays as it was written."""
        headers = {name: "\n".join(values) for name in names if (values := self.headers.get_all(name))}
        text = self.body.decode("utf-8", "backslashreplace")
        try:
            json.loads(text)
        except ValueError:
            text = json.dumps(text, ensure_ascii=False)
        if "Allow" in headers:  # a Java set, in another order on each start of a node
            headers["Allow"] = ",".join(sorted(headers["Allow"].split(",")))
        head = {"version": self.version, "status": self.status, "reason": self.reason, "headers": headers}
        return json.dumps(head, ensure_ascii=False, separators=(",", ":"))[:-1] + f',"body":{text.rstrip()}}}'


def converse(base_url: str, script: Sequence[bytes | int], names: Sequence[str], *, probe: bool = True) -> str:
    """Send the script's bytes and read replies where it has a number; give the replies and the connection's state.

    With `probe` the state is found out: `open` where one more request is answered, else `closed`.
    """
    target = urlsplit(base_url)
    answers: list[Answer] = []
    state = None
    with contextlib.ExitStack() as stack:
        connection = socket.create_connection((target.hostname, target.port), TIMEOUT_S)
        stack.callback(connection.close)
        reader = stack.enter_context(connection.makefile("rb"))
        try:
            for item in script:
                if isinstance(item, bytes):
                    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # what came before may say why
                        connection.sendall(item)
                else:
                    answers.extend(_read(reader) for _ in range(item))
            if probe:
                connection.sendall(PROBE)
                _read(reader)
                state = "open"
        except (EOFError, BrokenPipeError, ConnectionResetError):
            state = "closed"
        except TimeoutError as error:
            raise Silence(f"after {[answer.status for answer in answers]}") from error
    shown = ",".join(answer.shown(names) for answer in answers)
    return f'{{"replies":[{shown}]' + (f',"connection":"{state}"}}' if state else "}")


def decompressed(body: bytes, headers: Mapping[str, str] | Message) -> bytes:
    """Give a body without its `Content-Encoding`."""
    encoding = headers.get("Content-Encoding")
    if encoding == "gzip":
        return gzip.decompress(body)
    return zlib.decompress(body) if encoding == "deflate" else body


def _read(reader: io.BufferedReader) -> Answer:
    line = reader.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    version, status, reason = [*line.decode("latin-1").rstrip("\r\n").split(" ", 2), ""][:3]
    head = b""
    while (line := reader.readline()) not in (b"\r\n", b""):
        head += line
    headers = BytesHeaderParser().parsebytes(head)
    if int(status) < 200 or int(status) in BODILESS:
        return Answer(version, int(status), reason, headers, b"")
    length = headers.get("Content-Length")
    body = reader.read() if length is None else reader.read(int(length))
    return Answer(version, int(status), reason, headers, decompressed(body, headers))
