"""Every recorded case, replayed on the service: it must answer as the plugin of that version did.

All versions are replayed over one embedded node, the default version's. What a node of another version would say
otherwise is marked in `known_differences_<version>.json`.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.lanes import logged, short_ways
from tests.services import Service, service

from . import cases, player, recordings
from .compare import differences
from .known import Mark, beyond, known, over_another_version

OTHER_VERSIONS = [version for version in recordings.VERSIONS if version != recordings.VERSION]
#: The topics of recordings that poll tasks or search for them.
POLLING = ("get_task", "search_tasks", "search_queries", "search_requests")
#: The topic in which few rows are an anomaly now and then.
BY_CHANCE = "rcf"
MANY = 90  #: polls, and searches as well, that are plain in them
POLLED = [case for case in cases.load_all() if case.topic in POLLING]
KNOWN: dict[str, dict[str, Mark]] = {version: known(version, recordings.VERSION) for version in recordings.VERSIONS}


@pytest.fixture(scope="module")
def url_of(opensearch_url: str) -> Iterator[Callable[[str], str]]:
    """Give the address of a service over the same node that answers as a version, started when it is asked for."""
    with contextlib.ExitStack() as started:

        @functools.cache
        def start(version: str) -> str:
            flags = ("--opensearch", opensearch_url, "--ml-commons-version", version)
            return started.enter_context(service(*flags, "--seed", "1")).url  # for what is `BY_CHANCE`

        yield start


@pytest.mark.embedded
@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.id) for case in cases.load_all() if case.topic not in POLLING]
)
def test_the_service_answers_as_recorded(case: cases.Case, service_url: str, url_of: Callable[[str], str]) -> None:
    """A client cannot tell the reply from the plugin's."""
    url = url_of(recordings.VERSION) if case.topic == BY_CHANCE else service_url
    replay(case, url, recordings.VERSION)


@dataclass
class Ways:
    """Two services over the same node: one with the short way of polls and searches, one without."""

    short: Service
    usual: Service
    played: int = 0


@pytest.fixture(scope="module")
def ways(opensearch_url: str) -> Iterator[Ways]:
    """Start both; see to it in the end that what is recorded of polls and searches did go the short way in one."""
    over = ("--opensearch", opensearch_url)
    with (
        service(*over, environment=logged()) as short,
        service(*over, "--no-fast-lane", environment=logged()) as usual,
    ):
        found = Ways(short, usual)
        yield found
        short.stop()
        usual.stop()
        assert short_ways(usual) is None
        polls, searches = short_ways(short) or (0, 0)
        if found.played == len(POLLED):
            assert polls > MANY, polls
            assert searches > MANY, searches


@pytest.mark.embedded
@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in POLLED])
def test_polls_and_searches_are_answered_as_recorded_the_short_way(case: cases.Case, ways: Ways) -> None:
    """What is recorded of polls and searches holds where the plain ones are answered in the worker's loop."""
    ways.played += 1
    replay(case, ways.short.url, recordings.VERSION)


@pytest.mark.embedded
@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in POLLED])
def test_polls_and_searches_are_answered_as_recorded_the_usual_way(case: cases.Case, ways: Ways) -> None:
    """It holds as well where all of them go through threads and Flask."""
    replay(case, ways.usual.url, recordings.VERSION)


@pytest.mark.embedded
@pytest.mark.parametrize(
    ("version", "case"),
    [
        pytest.param(version, case, id=f"{version}-{case.id}")
        for version in OTHER_VERSIONS
        for case in cases.load_all(version=version)
    ],
)
def test_the_service_answers_as_another_version(version: str, case: cases.Case, url_of: Callable[[str], str]) -> None:
    """With `--ml-commons-version` a client cannot tell the reply from that version's."""
    replay(case, url_of(version), version)


def replay(case: cases.Case, url: str, version: str) -> None:
    """Play a case and fail unless it is answered as recorded; a known difference must still be one."""
    expected = recordings.read(case.topic, recordings.RECORDINGS / version).replies(case)
    try:
        actual = player.play(case, url)
    finally:
        player.clean(url, case.indices)
    if version != recordings.VERSION:
        expected, actual = over_another_version(expected), over_another_version(actual)

    found = differences(expected, actual)
    mark = KNOWN[version].get(case.id)
    if mark is not None:
        assert found, f"{case.id} now answers as {version} did: take it out of the known differences"
        found = beyond(mark, expected, actual)
        if not found:
            pytest.xfail(mark.because)
    if found:
        pytest.fail(f"{case.id}\n" + "\n".join(str(difference) for difference in found), pytrace=False)


@pytest.mark.parametrize("version", recordings.VERSIONS)
def test_every_known_difference_is_of_a_case(version: str) -> None:
    """A case that went or changed its name leaves nothing behind."""
    assert set(KNOWN[version]) <= {case.id for case in cases.load_all(version=version)}
