"""One training, from its data to the bytes of a model. Knows neither tasks nor HTTP."""

from __future__ import annotations

from typing import Any, Protocol

from mlcommons_tasks.cancellation import Cancellation
from mlcommons_tasks.data_frame import DataFrame
from mlcommons_tasks.execution.executors import TrainingPool, Watch
from mlcommons_tasks.execution.progress import ProgressPage
from mlcommons_tasks.pipeline.algorithms import get_algorithm
from mlcommons_tasks.pipeline.data_frame import frame_from_sources, require_documents, require_rows
from mlcommons_tasks.wire.ml_input import DataFrameDataset, MLInput, SearchQueryDataset


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
    ) -> tuple[int, list[dict[str, Any]]]:
        """Search `indices` with a body and a caller's headers; if `patient`, OpenSearch may be away for long."""


def warm_up() -> None:
    """Import what a training needs, so that the first one does not wait for it."""
    import numpy
    import scipy.spatial.distance

    _ = numpy, scipy.spatial.distance


def fit(function_name: str, frame: DataFrame, parameters: Any, seed: int | None, page_path: str) -> bytes:
    """Train one model, and report on a page; runs in a process of the pool."""
    page = ProgressPage(page_path)
    try:
        return get_algorithm(function_name).train(
            frame, parameters, seed=seed, cancelled=page.cancelled, progress=page.report
        )
    finally:
        page.close()


class Trainer:
    """Reads the data a request names and has a model made of it.

    `seed` makes every training repeatable; None makes each one different, as the plugin's are.
    """

    def __init__(self, read_sources: SourceReader, pool: TrainingPool, seed: int | None = None) -> None:
        self._read_sources = read_sources
        self._pool = pool
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
        raise AssertionError("validate_request lets no request through that has no data")

    def fit(self, ml_input: MLInput, frame: DataFrame, watch: Watch) -> bytes:
        """Return the content of a model of these rows.

        Raises:
            Cancelled: the watch wanted it meanwhile.
            TaskPluginError: parameters or rows do not fit the algorithm; the plugin's words.
            WorkerDied: the process that trained died.
        """
        require_rows(frame)
        return self._pool.run(fit, ml_input.function_name, frame, ml_input.parameters, self._seed, watch=watch)
