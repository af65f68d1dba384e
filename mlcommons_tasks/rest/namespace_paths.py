"""The plugin's indices by their own names, asked for in a namespace: `/.plugins-ml-task/_search` and the like. WSGI.

Its documents are in another index, which is asked instead, and named as the plugin's in the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from mlcommons_tasks.rest.passage import HEAD, TARGET
from mlcommons_tasks.rest.routing import StartResponse, WsgiApp, put_target
from mlcommons_tasks.store.names import names_of, renamed
from mlcommons_tasks.store.upstream import Reply


def in_namespace(app: WsgiApp, namespace: str) -> WsgiApp:
    """Return an application that finds a namespace's documents under the plugin's names."""
    theirs = {shown: ours for ours, shown in names_of(namespace).shown.items()}

    def answer(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        target = str(environ[TARGET])
        segment, mark, rest = target[1:].partition("/")
        if not mark:
            segment, mark, rest = target[1:].partition("?")
        if segment not in theirs:
            return app(environ, start_response)
        put_target(environ, f"/{theirs[segment]}{mark}{rest}")
        return _renaming(app, environ, start_response, names_of(namespace).shown)

    return answer


def _renaming(
    app: WsgiApp, environ: dict[str, Any], start_response: StartResponse, names: dict[str, str]
) -> Iterable[bytes]:
    """Have an answer whole and uncompressed, and put the plugin's names into it."""
    environ.pop("HTTP_ACCEPT_ENCODING", None)
    if HEAD in environ:
        lines = environ[HEAD].split(b"\r\n")
        environ[HEAD] = b"\r\n".join(line for line in lines if not line.lower().startswith(b"accept-encoding:"))
    began: list[tuple[str, list[tuple[str, str]]]] = []
    pieces: list[bytes] = []

    def start(status: str, headers: list[tuple[str, str]], *_: Any) -> Callable[[bytes], Any]:
        began[:] = [(status, headers)]
        return pieces.append

    answer = app(environ, start)
    try:
        pieces.extend(answer)
    finally:
        close = getattr(answer, "close", None)
        if close is not None:
            close()
    status, headers = began[0]
    reply = renamed(Reply(int(status.split(" ", 1)[0]), headers, b"".join(pieces)), names)
    kept = [(name, value) for name, value in headers if name.lower() != "content-length"]
    if environ["REQUEST_METHOD"] == "HEAD":
        start_response(status, headers)
        return [b""]
    start_response(status, [*kept, ("Content-Length", str(len(reply.payload)))])
    return [reply.payload]
