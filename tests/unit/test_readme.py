"""README says what the recordings say, and what there is to be set."""

from __future__ import annotations

import dataclasses
import re

import pytest

from mlcommons_tasks.cli.serve import serve
from mlcommons_tasks.config import PREFIX, Settings
from mlcommons_tasks.emulation.presets import PRESETS
from tests.conformance import coverage

SETTINGS = [field.name for field in dataclasses.fields(Settings) if not field.metadata.get("derived")]
TEXT = coverage.README.read_text("utf-8")
#: The rows of the table of options.
OPTIONS = [line for line in TEXT.splitlines() if line.startswith("| `--")]


def test_the_coverage_table_is_made_from_the_recordings() -> None:
    """The table in README counts the recorded requests; `python -m tests.conformance.coverage` writes it anew."""
    assert coverage.README.read_text("utf-8") == coverage.written()


def test_every_recorded_request_is_counted() -> None:
    """No recorded request to the plugin falls through the table."""
    counted = sum(coverage.requests_recorded().values())

    assert counted == coverage.recorded_in_all()


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_in_the_table_of_options(name: str) -> None:
    """By its flag, and by the variable of the environment, of which the beginning may be left out."""
    flag = f"`--{name.replace('_', '-')}`"
    rows = [row for row in OPTIONS if flag in row.split(" | ")[0]]

    assert len(rows) == 1, f"{flag}: {rows}"
    short = f"…`_{name.upper()}`"
    assert f"`{PREFIX}{name.upper()}`" in rows[0] or short in rows[0] or "…`_WORKERS`, …" in rows[0]


def test_the_table_has_no_option_that_there_is_not() -> None:
    """A flag that was renamed does not stay behind."""
    there = {flag for option in serve.params for flag in (*option.opts, *option.secondary_opts)}
    shown = {flag for row in OPTIONS for flag in re.findall(r"`(--[a-z-]+)`", row.split(" | ")[0])}

    assert shown == there - {"--help", "-h"}


def test_every_preset_is_listed() -> None:
    """In their order, with the page that says what they do."""
    line = next(line for line in TEXT.splitlines() if line.startswith("- [docs/scenarios.md]"))

    assert re.findall(r"`(\w+)`", line) == list(PRESETS)
