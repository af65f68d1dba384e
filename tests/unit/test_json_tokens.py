"""Tokens, where they stand, and Jackson's sentences; expectations were seen on OpenSearch 3.6.0."""

# ruff: noqa: E501 - the protocol's own sentences

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcommons_tasks.errors import JsonParseError, TaskPluginError
from mlcommons_tasks.wire.json_reader import JsonReader, java_double, java_repr
from mlcommons_tasks.wire.json_tokens import JsonTokens, position, token_at

PLACE = "\n at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: {}, column: {}]"
EXPECTED = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=12,
)


def drain(payload: bytes) -> None:
    tokens = JsonTokens(payload)
    while tokens.next() is not None:
        pass


@settings(deadline=None)
@given(VALUES, st.sampled_from([None, 0, 3]), st.booleans())
def test_values_read_as_python_reads_them(value: object, indent: int | None, ascii_only: bool) -> None:
    """Reading token by token gives what json.loads gives, for every layout."""
    reader = JsonReader(json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode())
    reader.next()
    assert reader.value() == value
    assert reader.next() is None


@settings(deadline=None)
@given(VALUES, st.sampled_from([None, 0, 3]))
def test_token_at_points_at_the_value(value: object, indent: int | None) -> None:
    """The token found at a path starts exactly where that value's own JSON stands."""
    payload = json.dumps({"k": [value, "last"]}, indent=indent, ensure_ascii=False).encode()
    token = token_at(payload, ["k", 0])
    assert token is not None
    line = payload.split(b"\n")[token.line - 1]
    rest = b"\n".join([line[token.col - 1 :], *payload.split(b"\n")[token.line :]]).decode()
    assert json.JSONDecoder().raw_decode(rest)[0] == value


@pytest.mark.parametrize(
    ("payload", "path", "found"),
    [
        (b'{"state":null}', ["state"], (1, 10, "VALUE_NULL")),
        (b'{"error": null}', ["error"], (1, 11, "VALUE_NULL")),
        (b'{"a":{"b":[1,\n  {"c":-2.5}]}}', ["a", "b", 1, "c"], (2, 8, "VALUE_NUMBER")),
        ('{"é":"€","x":true}'.encode(), ["x"], (1, 17, "VALUE_BOOLEAN")),
        (b'// c\r\n{"a":/*x\n*/[ ]}', ["a"], (3, 3, "START_ARRAY")),
        (b"[[], 7]", [1], (1, 6, "VALUE_NUMBER")),
    ],
)
def test_positions(payload: bytes, path: list[str | int], found: tuple[int, int, str]) -> None:
    """Lines and columns count from 1, columns in bytes, and comments are stepped over."""
    assert token_at(payload, path) == found


@pytest.mark.parametrize("path", [["b"], ["a", 5], ["a", "x"], ["a", 0, 0], [0]])
def test_no_token_where_there_is_no_value(path: list[str | int]) -> None:
    """A path that leads nowhere gives None."""
    assert token_at(b'{"a":[1,2]}', path) is None


@settings(deadline=None)
@given(st.binary(max_size=30), st.integers(0, 30))
def test_position_counts_lines_as_bytes_do(payload: bytes, offset: int) -> None:
    """Every kind of line end starts a new line, and the column counts the bytes since."""
    offset = min(offset, len(payload))
    lines = payload[:offset].replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    assert position(payload, offset) == (len(lines), len(lines[-1]) + 1)


@pytest.mark.parametrize(
    ("payload", "message", "line", "col"),
    [
        (b'{"a":1,}', "Unexpected character ('}' (code 125)): was expecting double-quote to start field name", 1, 8),
        (
            '{é"a":1}'.encode(),
            "Unexpected character ('é' (code 233)): was expecting double-quote to start field name",
            1,
            3,
        ),
        (
            b'{"a" 1}',
            "Unexpected character ('1' (code 49)): was expecting a colon to separate field name and value",
            1,
            6,
        ),
        (
            b'{"a":1\r\n\r"b"}',
            "Unexpected character ('\"' (code 34)): was expecting comma to separate Object entries",
            3,
            1,
        ),
        (b'{"a":[1 2]}', "Unexpected character ('2' (code 50)): was expecting comma to separate Array entries", 1, 9),
        (b'{"a":[1,]}', "Unexpected character (']' (code 93)): expected a value", 1, 9),
        (b'{"a":]}', f"Unexpected character (']' (code 93)): expected a valid value {EXPECTED}", 1, 6),
        (b"}", "Unexpected close marker '}': no open Object to close", 1, 1),
        (b"nope", f"Unrecognized token 'nope': was expecting {EXPECTED}", 1, 1),
        (b'{"a":tru}', f"Unrecognized token 'tru': was expecting {EXPECTED}", 1, 6),
        (b'{"a":\xff}', f"Unrecognized token '\xff': was expecting {EXPECTED}", 1, 6),
        (b'{"a":01}', "Invalid numeric value: Leading zeroes not allowed", 1, 7),
        (
            b'{"a":-}',
            "Unexpected character ('}' (code 125)) in numeric value: expected digit (0-9) to follow minus sign, for valid numeric value",
            1,
            7,
        ),
        (b'{"a":-.5}', f"Unexpected character ('.' (code 46)): expected a valid value {EXPECTED}", 1, 7),
        (
            b'{"a":+1}',
            "Unexpected character ('+' (code 43)) in numeric value: JSON spec does not allow numbers to have plus signs: enable `JsonReadFeature.ALLOW_LEADING_PLUS_SIGN_FOR_NUMBERS` to allow",
            1,
            7,
        ),
        (
            b'{"a":1.}',
            "Unexpected character ('}' (code 125)) in numeric value: Decimal point not followed by a digit",
            1,
            8,
        ),
        (
            b'{"a":1e+}',
            "Unexpected character ('}' (code 125)) in numeric value: Exponent indicator not followed by a digit",
            1,
            9,
        ),
        (b"1x", "Unexpected character ('x' (code 120)): Expected space separating root-level values", 1, 2),
        (b'{"a":NaN}', "Non-standard token 'NaN': enable `JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS` to allow", 1, 9),
        (
            b'{"a":-Infinity}',
            "Non-standard token '-Infinity': enable `JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS` to allow",
            1,
            15,
        ),
        (b'{"a":"\\x"}', "Unrecognized character escape 'x' (code 120)", 1, 8),
        (
            b'{"a":"\\u12"}',
            "Unexpected character ('\"' (code 34)): expected a hex-digit for character escape sequence",
            1,
            11,
        ),
        (
            b'{"a":"x\ny"}',
            "Illegal unquoted character ((CTRL-CHAR, code 10)): has to be escaped using backslash to be included in string value",
            1,
            8,
        ),
        (
            b'{"a\n":1}',
            "Illegal unquoted character ((CTRL-CHAR, code 10)): has to be escaped using backslash to be included in name",
            1,
            4,
        ),
        (
            b'{"a":\x01}',
            "Illegal character ((CTRL-CHAR, code 1)): only regular white space (\\r, \\n, \\t) is allowed between tokens",
            1,
            7,
        ),
        (b'{"a":1,"a":2}', "Duplicate field 'a'", 1, 11),
        (b'{"\\u0061":1,"a":2}', "Duplicate field 'a'", 1, 16),
        (b'{"a":"\xff"}', "Invalid UTF-8 start byte 0xff", 1, 8),
        (b'{"a":"\xe2\x82x"}', "Invalid UTF-8 middle byte 0x78", 1, 10),
        (b'{"a":1,', "Unexpected end-of-input within/between Object entries", 1, 8),
        (b"{/x", "Unexpected character ('x' (code 120)): was expecting either '*' or '/' for a comment", 1, 3),
    ],
)
def test_broken_json_in_jacksons_words(payload: bytes, message: str, line: int, col: int) -> None:
    """Each way to break JSON gives the sentence and place the plugin gives."""
    with pytest.raises(JsonParseError) as caught:
        drain(payload)
    assert caught.value.reason == message + PLACE.format(line, col)
    assert caught.value.type == "json_parse_exception"


@pytest.mark.parametrize(
    ("payload", "message", "col"),
    [
        (b'{"a"', "Unexpected end-of-input within/between Object entries", 5),
        (b'{"a":"abc', "Unexpected end-of-input in VALUE_STRING", 10),
        (b'{"a', "Unexpected end-of-input in field name", 4),
        (b'{"a":1e', "Unexpected end-of-input in FIELD_NAME", 8),
        (b'{"a":"\\u1', "Unexpected end-of-input in character escape sequence", 10),
        (b"{/*", "Unexpected end-of-input in a comment", 4),
    ],
)
def test_truncated_json(payload: bytes, message: str, col: int) -> None:
    """A body that ends too soon has a type of its own."""
    with pytest.raises(JsonParseError) as caught:
        drain(payload)
    assert (caught.value.type, caught.value.reason) == ("json_e_o_f_exception", message + PLACE.format(1, col))


def test_an_open_object_is_named_with_its_start() -> None:
    """A missing close marker tells where the object or array began."""
    with pytest.raises(JsonParseError) as caught:
        drain(b'{"a":[[1,2],[3')
    start = PLACE.format(1, 13).removeprefix("\n at ")
    message = f"Unexpected end-of-input: expected close marker for Array (start marker at {start})"
    assert caught.value.reason == message + PLACE.format(1, 15)


@settings(deadline=None)
@given(st.binary(max_size=40) | st.text('{}[]",:0123456789.eE+-truefalsn\\/* \n', max_size=40).map(str.encode))
def test_any_bytes_end_in_tokens_or_in_one_of_our_errors(payload: bytes) -> None:
    """No input makes the tokenizer fail in any other way, and what Python accepts it accepts too."""
    try:
        drain(payload)
    except TaskPluginError:
        try:
            text = payload.decode()
            pairs: list[bool] = []
            json.loads(
                text, object_pairs_hook=lambda p: pairs.append(len(dict(p)) < len(p)), parse_constant=lambda _: 1 / 0
            )
        except (ValueError, ZeroDivisionError):
            return
        assert any(pairs), f"{payload!r} is JSON"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (
            b"[" * 1001,
            "Document nesting depth (1001) exceeds the maximum allowed (1000, from `StreamReadConstraints.getMaxNestingDepth()`)",
        ),
        (
            b"[" + b"1" * 1001 + b"]",
            "Number value length (1001) exceeds the maximum allowed (1000, from `StreamReadConstraints.getMaxNumberLength()`)",
        ),
    ],
)
def test_jacksons_limits(payload: bytes, reason: str) -> None:
    """Nesting and numbers beyond Jackson's limits are a 500."""
    with pytest.raises(TaskPluginError) as caught:
        drain(payload)
    assert (caught.value.status, caught.value.reason) == (500, reason)


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (2.5, "2.5"),
        (1e-8, "1.0E-8"),
        (123456789.5, "1.234567895E8"),
        (-1e22, "-1.0E22"),
        (100.0, "100.0"),
        (1e7, "1.0E7"),
    ],
)
def test_doubles_are_written_as_java_writes_them(number: float, written: str) -> None:
    """Double.toString turns to scientific notation at 10^7 and below 10^-3."""
    assert java_repr(number) == written


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_java_notation_reads_back(number: float) -> None:
    """Java's notation of a double is that double again."""
    assert java_double(java_repr(number)) == number
