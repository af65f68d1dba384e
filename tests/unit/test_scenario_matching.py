"""Which tasks a scenario is for, in what others differ, and which of them comes closest."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mlcommons_tasks.emulation.matching import Created, Difference, Wish, closest, differences, unmet
from mlcommons_tasks.emulation.steps import Match

TRAINING = Created("TRAINING", "KMEANS", ("iris-1", "flowers"), opaque_id="ci-7")
DEPLOY = Created("DEPLOY_MODEL", "TEXT_EMBEDDING", model_id="m1")


@pytest.mark.parametrize(
    ("wanted", "created", "fields"),
    [
        ({}, TRAINING, []),
        ({}, DEPLOY, []),
        ({"task_type": "TRAINING", "function_name": "KMEANS"}, TRAINING, []),
        ({"task_type": "TRAINING"}, DEPLOY, ["task_type"]),
        ({"function_name": "LINEAR_REGRESSION"}, TRAINING, ["function_name"]),
        ({"index": "iris*"}, TRAINING, []),
        ({"index": "flowers"}, TRAINING, []),
        ({"index": "iris"}, TRAINING, ["index"]),
        ({"index": "*"}, DEPLOY, ["index"]),
        ({"model": "m1"}, DEPLOY, []),
        ({"model": "m*"}, DEPLOY, ["model"]),
        ({"model": "m1"}, TRAINING, ["model"]),
        ({"opaque_id": "ci-*"}, TRAINING, []),
        ({"opaque_id": "*"}, DEPLOY, ["opaque_id"]),
        ({"task_type": "DEPLOY_MODEL", "index": "x", "opaque_id": "y"}, TRAINING, ["task_type", "index", "opaque_id"]),
    ],
)
def test_a_match_names_the_fields_that_differ(wanted: dict[str, Any], created: Created, fields: list[str]) -> None:
    """All that is wanted has to be so; only index and X-Opaque-Id are patterns."""
    assert [it.field for it in differences(msgspec.convert(wanted, Match), created)] == fields


def test_a_difference_says_what_was_wanted_and_what_was_there() -> None:
    """Of several values all are named, and None where there is nothing."""
    match = Match(index="logs-*", model="m1")

    assert differences(match, TRAINING) == [
        Difference("index", "logs-*", "iris-1,flowers"),
        Difference("model", "m1", None),
    ]


def test_a_wish_for_nothing_is_met_by_anything() -> None:
    """A field that nobody asks about makes no difference."""
    assert unmet([Wish("path", None, ("/x",)), Wish("method", None, (None,))]) == []


def test_the_closest_has_the_fewest_differences_and_is_the_latest_of_those() -> None:
    """Of several requests the one is shown that its sender most likely meant."""
    match = msgspec.convert({"task_type": "TRAINING", "function_name": "KMEANS", "index": "a"}, Match)
    near = Created("TRAINING", "KMEANS", ("b",))
    nearer_again = Created("TRAINING", "KMEANS", ("c",))

    found = closest([DEPLOY, near, nearer_again, DEPLOY], lambda created: differences(match, created))

    assert found == (nearer_again, [Difference("index", "a", "c")])


def test_of_nothing_nothing_is_closest() -> None:
    """A scenario that no request was compared with has no closest one."""
    assert closest([], lambda created: differences(Match(), created)) is None
