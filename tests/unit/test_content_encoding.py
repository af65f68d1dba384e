"""Compressed bodies: what Netty reads of them, and what it sends."""

from __future__ import annotations

import gzip
import zlib

import pytest

from mlcommons_tasks.wire.content_encoding import BrokenContent, TooLong, decoded, encoded, encoding_of_reply

BODY = b'{"query":{"match_all":{}}}'
PACKED = gzip.compress(BODY)
LONGEST = 1000


def _raw_deflate(payload: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(payload) + deflater.flush()


@pytest.mark.parametrize(
    ("payload", "encoding", "expected"),
    [
        (PACKED, "gzip", BODY),
        (PACKED, " X-GZIP ", BODY),
        (PACKED + PACKED, "gzip", BODY + BODY),
        (PACKED + b"garbage", "gzip", BODY),
        (gzip.compress(b""), "gzip", b""),
        (b"", "gzip", b""),
        (zlib.compress(BODY), "deflate", BODY),
        (_raw_deflate(BODY), "x-deflate", BODY),
        (zlib.compress(BODY) + b"garbage", "deflate", BODY),
        (BODY, "identity", BODY),
        (BODY, "br", BODY),
        (PACKED, "gzip, gzip", PACKED),
        (BODY, "", BODY),
    ],
)
def test_reading(payload: bytes, encoding: str, expected: bytes) -> None:
    """A body is decompressed as it says, and left as it is where nobody knows how."""
    assert decoded(payload, encoding, LONGEST) == expected


def test_a_body_without_its_end() -> None:
    """Of a body that stops early there is what came."""
    found = decoded(PACKED[:-10], "gzip", LONGEST)
    assert BODY.startswith(found)
    assert found != BODY


@pytest.mark.parametrize("payload", [BODY, PACKED[:-8] + bytes(8), PACKED + b"garbage" * 9])
def test_what_is_not_gzip(payload: bytes) -> None:
    """A body that is not what it says, a wrong checksum, and what is long enough for a second member, are broken."""
    with pytest.raises(BrokenContent):
        decoded(payload, "gzip", LONGEST)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_bomb(encoding: str) -> None:
    """What would be too long is not decompressed to its end."""
    bomb = b" " * (LONGEST + 1)
    packed = gzip.compress(bomb) if encoding == "gzip" else zlib.compress(bomb)
    with pytest.raises(TooLong):
        decoded(packed, encoding, LONGEST)
    assert len(decoded(packed, encoding, LONGEST + 1)) == LONGEST + 1


def test_a_bomb_in_two_members() -> None:
    """All members count together."""
    half = gzip.compress(b" " * LONGEST)
    with pytest.raises(TooLong):
        decoded(half + half, "gzip", LONGEST)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_writing(encoding: str) -> None:
    """What is sent can be read."""
    assert decoded(encoded(BODY, encoding), encoding, LONGEST) == BODY


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("gzip", "gzip"),
        ("gzip, deflate, br", "gzip"),
        ("x-gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip;q=0.1, deflate", "deflate"),
        ("gzip;q=nonsense", None),
        ("GZIP", None),
        ("gzip;q=0", None),
        ("identity", None),
        ("identity;q=1, *;q=0", None),
        ("br, zstd", None),
        ("", None),
    ],
)
def test_choosing(accept: str, expected: str | None) -> None:
    """The best of what the client takes is chosen, as Netty reads the header."""
    assert encoding_of_reply(accept) == expected
