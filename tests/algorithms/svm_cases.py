"""Rows with planted outliers for AD_LIBSVM: every kernel, with its defaults and with all that it looks at."""

from __future__ import annotations

import random
from typing import Any

from .plugin_results import Case

KERNELS = ("LINEAR", "POLY", "RBF", "SIGMOID")
SETTINGS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "wide": {"nu": 0.05, "gamma": 0.3},
    "turned": {"nu": 0.4, "coeff": 1.5, "degree": 2, "cost": 3.0, "epsilon": 0.5},
    "few outside": {"nu": 0.013, "gamma": 2.5},
}
PLANTED = 6
#: After ten million rounds, many seconds, libsvm gives this up; what it has then was equal, too.
ENDLESS = ("POLY", "few outside", "5 columns")


def _rows(width: int, count: int, seed: int) -> dict[str, list[float]]:
    chance = random.Random(seed)
    spreads = [1.0] * count + [9.0] * PLANTED
    return {f"f{i}": [round(chance.gauss(0, spread), 4) for spread in spreads] for i in range(width)}


FLAT, DEEP = _rows(2, 60, 3), _rows(5, 300, 4)
#: New rows, among them the origin and one far out.
NEW = {"f1": [0.0, 0.5, -3.0, 40.0], "f0": [0.0, -0.7, 2.0, 40.0]}

CASES = [
    *(
        Case(f"{kernel}, {name}, {width}", "AD_LIBSVM", {"kernel": kernel, **settings}, rows)
        for kernel in KERNELS
        for name, settings in SETTINGS.items()
        for width, rows in (("2 columns", FLAT), ("5 columns", DEEP))
        if (kernel, name, width) != ENDLESS
    ),
    Case("no parameters, new rows", "AD_LIBSVM", None, FLAT, NEW),
    Case("all outside", "AD_LIBSVM", {"nu": 1.0}, FLAT),
    Case("a flat kernel", "AD_LIBSVM", {"kernel": "POLY", "degree": 0}, FLAT),
    Case("one row", "AD_LIBSVM", {"nu": 0.5}, {"a": [1.0]}, {"a": [1.0, 2.0]}),
    Case("one row many times", "AD_LIBSVM", {}, {"a": [1.0] * 30}, {"a": [1.0, 2.0]}),
]
