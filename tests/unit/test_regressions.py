"""Both regressions and SAMPLE_ALGO: order of examples, targets, bounds, stopping, and content that is safe to load.

That the numbers are the plugin's is held by `tests/algorithms/test_linear_results.py`.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from mlcommons_tasks.cancellation import Cancelled
from mlcommons_tasks.data_frame import ColumnMeta, ColumnType, DataFrame, FrameBuilder
from mlcommons_tasks.errors import IllegalArgument, ServerError
from mlcommons_tasks.pipeline.algorithms import (
    gradient_descent,
    linear_regression,
    logistic_regression,
    sample_algo,
)
from mlcommons_tasks.pipeline.algorithms.splittable_random import SplittableRandom
from tests.algorithms.plugin_results import columns_of, frame_of
from tests.unit.no_models import NO_OBJECTS

LINE: dict[str, list[Any]] = {"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, 3.0, 5.0, 7.0]}
WORDS: dict[str, list[Any]] = {"x": [-2.0, -1.0, 1.0, 2.0], "word": ["low", "low", "high", "high"]}
OPTIMISERS = ("SIMPLE_SGD", "LINEAR_DECAY_SGD", "SQRT_DECAY_SGD", "ADA_GRAD", "ADA_DELTA", "ADAM", "RMS_PROP")
REGRESSIONS: list[tuple[Any, Any, str]] = [(linear_regression, LINE, "y"), (logistic_regression, WORDS, "word")]


def rows_of(*rows: tuple[Any, ...], names: str = "abc") -> DataFrame:
    """Return rows that may be unlike, with a column for each letter."""
    kinds = {float: ColumnType.DOUBLE, str: ColumnType.STRING, bool: ColumnType.BOOLEAN}
    builder = FrameBuilder()
    for row in rows:
        builder.add(tuple(kinds[type(value)] for value in row), row)
    return builder.build([ColumnMeta(None if name == "_" else name, ColumnType.DOUBLE) for name in names])


def test_the_order_of_examples_is_javas() -> None:
    """A shuffle's swaps are those of OpenJDK 25 for the same seed."""
    assert SplittableRandom(12345).split().swaps(20) == [3, 10, 12, 0, 7, 9, 2, 12, 5, 6, 4, 6, 2, 3, 2, 0, 3, 1, 0]
    assert SplittableRandom(1).swaps(1) == SplittableRandom(1).swaps(0) == []


@pytest.mark.parametrize(
    ("seed", "folded"),
    [(12345, -3091323874088749406), (-77, 8223830567681067560), (-(2**63), 3232191421943267991)],
)
def test_numbers_that_java_throws_away(seed: int, folded: int) -> None:
    """Three shuffles of 300,000, in which some numbers are drawn again, fold to what OpenJDK 25 folds them to."""
    random, found = SplittableRandom(seed).split(), 0
    for _ in range(3):
        for swap in random.swaps(300_000):
            found = (found * 31 + swap) & (2**64 - 1)
    assert (found - 2**64 if found >= 2**63 else found) == folded


def test_a_line_is_learnt() -> None:
    """With a descent that settles, coefficient and bias are those of the line."""
    content = linear_regression.train(frame_of(LINE), {"target": "y", "optimiser": "SIMPLE_SGD", "learning_rate": 0.1})
    assert linear_regression.load(content).weights.tolist() == [pytest.approx([2.0, 1.0])]
    prediction = linear_regression.predict(content, frame_of({"x": [10.0]}))
    assert prediction.columns == (ColumnMeta("y", ColumnType.DOUBLE),)
    assert columns_of(prediction) == {"y": [pytest.approx(21.0)]}


def test_words_are_learnt() -> None:
    """Rows get the word of their side."""
    content = logistic_regression.train(frame_of(WORDS), {"target": "word", "epochs": 50})
    prediction = logistic_regression.predict(content, frame_of({"x": [-9.0, 9.0]}))
    assert prediction.columns == (ColumnMeta("result", ColumnType.STRING),)
    assert columns_of(prediction) == {"result": ["low", "high"]}


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_floats_and_arrays_descend_alike(optimiser: str, batch_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few weights are floats and many an array; both give the same bits."""
    chance = np.random.default_rng(1)
    table = {name: chance.normal(size=20).tolist() for name in ("a", "b", "y")}
    parameters = {"target": "y", "optimiser": optimiser, "batch_size": batch_size, "epochs": 5, "momentum_factor": 0.5}
    content = linear_regression.train(frame_of(table), parameters)
    monkeypatch.setattr(gradient_descent, "_FEW_WEIGHTS", 0)
    assert linear_regression.train(frame_of(table), parameters) == content


def test_a_division_by_zero_is_no_failure() -> None:
    """Where floats raise and Java has NaN, the model is one of NaN, and can be loaded."""
    content = linear_regression.train(frame_of(LINE), {"target": "y", "epsilon": 0.0})
    assert math.isnan(linear_regression.load(content).weights[0, 0])
    assert json.loads(content)["weights"][0][0] == "NaN"


@pytest.mark.parametrize(("module", "table", "target"), REGRESSIONS)
def test_parameters_out_of_bounds(module: Any, table: Any, target: str) -> None:
    """They give the plugin's odd sentence, in predictions as well; an empty frame its own before that."""
    bad = {"target": target, "epochs": -1}
    content = module.train(frame_of(table), {"target": target})
    with pytest.raises(IllegalArgument, match=rf"^Unsupported algorithm: {module.NAME}$"):
        module.train(frame_of(table), bad)
    with pytest.raises(IllegalArgument, match=rf"^Unsupported algorithm: {module.NAME}$"):
        module.predict(content, frame_of(table), bad)
    with pytest.raises(IllegalArgument, match=r"^Input data frame should not be null or empty$"):
        module.train(rows_of(), bad)


@pytest.mark.parametrize(("module", "table", "target"), REGRESSIONS)
def test_cancelled_is_looked_at_every_epoch(module: Any, table: Any, target: str) -> None:
    """A training that is told to stop leaves no model, and says before how far it is."""
    answers = iter([False, False, True])
    told: list[tuple[int, int]] = []
    with pytest.raises(Cancelled):
        module.train(
            frame_of(table),
            {"target": target, "epochs": 9},
            cancelled=lambda: next(answers),
            progress=lambda *numbers: told.append(numbers),
        )
    assert told == [(1, 9), (2, 9), (3, 9)]


def test_cancelled_is_looked_at_within_a_long_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """One epoch of many rows is stopped on its way."""
    monkeypatch.setattr(gradient_descent, "_WORK", 20)
    asked: list[bool] = []

    def never() -> bool:
        asked.append(True)
        return False

    rows = frame_of({"x": [1.0] * 50, "y": [2.0] * 50})
    linear_regression.train(rows, {"target": "y", "epochs": 1}, cancelled=never)
    assert len(asked) == 5


@pytest.mark.parametrize(
    ("module", "frame", "kind", "reason"),
    [
        (linear_regression, rows_of((1.0, 2.0)), ServerError, "Index 2 out of bounds for length 2"),
        (linear_regression, rows_of((1.0, 2.0, "x")), ServerError, "the value isn't Double type"),
        (linear_regression, rows_of((1.0, 2.0), names="ab"), IllegalArgument, "No matched target"),
        (linear_regression, rows_of((1.0, 2.0), names="_c"), ServerError, r'Tuple\.v1\(\)\[i\]" is null'),
        (logistic_regression, rows_of((1.0, "x", "y")), ServerError, "the value isn't Double type"),
        (logistic_regression, rows_of((1.0, 2.0)), IllegalArgument, "out of scope, index:2; row size:2"),
        (logistic_regression, rows_of((1.0,)), IllegalArgument, "out of scope, index:1; row size:1"),
        (logistic_regression, rows_of((1.0, 2.0, 3.0)), ServerError, "the value isn't String type"),
        (logistic_regression, rows_of(("x", 2.0), names="_c"), ServerError, r'List\.get\(int\)" is null'),
    ],
)
def test_frames_without_a_fit_target(module: Any, frame: DataFrame, kind: type[Exception], reason: str) -> None:
    """What is wrong first is said in the plugin's words."""
    with pytest.raises(kind, match=reason):
        module.train(frame, {"target": "c"})


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Predicting in pieces of a few scores gives the same words; what would exhaust the plugin's heap fails."""
    content = logistic_regression.train(frame_of(WORDS), {"target": "word"})
    whole = logistic_regression.predict(content, frame_of({"x": WORDS["x"]}))
    monkeypatch.setattr(logistic_regression, "_CHUNK_CELLS", 2)
    assert logistic_regression.predict(content, frame_of({"x": WORDS["x"]})) == whole
    monkeypatch.setattr(gradient_descent, "_MAX_WEIGHTS", 3)
    with pytest.raises(ServerError, match="Java heap space"):
        logistic_regression.train(frame_of(WORDS), {"target": "word"})


def test_cells_beyond_the_columns() -> None:
    """LOGISTIC_REGRESSION does not look at them."""
    content = logistic_regression.train(rows_of((1.0, 2.0, "u", True), (2.0, 1.0, "v")), {"target": "c"})
    assert set(logistic_regression.load(content).outputs) == {"u", "v"}


def test_a_new_word_goes_before_an_old_one_of_its_bucket() -> None:
    """Between equal scores the order of Java's map decides, into which computeIfAbsent puts the newest first."""
    table: dict[str, list[Any]] = {"x": [1.0, 2.0], "word": ["zeta", ""]}
    content = logistic_regression.train(frame_of(table), {"target": "word", "epochs": 0})
    assert logistic_regression.load(content).outputs == ("", "zeta")


def model(**changes: Any) -> bytes:
    body = {
        "algorithm": "LINEAR_REGRESSION",
        "version": 1,
        "features": ["a"],
        "outputs": ["y"],
        "objective": "HUBER",
        "weights": [[1.0, 2.0]],
    }
    return json.dumps(body | changes).encode()


@pytest.mark.parametrize(
    "content",
    [
        *NO_OBJECTS,
        model(algorithm="LOGISTIC_REGRESSION"),
        model(version=2),
        model(features=[]),
        model(features=[1]),
        model(outputs=["y", "z"]),
        model(outputs=["y", "z"], weights=[[1.0, 2.0], [1.0, 2.0]]),
        model(outputs="y"),
        model(objective="HINGE"),
        model(objective=["HUBER"]),
        model(weights=[]),
        model(weights=[[1.0]]),
        model(weights=[[1.0, True]]),
        model(weights=[[1.0, "1"]]),
        model(weights=[[1.0, math.nan]]),
        model(weights=[[1.0, 10**400]]),
    ],
)
def test_content_that_is_no_model_is_refused(content: bytes) -> None:
    """Loading checks everything and evaluates nothing."""
    with pytest.raises(IllegalArgument, match="The content is not a LINEAR_REGRESSION model: "):
        linear_regression.load(content)


def test_content_is_plain_json() -> None:
    """What is stored can be read by anyone and loads to the same numbers."""
    content = logistic_regression.train(frame_of(WORDS), {"target": "word"})
    body = json.loads(content)
    assert sorted(body) == ["algorithm", "features", "objective", "outputs", "version", "weights"]
    assert logistic_regression.load(content).weights.tolist() == body["weights"]


def test_the_sample_adds_up_numbers() -> None:
    """SAMPLE_ALGO trains on anything and predicts the sum of all cells; both need the parameters, even empty."""
    content = sample_algo.train(frame_of(WORDS), {})
    assert json.loads(content) == {"algorithm": "SAMPLE_ALGO", "sample_param": -1, "version": 1}
    assert sample_algo.predict(content, frame_of({"a": [1, 2], "b": [0.5, 4.0]}), {}) == {"sample_result": 7.5}
    with pytest.raises(ServerError, match="the value isn't Double type"):
        sample_algo.predict(content, frame_of(WORDS), {})
    for refused in (
        lambda: sample_algo.train(frame_of(LINE), None),
        lambda: sample_algo.predict(content, frame_of(LINE)),
    ):
        with pytest.raises(IllegalArgument, match=r"^Unsupported algorithm: SAMPLE_ALGO$"):
            refused()
