"""Three well-parted groups for KMEANS, several times: its random start does not always find all of them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from .plugin_results import Case

#: Three places, for COSINE three directions.
CENTERS: Mapping[str, Sequence[tuple[float, float]]] = {
    "EUCLIDEAN": [(0, 0), (10, 0), (5, 9)],
    "L1": [(0, 0), (10, 0), (5, 9)],
    "COSINE": [(10, 0.5), (6, 6), (0.5, 10)],
}
RUNS = 6
_EACH = 30


def rows(distance: str) -> dict[str, list[float]]:
    """Return 30 rows around each center, one group after the other."""
    chance = random.Random(5)
    points = [(x + chance.gauss(0, 0.4), y + chance.gauss(0, 0.4)) for x, y in CENTERS[distance] for _ in range(_EACH)]
    return {"x": [round(x, 3) for x, _ in points], "y": [round(y, 3) for _, y in points]}


def groups() -> list[int]:
    """Return the group of each row."""
    return [group for group in range(3) for _ in range(_EACH)]


CASES = [
    Case(
        f"{distance}{', both' if together else ''}, {run}",
        "KMEANS",
        {"centroids": 3, "iterations": 30, "distance_type": distance},
        rows(distance),
        together=together,
    )
    for distance in CENTERS
    for together in (False, True)
    for run in range(RUNS)
]
