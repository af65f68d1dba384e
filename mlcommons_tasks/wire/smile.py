"""SMILE as Jackson writes it, with shared keys and no shared texts. Pure.

Source: the format's specification, github.com/FasterXML/smile-format-specification; compared with a node's replies.
"""

from __future__ import annotations

import struct
from typing import Any

from mlcommons_tasks.java import Single

HEADER = b":)\n\x05"  #: version 0, shared keys, raw binary may occur
_END = b"\xfc"
_CONSTANTS = {None: b"\x21", False: b"\x22", True: b"\x23"}
_SHARED_LIMIT = 1024


def render_smile(body: Any) -> bytes:
    """Return a SMILE document."""
    out = bytearray(HEADER)
    _write(body, out, {})
    return bytes(out)


def _write(value: Any, out: bytearray, shared: dict[str, int]) -> None:
    if isinstance(value, dict):
        out += b"\xfa"
        for name, item in value.items():
            out += _key(name, shared)
            _write(item, out, shared)
        out += b"\xfb"
    elif isinstance(value, (list, tuple)):
        out += b"\xf8"
        for item in value:
            _write(item, out, shared)
        out += b"\xf9"
    elif isinstance(value, str):
        out += _text(value)
    elif value is None or isinstance(value, bool):
        out += _CONSTANTS[value]
    elif isinstance(value, float):
        out += _float(value)
    else:
        out += _integer(value)


def _key(name: str, shared: dict[str, int]) -> bytes:
    if (seen := shared.get(name)) is not None:
        return bytes([0x40 + seen]) if seen < 64 else struct.pack(">H", 0x3000 | seen)
    raw = name.encode("utf-8", "surrogatepass")
    if not raw:
        return b"\x20"
    if len(shared) == _SHARED_LIMIT:
        shared.clear()
    shared[name] = len(shared)
    if len(raw) > (64 if len(raw) == len(name) else 56):
        return b"\x34" + raw + _END
    return bytes([(0x7F if len(raw) == len(name) else 0xBE) + len(raw)]) + raw


def _text(value: str) -> bytes:
    raw = value.encode("utf-8", "surrogatepass")
    ascii_only = len(raw) == len(value)
    if len(raw) > 64:
        return (b"\xe0" if ascii_only else b"\xe4") + raw + _END
    return bytes([((0x3F if ascii_only else 0x7E) + len(raw)) if raw else 0x20]) + raw


def _integer(value: int) -> bytes:
    if -16 <= value <= 15:
        return bytes([0xC0 | _zigzag(value)])
    if -(2**63) <= value < 2**63:
        return (b"\x24" if -(2**31) <= value < 2**31 else b"\x25") + _variable(_zigzag(value))
    raw = value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)
    return b"\x26" + _variable(len(raw)) + _sevens(int.from_bytes(raw, "big"), len(raw) * 8)


def _float(value: float) -> bytes:
    if isinstance(value, Single):
        return b"\x28" + _right_aligned(int.from_bytes(struct.pack(">f", value), "big"), 5)
    return b"\x29" + _right_aligned(int.from_bytes(struct.pack(">d", value), "big"), 10)


def _zigzag(value: int) -> int:
    return value << 1 if value >= 0 else ~(value << 1)


def _variable(value: int) -> bytes:
    """Seven bits a byte, most significant first; the last byte has six, and its top bit set."""
    last, value = 0x80 | value & 0x3F, value >> 6
    found = [last]
    while value:
        found.append(value & 0x7F)
        value >>= 7
    return bytes(reversed(found))


def _right_aligned(value: int, size: int) -> bytes:
    return bytes(value >> 7 * i & 0x7F for i in reversed(range(size)))


def _sevens(value: int, bits: int) -> bytes:
    """Seven bits a byte from the left; what remains stands right-aligned in the last."""
    rest = bits % 7
    head = _right_aligned(value >> rest, bits // 7)
    return head + bytes([value & (1 << rest) - 1]) if rest else head
