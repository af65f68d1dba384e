"""Spans of time; each refusal was asked of OpenSearch 3.6.0 with `GET _tasks?timeout=`."""

from __future__ import annotations

import pytest

from mlcommons_tasks.errors import IllegalArgument
from mlcommons_tasks.wire.time_value import LONG_MAX, TimeValue, format_time_value, parse_time_value

SECOND = 10**9


@pytest.mark.parametrize(
    ("text", "nanos"),
    [
        ("30s", 30 * SECOND),
        ("1d", 86_400 * SECOND),
        ("1D", 86_400 * SECOND),
        ("2h", 7_200 * SECOND),
        ("1m", 60 * SECOND),
        (" 1m", 60 * SECOND),
        ("1MS", 10**6),
        ("5micros", 5_000),
        ("5nanos", 5),
        ("1 s", SECOND),
        (" 1s ", SECOND),
        ("+5s", 5 * SECOND),
        ("\u0661s", SECOND),
        ("0", 0),
        ("00", 0),
        ("0s", 0),
        ("-1", -1),
        ("-001", -1),
        ("-1d", -1),
        ("106752d", LONG_MAX),
        ("999999999999999d", LONG_MAX),
    ],
)
def test_a_span_has_a_unit(text: str, nanos: int) -> None:
    """Case and spaces around do not count, too much is as much as there is, 0 and -1 need no unit."""
    assert parse_time_value(text, "timeout") == nanos


@pytest.mark.parametrize("text", ["", "5", "abc", "1x", "1M", "-0", "1m ", "1 5"])
def test_a_span_without_a_unit_is_refused(text: str) -> None:
    """There has to be a unit; minutes have a small m, at the very end."""
    with pytest.raises(IllegalArgument) as caught:
        parse_time_value(text, "timeout")

    assert caught.value.reason == (
        f"failed to parse setting [timeout] with value [{text}] as a time value: unit is missing or unrecognized"
    )
    assert caught.value.caused_by is None


@pytest.mark.parametrize("text", ["-5s", "-2nanos"])
def test_a_negative_span_is_refused(text: str) -> None:
    """Below -1 there is nothing."""
    with pytest.raises(IllegalArgument) as caught:
        parse_time_value(text, "wait")

    assert caught.value.reason == (
        f"failed to parse setting [wait] with value [{text}] as a time value: negative durations are not supported"
    )


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1.5s", "1.5"),
        ("1.s", "1."),
        ("-1.5s", "-1.5"),
        ("1e3s", "1e3"),
        ("1ds", "1d"),
        ("1fs", "1f"),
        ("0x1p3s", "0x1p3"),
        ("9223372036854775808nanos", "9223372036854775808"),
    ],
)
def test_a_fraction_is_refused(text: str, number: str) -> None:
    """What Java reads as a double but not as a long is called a fraction, and the long's own complaint is the cause."""
    with pytest.raises(IllegalArgument) as caught:
        parse_time_value(text, "timeout")

    assert caught.value.reason == f"failed to parse [{text}], fractional time values are not supported"
    assert caught.value.caused_by is not None
    assert caught.value.caused_by.type == "number_format_exception"
    assert caught.value.caused_by.reason == f'For input string: "{number}"'


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("s", ""),
        (".s", "."),
        ("NaNs", "nan"),
        ("infinitys", "infinity"),
        ("0x10s", "0x10"),
        ("1_0s", "1_0"),
        ("1ss", "1s"),
        ("\u00a01s", "\u00a01"),
        ("\U0001d7cfs", "\U0001d7cf"),
    ],
)
def test_a_unit_without_a_number_is_refused(text: str, number: str) -> None:
    """What is no number at all is only said not to parse; the cause shows it in lower case."""
    with pytest.raises(IllegalArgument) as caught:
        parse_time_value(text, "timeout")

    assert caught.value.reason == f"failed to parse [{text}]"
    assert caught.value.caused_by is not None
    assert caught.value.caused_by.reason == f'For input string: "{number}"'


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (0, "0s"),
        (-1, "-1"),
        (1, "1nanos"),
        (999, "999nanos"),
        (1_000, "1micros"),
        (109_540, "109.5micros"),
        (304_143, "304.1micros"),
        (199_000, "199micros"),
        (604_040_000, "604ms"),
        (1_019_150_529, "1s"),
        (39_208_078_843, "39.2s"),
        (59_999_999_999, "59.9s"),
        (90 * SECOND, "1.5m"),
        (5_400 * SECOND, "1.5h"),
        (1_795_372_336_200 * 10**6, "20779.7d"),
        (LONG_MAX, "106751.9d"),
    ],
)
def test_a_span_is_written_with_one_digit_of_its_fraction(nanos: int, text: str) -> None:
    """The digit is cut, not rounded, and a 0 is left out."""
    assert format_time_value(nanos) == text
    assert str(TimeValue(nanos)) == text


@pytest.mark.parametrize(
    ("unit", "text"),
    [
        ("nanos", "90500000000"),
        ("micros", "90500000"),
        ("ms", "90500"),
        ("s", "90"),
        ("m", "1"),
        ("h", "0"),
        ("d", "0"),
    ],
)
def test_a_table_may_ask_for_a_unit(unit: str, text: str) -> None:
    """`time=` gives whole numbers of a unit, rounded down."""
    assert TimeValue(90_500_000_000).in_unit(unit) == text


@pytest.mark.parametrize("unit", [None, "", "MS", "foo"])
def test_an_unknown_unit_changes_nothing(unit: str | None) -> None:
    """A unit that there is not leaves the text as it is."""
    assert TimeValue(90_500_000_000).in_unit(unit) == "1.5m"
