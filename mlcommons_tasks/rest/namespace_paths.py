"""The plugin's indices by their own names, asked for in a namespace: `/.plugins-ml-task/_search`, `_bulk`. WSGI.

Its documents are in another index, which is asked instead, and named as the plugin's in the answer.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote

from mlcommons_tasks.rest.exchange import LONGEST_BODY
from mlcommons_tasks.rest.passage import HEAD, TARGET
from mlcommons_tasks.rest.routing import StartResponse, WsgiApp, close_answer, put_target
from mlcommons_tasks.store.names import names_of, renamed
from mlcommons_tasks.store.upstream import Reply
from mlcommons_tasks.wire.content_encoding import TooLong, decoded

#: Calls whose bodies name indices; a search's body does not.
NAMING = frozenset({"_bulk", "_mget", "_msearch"})
_ACTION = re.compile(rb'\s*\{\s*"(?:index|create|update|delete)"\s*:\s*\{')


def in_namespace(app: WsgiApp, namespace: str) -> WsgiApp:
    """Return an application that finds a namespace's documents under the plugin's names.

    Names in a path count, alone or with commas between, and those in the bodies of `NAMING`; wildcards do not.
    """
    shown = names_of(namespace).shown
    theirs = {plugins: ours for ours, plugins in shown.items()}

    def answer(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        path, mark, query = str(environ[TARGET]).partition("?")
        first, *rest = path[1:].split("/")
        named = ",".join(theirs.get(unquote(name), name) for name in first.split(","))
        is_named = named != first
        if is_named:
            put_target(environ, "/".join(["", named, *rest]) + mark + query)
        if [first, *rest][-1] in NAMING and environ["REQUEST_METHOD"] in ("POST", "PUT", "GET"):
            is_named |= _rename_in_body(environ, theirs, lines_only=[first, *rest][-1] == "_bulk")
        if not is_named:
            return app(environ, start_response)
        return _renaming(app, environ, start_response, shown)

    return answer


def _rename_in_body(environ: dict[str, Any], names: dict[str, str], *, lines_only: bool) -> bool:
    """Put our names into a body, with `lines_only` into the actions of a `_bulk` and not into documents.

    Returns whether there were any. A compressed body is unpacked for that.

    Raises:
        BrokenContent: it is not packed as it says.
    """
    announced = int(environ.get("CONTENT_LENGTH") or 0)
    is_chunked = "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()
    if announced > LONGEST_BODY or not (announced or is_chunked):
        return False  # of one that is too long that is said later
    payload = environ["wsgi.input"].read(announced or LONGEST_BODY + 1)
    packed = environ.get("HTTP_CONTENT_ENCODING", "")
    if packed:
        try:
            payload = decoded(payload, packed, LONGEST_BODY)
        except TooLong:
            environ["wsgi.input"] = io.BytesIO(payload)
            return False
        _drop_header(environ, "Content-Encoding")
    renamed_body: bytes = payload
    for plugins, ours in names.items():
        wanted = re.compile(rb'("_?index"\s*:\s*\[?\s*)"%b"' % re.escape(plugins.encode()))
        new = rb'\1"%b"' % ours.encode()
        if lines_only:
            lines = renamed_body.split(b"\n")
            renamed_body = b"\n".join(wanted.sub(new, line) if _ACTION.match(line) else line for line in lines)
        else:
            renamed_body = wanted.sub(new, renamed_body)
    environ["wsgi.input"] = io.BytesIO(renamed_body)
    environ["CONTENT_LENGTH"] = str(len(renamed_body))
    _drop_header(environ, "Transfer-Encoding")
    return bool(renamed_body != payload)


def _drop_header(environ: dict[str, Any], name: str) -> None:
    environ.pop(f"HTTP_{name.upper().replace('-', '_')}", None)
    if HEAD in environ:
        start = f"{name.lower()}:".encode()
        lines = environ[HEAD].split(b"\r\n")
        environ[HEAD] = b"\r\n".join(line for line in lines if not line.lower().startswith(start))


def _renaming(
    app: WsgiApp, environ: dict[str, Any], start_response: StartResponse, names: dict[str, str]
) -> Iterable[bytes]:
    """Have an answer whole and uncompressed, and put the plugin's names into it."""
    _drop_header(environ, "Accept-Encoding")
    began: list[tuple[str, list[tuple[str, str]]]] = []
    pieces: list[bytes] = []

    def start(status: str, headers: list[tuple[str, str]], *_: Any) -> Callable[[bytes], Any]:
        began[:] = [(status, headers)]
        return pieces.append

    answer = app(environ, start)
    try:
        pieces.extend(answer)
    finally:
        close_answer(answer)
    status, headers = began[0]
    reply = renamed(Reply(int(status.split(" ", 1)[0]), headers, b"".join(pieces)), names)
    kept = [(name, value) for name, value in headers if name.lower() != "content-length"]
    if environ["REQUEST_METHOD"] == "HEAD":
        start_response(status, headers)
        return [b""]
    start_response(status, [*kept, ("Content-Length", str(len(reply.payload)))])
    return [reply.payload]
