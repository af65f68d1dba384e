"""What of a request or an answer is never kept: who asked, and any password, key or token in it. Pure.

A value that is left out leaves `***` in its place, so that one sees that it was there. What cannot be looked into,
and speaks of a secret, is not kept at all.
"""

from __future__ import annotations

import base64
import functools
import json
import re
from collections.abc import Iterable
from urllib.parse import quote_plus, unquote_plus

from mlcommons_tasks.wire.identities import CALLER_HEADERS, IDENTITIES

HIDDEN = "***"

#: Headers that say who asks, or that they may, beside those of accounts and proxies.
_HEADERS = frozenset(
    {
        *(name.lower() for name in CALLER_HEADERS),
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "x-emulator-token",
        "x-forwarded-user",
        "x-remote-user",
    }
)
_WORDS = r"passw(?:or)?d|passphrase|secret|token|credential|bearer|api[_-]?key|access[_-]?key|private[_-]?key"
#: Whole names, and names of keys to something: a `key` alone is a bucket's.
_NAMES = r"^(?:pwd|auth)$|[a-z0-9][_-]key$"
_SECRET = re.compile(f"{_WORDS}|{_NAMES}", re.IGNORECASE)
#: What a body in lower case has somewhere if there is anything to be left out of it; most have nothing of it.
_SUSPECT = (
    b"passw",
    b"passphrase",
    b"secret",
    b"token",
    b"credential",
    *(before + b"key" for before in (b"_", b"-", b"api", b"access", b"private")),  # as in _WORDS and _NAMES
    b"pwd",
    b"auth",
    b"basic",
    b"bearer",
    b"@",
    b"\\u",
    b"\0",
)
_WITH_URL = frozenset({"referer", "location", "origin"})
_LONGEST_ACCOUNT = 1024
_LONGEST_CUT = _LONGEST_ACCOUNT * 4 + 256  #: bytes of an account, in whatever characters, and of what is before it

_BASIC = re.compile(r"\b(Basic(?:\s|%20|\+)+)([A-Za-z0-9+/_-]{2,}(?:=|%3D){0,2})", re.IGNORECASE)
_BEARER = re.compile(r"\b(Bearer(?:\s|%20|\+)+)[A-Za-z0-9._~+/%-]+=*", re.IGNORECASE)
_ACCOUNT = re.compile(rf"""(:(?:\\?/|%2F){{2}})[^\s/"'\\<>?#]{{0,{_LONGEST_ACCOUNT}}}@""", re.IGNORECASE)
#: What may be the beginning of an account where a text was cut off.
_CUT = re.compile(
    rf"""(:(?:\\?/|%2F){{2}}|\b(?:Basic|Bearer)(?:\s|%20|\+)+)[^\s/"'\\<>?#@]{{0,{_LONGEST_ACCOUNT}}}\Z""",
    re.IGNORECASE,
)
_MATRIX = re.compile(r"(;([^;/=]+)=)[^;/]*")
_LOOSE = re.compile(r"""(?<![\w.-])([\w.-]+)(["']?\s{0,9}[:=]\s{0,9})\S+""")

_COMMENT = r"/\*.*?(?:\*/|\Z)|//[^\n]*"  # which OpenSearch's parser passes over
_STRING = r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)'  # the last one may be cut off
_TOKEN = re.compile(rf"{_STRING}|{_COMMENT}", re.DOTALL)
_TOKEN_OR_BRACKET = re.compile(rf"{_STRING}|{_COMMENT}|[\[\]{{}}]", re.DOTALL)
_BLANK = re.compile(rf"\s+|{_COMMENT}", re.DOTALL)
_BARE = re.compile(r"[^,}\]\s]*")
_LONGEST_ESCAPE = 8  #: characters, and one
_DEEPEST = 4  #: JSON in a string, in JSON in a string, and so on


def is_secret(name: str) -> bool:
    """Say whether a parameter or a field of this name has a value that is not kept."""
    return _SECRET.search(name) is not None


def is_secret_header(name: str, identity_headers: Iterable[str] = ()) -> bool:
    """Say whether a header's value is not kept; `identity_headers`, in lower case, are those a proxy in front sets."""
    name = name.lower()
    return name in identity_headers or _is_known_header(name)


@functools.lru_cache(maxsize=512)
def _is_known_header(name: str) -> bool:
    return name in _HEADERS or name.startswith(IDENTITIES) or is_secret(name)


def kept_headers(
    headers: Iterable[tuple[str, str]], identity_headers: Iterable[str] = ()
) -> tuple[tuple[str, str], ...]:
    """Return headers without what they say of who asks."""
    return tuple(
        (name, HIDDEN if is_secret_header(name, identity_headers) else _kept_value(name, value))
        for name, value in headers
    )


def _kept_value(name: str, value: str) -> str:
    """Return what of a header is kept; some have a URL in them."""
    return kept_target(value) if name.lower() in _WITH_URL else kept_text(value)


def kept_text(text: str) -> str:
    """Return a text without accounts in URLs and without what follows `Basic` and `Bearer`."""
    if "@" in text:
        text = _ACCOUNT.sub(rf"\1{HIDDEN}@", text)
    lower = text.lower()  # most texts have neither, and this is on the way of every request
    if "bearer" in lower:
        text = _BEARER.sub(rf"\1{HIDDEN}", text)
    if "basic" in lower:
        text = _BASIC.sub(lambda found: found[1] + HIDDEN if _is_account(found[2]) else found[0], text)
    return text


def kept_target(target: str) -> str:
    """Return a request's path and query without accounts and the values of secret parameters."""
    path, mark, query = target.partition("?")
    path = _MATRIX.sub(lambda found: f"{found[1]}{HIDDEN}" if is_secret(found[2]) else found[0], path)
    return kept_text(path) + mark + (_kept_parameters(query) if query else "")


def kept_body(body: bytes, content_type: str = "", *, is_cut: bool = False) -> bytes:
    """Return a body, or the beginning of one that `is_cut`, without the values of secret fields at any depth."""
    lower = body.lower()
    if not any(mark in lower for mark in _SUSPECT):
        return body[:-_LONGEST_CUT] + _without_cut_account(body[-_LONGEST_CUT:]) if is_cut else body
    kind = content_type.partition(";")[0].strip().lower()
    if kind.endswith(("cbor", "smile", "yaml")):
        return HIDDEN.encode() if _SECRET.search(body.decode("latin-1")) else body
    if b"\0" in body:  # wider characters, in which JSON may be written
        return HIDDEN.encode()
    text = body.decode("utf-8", "surrogateescape")
    if is_cut:
        text = _CUT.sub(rf"\1{HIDDEN}", text)
    if kind == "application/x-www-form-urlencoded":
        text = _kept_parameters(text)
    else:
        text = _kept_json(text, 0)
        if kind and not kind.endswith("json"):
            text = _LOOSE.sub(lambda found: found[1] + found[2] + HIDDEN if is_secret(found[1]) else found[0], text)
    return kept_text(text).encode("utf-8", "surrogateescape")


def _without_cut_account(end: bytes) -> bytes:
    return _CUT.sub(rf"\1{HIDDEN}", end.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def _kept_parameters(query: str) -> str:
    return "&".join(_kept_parameter(each) for each in query.split("&"))


def _kept_parameter(pair: str) -> str:
    name, equals, value = pair.partition("=")
    if not equals:
        return kept_text(pair)
    if is_secret(unquote_plus(name)):
        return f"{name}={HIDDEN}"
    plain = unquote_plus(value)
    kept = kept_text(_kept_json(plain, 0))
    return pair if kept == plain else f"{name}={quote_plus(kept, safe='*')}"


def _kept_json(text: str, depth: int) -> str:
    """Return JSON, whole or cut off, or lines of it, with the values of secret fields hidden."""
    parts: list[str] = []
    copied = position = 0
    while (token := _TOKEN.search(text, position)) is not None:
        position = token.end()
        if token[0][0] != '"':
            continue
        colon = _after_blank(text, position)
        replacement: str | None = None
        if text[colon : colon + 1] == ":" and is_secret(_unquoted(token[0])):
            begin = _after_blank(text, colon + 1)
            position = _end_of_value(text, begin)
            replacement = f'"{HIDDEN}"'
        elif depth < _DEEPEST and '\\"' in token[0]:
            begin = token.start()
            plain = _unquoted(token[0])
            kept = _kept_json(plain, depth + 1)
            replacement = None if kept == plain else json.dumps(kept, ensure_ascii=False)
        if replacement is not None:
            parts += (text[copied:begin], replacement)
            copied = position
    return "".join(parts) + text[copied:] if parts else text


def _after_blank(text: str, position: int) -> int:
    while (blank := _BLANK.match(text, position)) is not None:
        position = blank.end()
    return position


def _end_of_value(text: str, position: int) -> int:
    """Return where the value ends that begins at a position, at the latest where the text does."""
    first = text[position : position + 1]
    if first == '"':
        found = _TOKEN.match(text, position)
        return found.end() if found else len(text)
    if first not in ("{", "["):
        found = _BARE.match(text, position)
        return found.end() if found else len(text)
    depth = 0
    while (token := _TOKEN_OR_BRACKET.search(text, position)) is not None:
        position = token.end()
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token[0], 0)
        if depth == 0:
            return position
    return len(text)


def _unquoted(string: str) -> str:
    """Return what a string of JSON says; of one that is cut off, as far as it goes."""
    for missing in range(_LONGEST_ESCAPE):
        try:
            return str(json.loads(string if not missing else f'{string[: len(string) - missing + 1]}"', strict=False))
        except ValueError:
            continue
    return string


def _is_account(encoded: str) -> bool:
    """Say whether what follows `Basic` is an account, and not the next word of a sentence."""
    encoded = re.sub("=|%3D", "", encoded, flags=re.IGNORECASE).replace("-", "+").replace("_", "/")
    if len(encoded) % 4 == 1:
        encoded = encoded[:-1]
    return b":" in base64.b64decode(encoded + "=" * (-len(encoded) % 4))
