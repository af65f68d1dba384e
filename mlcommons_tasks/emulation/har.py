"""Entries of the journal as an HTTP archive, HAR 1.2, which browsers and proxies show. Pure.

Source: the HAR 1.2 specification by Jan Odvarko.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from datetime import datetime, timezone
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_plus

from mlcommons_tasks.emulation.entries import Entry, Headers

CREATOR = "mlcommons-tasks"
UNKNOWN = -1  #: of a size
NOBODY = "localhost"  #: the host of a request that names none
_PHRASES = {status.value: status.phrase for status in HTTPStatus}


def har(entries: Iterable[Entry], version: str, *, scheme: str = "http") -> dict[str, Any]:
    """Return an archive of entries; `version` is this package's, `scheme` that of the service's URL."""
    return {
        "log": {
            "version": "1.2",
            "creator": {"name": CREATOR, "version": version},
            "entries": [_entry(entry, scheme) for entry in entries],
            "comment": "Values of credentials are not kept; bodies are decompressed.",
        }
    }


def _entry(entry: Entry, scheme: str) -> dict[str, Any]:
    started = datetime.fromtimestamp(entry.at / 1000, tz=timezone.utc)
    shown: dict[str, Any] = {
        "startedDateTime": started.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "time": entry.took_in_millis,
        "request": _request(entry, scheme),
        "response": _response(entry),
        "cache": {},
        "timings": {"send": 0, "wait": entry.took_in_millis, "receive": 0},
    }
    if comment := _comment(entry):
        shown["comment"] = comment
    return shown


def _request(entry: Entry, scheme: str) -> dict[str, Any]:
    host = _value(entry.request_headers, "host") or NOBODY
    url = f"{scheme}://{host}{entry.target}" if entry.target.startswith("/") else f"{scheme}://{host}/"
    length = _value(entry.request_headers, "content-length") or ""
    shown: dict[str, Any] = {
        "method": entry.method,
        "url": url,
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": _headers(entry.request_headers),
        "queryString": _parameters(entry.target),
        "headersSize": UNKNOWN,
        "bodySize": int(length)
        if length.isdigit()
        else UNKNOWN
        if entry.request_truncated
        else len(entry.request_body),
    }
    if entry.request_body:
        text, encoding = _text(entry.request_body)
        shown["postData"] = {"mimeType": _value(entry.request_headers, "content-type") or "", "text": text}
        remarks = [f"in {encoding}"] * bool(encoding) + ["truncated"] * entry.request_truncated
        if remarks:
            shown["postData"]["comment"] = ", ".join(remarks)
    return shown


def _response(entry: Entry) -> dict[str, Any]:
    text, encoding = _text(entry.response_body)
    content: dict[str, Any] = {
        "size": len(entry.response_body),
        "mimeType": _value(entry.response_headers, "content-type") or "x-unknown",
        "text": text,
    }
    if encoding:
        content["encoding"] = encoding
    if entry.response_truncated:
        content["comment"] = "truncated"
    length = _value(entry.response_headers, "content-length") or ""
    known = length.isdigit() and not entry.dropped and entry.method != "HEAD"
    return {
        "status": entry.status or 0,
        "statusText": _PHRASES.get(entry.status or 0, ""),
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": _headers(entry.response_headers),
        "content": content,
        "redirectURL": _value(entry.response_headers, "location") or "",
        "headersSize": UNKNOWN,
        "bodySize": int(length) if known else UNKNOWN,
    }


def _comment(entry: Entry) -> str:
    """Return what of an entry has no place of its own."""
    said = [
        f"fault {entry.fault}" if entry.fault else "",
        f"scenario {entry.scenario}" if entry.scenario else "",
        "the connection ended before the answer did" if entry.dropped else "",
    ]
    return "; ".join(each for each in said if each)


def _headers(headers: Headers) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in headers]


def _value(headers: Headers, name: str) -> str | None:
    return next((value for each, value in headers if each.lower() == name), None)


def _parameters(target: str) -> list[dict[str, str]]:
    query = target.partition("?")[2]
    pairs = [each.partition("=") for each in query.split("&") if each]
    return [{"name": unquote_plus(name), "value": unquote_plus(value)} for name, _, value in pairs]


def _text(body: bytes) -> tuple[str, str | None]:
    """Return a body as text, and how it is encoded if it is none."""
    try:
        return body.decode(), None
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data":  # cut off within a character
            return body[: error.start].decode(), None
        return base64.b64encode(body).decode(), "base64"
