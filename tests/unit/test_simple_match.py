"""Lists and wildcards in parameters; each expectation was asked of OpenSearch 3.6.0 with `actions=`."""

from __future__ import annotations

import pytest

from mlcommons_tasks.wire.simple_match import comma_list, simple_match

ACTION = "indices:data/write/reindex"


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("indices:data/write/reindex", True),
        ("*", True),
        ("**", True),
        ("*reindex", True),
        ("indices*", True),
        ("indices*write*x", True),
        ("indices**x", True),
        ("*data/write*", True),
        ("indices:data/write/reindex*", True),
        ("*REINDEX", False),
        (" *reindex", False),
        ("indices:data", False),
        ("reindex", False),
        ("", False),
        ("indices.data/write/reinde.", False),
        ("*x*x*x", False),
    ],
)
def test_a_pattern_matches_the_whole_text(pattern: str, expected: bool) -> None:
    """A star is any text, an empty one too; everything else is itself, in its case, with its spaces."""
    assert simple_match(pattern, ACTION) is expected


def test_a_star_reaches_over_line_feeds() -> None:
    """What a star stands for may hold line feeds."""
    assert simple_match("a*c", "a\nb\nc")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (None, ()),
        ("", ()),
        (",", ()),
        ("a", ("a",)),
        ("a,b", ("a", "b")),
        ("a,,", ("a",)),
        (",a", ("", "a")),
        ("a,,b", ("a", "", "b")),
        ("a, b", ("a", " b")),
    ],
)
def test_a_list_is_what_stands_between_commas(text: str | None, parts: tuple[str, ...]) -> None:
    """Empty parts count unless they are last, and spaces stay: Java's split."""
    assert comma_list(text) == parts
