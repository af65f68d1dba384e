"""AD_LIBSVM beside the plugin: the same libsvm, so the same scores and the same rows outside."""

from __future__ import annotations

import pytest

from .plugin_results import Case, cases, columns_of, ours, recorded
from .svm_cases import PLANTED

CASES = cases("svm")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_scores_are_those_of_the_plugin(case: Case) -> None:
    """Scores agree to a millionth of the greatest one, and every row is of the same type."""
    theirs = recorded("svm", case.name)
    prediction = ours(case)
    found = columns_of(prediction)
    assert [(meta.name, meta.column_type) for meta in prediction.columns] == list(  # type: ignore[union-attr]
        theirs["types"].items()
    )
    expected = [float(score) for score in theirs["columns"]["score"]]  # an infinity is a text in JSON
    finite = [abs(score) for score in expected if abs(score) < float("inf")]
    assert found["score"] == pytest.approx(expected, rel=1e-6, abs=1e-6 * max(finite, default=1.0) + 1e-12)
    assert found["anomaly_type"] == theirs["columns"]["anomaly_type"]


def test_planted_rows_are_outside() -> None:
    """With much of the rows outside the planted ones are among them, in the plugin's answer and in ours."""
    case = next(case for case in CASES if case.name == "RBF, turned, 5 columns")
    for types in (recorded("svm", case.name)["columns"]["anomaly_type"], columns_of(ours(case))["anomaly_type"]):
        assert types[-PLANTED:] == ["ANOMALOUS"] * PLANTED
