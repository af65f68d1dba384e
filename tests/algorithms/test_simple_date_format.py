"""Dates as java.text.SimpleDateFormat reads them, where no recording says so already."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from mlcommons_tasks.pipeline.algorithms.simple_date_format import SimpleDateFormat


def millis(*date: int) -> int:
    return int(datetime(*date, tzinfo=timezone.utc).timestamp() * 1000)  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("pattern", "zone", "text", "expected"),
    [
        ("yyyy-MM-dd HH:mm:ss", "UTC", "2024-02-29 23:59:59", millis(2024, 2, 29, 23, 59, 59)),
        ("yyyy-MM-dd", "UTC", "2023-02-29", millis(2023, 3, 1)),
        ("yyyy-MM-dd", "Europe/Berlin", "2021-07-01", millis(2021, 6, 30, 22)),
        ("yyyy-MM-dd", "no/zone", "2021-07-01", millis(2021, 7, 1)),
        ("d MMMM yyyy", "UTC", "3 september 2021", millis(2021, 9, 3)),
        ("yyyyMMddHHmmss", "UTC", "20210903040506", millis(2021, 9, 3, 4, 5, 6)),
        ("yyyy", "UTC", "12345", 327_403_382_400_000),
        ("yyyy-MM-dd", "UTC", "tomorrow", None),
        ("yyyy-MM-dd", "UTC", "", None),
    ],
)
def test_parse(pattern: str, zone: str, text: str, expected: int | None) -> None:
    """A text is read leniently, in its zone; None where it is not as the pattern says."""
    assert SimpleDateFormat(pattern, zone).parse(text) == expected


def test_years_of_two_digits() -> None:
    """They are at most 80 years ago, and less than 20 ahead."""
    now = datetime.now(timezone.utc).year
    for year in (now - 79, now, now + 19):
        assert SimpleDateFormat("yy", "UTC").parse(f"{year % 100:02}") == millis(year, 1, 1)


@pytest.mark.parametrize("pattern", ["yyyy-mm-ddT", "n", "'open", "XXXX", "é" + "b"])
def test_patterns_that_are_none(pattern: str) -> None:
    """Letters that mean nothing and quotes that do not end are errors."""
    with pytest.raises(ValueError, match=r"pattern|quote"):
        SimpleDateFormat(pattern, "UTC")


def test_numbers_without_end() -> None:
    """Whatever the digits, a long comes out."""
    for text in ("9" * 400, "-" + "9" * 400):
        found = SimpleDateFormat("yyyy-MM", "UTC").parse(f"{text}-{text}")
        assert found is not None
        assert -(2**63) <= found < 2**63
