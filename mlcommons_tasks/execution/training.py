"""One training or prediction, from its data to a model or to what one says. Knows neither tasks nor HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from mlcommons_tasks.cancellation import Cancellation
from mlcommons_tasks.data_frame import DataFrame
from mlcommons_tasks.execution.executors import Pool, Watch
from mlcommons_tasks.execution.progress import Report
from mlcommons_tasks.pipeline.algorithms import Prediction, get_algorithm, get_together
from mlcommons_tasks.pipeline.data_frame import frame_from_sources, require_documents, require_rows
from mlcommons_tasks.task import FunctionName
from mlcommons_tasks.wire.ml_input import DataFrameDataset, MLInput, OtherDataset, SearchQueryDataset


class SourceReader(Protocol):
    """Reads a search's total and the sources of its hits."""

    def __call__(
        self,
        indices: tuple[str, ...],
        query: dict[str, Any],
        caller: dict[str, str],
        cancellation: Cancellation,
        *,
        patient: bool,
    ) -> tuple[int, list[dict[str, Any] | None]]:
        """Search `indices` with a body and a caller's headers; if `patient`, OpenSearch may be away for long."""


def warm_up() -> None:
    """Import what a training needs, so that the first one does not wait for it."""
    import numpy
    import scipy.spatial.distance

    _ = numpy, scipy.spatial.distance


def fit(function_name: str, frame: DataFrame, parameters: Any, seed: int | None, report: Report) -> bytes:
    """Train one model, and report; runs where the pool runs it."""
    return get_algorithm(function_name).train(
        frame, parameters, seed=seed, cancelled=report.cancelled, progress=report.progress
    )


def predict(
    function_name: str, content: bytes, frame: DataFrame, parameters: Mapping[str, Any] | None, _report: Report
) -> Prediction:
    """Say what a model's content says of each row; runs where the pool runs it."""
    return get_algorithm(function_name).predict(content, frame, parameters)


def fit_and_predict(
    function_name: str, frame: DataFrame, parameters: Any, seed: int | None, report: Report
) -> DataFrame:
    """Train and say at once of each row what the model would, and report; runs where the pool runs it."""
    return get_together(function_name, parameters).train_and_predict(
        frame, parameters, seed=seed, cancelled=report.cancelled, progress=report.progress
    )


class Trainer:
    """Reads the data a request names, has a model made of it, or has a model say something of it.

    Predictions have processes of their own, for nobody wants to wait for somebody else's training.

    `seed` makes every training repeatable; None makes each one different, as the plugin's are.
    """

    def __init__(
        self,
        read_sources: SourceReader,
        pool: Pool,
        predictions: Pool | None = None,
        seed: int | None = None,
    ) -> None:
        self._read_sources = read_sources
        self._pool = pool
        self._predictions = predictions or pool
        self._seed = seed

    def read(
        self, ml_input: MLInput, caller: dict[str, str], cancellation: Cancellation, *, patient: bool
    ) -> DataFrame:
        """Return the rows to train on.

        `caller` are the headers that say who asks: data is read with the caller's rights. If `patient`, OpenSearch
        may be away for long meanwhile.

        Raises:
            Cancelled: that was wanted meanwhile.
            TaskPluginError: the data cannot be read, or is none that can be trained on; the plugin's words.
        """
        dataset = ml_input.dataset
        if isinstance(dataset, SearchQueryDataset):
            total, sources = self._read_sources(dataset.indices, dataset.query, caller, cancellation, patient=patient)
            require_documents(total)
            return frame_from_sources(sources)
        if isinstance(dataset, DataFrameDataset):
            return dataset.frame
        if isinstance(dataset, OtherDataset):
            return DataFrame((), (), (), 0)
        raise AssertionError("validate_request lets no request through that has no data")

    def fit(self, ml_input: MLInput, frame: DataFrame, watch: Watch) -> bytes:
        """Return the content of a model of these rows.

        Raises:
            Cancelled: the watch wanted it meanwhile.
            TaskPluginError: parameters or rows do not fit the algorithm; the plugin's words.
            WorkerDied: the process that trained died.
        """
        _require_rows(ml_input, frame)
        return self._pool.run(fit, ml_input.function_name, frame, ml_input.parameters, self._seed, watch=watch)

    def predict(
        self,
        algorithm: FunctionName,
        content: bytes,
        parameters: Mapping[str, Any] | None,
        frame: DataFrame,
        watch: Watch,
    ) -> Prediction:
        """Return what a model says of these rows.

        Raises:
            Cancelled: the watch wanted it meanwhile.
            TaskPluginError: model, parameters or rows do not fit each other; the plugin's words.
            WorkerDied: the process that predicted died.
        """
        require_rows(frame)
        return self._predictions.run(predict, algorithm.value, content, frame, parameters, watch=watch)

    def fit_and_predict(self, ml_input: MLInput, frame: DataFrame, watch: Watch) -> DataFrame:
        """Return what a model of these rows says of them.

        Raises:
            Cancelled: the watch wanted it meanwhile.
            TaskPluginError: parameters or rows do not fit the algorithm; the plugin's words.
            WorkerDied: the process that did it died.
        """
        _require_rows(ml_input, frame)
        name = ml_input.function_name
        return self._pool.run(fit_and_predict, name, frame, ml_input.parameters, self._seed, watch=watch)


def _require_rows(ml_input: MLInput, frame: DataFrame) -> None:
    if not isinstance(ml_input.dataset, OtherDataset):
        require_rows(frame)


def describe(ml_input: MLInput) -> str:
    """Return what is done with what, in a line."""
    dataset = ml_input.dataset
    if isinstance(dataset, SearchQueryDataset):
        return f"algorithm[{ml_input.function_name}], indices[{','.join(dataset.indices)}]"
    rows = dataset.frame.size if isinstance(dataset, DataFrameDataset) else 0
    return f"algorithm[{ml_input.function_name}], rows[{rows}]"
