"""FIT_RCF: rows of a time series that are not as those before them, by a random cut forest over shingles of rows.

Source: ml-commons 3.6.0 `FixedInTimeRandomCutForest`, `FitRCFParams`; AWS RandomCutForest 3.0-rc3
`ThresholdedRandomCutForest`, `Preprocessor`. A prediction goes on where the training ended and takes its rows in,
but the model stays as it was. The time is only passed through: rows count in the order they come.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mlcommons_tasks.cancellation import Cancelled
from mlcommons_tasks.data_frame import ColumnMeta, ColumnType, DataFrame, RowTypes
from mlcommons_tasks.errors import IllegalArgument, ServerError, TaskPluginError
from mlcommons_tasks.java import java_order
from mlcommons_tasks.pipeline.algorithms.random_cut_forest import STEP, ForestOptions, new_seed, require_numbers
from mlcommons_tasks.pipeline.algorithms.simple_date_format import SimpleDateFormat
from mlcommons_tasks.pipeline.algorithms.thresholded_forest import ThresholdedForest
from mlcommons_tasks.pipeline.data_frame import require_rows

if TYPE_CHECKING:
    from mlcommons_tasks.pipeline.algorithms import Parameters

NAME = "FIT_RCF"
DEFAULT_NUMBER_OF_TREES = 30
DEFAULT_SHINGLE_SIZE = 8
DEFAULT_SAMPLE_SIZE = 256
DEFAULT_OUTPUT_AFTER = 32
DEFAULT_TIME_DECAY = 0.0001
DEFAULT_ANOMALY_RATE = 0.005
DEFAULT_TIME_FIELD = "timestamp"
DEFAULT_DATE_FORMAT = "yyyy-MM-dd HH:mm:ss"
DEFAULT_TIME_ZONE = "UTC"


def train(
    frame: DataFrame,
    parameters: Parameters | None,
    *,
    seed: int | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] = lambda _row, _rows: None,
) -> bytes:
    """Take in the rows and return the model's content; the same seed gives the same bytes.

    Raises, beside what an empty frame and `ForestOptions.check` raise: IllegalArgument `Unsupported algorithm: FIT_RCF`
    for a `date_format` that is none, ServerError `arithmetic_exception` for no shingle, `m_l_validation_exception` for
    a time of another type or that is not as its format says, `runtime_exception` for other cells that are no numbers,
    and Cancelled.
    """
    require_rows(frame)
    reader = _Reader(parameters or {})
    forest = _new_forest(frame, parameters or {}, seed)
    _run(forest, reader, frame, cancelled, progress)
    return forest.dump(NAME)


def predict(content: bytes, frame: DataFrame, parameters: Parameters | None = None) -> DataFrame:
    """Return each row's `score`, `anomaly_grade` and time, as rows that follow those of the training.

    The time's column and its format are the request's. Columns are matched by their place. Raises what `train` raises
    for cells, what `ThresholdedForest.load` raises, and `ThresholdedForest.process` for rows of another length.
    """
    require_rows(frame)
    reader = _Reader(parameters or {})
    return _run(ThresholdedForest.load(NAME, content), reader, frame)


def train_and_predict(
    frame: DataFrame,
    parameters: Parameters | None,
    *,
    seed: int | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] = lambda _row, _rows: None,
) -> DataFrame:
    """Return each row's `score`, `anomaly_grade` and time, by the rows before it; raises what `train` does."""
    require_rows(frame)
    reader = _Reader(parameters or {})
    forest = _new_forest(frame, parameters or {}, seed)
    return _run(forest, reader, frame, cancelled, progress)


def _new_forest(frame: DataFrame, parameters: Parameters, seed: int | None) -> ThresholdedForest:
    shingle_size = parameters.get("shingle_size", DEFAULT_SHINGLE_SIZE)
    if shingle_size == 0:
        raise ServerError("/ by zero", type="arithmetic_exception")
    sample_size = parameters.get("sample_size", DEFAULT_SAMPLE_SIZE)
    output_after = parameters.get("output_after", DEFAULT_OUTPUT_AFTER)
    options = ForestOptions(
        dimensions=(shingle_size * (len(frame.columns) - 1) + 2**31) % 2**32 - 2**31,
        number_of_trees=parameters.get("number_of_trees", DEFAULT_NUMBER_OF_TREES),
        sample_size=sample_size,
        output_after=output_after,
        time_decay=parameters.get("time_decay", DEFAULT_TIME_DECAY),
        shingle_size=shingle_size,
        initial_accept_fraction=output_after / sample_size if sample_size else 0.0,
    )
    options.check()
    anomaly_rate = parameters.get("anomaly_rate", DEFAULT_ANOMALY_RATE)
    return ThresholdedForest(options, anomaly_rate, new_seed(seed))


class _Reader:
    """Finds the time and the numbers in rows."""

    def __init__(self, parameters: Parameters) -> None:
        self.field = parameters.get("time_field", DEFAULT_TIME_FIELD)
        try:
            self._format = SimpleDateFormat(
                parameters.get("date_format", DEFAULT_DATE_FORMAT), parameters.get("time_zone", DEFAULT_TIME_ZONE)
            )
        except ValueError as error:
            raise IllegalArgument(f"Unsupported algorithm: {NAME}") from error

    def check(self, types: RowTypes, columns: tuple[ColumnMeta, ...]) -> tuple[int, TaskPluginError] | None:
        """Return the first column that is not as it must be, and its error; None if all are."""
        for place in range(len(columns)):
            try:
                self._check(types, columns, place)
            except TaskPluginError as error:
                return place, error
        return None

    def _check(self, types: RowTypes, columns: tuple[ColumnMeta, ...], place: int) -> None:
        column = columns[place]
        if place >= len(types) or column.name != self.field:
            require_numbers(types, [place])
        elif column.column_type not in (ColumnType.LONG, ColumnType.STRING):
            said = column.column_type.value if column.column_type else "null"
            raise _invalid(f"Wrong data type of time field. Should use LONG or STRING, but got {said}")
        elif types[place] is not column.column_type:
            kind = column.column_type.value.capitalize()
            raise ServerError(f"the value isn't {kind} type", type="runtime_exception")

    def millis(self, time: Any) -> int:
        """Return a time in milliseconds since 1970."""
        if isinstance(time, int):
            return time
        found = self._format.parse(time)
        if found is None:
            raise _invalid(f"Failed to parse timestamp {time}")
        return found


def _run(
    forest: ThresholdedForest,
    reader: _Reader,
    frame: DataFrame,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] = lambda _row, _rows: None,
) -> DataFrame:
    width = len(frame.columns)
    time_places = [i for i, column in enumerate(frame.columns) if column.name == reader.field]
    number_cells = [cells for i, cells in enumerate(frame.cells[:width]) if i not in time_places]
    times, scores, grades = array("q"), array("d"), array("d")
    known: RowTypes | None = None
    for row in range(frame.size):
        if row % STEP == 0:
            if cancelled():
                raise Cancelled
            progress(row, frame.size)
        types = frame.types_of(row)
        misfit = reader.check(types, frame.columns) if types is not known else None
        known = types
        time = -1
        for place in time_places:
            if misfit is None or place < misfit[0]:
                time = reader.millis(frame.cells[place][row])
        if misfit is not None:
            raise misfit[1]
        score, grade = forest.process([float(cells[row]) for cells in number_cells])
        times.append(time)
        scores.append(score)
        grades.append(grade)
    found: dict[str, tuple[ColumnType, Any]] = {reader.field: (ColumnType.LONG, times)}
    found |= {"score": (ColumnType.DOUBLE, scores), "anomaly_grade": (ColumnType.DOUBLE, grades)}
    names = java_order(found)
    kinds = tuple(found[name][0] for name in names)
    metas = tuple(ColumnMeta(name, kind) for name, kind in zip(names, kinds, strict=True))
    return DataFrame(metas, tuple(found[name][1] for name in names), kinds, frame.size)


def _invalid(reason: str) -> ServerError:
    return ServerError(reason, type="m_l_validation_exception")
