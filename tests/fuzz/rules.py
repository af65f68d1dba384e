"""What must hold of every answer: no 5xx but the plugin's own, no page, OpenSearch's envelope in the format it says."""

from __future__ import annotations

import json
import zlib
from typing import Any

import cbor2
import yaml

from .inputs import METHODS
from .messages import Answer, Message
from .server_errors import RECORDED, recorded

FORMATS = {
    "application/json": json.loads,
    "application/yaml": yaml.safe_load,
    "application/cbor": cbor2.loads,
}
READABLE = frozenset({"gzip", "deflate"})
SMILE = "application/smile"
#: What Netty answers itself, without a body.
EXECUTIONS = b"/_plugins/_ml/_execute/"  #: whose errors have a form of their own
WORDLESS = frozenset({413, 417})
VERSIONS = frozenset({b"HTTP/1.0", b"HTTP/1.1"})


def problems(message: Message, answer: Answer) -> list[str]:
    """Return what is wrong with an answer; most answers have nothing."""
    if answer.status == 0:
        return [] if may_be_hung_up_on(message) else ["the connection was ended without an answer"]
    try:
        content = answer.content
    except zlib.error as error:
        return [f"the body is not packed as it says: {error}"]
    if answer.headers.get("content-encoding", "gzip") not in READABLE:
        return []  # OpenSearch writes snappy to whom that is right
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    found = []
    if b"Traceback (most recent" in content or b"werkzeug" in content or b"gunicorn" in content:
        found.append("the body tells of the insides")
    if kind == "text/html" or content.lstrip()[:1] == b"<":
        found.append("the body is a page")
    if not content.strip() or message.method == b"HEAD":
        return found if answer.status < 500 else [*found, f"a {answer.status} without a body"]
    try:
        body = _parsed(kind, content)
    except Exception as error:
        return [*found, f"the body is no {kind}: {error!r}"]
    if kind == SMILE and answer.status >= 500 and not any(error.type.encode() in content for error in RECORDED):
        found.append(f"the plugin gives no such {answer.status}: {content!r}")
    if answer.status >= 400:
        found += _wrong_with_error(message, answer.status, kind, body)
    return found


def error_of(answer: Answer) -> tuple[str, str]:
    """Return type and reason of an error, as far as it has them."""
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        error = _parsed(kind, answer.content)["error"]
        return str(error["type"]), str(error["reason"])
    except (KeyError, TypeError, ValueError):
        return "", repr(answer.content[:200])


def may_be_hung_up_on(message: Message) -> bool:
    """Say whether Netty, too, ends the connection without a word: over what is no HTTP, and over broken bodies."""
    names = {name.lower() for name, _ in message.headers}
    return (
        message.method not in METHODS
        or message.version not in VERSIONS
        or not message.well_framed
        or bool(names & {b"content-encoding", b"transfer-encoding"})
    )


def _parsed(kind: str, content: bytes) -> Any:
    if kind == SMILE:
        if not content.startswith(b":)\n"):
            raise ValueError("no header")
        return None
    return content.decode() if kind == "text/plain" else FORMATS[kind](content)


def _wrong_with_error(message: Message, status: int, kind: str, body: Any) -> list[str]:
    if kind == SMILE:  # which nobody reads here
        return []
    if message.target.startswith(EXECUTIONS):
        if b"filter_path" in message.target:  # it counts for their own errors: little may be left of them
            return []
        if isinstance(body, dict) and isinstance(body.get("error"), dict) and "root_cause" not in body["error"]:
            return _wrong_with_execution(message, status, body)
    if not isinstance(body, dict) or "error" not in body:
        return [f"a {status} without an error"] if status != 408 else []
    error = body["error"]
    if isinstance(error, str):
        return [] if body.get("status", status) == status and status < 500 else [f"the status is no {body}"]
    wrong = []
    if body.get("status") != status:
        wrong.append(f"the body says {body.get('status')}, the status is {status}")
    causes = error.get("root_cause")
    if not isinstance(causes, list) or not all({"type", "reason"} <= set(cause) for cause in causes):
        wrong.append("no root_cause as OpenSearch has it")
    if not isinstance(error.get("type"), str) or "reason" not in error:
        wrong.append("no type, or no reason")
    path = message.target.decode("latin-1").partition("?")[0]
    if status >= 500 and not wrong and recorded(path, error["type"], str(error["reason"])) is None:
        wrong.append(f"the plugin gives no {status} {error['type']}: {error['reason']}")
    return wrong


def _wrong_with_execution(message: Message, status: int, body: dict[str, Any]) -> list[str]:
    """Return what is wrong with an error of the form that only executions have."""
    error = body["error"]
    if list(body) != ["status", "error"] or list(error) != ["type", "reason", "details"] or body["status"] != status:
        return ["no error as executions have it"]
    if error["reason"] != ("Invalid Request" if status == 400 else "System Error"):
        return [f"the reason of a {status} is {error['reason']}"]
    path = message.target.decode("latin-1").partition("?")[0]
    if status >= 500 and recorded(path, error["type"], error["details"]) is None:
        return [f"the plugin gives no {status} {error['type']}: {error['details']}"]
    return []
