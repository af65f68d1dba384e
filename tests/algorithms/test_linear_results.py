"""Both regressions beside the plugin: same rows, same settings, same coefficients and predictions."""

from __future__ import annotations

import pytest

from mlcommons_tasks.errors import TaskPluginError
from mlcommons_tasks.pipeline.algorithms import linear_regression

from .linear_cases import PROBES, ROWS
from .plugin_results import Case, cases, columns_of, frame_of, ours, recorded

CASES = cases("linear")
ANSWERED = [case for case in CASES if "error" not in recorded("linear", case.name)]
FAILED = [case for case in CASES if case not in ANSWERED]


@pytest.mark.parametrize("case", ANSWERED, ids=lambda case: case.name)
def test_predictions_are_those_of_the_plugin(case: Case) -> None:
    """Every row: a number to 9 digits, chaotic descents included, a word exactly."""
    theirs = recorded("linear", case.name)
    prediction = ours(case)
    found = columns_of(prediction)
    assert {meta.name: meta.column_type for meta in prediction.columns} == theirs["types"]  # type: ignore[union-attr]
    for name, values in theirs["columns"].items():
        if case.algorithm == "LOGISTIC_REGRESSION":
            assert found[name] == values
        else:
            expected = [float(value) for value in values]  # NaN is a text in JSON
            assert found[name] == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("case", [case for case in ANSWERED if case.predict is PROBES], ids=lambda case: case.name)
def test_coefficients_are_those_of_the_plugin(case: Case) -> None:
    """The plugin's bias and coefficients, read off its predictions, are the numbers in our model."""
    values = [float(value) for value in recorded("linear", case.name)["columns"]["y"]]
    bias = values[0]
    model = linear_regression.load(linear_regression.train(frame_of(ROWS), case.parameters))
    assert model.features == ("a", "b", "c")
    assert model.weights[0].tolist() == pytest.approx(
        [*(value - bias for value in values[1:4]), bias], rel=1e-9, abs=1e-9, nan_ok=True
    )


@pytest.mark.parametrize("case", FAILED, ids=lambda case: case.name)
def test_failures_are_those_of_the_plugin(case: Case) -> None:
    """What runs away to no number at all ends in the plugin's error."""
    error = recorded("linear", case.name)["error"]
    with pytest.raises(TaskPluginError) as caught:
        ours(case)
    assert (caught.value.status, caught.value.type, caught.value.reason) == (
        error["status"],
        error["type"],
        error["reason"],
    )


def test_both_kinds_of_answers_are_there() -> None:
    """The recording holds cases of each sort, so that no test above is empty."""
    assert len(FAILED) == 2
    assert len(ANSWERED) == len(CASES) - 2 > 90
