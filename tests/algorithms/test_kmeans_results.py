"""KMEANS beside the plugin: whenever all groups are found, they are the same rows."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from .kmeans_cases import CENTERS, groups
from .plugin_results import Case, cases, columns_of, ours, recorded

CASES = cases("kmeans")
SEEDS = range(12)


def relabelled(labels: Sequence[int]) -> list[int]:
    """Return labels numbered by their first row."""
    numbers: dict[int, int] = {}
    return [numbers.setdefault(label, len(numbers)) for label in labels]


def scatter(case: Case, labels: Sequence[int]) -> float:
    """Return the sum of squares around the means of the clusters, which is least when all groups are found."""
    points = list(zip(*case.columns.values(), strict=True))
    total = 0.0
    for cluster in set(labels):
        own = [point for point, label in zip(points, labels, strict=True) if label == cluster]
        means = [sum(values) / len(own) for values in zip(*own, strict=True)]
        total += sum((value - mean) ** 2 for point in own for value, mean in zip(point, means, strict=True))
    return total


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("distance", CENTERS)
def test_groups_are_those_of_the_plugin(distance: str, together: bool) -> None:
    """The best of several starts, there and here, has every row in the same group; half of ours are as good."""
    runs = [case for case in CASES if case.name.startswith(distance) and case.together is together]
    theirs = [recorded("kmeans", case.name) for case in runs]
    predictions = [ours(runs[0], seed=seed) for seed in SEEDS]
    for prediction in predictions:
        assert {meta.name: meta.column_type for meta in prediction.columns} == theirs[0]["types"]  # type: ignore[union-attr]
    there = [answer["columns"]["ClusterID"] for answer in theirs]
    here = [columns_of(prediction)["ClusterID"] for prediction in predictions]
    best = relabelled(min(there, key=lambda labels: scatter(runs[0], labels)))
    assert relabelled(min(here, key=lambda labels: scatter(runs[0], labels))) == best == groups()
    assert sum(relabelled(labels) == best for labels in here) >= len(SEEDS) // 2
