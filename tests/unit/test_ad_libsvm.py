"""AD_LIBSVM: bounds, rows that libsvm alone would take, and content that is safe to load.

That the scores are the plugin's is held by `tests/algorithms/test_svm_results.py`.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from mlcommons_tasks.cancellation import Cancelled
from mlcommons_tasks.errors import IllegalArgument
from mlcommons_tasks.pipeline.algorithms import ad_libsvm
from tests.algorithms.plugin_results import columns_of, frame_of
from tests.unit.no_models import NO_OBJECTS

TABLE = {"x": np.random.default_rng(1).normal(size=40).tolist(), "y": np.random.default_rng(2).normal(size=40).tolist()}


@pytest.mark.parametrize("kernel", ["LINEAR", "POLY", "RBF", "SIGMOID"])
def test_scores_do_not_depend_on_pieces(kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Working in pieces of a few kernel values gives the same scores as all at once."""
    content = ad_libsvm.train(frame_of(TABLE), {"kernel": kernel, "coeff": 0.5})
    whole = columns_of(ad_libsvm.predict(content, frame_of(TABLE)))
    monkeypatch.setattr(ad_libsvm, "_CHUNK_CELLS", 16)
    pieces = columns_of(ad_libsvm.predict(content, frame_of(TABLE)))
    assert pieces["score"] == pytest.approx(whole["score"], rel=1e-9)
    assert pieces["anomaly_type"] == whole["anomaly_type"]


def test_a_far_row_is_anomalous() -> None:
    """The score of a row far from all is minus rho, and such a row is outside."""
    model = ad_libsvm.load(content := ad_libsvm.train(frame_of(TABLE), None))
    found = columns_of(ad_libsvm.predict(content, frame_of({"y": [99.0], "x": [99.0]})))
    assert found == {"score": [pytest.approx(-model.rho)], "anomaly_type": ["ANOMALOUS"]}


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"gamma": 0.0}, "Unsupported algorithm: AD_LIBSVM"),
        ({"nu": -0.1}, "Unsupported algorithm: AD_LIBSVM"),
        ({"nu": 1.1}, "Error checking SVM parameters: nu <= 0 or nu > 1"),
        ({"kernel": "POLY", "degree": -1}, "Error checking SVM parameters: degree of polynomial kernel < 0"),
    ],
)
def test_bounds(parameters: dict[str, Any], reason: str) -> None:
    """Parameters out of bounds are refused in the plugin's words or libsvm's."""
    with pytest.raises(IllegalArgument) as caught:
        ad_libsvm.train(frame_of(TABLE), parameters)
    assert caught.value.reason == reason


def test_an_infinite_row_leaves_no_scores() -> None:
    """Rows that scikit-learn refuses give a model whose scores are no numbers."""
    content = ad_libsvm.train(frame_of({"x": [1.0, math.inf]}), None)
    found = columns_of(ad_libsvm.predict(content, frame_of({"x": [1.0]})))
    assert math.isnan(found["score"][0])
    assert found["anomaly_type"] == ["ANOMALOUS"]


def test_what_does_not_settle_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds are bounded as libsvm's own are, and nobody is warned."""
    monkeypatch.setattr(ad_libsvm, "_MOST_ROUNDS", 1)
    rows = {name: (np.array(values) * 1e4).tolist() for name, values in TABLE.items()}
    assert ad_libsvm.load(ad_libsvm.train(frame_of(rows), {"kernel": "POLY"})).kernel == "POLY"


def test_cancelled() -> None:
    """A training that is told to stop leaves no model."""
    with pytest.raises(Cancelled):
        ad_libsvm.train(frame_of(TABLE), None, cancelled=lambda: True)


def model(**changes: Any) -> bytes:
    body = {
        "algorithm": "AD_LIBSVM",
        "version": 1,
        "features": ["a"],
        "kernel": "RBF",
        "gamma": 1.0,
        "coeff": 0.0,
        "degree": 3,
        "support_vectors": [[0.5]],
        "coefficients": [1.0],
        "rho": 0.5,
    }
    return json.dumps(body | changes).encode()


def test_content_is_plain_json() -> None:
    """What is stored can be read by anyone and loads to the same numbers."""
    assert columns_of(ad_libsvm.predict(model(), frame_of({"a": [0.5]}))) == {
        "score": [0.5],
        "anomaly_type": ["EXPECTED"],
    }
    assert json.loads(ad_libsvm.train(frame_of(TABLE), {"nu": 1.0}))["rho"] == "Infinity"


@pytest.mark.parametrize(
    "content",
    [
        *NO_OBJECTS,
        model(algorithm="KMEANS"),
        model(version=2),
        model(features=[]),
        model(features=[1]),
        model(kernel="COSINE"),
        model(kernel=["RBF"]),
        model(gamma="1"),
        model(coeff=None),
        model(degree=2.5),
        model(degree=True),
        model(degree=2**40),
        model(rho="much"),
        model(rho=math.nan),
        model(support_vectors=[]),
        model(support_vectors=[[1.0, 2.0]]),
        model(support_vectors=[["1"]]),
        model(support_vectors=[1.0]),
        model(coefficients=[[1.0]]),
        model(coefficients=[10**400]),
    ],
)
def test_content_that_is_no_model_is_refused(content: bytes) -> None:
    """Loading checks everything and evaluates nothing."""
    with pytest.raises(IllegalArgument, match="The content is not a AD_LIBSVM model: "):
        ad_libsvm.load(content)
