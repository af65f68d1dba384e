"""Replies in four formats; what is expected was sent by OpenSearch 3.6.0."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlcommons_tasks.java import Single, hash_map, java_repr
from mlcommons_tasks.wire.media_types import MediaType
from mlcommons_tasks.wire.rendering import render, render_cbor, render_json, render_pretty_json
from mlcommons_tasks.wire.smile import render_smile
from mlcommons_tasks.wire.yaml_writer import render_yaml


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (0.5, "0.5"),
        (-0.0, "-0.0"),
        (1e7, "1.0E7"),
        (1e-7, "1.0E-7"),
        (-123e20, "-1.23E22"),
        (5e-324, "4.9E-324"),
        (1e-323, "9.9E-324"),
        (1.7976931348623157e308, "1.7976931348623157E308"),
        (float("inf"), "Infinity"),
    ],
)
def test_a_number_is_written_as_java_does(number: float, written: str) -> None:
    """Large and small numbers have an exponent, and two digits at least."""
    assert java_repr(number) == written


def test_json_escapes_as_jackson_does() -> None:
    """Control characters in upper-case hexadecimal, beyond the BMP two units, DEL and é as they are."""
    written = render_json({"é": 'a"\\/\n\x1f\x7fé😀'})

    assert written.decode() == '{"é":"a\\"\\\\/\\n\\u001F\x7fé\\uD83D\\uDE00"}'


@pytest.mark.parametrize("body", [{}, [], {"a": []}, {"a": {"b": [1, {}]}}, [None, True, False, "", 1.5]])
def test_json_is_json(body: Any) -> None:
    """Compact or pretty, it parses to what it was."""
    assert json.loads(render_json(body)) == json.loads(render_pretty_json(body)) == body


def test_pretty_json() -> None:
    """Blanks stand around the colon and in empty containers."""
    assert render_pretty_json({"a": [1, {}], "b": []}) == b'{\n  "a" : [\n    1,\n    { }\n  ],\n  "b" : [ ]\n}\n'


def test_yaml_nests_and_quotes() -> None:
    """Texts are always quoted, keys where they may be taken for something else, lists are not indented."""
    body = {"a": {"l": [{"x": 1, "z": [2]}, []]}, "yes": "no", "1": None, " b": 1.0, "a#": 1e10, "": 4}

    assert render_yaml(body).decode() == (
        '---\na:\n  l:\n  - x: 1\n    z:\n    - 2\n  - []\n"yes": "no"\n"1": null\n\' b\': 1.0\na#: 1.0E10\n? ""\n: 4\n'
    )


def test_yaml_folds_long_texts() -> None:
    """Before the space after column 80, the space then escaped; or after a character that is not ASCII."""
    line = "java.lang.IllegalArgumentException: invalid escape sequence `%zz' at index 0 of: %zz"

    assert render_yaml({"e": {"r": [{"reason": line}]}}).decode() == (
        f'---\ne:\n  r:\n  - reason: "{line[:68]}\\\n      \\{line[68:]}"\n'
    )


def test_yaml_escapes_what_cannot_be_seen() -> None:
    """Named escapes where YAML has them, hexadecimal ones elsewhere, emoji as they are."""
    assert render_yaml("\t\x1f\x7f\x85\u2028😀").decode() == '--- "\\t\\x1f\\x7f\\N\\L😀"\n'


def test_cbor_leaves_lengths_open_and_keeps_floats_narrow() -> None:
    """Java's float has 4 bytes, its double 8; a BigInteger is one even where CBOR has a shorter way."""
    body = {"f": Single(0.5), "d": [0.5], "n": -(2**63) - 1}

    assert render_cbor(body).hex(" ") == (
        "bf 61 66 fa 3f 00 00 00 61 64 9f fb 3f e0 00 00 00 00 00 00 ff 61 6e c3 49 00 80 00 00 00 00 00 00 01 ff"
    )


def test_smile_shares_keys() -> None:
    """The second time a key is named by its number; texts never are."""
    body = [{"a": "x", "é": 17}, {"a": "x", "é": -17}]

    assert render_smile(body) == (
        b":)\n\x05\xf8\xfa\x80a\x40x\xc0\xc3\xa9\x24\xa2\xfb\xfa\x40\x40x\x41\x24\xa1\xfb\xf9"
    )


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (Single(0.5), "28 03 78 00 00 00"),
        (0.5, "29 00 3f 70 00 00 00 00 00 00 00"),
        (404, "24 0c a8"),
        (2**31, "25 20 00 00 00 80"),
        ("", "20"),
        ("a" * 33, "60 " + "61 " * 33),
        ("é", "80 c3 a9"),
    ],
)
def test_smile_scalars(value: Any, written: str) -> None:
    """Each kind has its own mark and packing."""
    assert render_smile(value)[4:] == bytes.fromhex(written)


@pytest.mark.parametrize("kind", MediaType)
def test_every_format_renders(kind: MediaType) -> None:
    """No format lacks a writer."""
    assert render({"a": 1}, kind)


def test_a_java_map_has_its_own_order() -> None:
    """Nested objects too."""
    given = {"z": 1, "a": {"k": [], "b": True}, "n": None, "big": 1, "f": 0.1, "e": 1e30, "s": ""}

    ordered = hash_map(given)

    assert list(ordered) == ["a", "big", "s", "e", "f", "z", "n"]
    assert list(ordered["a"]) == ["b", "k"]
