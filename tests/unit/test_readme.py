"""README says what the recordings say."""

from __future__ import annotations

from tests.conformance import coverage


def test_the_coverage_table_is_made_from_the_recordings() -> None:
    """The table in README counts the recorded requests; `python -m tests.conformance.coverage` writes it anew."""
    assert coverage.README.read_text("utf-8") == coverage.written()


def test_every_recorded_request_is_counted() -> None:
    """No recorded request to the plugin falls through the table."""
    counted = sum(coverage.requests_recorded().values())

    assert counted == coverage.recorded_in_all()
