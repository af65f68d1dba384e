"""`?filter_path=` on a small body; each expectation was asked of OpenSearch 3.6.0."""

from __future__ import annotations

from typing import Any

import pytest

from mlcommons_tasks.errors import IllegalArgument
from mlcommons_tasks.wire.filter_path import filtered

BODY: dict[str, Any] = {
    "state": "COMPLETED",
    "worker_node": ["n1", "n2"],
    "user": {"name": "admin", "roles": [], "more": {"name": "x", "a.b": 1}},
    "hits": [{"_id": "1", "n": {"v": 1}}, {"_id": "2"}],
    "name": None,
}


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        ("state", {"state": "COMPLETED"}),
        ("nope", {}),
        ("st*e", {"state": "COMPLETED"}),
        ("worker_node", {"worker_node": ["n1", "n2"]}),
        ("worker_node.*", {}),
        ("user.name", {"user": {"name": "admin"}}),
        ("user.roles", {"user": {"roles": []}}),
        ("*.name", {"user": {"name": "admin"}}),
        ("**.name", {"user": {"name": "admin", "more": {"name": "x"}}}),
        ("hits.n.v", {"hits": [{"n": {"v": 1}}]}),
        ("hits._id", {"hits": [{"_id": "1"}, {"_id": "2"}]}),
        ("user.more.a\\.b", {"user": {"more": {"a.b": 1}}}),
        ("user,-user.more,-user.roles", {"user": {"name": "admin"}}),
        ("st*,-state", {}),
        ("-*", {}),
        (" state , name ", {"state": "COMPLETED", "name": None}),
        ("", BODY),
        (None, BODY),
    ],
)
def test_what_is_left(wanted: str | None, left: Any) -> None:
    """Only what is wanted and what leads there is left."""
    assert filtered(BODY, wanted) == left


def test_what_is_excluded_goes_and_the_rest_stays() -> None:
    """An object loses a member and keeps the others, empty lists among them."""
    kept = filtered(BODY, "-user.name,-hits._id,-worker_node.x")

    assert kept["user"] == {"roles": [], "more": {"name": "x", "a.b": 1}}
    assert kept["hits"] == [{"n": {"v": 1}}]
    assert kept["worker_node"] == ["n1", "n2"]


def test_a_dot_at_the_end_says_nothing() -> None:
    """`user.` is `user`."""
    assert filtered(BODY, "user.") == {"user": BODY["user"]}


def test_a_minus_needs_a_name() -> None:
    """OpenSearch refuses a filter that excludes nothing."""
    with pytest.raises(IllegalArgument, match="filters cannot be null or empty"):
        filtered(BODY, "-")
