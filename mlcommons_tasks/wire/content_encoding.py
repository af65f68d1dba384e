"""Compressed bodies, as Netty reads and writes them below OpenSearch. Pure.

Source: Netty 4.2 `HttpContentDecompressor`, `JdkZlibDecoder`, `HttpContentCompressor`; asked of a node.
"""

from __future__ import annotations

import struct
import zlib

LEVEL = 3  #: `http.compression_level`
_GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\0"
_GZIP, _ZLIB, _RAW = 31, 15, -15  # what zlib calls the three ways to wrap what is deflated


class BrokenContent(BaseException):
    """A body is not compressed as it says: Netty closes the connection without a word.

    No `Exception`, so that nobody answers it.
    """


class TooLong(ValueError):
    """A body is longer than it may be once it is decompressed."""


def decoded(payload: bytes, encoding: str, longest: int) -> bytes:
    """Return a body decompressed; one whose encoding nobody knows, or whose end is missing, as it is.

    Raises:
        BrokenContent: it is not of its encoding.
        TooLong: more than `longest` bytes come out.
    """
    name = encoding.strip().lower()
    try:
        if name in ("gzip", "x-gzip"):
            return _gunzipped(payload, longest)
        if name in ("deflate", "x-deflate"):
            return _inflated(zlib.decompressobj(_ZLIB if _looks_like_zlib(payload) else _RAW), payload, longest)
    except zlib.error as error:
        raise BrokenContent(str(error)) from error
    return payload


def encoding_of_reply(accept: str) -> str | None:
    """Return what a reply is compressed with, given `Accept-Encoding`; None for not at all.

    Netty looks for its names anywhere in a word, in lower case.
    """
    gzip = deflate = star = -1.0
    for word in accept.split(","):
        quality = _quality(word)
        if "*" in word:
            star = quality
        elif "gzip" in word:
            gzip = max(gzip, quality)
        elif "deflate" in word:
            deflate = max(deflate, quality)
    if max(gzip, deflate) > 0:
        return "gzip" if gzip >= deflate else "deflate"
    if star > 0:
        return "gzip" if gzip < 0 else "deflate" if deflate < 0 else None
    return None


def encoded(payload: bytes, encoding: str) -> bytes:
    """Return a reply's body compressed by `gzip` or `deflate`, in the pieces that Netty makes."""
    if encoding == "deflate":
        deflater = zlib.compressobj(LEVEL, zlib.DEFLATED, _ZLIB)
        return deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH) + deflater.flush()
    deflater = zlib.compressobj(LEVEL, zlib.DEFLATED, _RAW)
    body = deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH) + deflater.flush()
    return _GZIP_HEADER + body + struct.pack("<II", zlib.crc32(payload), len(payload) & 0xFFFFFFFF)


def _gunzipped(payload: bytes, longest: int) -> bytes:
    """Return what the members of a gzip hold, one after the other."""
    found = b""
    while len(payload) >= len(_GZIP_HEADER):  # of less Netty waits for the rest, which never comes
        member = zlib.decompressobj(_GZIP)
        found += _inflated(member, payload, longest - len(found))
        payload = member.unused_data
    return found


def _inflated(inflater: zlib._Decompress, payload: bytes, longest: int) -> bytes:
    found = inflater.decompress(payload, longest + 1)
    if len(found) > longest:
        raise TooLong
    return found


def _looks_like_zlib(payload: bytes) -> bool:
    head = int.from_bytes(payload[:2], "big")
    return head & 0x7800 == 0x7800 and head % 31 == 0


def _quality(word: str) -> float:
    _, equals, value = word.partition("=")
    if not equals:
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
