"""JSON written token by token, to any depth, for bodies that come in another format. Pure."""

from __future__ import annotations

import codecs
from typing import Any, Literal

from mlcommons_tasks.errors import ServerError
from mlcommons_tasks.wire.json_scanner import MAX_NUMBER_LENGTH, beyond
from mlcommons_tasks.wire.rendering import render_json

#: How a text begins that says its encoding, and how long that is.
_MARKS = (
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (b"\0\0\xff\xfe", "2143"),
    (b"\xfe\xff\0\0", "3412"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
)
#: Where the zeros are in the first character of one that does not.
_ZEROS = {
    (True, True, True, True): "utf-32-be",
    (True, True, True, False): "utf-32-be",
    (False, True, True, True): "utf-32-le",
    (True, True, False, True): "2143",
    (True, False, True, True): "3412",
    (True, True): "utf-16-be",
    (True, False): "utf-16-be",
    (False, True): "utf-16-le",
}
_QUAD, _PAIR = 4, 2  #: bytes by which an encoding is told
_LAST_PLANE = 0x10  #: of Unicode


class JsonText:
    """A JSON document in the making; nothing in it is ever looked at again."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._ends: list[bytes] = []
        self._comma = False
        self.deepest = 0  #: how many were open at most

    def begin(self, *, is_object: bool) -> None:
        """Begin an object or an array; how deeply they may be nested is the reader's business."""
        self._write(b"{" if is_object else b"[")
        self._ends.append(b"}" if is_object else b"]")
        self.deepest = max(self.deepest, len(self._ends))
        self._comma = False

    def end(self) -> None:
        """End what began last."""
        self._parts.append(self._ends.pop())
        self._comma = True

    def name(self, name: str) -> None:
        """Write a key; its value is next."""
        self._write(render_json(name) + b":")
        self._comma = False

    def scalar(self, value: Any) -> None:
        """Write a text, a number, a boolean or nothing.

        Raises:
            ServerError: a number is too long.
        """
        if isinstance(value, int) and value.bit_length() > MAX_NUMBER_LENGTH * 8:
            raise beyond("Number value length", (value.bit_length() + 7) // 8, MAX_NUMBER_LENGTH, "NumberLength")
        self._write(render_json(value))
        self._comma = True

    def payload(self) -> bytes:
        """Return what was written."""
        return b"".join(self._parts)

    def _write(self, part: bytes) -> None:
        self._parts.append(b"," + part if self._comma else part)


def in_utf8(payload: bytes) -> bytes:
    """Return a JSON document in UTF-8, whichever Unicode encoding it has: Jackson finds out by its first bytes.

    Source: `ByteSourceJsonBootstrapper`, `UTF32Reader`; asked of a node.

    Raises:
        ServerError: it is in UTF-32 that cannot be read.
    """
    mark, encoding = _encoding(payload[:_QUAD])
    if encoding is None:
        return payload
    if encoding.isdigit():
        raise _unreadable(f"Unsupported UCS-4 endianness ({encoding}) detected")
    text = payload[len(mark) :]
    if encoding.startswith("utf-32"):
        _refuse_utf32(text, "big" if encoding.endswith("be") else "little", len(mark))
    return text.decode(encoding, "replace").encode("utf-8", "replace")


def _encoding(start: bytes) -> tuple[bytes, str | None]:
    """Return what a text begins with that is none of it, and its encoding; None is UTF-8."""
    if len(start) == _QUAD:
        for mark, encoding in _MARKS:
            if start.startswith(mark):
                return mark, encoding
    zeros = tuple(byte == 0 for byte in start)
    return b"", _ZEROS.get(zeros) or _ZEROS.get(zeros[:_PAIR])


def _refuse_utf32(text: bytes, order: Literal["big", "little"], skipped: int) -> None:
    for at in range(0, len(text) - _QUAD + 1, _QUAD):
        unit = int.from_bytes(text[at : at + _QUAD], order)
        if unit >> 16 > _LAST_PLANE:
            shown = ((unit >> 16) - 1) << 16 | (unit & 0xFFFF)
            place = f"at char #{at // _QUAD}, byte #{at + _QUAD - 1 + skipped})"
            raise _unreadable(f"Invalid UTF-32 character 0x{shown:x} (above 0x0010ffff) {place}")


def _unreadable(reason: str) -> ServerError:
    return ServerError(reason, type="char_conversion_exception")
