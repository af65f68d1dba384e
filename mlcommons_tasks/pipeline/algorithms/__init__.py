"""The algorithms by their wire name; one file each. Pure: rows in, model content (bytes) or predictions out.

Source: ml-commons 3.6.0 `MLEngine`, `Trainable`, `Predictable`, `TrainAndPredictable`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, Union, cast

from mlcommons_tasks.errors import IllegalArgument
from mlcommons_tasks.pipeline.algorithms.classes import cannot

if TYPE_CHECKING:
    from mlcommons_tasks.data_frame import DataFrame

#: What the client said, by its wire name: numbers, booleans, texts, the words of enums in capitals.
Parameters = Mapping[str, Any]
#: What a prediction gives: a frame with a row for each row, or the one object that SAMPLE_ALGO gives.
Prediction = Union["DataFrame", dict[str, Any]]


class Algorithm(Protocol):
    """What every algorithm module offers."""

    def train(
        self,
        frame: DataFrame,
        parameters: Parameters | None,
        *,
        seed: int | None = None,
        cancelled: Callable[[], bool] = ...,
        progress: Callable[[int, int], None] = ...,
    ) -> bytes:
        """Return the content of a trained model."""

    def predict(self, content: bytes, frame: DataFrame, parameters: Parameters | None = None) -> Prediction:
        """Return what a model's content says of each row."""


class TogetherAlgorithm(Algorithm, Protocol):
    """An algorithm that can say at once of each row what the model of all of them would."""

    def train_and_predict(
        self,
        frame: DataFrame,
        parameters: Parameters | None,
        *,
        seed: int | None = None,
        cancelled: Callable[[], bool] = ...,
        progress: Callable[[int, int], None] = ...,
    ) -> DataFrame:
        """Return one answer a row; no model stays."""


#: Those that train and predict.
ALGORITHMS = frozenset(
    {
        "AD_LIBSVM",
        "BATCH_RCF",
        "FIT_RCF",
        "KMEANS",
        "LINEAR_REGRESSION",
        "LOGISTIC_REGRESSION",
        "RCF_SUMMARIZE",
        "SAMPLE_ALGO",
    }
)
#: Those of them that can do both in one request.
TOGETHER = frozenset({"BATCH_RCF", "FIT_RCF", "KMEANS", "RCF_SUMMARIZE"})


def get_algorithm(function_name: str) -> Algorithm:
    """Return the algorithm for a `function_name` in capitals; the plugin's error for one that cannot be trained."""
    if function_name not in ALGORITHMS:
        raise cannot(function_name, "Trainable")
    return cast(Algorithm, importlib.import_module(f"{__name__}.{function_name.lower()}"))


def get_together(function_name: str, parameters: Parameters | None) -> TogetherAlgorithm:
    """Return the algorithm that trains and predicts in one request; the plugin's error for one that does not."""
    if function_name == "SAMPLE_ALGO" and parameters is None:
        raise IllegalArgument(f"Unsupported algorithm: {function_name}")
    if function_name not in TOGETHER:
        raise cannot(function_name, "TrainAndPredictable")
    return cast(TogetherAlgorithm, get_algorithm(function_name))
