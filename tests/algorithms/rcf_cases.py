"""Data sets for the random cut forests and the summary that is named after them; the forests' anomalies are planted.

The plugin's forests are another on each call: a data set is recorded as often as `RUNS` says. `_train_predict` scores
each row by those before it, a model all of them by all.
"""

from __future__ import annotations

import math
from random import Random

from tests.algorithms.plugin_results import Case, Columns

RUNS = 2
#: Rows that are far from all others, by the name of the data set.
PLANTED: dict[str, list[int]] = {}
#: The cluster that each row was drawn from.
CLUSTERS: dict[str, list[int]] = {}
_NAMES = "abcd"


def _planted(name: str, rows: int, random: Random, apart: int = 40) -> list[int]:
    """Choose rows of the second half that are `apart` from each other."""
    PLANTED[name] = sorted(random.sample(range(rows // 2, rows - 20, apart), 3))
    return PLANTED[name]


def _levels(name: str, rows: int, columns: int, seed: int) -> Columns:
    """Return readings that keep to a few levels, with a few that are on none."""
    random = Random(seed)
    planted = _planted(name, rows, random)
    levels = [[float(random.randrange(10, 20)) for _ in range(columns)] for _ in range(4)]
    data = [random.choice(levels) for _ in range(rows)]
    for row in planted:
        data[row] = [x + random.randrange(60, 70) for x in data[row]]
    return dict(zip(_NAMES, map(list, zip(*data, strict=True)), strict=False))


def _noise(name: str, rows: int, columns: int, seed: int) -> Columns:
    random = Random(seed)
    planted = _planted(name, rows, random)
    data = [
        [round(random.gauss(0, 1), 4) + (12.0 if row in planted else 0.0) for _ in range(columns)]
        for row in range(rows)
    ]
    return dict(zip(_NAMES, map(list, zip(*data, strict=True)), strict=False))


def _waves(name: str, rows: int, columns: int, seed: int, loud: float = 0.5, *, time: str = "timestamp") -> Columns:
    """Return waves of other lengths with a few spikes, a row a minute."""
    random = Random(seed)
    planted = _planted(name, rows, random)
    waves = {
        _NAMES[i]: [
            round(10 * math.sin(2 * math.pi * row / (24 + 7 * i)) + random.gauss(0, loud), 4)
            + (40.0 if row in planted else 0.0)
            for row in range(rows)
        ]
        for i in range(columns)
    }
    return {time: [1_600_000_000_000 + 60_000 * row for row in range(rows)], **waves}


def _clusters(name: str, rows: int, columns: int, count: int, seed: int) -> Columns:
    random = Random(seed)
    places = random.sample(range(3 * count), count)
    CLUSTERS[name] = [random.randrange(count) for _ in range(rows)]
    return {
        _NAMES[i]: [round(10.0 * places[cluster] + random.gauss(0, 0.5), 4) for cluster in CLUSTERS[name]]
        for i in range(columns)
    }


_BATCH = {
    "batch, 1 column": (_levels("batch, 1 column", 300, 1, 1), None),
    "batch, 2 columns": (_levels("batch, 2 columns", 600, 2, 2), None),
    "batch, 3 columns": (_levels("batch, 3 columns", 1000, 3, 3), {"number_of_trees": 50, "output_after": 100}),
    "batch, 4 columns": (_levels("batch, 4 columns", 3000, 4, 4), {"sample_size": 128}),
}
#: Whether their ordinary rows are flagged is much by chance.
_NOISE = {"noise": (_noise("noise", 1000, 2, 5), None)}
_THRESHOLD = {"a higher threshold": (_noise("a higher threshold", 1000, 3, 6), {"anomaly_score_threshold": 1.5})}
_FIT = {
    "fit, 1 column": (_waves("fit, 1 column", 600, 1, 30), None),
    "fit, 2 columns": (_waves("fit, 2 columns", 1000, 2, 12), None),
    "fit, 3 columns": (_waves("fit, 3 columns", 2000, 3, 13, 2.0), {"anomaly_rate": 0.01}),
    "fit, 4 columns": (_waves("fit, 4 columns", 3000, 4, 14), None),
    "fit, no shingles": (_waves("fit, no shingles", 300, 4, 15), {"shingle_size": 1, "time_decay": 0.001}),
}
_FIELD = {
    "fit, another field": (
        _waves("fit, another field", 1000, 1, 16, time="t"),
        {"shingle_size": 4, "number_of_trees": 60, "sample_size": 128, "output_after": 64, "time_field": "t"},
    ),
}
_SUMMARIES = {
    "summary, few rows": (_clusters("summary, few rows", 60, 2, 2, 21), None),
    "summary, each row a centre": (_clusters("summary, each row a centre", 90, 2, 3, 22), None),
    "summary, 300 rows": (_clusters("summary, 300 rows", 300, 2, 3, 23), {}),
    "summary, many centres": (_clusters("summary, many centres", 1000, 3, 4, 24), {"max_k": 8, "initial_k": 30}),
    "summary, L1": (_clusters("summary, L1", 1500, 2, 5, 25), {"max_k": 10, "distance_type": "L1"}),
    "summary, a sample of the rows": (_clusters("summary, a sample of the rows", 5200, 1, 3, 26), {"max_k": 6}),
}


def _runs(
    algorithm: str,
    sets: dict[str, tuple[Columns, dict[str, object] | None]],
    runs: int,
    ways: tuple[bool, ...] = (False, True),
) -> list[Case]:
    return [
        Case(f"{name}{'; together' * together} #{run}", algorithm, parameters, columns, together=together)
        for name, (columns, parameters) in sets.items()
        for together in ways
        for run in range(1, runs + 1)
    ]


NOISE = _runs("BATCH_RCF", _NOISE, 4)
FORESTS = [
    *_runs("BATCH_RCF", _BATCH, RUNS),
    *_runs("BATCH_RCF", _THRESHOLD, RUNS, (True,)),
    *_runs("FIT_RCF", _FIT, RUNS),
    *_runs("FIT_RCF", _FIELD, RUNS, (True,)),
]
SUMMARIES = _runs("RCF_SUMMARIZE", _SUMMARIES, 1)
CASES = [*FORESTS, *NOISE, *SUMMARIES]
