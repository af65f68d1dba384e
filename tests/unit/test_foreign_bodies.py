"""Bodies in other formats and encodings: as Jackson reads them, and never more than what was sent.

The reasons and statuses were seen on the plugin 3.6.0.
"""

from __future__ import annotations

import pytest

from mlcommons_tasks.errors import JsonParseError, ServerError
from mlcommons_tasks.wire.bodies import json_of
from mlcommons_tasks.wire.media_types import MediaType

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(8)
)
#: Lists of nine of the one before, by tags 28 and 29: 9^12 numbers.
SHARED = b"\x8d" + b"".join(b"\xd8\x1c\x89" + (b"\xd8\x1d" + bytes([n - 1]) if n else b"\x00") * 9 for n in range(13))


def test_aliases_of_yaml_are_texts() -> None:
    """Nothing is repeated: nine times nine times nine … of nothing are nothing."""
    payload = json_of(BOMB.encode(), MediaType.YAML) or b""

    assert len(payload) < 2 * len(BOMB)
    assert b'"b":["a","a"' in payload


def test_an_alias_of_what_it_is_in_is_a_text() -> None:
    """Jackson does not follow it."""
    assert json_of(b"parameters: &a {b: *a}", MediaType.YAML) == b'{"parameters":{"b":"a"}}'


def test_shared_values_of_cbor_hold_no_more_than_a_body_can() -> None:
    """A few bytes that mean gigabytes are refused before they are written."""
    with pytest.raises(JsonParseError):
        json_of(SHARED, MediaType.CBOR)


@pytest.mark.parametrize("payload", [b"\xd8\x1c\x81\xd8\x1d\x00", b"\xa1\x61a\xd8\x1c\x81\xd8\x1d\x00"])
def test_a_value_of_cbor_that_is_in_itself_is_refused(payload: bytes) -> None:
    """It has no end."""
    with pytest.raises(JsonParseError):
        json_of(payload, MediaType.CBOR)


@pytest.mark.parametrize(
    "payload",
    [
        b"\xa1\x61a\xc5\x82\x1a\x7f\xff\xff\xff\x01",
        b"\xa1\x61a\xc1\x1b\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\xa1\x61a\xd8\x1e\x82\x01\x00",
        b"\xa1\x61a\xd8\x23\x61(",
        b"\x9f" * 2_000,
    ],
)
def test_tags_of_cbor_that_mean_nothing_are_a_mistake_of_the_callers(payload: bytes) -> None:
    """Whatever the library that reads them makes of it, the status is 400."""
    with pytest.raises(JsonParseError):
        json_of(payload, MediaType.CBOR)


def test_a_number_of_cbor_beyond_all_limits() -> None:
    """In Jackson's words, with its 500; Python would not even write it."""
    with pytest.raises(ServerError, match=r"Number value length \(4096\) exceeds") as caught:
        json_of(b"\xc2\x59\x10\x00" + b"\xff" * 4_096, MediaType.CBOR)

    assert caught.value.type == "stream_constraints_exception"


@pytest.mark.parametrize("opened", [b"[", b"- ", b"{a: ", b"a: {b: ["])
def test_deep_yaml_is_cut_off_where_no_reader_goes(opened: bytes) -> None:
    """JSON's reader says what it has against it; the time does not grow with the square of the depth."""
    payload = json_of(opened * 20_000, MediaType.YAML) or b""

    assert payload.count(b"[") + payload.count(b"{") == 1_001


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"1:30", b'"1:30"'),
        (b"1_0", b"10"),
        (b"0x10", b"16"),
        (b"0o7", b'"0o7"'),
        (b"07", b"7"),
        (b".nan", b'".nan"'),
        (b".", b'"."'),
        (b"!!int x", b'"x"'),
        (b"!!bool x", b'"x"'),
        (b"!foo 2", b'"2"'),
        (b"'1'", b'"1"'),
        (b"9" * 5_000, b'"' + b"9" * 5_000 + b'"'),
        (b"!!python/object/apply:os.system [id]", b'["id"]'),
        (b"<<: 1", b'{"<<":1}'),
        (b"? a", b'{"a":null}'),
        (b"", b""),
        (b"# only", b""),
        (b"---", b"null"),
        (b"1\n---\n2", b"1"),
    ],
)
def test_scalars_of_yaml(text: bytes, value: bytes) -> None:
    """Typed by how they look, and by nothing else."""
    assert json_of(text, MediaType.YAML) == value


def test_a_key_of_yaml_that_is_none() -> None:
    """Jackson's words."""
    with pytest.raises(JsonParseError, match=r"got this instead: <org\.yaml\.snakeyaml\.events\.SequenceStartEvent"):
        json_of(b"---\n? [a, b]\n: 1\n", MediaType.YAML)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "utf-8"])
def test_json_in_any_encoding_of_unicode(encoding: str) -> None:
    """Jackson finds out by the first bytes."""
    text = '{"a":"é🦆"}'

    assert json_of(text.encode(encoding), MediaType.JSON) == text.encode()


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (
            b"[\0\0\0\x7f\xff\xff\xff\xff",
            "Invalid UTF-32 character 0xfffeff7f (above 0x0010ffff) at char #1, byte #7)",
        ),
        (b"\0\0\0[\x7f\xff\xff\xff", "Invalid UTF-32 character 0x7ffeffff (above 0x0010ffff) at char #1, byte #7)"),
        (b"\0[\0\0", "Unsupported UCS-4 endianness (3412) detected"),
        (b"\0\0[\0", "Unsupported UCS-4 endianness (2143) detected"),
        (b"\0\0\xff\xfe{}", "Unsupported UCS-4 endianness (2143) detected"),
        (b"\xfe\xff\0\0a", "Unsupported UCS-4 endianness (3412) detected"),
    ],
)
def test_json_in_an_encoding_that_cannot_be_read(payload: bytes, reason: str) -> None:
    """A 500, as the plugin gives it."""
    with pytest.raises(ServerError) as caught:
        json_of(payload, MediaType.JSON)

    assert (caught.value.type, caught.value.reason) == ("char_conversion_exception", reason)


@pytest.mark.parametrize("payload", [b"{}", b"[", b"1", b"{\n}", b"\xef\xbb\xbf{}", b"", b"\xff\xff\xff\xff"])
def test_json_in_utf_8_stays_as_it_is(payload: bytes) -> None:
    """Broken or not."""
    assert json_of(payload, MediaType.JSON) == payload
