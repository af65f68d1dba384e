"""AD_LIBSVM: the rows outside the region that holds most of them, by libsvm's one-class machine. Pure and repeatable.

Source: ml-commons 3.6.0 `AnomalyDetectionLibSVM`, `AnomalyDetectionLibSVMParams`; Tribuo 4.2.1
`LibSVMAnomalyTrainer`, `LibSVMAnomalyModel`, `SVMParameters`. scikit-learn has the same libsvm; there is no chance in
it. `cost` and `epsilon` count for nothing: they are those of other machines, and the tolerance stays at 0.001.

Model content is UTF-8 JSON with sorted keys and no white space:
`{"algorithm":"AD_LIBSVM","coefficients":[float,…],"coeff":0.0,"degree":3,"features":["name",…],"gamma":1.0,
"kernel":"RBF","rho":float,"support_vectors":[[float,…],…],"version":1}`; features are sorted by name, floats are the
shortest that read back the same, and `rho` may be `"NaN"` or `"Infinity"`.
"""

from __future__ import annotations

import math
import warnings
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlcommons_tasks.cancellation import Cancelled
from mlcommons_tasks.data_frame import ColumnMeta, ColumnType, DataFrame
from mlcommons_tasks.errors import IllegalArgument
from mlcommons_tasks.pipeline.algorithms.known_features import known_features
from mlcommons_tasks.pipeline.algorithms.model_json import (
    RUNAWAYS,
    are_names,
    dump_model,
    is_number,
    is_written,
    load_model,
    written,
    wrong_model,
)
from mlcommons_tasks.pipeline.data_frame import feature_matrix, require_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

#: What the request says of `kernel`, `gamma`, `nu`, `coeff` and `degree`; all may be missing.
Parameters = Mapping[str, Any]

DEFAULTS: Parameters = {"kernel": "RBF", "gamma": 1.0, "nu": 0.1, "coeff": 0.0, "degree": 3}
#: scikit-learn's name of each kernel
_KERNELS = {"LINEAR": "linear", "POLY": "poly", "RBF": "rbf", "SIGMOID": "sigmoid"}
_TOLERANCE = 1e-3
_CACHE_MB = 200
#: libsvm gives up after so many rounds or 100 a row, whichever is more; scikit-learn's would go on.
_MOST_ROUNDS = 10_000_000
#: Kernel values held at a time: 4 million float64 are 32 MB.
_CHUNK_CELLS = 4_000_000
_NUMBERS = ("gamma", "coeff")


@dataclass(frozen=True)
class SvmModel:
    """A loaded model: `vectors` is (support vectors, features), with a coefficient each."""

    features: tuple[str, ...]
    kernel: str
    gamma: float
    coeff: float
    degree: int
    vectors: Matrix
    coefficients: Matrix
    rho: float

    def scores(self, rows: Matrix) -> Matrix:
        """Return each row's score: above 0 inside the region."""
        import numpy as np

        scores = np.empty(len(rows))
        step = max(1, _CHUNK_CELLS // max(1, len(self.vectors)))
        with np.errstate(all="ignore"):
            for start in range(0, len(rows), step):
                part = slice(start, start + step)
                scores[part] = self._kernel_values(rows[part]) @ self.coefficients - self.rho
        return scores

    def _kernel_values(self, rows: Matrix) -> Matrix:
        import numpy as np
        from scipy.spatial.distance import cdist

        if self.kernel == "RBF":
            near: Matrix = np.exp(-self.gamma * cdist(rows, self.vectors, "sqeuclidean"))
            return near
        products: Matrix = rows @ self.vectors.T
        if self.kernel == "LINEAR":
            return products
        scaled: Matrix = self.gamma * products + self.coeff
        return np.tanh(scaled) if self.kernel == "SIGMOID" else scaled**self.degree


def train(
    frame: DataFrame,
    parameters: Parameters | None,
    *,
    seed: int | None = None,  # noqa: ARG001 - every algorithm has it
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] = lambda _round, _rounds: None,
) -> bytes:
    """Find the region of most rows and return the model's content; `seed` counts for nothing here.

    Raises IllegalArgument for an empty frame, for parameters out of bounds (the plugin loses its own sentences:
    `Unsupported algorithm: AD_LIBSVM`; libsvm's come through), what `feature_matrix` raises, and Cancelled, asked
    before and after libsvm, which nothing stops in between.
    """
    require_rows(frame)
    settings = _checked(parameters)
    features, rows = feature_matrix(frame)
    _require_libsvm_bounds(settings)
    if cancelled():
        raise Cancelled
    progress(1, 1)
    vectors, coefficients, rho = _solved(rows, settings)
    if cancelled():
        raise Cancelled
    known = {name: settings[name] for name in ("kernel", "gamma", "coeff", "degree")}
    return _dump(SvmModel(tuple(features), **known, vectors=vectors, coefficients=coefficients, rho=rho))


def predict(content: bytes, frame: DataFrame, parameters: Parameters | None = None) -> DataFrame:
    """Return `score`, DOUBLE, and `anomaly_type`, STRING: EXPECTED for a score above 0, else ANOMALOUS.

    Raises IllegalArgument for an empty frame and for parameters out of bounds, which count for nothing else, and what
    `load` and `known_features` raise.
    """
    require_rows(frame)
    _checked(parameters)
    model = load(content)
    scores: list[float] = []
    for rows in known_features(frame, model.features, output="EXPECTED", dense=False):
        scores += model.scores(rows).tolist()
    words = ["EXPECTED" if score > 0 else "ANOMALOUS" for score in scores]
    columns = (ColumnMeta("score", ColumnType.DOUBLE), ColumnMeta("anomaly_type", ColumnType.STRING))
    return DataFrame(columns, (array("d", scores), words), (ColumnType.DOUBLE, ColumnType.STRING), frame.size)


def load(content: bytes) -> SvmModel:
    """Read a model's content; IllegalArgument for anything but a complete AD_LIBSVM model of our version."""
    import numpy as np

    body = load_model("AD_LIBSVM", content)
    problem = _problem(body)
    if problem is not None:
        raise wrong_model("AD_LIBSVM", problem)
    vectors = np.array(body["support_vectors"], dtype=np.float64).reshape(-1, len(body["features"]))
    return SvmModel(
        features=tuple(body["features"]),
        kernel=body["kernel"],
        gamma=float(body["gamma"]),
        coeff=float(body["coeff"]),
        degree=body["degree"],
        vectors=vectors,
        coefficients=np.array(body["coefficients"], dtype=np.float64),
        rho=float(RUNAWAYS.get(body["rho"], body["rho"])),
    )


def _checked(parameters: Parameters | None) -> dict[str, Any]:
    settings = {**DEFAULTS, **(parameters or {})}
    if settings["gamma"] <= 0 or settings["nu"] <= 0:
        raise IllegalArgument("Unsupported algorithm: AD_LIBSVM")
    return settings


def _require_libsvm_bounds(settings: Parameters) -> None:
    if settings["kernel"] == "POLY" and settings["degree"] < 0:
        raise IllegalArgument("Error checking SVM parameters: degree of polynomial kernel < 0")
    if settings["nu"] > 1:
        raise IllegalArgument("Error checking SVM parameters: nu <= 0 or nu > 1")


def _solved(rows: Matrix, settings: Parameters) -> tuple[Matrix, Matrix, float]:
    """Return support vectors, their coefficients and rho; where nothing is finite, rho is NaN or infinite.

    scikit-learn refuses what libsvm itself takes: infinite numbers, and a region that holds no row.
    """
    import numpy as np
    from sklearn.svm import OneClassSVM

    nothing = np.empty((0, rows.shape[1]))
    if settings["nu"] == 1:
        return nothing, np.empty(0), math.inf
    if not np.isfinite(rows).all():
        return nothing, np.empty(0), math.nan
    machine = OneClassSVM(
        kernel=_KERNELS[settings["kernel"]],
        gamma=settings["gamma"],
        nu=settings["nu"],
        coef0=settings["coeff"],
        degree=max(0, settings["degree"]),
        tol=_TOLERANCE,
        cache_size=_CACHE_MB,
        max_iter=min(2**31 - 1, max(_MOST_ROUNDS, 100 * len(rows))),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the plugin says nothing of a machine that has not settled
        try:
            machine.fit(rows)
        except ValueError:  # no finite solution
            return nothing, np.empty(0), math.nan
    return machine.support_vectors_, machine.dual_coef_[0], float(-machine.intercept_[0])


def _dump(model: SvmModel) -> bytes:
    fields = {
        "features": list(model.features),
        "kernel": model.kernel,
        "gamma": model.gamma,
        "coeff": model.coeff,
        "degree": model.degree,
        "support_vectors": model.vectors.tolist(),
        "coefficients": model.coefficients.tolist(),
        "rho": written(model.rho),
    }
    return dump_model("AD_LIBSVM", fields)


def _problem(body: Any) -> str | None:
    """Return what is wrong with a model's JSON, None if nothing is."""
    features: Any = body.get("features")
    if not are_names(features):
        return "features must be names"
    if not isinstance(body.get("kernel"), str) or body["kernel"] not in _KERNELS:
        return "unknown kernel"
    rho = body.get("rho")
    if not (all(is_number(body.get(name)) for name in _NUMBERS) and is_written(rho)):
        return "gamma, coeff and rho must be numbers"
    if type(body.get("degree")) is not int or abs(body["degree"]) >= 2**31:
        return "degree must be a whole number"
    return _vectors_problem(body.get("support_vectors"), body.get("coefficients"), len(features))


def _vectors_problem(vectors: Any, coefficients: Any, width: int) -> str | None:
    if not (isinstance(vectors, list) and isinstance(coefficients, list) and len(vectors) == len(coefficients)):
        return "a coefficient for each support vector expected"
    for vector in (*vectors, coefficients):
        if not (isinstance(vector, list) and all(map(is_number, vector))):
            return "support vectors and coefficients are finite numbers"
    if any(len(vector) != width for vector in vectors):
        return "a support vector has a number for each feature"
    return None
