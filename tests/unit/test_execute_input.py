"""The body of an execution: what it says, which mistake is named, and where OpenSearch is shown queries."""

from __future__ import annotations

import json

import pytest

from mlcommons_tasks.errors import (
    BadRequest,
    IllegalArgument,
    NamedObjectNotFound,
    ParsingError,
    ServerError,
    UnreadableBody,
)
from mlcommons_tasks.versions import CURRENT, Profile, profile_of
from mlcommons_tasks.wire.execute_input import (
    ExecuteInput,
    Localization,
    MetricsCorrelation,
    SampleCalculation,
    parse_execute_input,
)
from mlcommons_tasks.wire.json_tokens import position

CALCULATOR, METRICS, LOCALIZATION = "local_sample_calculator", "metrics_correlation", "anomaly_localization"


def parse(algorithm: str, text: str, seen: list[bytes] | None = None, profile: Profile = CURRENT) -> ExecuteInput:
    shown: list[bytes] = [] if seen is None else seen
    return parse_execute_input(algorithm, text.encode(), profile, shown.append)


@pytest.mark.parametrize("comment", ["", "/* read token by token */"])
def test_a_calculation(comment: str) -> None:
    """Both readers give the same: numbers are doubles, those beyond are infinite, other fields do not count."""
    text = f'{{"operation":"sum",{comment}"input_data":[1,-2.5,1e400,{"9" * 400}],"x":{{"input_data":[3]}}}} more'

    assert parse(CALCULATOR, text) == SampleCalculation("sum", (1.0, -2.5, float("inf"), float("inf")))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{}", "wrong operation"),
        ('{"input_data":[]}', "wrong operation"),
        ('{"operation":"sum"}', "empty input data"),
        ('{"operation":"sum","input_data":[]}', "empty input data"),
        ('{"operation":"sum","input_data":[1,"2"]}', "Double value passed as String"),
    ],
)
def test_what_a_calculation_lacks(text: str, reason: str) -> None:
    with pytest.raises(IllegalArgument) as raised:
        parse(CALCULATOR, text)
    assert raised.value.reason == reason


def test_the_first_mistake_from_the_left_is_named() -> None:
    """Text in place of a number counts before an operation that is null, where it comes first."""
    with pytest.raises(IllegalArgument):
        parse(CALCULATOR, '{"input_data":["x"],"operation":null}')
    with pytest.raises(ServerError) as raised:
        parse(CALCULATOR, '{"operation":null,"input_data":["x"]}')
    assert raised.value.reason == "Can't get text on a VALUE_NULL at 1:14"


def test_metrics() -> None:
    """They are of one length; numbers may be texts."""
    assert parse(METRICS, '{"metrics":[[1,"2"],[3,4]]}') == MetricsCorrelation()
    assert parse(METRICS, '{"metrics":[[1,2],[3,4]]}') == MetricsCorrelation()
    for text, reason in (
        ('{"metrics":[]}', "empty input data"),
        ('{"metrics":[[1],["1",2]]}', "All the input metrics sizes should be same"),
        ('{"metrics":[[1],[1,2]]}', "All the input metrics sizes should be same"),
    ):
        with pytest.raises(IllegalArgument) as raised:
            parse(METRICS, text)
        assert raised.value.reason == reason


def test_older_versions_correlate_few_metrics() -> None:
    """Up to 3.4 there are more values than metrics."""
    assert parse(METRICS, '{"metrics":[[1,2,3],[3,4,5]]}', profile=profile_of("3.4")) == MetricsCorrelation()
    for text in ('{"metrics":[[1,2],[3,4]]}', '{"metrics":[["1",2],[3,4]]}'):
        with pytest.raises(IllegalArgument) as raised:
            parse(METRICS, text, profile=profile_of("3.4"))
        assert str(raised.value.reason).startswith("The number of metrics to correlate must be smaller")


@pytest.mark.parametrize(("text", "place"), [("{}", "1:1"), ("\n\n  {", "3:3")])
def test_a_name_that_is_never_executed(text: str, place: str) -> None:
    """It is an unknown field at the place where the body begins, whatever comes after."""
    with pytest.raises(NamedObjectNotFound) as raised:
        parse("kmeans", text)
    assert raised.value.reason == f"[{place}] unknown field [KMEANS]"


def test_what_is_refused_first() -> None:
    """No body, then one that is no object, then a name that is none; before 2.12 the name comes first."""
    with pytest.raises(UnreadableBody):
        parse("nope", "")
    with pytest.raises(ParsingError):
        parse("nope", "[]")
    with pytest.raises(IllegalArgument, match="Wrong function name"):
        parse("nope", "{}")
    with pytest.raises(IllegalArgument, match="Wrong function name"):
        parse("nope", "", profile=profile_of("2.11"))
    with pytest.raises(IllegalArgument, match="Wrong function name"):
        parse(METRICS, '{"metrics":[[1,2]]}', profile=profile_of("2.6"))


def test_a_localization() -> None:
    """All its fields; aggregations of one object are several, and those of aggregations are left out."""
    body = {
        "index_name": "logs",
        "attribute_field_names": ["host", 5],
        "aggregations": [
            {"a": {"sum": {"field": "x"}}, "p": {"avg_bucket": {"buckets_path": "a>b"}}},
            {"b": {"max": {"field": "x"}, "meta": {"k": 1}}},
        ],
        "time_field_name": "@timestamp",
        "start_time": 1,
        "end_time": 9.0,
        "min_time_interval": 2,
        "num_outputs": 3,
        "anomaly_start_time": 4,
        "filter_query": {"match_all": {}},
        "foo": [{"index_name": "other"}],
    }
    found = parse(LOCALIZATION, json.dumps(body))

    assert isinstance(found, Localization)
    assert (found.index_name, found.attributes, found.time_field) == ("logs", ("host", "5"), "@timestamp")
    assert (found.start_time, found.end_time, found.min_time_interval) == (1, 9, 2)
    assert (found.num_outputs, found.anomaly_start_time, found.filter_query) == (3, 4, {"match_all": {}})
    assert [aggregation.name for aggregation in found.aggregations] == ["a", "b"]
    assert found.aggregations[1].body == {"max": {"field": "x"}, "meta": {"k": 1}}
    assert parse(LOCALIZATION, "{}") == Localization()


@pytest.mark.parametrize("before", ["", "\n", "  \n  ", "\n\n\n      "])
def test_opensearch_sees_a_query_where_it_stands(before: str) -> None:
    """The body it is shown has each part at the client's own line and column."""
    text = f'{{"é":"é","filter_query":{before}{{"term":{{"a":1}}}},"aggregations":[{before}{{"x":{{"sum":{{}}}}}}]}}'
    seen: list[bytes] = []
    parse(LOCALIZATION, text, seen)

    for shown, key, value in zip(seen, ("query", "aggs"), (b'{"term":{"a":1}}', b'{"x":{"sum":{}}}'), strict=True):
        assert json.loads(shown) == {key: json.loads(value)}
        payload = text.encode()
        assert position(shown, shown.index(value)) == position(payload, payload.index(value))


def test_what_opensearch_says_of_a_query_counts_in_its_place() -> None:
    """What comes before it is named before, what comes after it is never read."""

    def refuse(_: bytes) -> None:
        raise BadRequest("unknown query [nope]", type="parsing_exception")

    for text, reason in (
        ('{"filter_query":{"nope":{}},"start_time":"x"}', "unknown query [nope]"),
        ('{"start_time":"x","filter_query":{"nope":{}}}', "Long value passed as String"),
        ('{"aggregations":[{"a":{"nope":{}}}],"num_outputs":1.5}', "unknown query [nope]"),
        ('{"num_outputs":1.5,"aggregations":[{"a":{"nope":{}}}]}', "1.5 cannot be converted to Integer"),
    ):
        with pytest.raises(BadRequest) as raised:
            parse_execute_input(LOCALIZATION, text.encode(), CURRENT, refuse)
        assert str(raised.value.reason).startswith(reason)
