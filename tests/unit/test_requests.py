"""Parameters, paths, media types and bodies as OpenSearch 3.6.0 reads them."""

from __future__ import annotations

import json

import pytest

from mlcommons_tasks.errors import IllegalArgument, JsonParseError
from mlcommons_tasks.wire.bodies import json_of
from mlcommons_tasks.wire.media_types import MediaType, of_content_type, of_reply
from mlcommons_tasks.wire.parameters import BadParameter, Parameters, decode, java_path


@pytest.mark.parametrize(
    ("raw", "decoded"),
    [("a%2Fb", "a/b"), ("%C3%A9", "é"), ("a+b", "a+b"), ("100%%25", "100%25"), ("%C3", "\ufffd")],
)
def test_a_segment_is_decoded(raw: str, decoded: str) -> None:
    """Bytes are UTF-8, a plus stays, two percent signs are one."""
    assert decode(raw) == decoded


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        ("%zz", "invalid escape sequence `%zz' at index 0 of: %zz"),
        ("ab%4", "partial escape sequence at end of string: ab%4"),
        ("%", "unterminated escape sequence at end of string: %"),
        ("%%%", "unterminated escape sequence at end of string: %%%"),
    ],
)
def test_a_broken_escape_is_named(raw: str, complaint: str) -> None:
    """The complaint says what is broken and where."""
    with pytest.raises(IllegalArgument) as caught:
        decode(raw)

    assert caught.value.reason == complaint


def test_a_broken_parameter_has_a_cause() -> None:
    """The outer error quotes the inner one."""
    with pytest.raises(BadParameter, match="IllegalArgumentException: unterminated") as caught:
        Parameters("pretty=%", "/x")

    assert isinstance(caught.value.caused_by, IllegalArgument)


def test_the_last_of_a_name_wins() -> None:
    """As in a map; a semicolon separates as well, and what follows a hash is no parameter."""
    parameters = Parameters("a=1&a=2;b=x%20+y#c=3", "/x")

    assert (parameters.text("a"), parameters.text("b"), parameters.text("c")) == ("2", "x  y", None)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("foo=1", "parameter: [foo]"),
        ("=1", "parameter: [1]"),
        ("b=1&a=1", "parameters: [a], [b]"),
        ("pretti=1", "parameter: [pretti] -> did you mean [pretty]?"),
        ("_source=false", "parameter: [_source]"),
        ("huma=1&task=1", "parameters: [huma] -> did you mean [human]?, [task] -> did you mean [task_id]?"),
    ],
)
def test_unknown_parameters_are_named(query: str, named: str) -> None:
    """In order, and with a name that is near."""
    with pytest.raises(IllegalArgument) as caught:
        Parameters(query, "/a%20b").refuse_unknown("task_id")

    assert caught.value.reason == f"request [/a b] contains unrecognized {named}"


@pytest.mark.parametrize("query", ["", "&", "=", "pretty", "format=yaml&filter_path=a&human&error_trace"])
def test_known_parameters_pass(query: str) -> None:
    """What every route takes is no stranger anywhere."""
    Parameters(query, "/x").refuse_unknown()


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/_plugins/_ml/nope?pretty", "/_plugins/_ml/nope"),
        ("//_plugins/_ml/tasks/t1", "/_ml/tasks/t1"),
        ("/a%20b+c;d?e#f", "/a b+c;d"),
        ("/a|b", None),
        ("/a?b={", None),
    ],
)
def test_a_path_as_java_sees_it(target: str, path: str | None) -> None:
    """A leading `//` names a host, and some characters make it no URI at all."""
    assert java_path(target) == path


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        (None, None),
        ("application/json; charset=UTF-8", MediaType.JSON),
        ("Application/JSON ; x", MediaType.JSON),
        ("application/*", MediaType.JSON),
        ("application/x-ndjson", MediaType.JSON),
        ("application/vnd.opensearch+yaml;compatible-with=7", MediaType.YAML),
        ("application/ json", None),
        ("text/plain", None),
        ("*/*", None),
    ],
)
def test_content_types(header: str | None, kind: MediaType | None) -> None:
    """A type that cannot be read is told from one that is none."""
    assert of_content_type(header) is kind


@pytest.mark.parametrize("header", ["nonsense", "", ";", "json", "application/json/x", "application/json, text/plain"])
def test_what_is_no_content_type(header: str) -> None:
    """It takes one slash and a word on either side."""
    with pytest.raises(IllegalArgument, match="Content-Type header"):
        of_content_type(header)


@pytest.mark.parametrize(
    ("format_parameter", "accept", "body", "kind"),
    [
        (None, None, None, MediaType.JSON),
        (None, None, MediaType.YAML, MediaType.YAML),
        (None, "application/cbor", MediaType.YAML, MediaType.CBOR),
        ("YAML", "application/cbor", None, MediaType.YAML),
        ("application/yaml", "application/smile", None, MediaType.SMILE),
        ("nope", "application/yaml, application/json", None, MediaType.JSON),
    ],
)
def test_the_format_of_a_reply(
    format_parameter: str | None, accept: str | None, body: MediaType | None, kind: MediaType
) -> None:
    """The parameter comes before the header, and the header before the body."""
    assert of_reply(format_parameter, accept, body) is kind


def test_a_yaml_body() -> None:
    """Typed as Jackson does: `yes` and dates are texts, keys too."""
    payload = b"a: 0x10\nb: yes\nc: True\nd: ~\ne: 2020-01-01\n1: [1.5, {x: y}]\n"

    body = json.loads(json_of(payload, MediaType.YAML) or b"")

    assert body == {"a": 16, "b": "yes", "c": True, "d": None, "e": "2020-01-01", "1": [1.5, {"x": "y"}]}


@pytest.mark.parametrize(
    ("payload", "kind", "error_type"),
    [
        (b"a: 1\na: 2", MediaType.YAML, "json_parse_exception"),
        (b"a: [1", MediaType.YAML, "marked_y_a_m_l_exception"),
        (b"\x00", MediaType.YAML, "marked_y_a_m_l_exception"),
        (b"\xa1\x61a", MediaType.CBOR, "json_parse_exception"),
    ],
)
def test_broken_bodies(payload: bytes, kind: MediaType, error_type: str) -> None:
    """What is not what it says is a mistake of the caller's."""
    with pytest.raises(JsonParseError) as caught:
        json_of(payload, kind)

    assert (caught.value.status, caught.value.type) == (400, error_type)


def test_a_cbor_body() -> None:
    """Bytes become base64, as JSON has none."""
    assert json_of(b"\xa2\x61a\x01\x61b\x41x", MediaType.CBOR) == b'{"a":1,"b":"eA=="}'


def test_smile_is_not_read() -> None:
    """There is no reader for it."""
    assert json_of(b":)\n\x05", MediaType.SMILE) is None
