"""The body of `POST /_plugins/_ml/_execute/<algorithm>`: what it says and everything wrong with it. Pure.

Three algorithms have a parser here; every other name is an unknown field at the place where the body begins. As in
`ml_input` the first mistake from the left wins, and what follows the root object is never read. Queries and
aggregations are OpenSearch's to read: a `look` is handed each of them, as a search body in which it stands at the
line and column that it has in the client's own.
Source: ml-commons 3.6.0 `RestMLExecuteAction`, `LocalSampleCalculatorInput`, `MetricsCorrelationInput`,
`AnomalyLocalizationInput`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from mlcommons_tasks.errors import IllegalArgument, NamedObjectNotFound, ServerError, UnreadableBody
from mlcommons_tasks.versions import Profile
from mlcommons_tasks.wire.json_reader import JsonReader
from mlcommons_tasks.wire.json_tokens import position
from mlcommons_tasks.wire.strict_json import Irregular, load_regular

#: Has OpenSearch look at a search body; raises what it says of it.
Look = Callable[[bytes], None]

SAMPLE_CALCULATOR, METRICS_CORRELATION = "LOCAL_SAMPLE_CALCULATOR", "METRICS_CORRELATION"
ANOMALY_LOCALIZATION = "ANOMALY_LOCALIZATION"
#: Aggregations of other aggregations' results, which the plugin reads and leaves out.
PIPELINES = frozenset(
    {"avg_bucket", "bucket_script", "bucket_selector", "bucket_sort", "cumulative_sum"}
    | {"derivative", "extended_stats_bucket", "max_bucket", "min_bucket", "moving_avg"}
    | {"moving_fn", "percentiles_bucket", "serial_diff", "stats_bucket", "sum_bucket"}
)
_TEXTS = {"index_name": "index_name", "time_field_name": "time_field"}
_TIMES = ("start_time", "end_time", "min_time_interval", "anomaly_start_time")
#: In a number that Jackson refuses, or that is beyond a double.
_LONG_NUMBER = re.compile(rb"[0-9]{300}")
_BESIDE_THE_TYPE = ("aggs", "aggregations", "meta")
_FACTORIES = "org.opensearch.search.aggregations.AggregatorFactories"
_NO_AGGREGATION = (
    f'Cannot invoke "{_FACTORIES}$Builder.getAggregatorFactories()" because the return value of'
    f' "{_FACTORIES}.parseAggregators(org.opensearch.core.xcontent.XContentParser)" is null'
)


@dataclass(frozen=True)
class SampleCalculation:
    """What LOCAL_SAMPLE_CALCULATOR does with which numbers; which operations there are is its business."""

    operation: str
    numbers: tuple[float, ...]


@dataclass(frozen=True)
class MetricsCorrelation:
    """Metrics of equal length; nothing reads them, since the algorithm is switched off."""


class Aggregation(NamedTuple):
    """An aggregation by its name, with the body that the client gave it."""

    name: str
    body: Mapping[str, Any]


@dataclass(frozen=True)
class Localization:
    """`AnomalyLocalizationInput`: what was not said is Java's zero, or None where it has one. Times in millis."""

    index_name: str | None = None
    attributes: tuple[str, ...] = ()
    aggregations: tuple[Aggregation, ...] = ()
    time_field: str | None = None
    start_time: int = 0
    end_time: int = 0
    min_time_interval: int = 0
    num_outputs: int = 0
    anomaly_start_time: int | None = None
    filter_query: Mapping[str, Any] | None = None


ExecuteInput = SampleCalculation | MetricsCorrelation | Localization


def parse_execute_input(algorithm: str, payload: bytes, profile: Profile, look: Look) -> ExecuteInput:
    """Parse a body for the algorithm as it stands in the path.

    Raises, as the plugin does: UnreadableBody without a body, ParsingError for a token of the wrong kind,
    JsonParseError for broken JSON or a number in the wrong place, IllegalArgument (`Wrong function name`,
    `wrong operation`, `empty input data`, …), NamedObjectNotFound for an algorithm that is never executed, ServerError
    for text that is null, and what `look` raises.
    """
    name = algorithm.upper()
    is_name = name in profile.function_names
    if not is_name and not profile.executes_with_own_errors:
        raise IllegalArgument("Wrong function name")
    if not payload:
        raise UnreadableBody("request body is required")
    if is_name and name in (SAMPLE_CALCULATOR, METRICS_CORRELATION) and not _LONG_NUMBER.search(payload):
        try:
            return _from_json(name, load_regular(payload), profile)
        except Irregular:
            pass
    reader = _Reader(payload)
    reader.next()
    reader.expect("START_OBJECT")
    if not is_name:
        raise IllegalArgument("Wrong function name")
    if name == SAMPLE_CALCULATOR:
        return _calculation_from_tokens(reader)
    if name == METRICS_CORRELATION:
        return _metrics_from_tokens(reader, profile)
    if name == ANOMALY_LOCALIZATION:
        return _localization_from_tokens(reader, look)
    line, col = position(payload, reader.token.start if reader.token else 0)
    raise NamedObjectNotFound(f"[{line}:{col}] unknown field [{name}]")


class _Reader(JsonReader):
    """Reads numbers as they must be where Java coerces nothing."""

    def exact_long(self) -> int:
        """Return a 64-bit integer that is one as it is written."""
        return self._whole("long", (-(2**63), 2**63 - 1), coerce=False)

    def exact_double(self) -> float:
        """Return a double that is written as a number."""
        if self._current().jackson_name == "VALUE_STRING":
            raise IllegalArgument("Double value passed as String")
        return self.double()

    def value_in_place(self, key: str) -> tuple[Any, bytes]:
        """Return the value that starts here, and a search body that has it below `key` where it stands."""
        start = self._current().start
        value = self.value()
        line, col = position(self.payload, start)
        before, text = f'{{"{key}":'.encode(), self.payload[start : self.read_to]
        if len(before) < col:
            before = b"\n" * (line - 1) + b" " * (col - 1 - len(before)) + before
        else:  # the line begins with the value: what is before it goes above
            before = b"\n" * (line - 2) + before + b"\n" + b" " * (col - 1)
        return value, before + text + b"}"


def _from_json(name: str, body: Any, profile: Profile) -> ExecuteInput:
    """Read a body that is regular JSON; Irregular when any value of it is not plainly what it should be."""
    if not isinstance(body, dict):
        raise Irregular
    if name == SAMPLE_CALCULATOR:
        operation, numbers = body.get("operation"), body.get("input_data", [])
        if not isinstance(operation, str) or not _are_numbers(numbers):
            raise Irregular
        return SampleCalculation(operation, tuple(map(float, numbers)))
    metrics = body.get("metrics")
    if not isinstance(metrics, list) or not all(map(_are_numbers, metrics)):
        raise Irregular
    return _metrics([len(metric) for metric in metrics], profile)


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and value != [] and set(map(type, value)) <= {int, float}


def _calculation_from_tokens(reader: _Reader) -> SampleCalculation:
    operation: str | None = None
    numbers: list[float] = []
    while (token := reader.next()) is not None and token.name == "FIELD_NAME":
        key = reader.field_name
        reader.next()
        if key == "operation":
            operation = reader.string()
        elif key == "input_data":
            reader.expect("START_ARRAY")
            while (token := reader.next()) is not None and token.name != "END_ARRAY":
                numbers.append(reader.exact_double())
        else:
            reader.skip_children()
    if operation is None:
        raise IllegalArgument("wrong operation")
    if not numbers:
        raise IllegalArgument("empty input data")
    return SampleCalculation(operation, tuple(numbers))


def _metrics_from_tokens(reader: _Reader, profile: Profile) -> MetricsCorrelation:
    lengths: list[int] = []
    while (token := reader.next()) is not None and token.name == "FIELD_NAME":
        key = reader.field_name
        reader.next()
        if key != "metrics":
            reader.skip_children()
            continue
        reader.expect("START_ARRAY")
        while (token := reader.next()) is not None and token.name != "END_ARRAY":
            reader.expect("START_ARRAY")
            length = 0
            while (token := reader.next()) is not None and token.name != "END_ARRAY":
                reader.single()
                length += 1
            lengths.append(length)
    return _metrics(lengths, profile)


def _metrics(lengths: list[int], profile: Profile) -> MetricsCorrelation:
    if not lengths:
        raise IllegalArgument("empty input data")
    if len(set(lengths)) > 1:
        raise IllegalArgument("All the input metrics sizes should be same")
    if not profile.correlates_any_metrics and len(lengths) >= lengths[0]:
        raise IllegalArgument("The number of metrics to correlate must be smaller than the length of each time series.")
    return MetricsCorrelation()


def _localization_from_tokens(reader: _Reader, look: Look) -> Localization:
    found: dict[str, Any] = {}
    attributes: list[str] = []
    aggregations: list[Aggregation] = []
    while (token := reader.next()) is not None and token.name == "FIELD_NAME":
        key = reader.field_name or ""
        reader.next()
        if key in _TEXTS:
            found[_TEXTS[key]] = reader.string()
        elif key in _TIMES:
            found[key] = reader.exact_long()
        elif key == "num_outputs":
            found[key] = reader.integer(coerce=False)
        elif key == "attribute_field_names":
            reader.expect("START_ARRAY")
            while (token := reader.next()) is not None and token.name != "END_ARRAY":
                attributes.append(reader.string())
        elif key == "aggregations":
            reader.expect("START_ARRAY")
            while (token := reader.next()) is not None and token.name != "END_ARRAY":
                aggregations += _aggregations_from_tokens(reader, look)
        elif key == "filter_query":
            reader.expect("START_OBJECT")
            found[key], in_place = reader.value_in_place("query")
            look(in_place)
        else:
            reader.skip_children()
    return Localization(attributes=tuple(attributes), aggregations=tuple(aggregations), **found)


def _aggregations_from_tokens(reader: _Reader, look: Look) -> list[Aggregation]:
    reader.expect("START_OBJECT")
    bodies, in_place = reader.value_in_place("aggs")
    if not bodies:
        raise ServerError(_NO_AGGREGATION, type="null_pointer_exception")
    look(in_place)
    return [Aggregation(name, body) for name, body in bodies.items() if not PIPELINES & _types(body)]


def _types(body: Any) -> set[str]:
    return set(body) - set(_BESIDE_THE_TYPE) if isinstance(body, dict) else set()
