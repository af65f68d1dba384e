"""Model documents that somebody else wrote: whatever a content says, a prediction is an answer or a plain error."""

from __future__ import annotations

import base64
import copy
import functools
import json
import math
import random
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from mlcommons_tasks.data_frame import DataFrame
from mlcommons_tasks.errors import IllegalArgument, ServerError
from mlcommons_tasks.pipeline.algorithms import get_algorithm
from tests.algorithms.plugin_results import Columns, frame_of

EACH = 250
_CHANCE = random.Random(1)
_NUMBERS: Columns = {name: [round(_CHANCE.gauss(0, 1), 2) for _ in range(60)] for name in "ab"}
_TIMES: Columns = {"timestamp": [60_000 * row for row in range(60)]}
_WORDS: Columns = {"kind": [("red", "green", "blue")[row % 3] for row in range(60)]}
#: What each algorithm is trained with, and what its models are asked.
TRAINED: dict[str, tuple[dict[str, Any] | None, Columns, Columns]] = {
    "KMEANS": ({"centroids": 3}, _NUMBERS, _NUMBERS),
    "LINEAR_REGRESSION": ({"target": "a", "epochs": 2}, _NUMBERS, _NUMBERS),
    "LOGISTIC_REGRESSION": ({"target": "kind"}, {**_NUMBERS, **_WORDS}, _NUMBERS),
    "AD_LIBSVM": ({"kernel": "POLY"}, _NUMBERS, _NUMBERS),
    "BATCH_RCF": ({"output_after": 8, "sample_size": 16, "number_of_trees": 5}, _NUMBERS, _NUMBERS),
    "FIT_RCF": (
        {"output_after": 8, "sample_size": 16, "number_of_trees": 5, "shingle_size": 2},
        {**_TIMES, **_NUMBERS},
        {**_TIMES, **_NUMBERS},
    ),
    "RCF_SUMMARIZE": ({}, _NUMBERS, _NUMBERS),
    "SAMPLE_ALGO": ({}, _NUMBERS, _NUMBERS),
}
ODD: tuple[Any, ...] = (
    *(None, True, False, "", "NaN", "Infinity", "-Infinity", "a", "\ud800", [], {}, [[]], [1], {"a": 1}),
    *(0, 1, -1, 2, 3, 255, 2**31 - 1, 2**31, -(2**31), 2**53 + 1, 2**63, -(2**63), 10**299, -(10**299), 2**1022),
    *(2**1024, 10**4000, 0.5, -0.5, 1e-320, 1e-40, 1e38, 3.4e38, 1e154, 1e299, -1e299, 1e308, -1e308),
    *(math.nan, math.inf, -math.inf, -0.0),
)


@functools.cache
def trained(algorithm: str) -> tuple[Any, DataFrame]:
    """Return the JSON of a good model, and rows to predict."""
    parameters, columns, asked = TRAINED[algorithm]
    content = get_algorithm(algorithm).train(frame_of(columns), parameters, seed=1)
    return json.loads(content), frame_of(asked)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to each value of a JSON document."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def changed(body: Any, chance: random.Random) -> bytes:
    """Return a document with one to three odd values, missing ones, more of the same or broken bytes."""
    found = {"": copy.deepcopy(body)}
    names = list(body)
    for _ in range(chance.choice((1, 1, 2, 3))):
        start = chance.choice(names)
        ways = list(places(found[""].get(start))) if isinstance(found[""], dict) else [()]
        path = ("", start, *chance.choice(ways))
        holder: Any = found
        for key in path[:-1]:
            holder = holder[key]
        if isinstance(holder, dict) and path[-1] not in holder:
            continue
        what = chance.random()
        if what < 0.15:
            del holder[path[-1]]
        elif what < 0.25 and isinstance(holder[path[-1]], list):
            holder[path[-1]] = holder[path[-1]] * chance.choice((2, 3))
        elif what < 0.35 and isinstance(holder[path[-1]], str):
            raw = np.array(chance.choices((1e38, -3e38, 0.0, 1e-45, math.inf, 7.0), k=60), dtype="<f4").tobytes()
            holder[path[-1]] = base64.b64encode(raw[: chance.choice((0, 4, 6, 8, 40, 240))]).decode()
        else:
            holder[path[-1]] = chance.choice(ODD)
        if "" not in found:
            return b""
    content = json.dumps(found[""]).encode()
    if chance.random() < 0.05:
        place = chance.randrange(len(content))
        content = content[:place] + bytes([chance.randrange(256)]) + content[place + 1 :]
    return content


@pytest.mark.parametrize("algorithm", TRAINED)
def test_a_changed_model_is_never_more_than_an_error(algorithm: str) -> None:
    """Each of many changed documents predicts, or is refused in words that are ours or the plugin's."""
    body, frame = trained(algorithm)
    chance = random.Random(algorithm)
    parameters: dict[str, Any] | None = {} if algorithm == "SAMPLE_ALGO" else None
    outcomes: set[str] = set()
    for _ in range(EACH):
        content = changed(body, chance)
        try:
            prediction = get_algorithm(algorithm).predict(content, frame, parameters)
        except (IllegalArgument, ServerError):
            outcomes.add("refused")
        except BaseException as error:
            raise AssertionError(f"{type(error).__name__}: {error}: {content[:3000]!r}") from error
        else:
            outcomes.add("predicted")
            assert isinstance(prediction, dict) or prediction.size == frame.size
    assert outcomes == ({"predicted"} if algorithm == "SAMPLE_ALGO" else {"predicted", "refused"})


def model_of(algorithm: str, **changes: Any) -> bytes:
    return json.dumps({**trained(algorithm)[0], **changes}).encode()


@pytest.mark.parametrize("algorithm", ["KMEANS", "LINEAR_REGRESSION", "LOGISTIC_REGRESSION", "AD_LIBSVM"])
def test_a_model_of_many_features_takes_little_memory(algorithm: str) -> None:
    """A matrix of all rows and all features would be 1.6 GB; it is never there as a whole."""
    names = ["b", *(f"f{i}" for i in range(4_999))]
    zeros = [0.0] * len(names)
    content = {
        "KMEANS": model_of("KMEANS", features=names, centroids=[zeros]),
        "LINEAR_REGRESSION": model_of("LINEAR_REGRESSION", features=names, weights=[[*zeros, 1.0]]),
        "LOGISTIC_REGRESSION": model_of("LOGISTIC_REGRESSION", features=names, weights=[[*zeros, 1.0]] * 3),
        "AD_LIBSVM": model_of(
            "AD_LIBSVM", features=names, support_vectors=[zeros], coefficients=[1.0], kernel="LINEAR"
        ),
    }[algorithm]
    tracemalloc.start()
    try:
        prediction = get_algorithm(algorithm).predict(content, frame_of({"b": [float(row) for row in range(40_000)]}))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(prediction, DataFrame)
    assert prediction.size == 40_000
    assert peak < 400e6


def test_a_forest_of_many_columns_makes_no_room_for_rows_that_are_not_there() -> None:
    """A thousand of them would be more than there is of memory."""
    content = model_of(
        "FIT_RCF", columns=20_000_000, shingle_size=1, number_of_trees=1, sample_size=2, output_after=1, rows=""
    )
    changed_state = json.loads(content)
    changed_state["thresholder"]["last"] = None
    tracemalloc.start()
    try:
        with pytest.raises((IllegalArgument, ServerError)):
            get_algorithm("FIT_RCF").predict(json.dumps(changed_state).encode(), trained("FIT_RCF")[1])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2e9
