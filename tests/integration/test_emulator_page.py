"""docs/emulator.md: every command on it runs, and is answered what stands below it; its table has all calls."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlcommons_tasks.emulation.faults import Effect, FaultMatch, When
from mlcommons_tasks.emulation.journal import PARAMETERS
from mlcommons_tasks.rest.emulator_openapi import listed
from tests import pages
from tests.clients import Client
from tests.services import Service, service

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "emulator.md"
SECTIONS = pages.sections(PAGE)


@pytest.fixture(scope="module", params=["1", "2"], ids=["alone", "two workers"])
def emulator(request: pytest.FixtureRequest) -> Iterator[Service]:
    """An in-memory service of these tests' own, with iris in it; two processes are as one."""
    with service("--opensearch", "memory", "--workers", request.param) as running:
        Client(running.url).load_iris()
        yield running


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_command_is_answered_as_the_page_says(emulator: Service, heading: str) -> None:
    """In each section from the top, as a reader would."""
    Client(emulator.url).ok("POST", "/_emulator/_reset?all=true")

    pages.run(SECTIONS[heading], emulator.url)


def test_the_page_has_every_call() -> None:
    """The table at its end is that of the OpenAPI document."""
    table = PAGE.read_text("utf-8").rpartition("| call | what it does |\n|---|---|\n")[2]

    assert table == "".join(f"| `{call['method']} {call['path']}` | {call['summary']} |\n" for call in listed())


@pytest.mark.parametrize(
    "names",
    [FaultMatch.__struct_fields__, When.__struct_fields__, Effect.__struct_fields__, PARAMETERS],
    ids=["match", "when", "effect", "requests"],
)
def test_the_page_has_every_field(names: tuple[str, ...]) -> None:
    """Whatever a fault or a search of the journal may say is on the page."""
    text = PAGE.read_text("utf-8")

    assert [name for name in names if not re.search(rf"[`\"]{name}[`\"]", text)] == []


def test_the_pages_links_lead_somewhere() -> None:
    """Files and pages of the repository that it speaks of are there."""
    for page in (PAGE, ROOT / "README.md"):
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize(
    ("said", "found", "fits"),
    [
        ('{"a":1}', {"a": 1}, True),
        ('{"a":1}', {"a": 2}, False),
        ('{"a":1}', {"a": 1, "b": 2}, False),
        ('{"a":1,…}', {"a": 1, "b": 2}, True),
        ('{"a":1,…,"c":3}', {"a": 1, "b": 2, "c": 3}, True),
        ('{"a":1,…,"c":3}', {"a": 1, "b": 2}, False),
        ('{"a":…}', {"a": [1]}, True),
        ('{"a":[…]}', {"a": [1, 2]}, True),
        ('{"a":[…]}', {"a": 1}, False),
        ('{"a":true}', {"a": 1}, False),
        ('{"a":"<x>","b":"<x>"}', {"a": "1", "b": "1"}, True),
        ('{"a":"<x>","b":"<x>"}', {"a": "1", "b": "2"}, False),
    ],
)
def test_what_is_said_is_compared(said: str, found: object, fits: bool) -> None:
    """A page that cannot be wrong says nothing."""
    assert pages.fits(said, found) is fits
