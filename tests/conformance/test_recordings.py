"""Every recorded case, replayed on the service: it must answer as the plugin of that version did.

All versions are replayed over one embedded node, the default version's. What a node of another version would say
otherwise is marked in `known_differences_<version>.json`.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator

import pytest

from tests.services import service

from . import cases, player, recordings
from .compare import differences
from .known import Mark, beyond, known, over_another_version

OTHER_VERSIONS = [version for version in recordings.VERSIONS if version != recordings.VERSION]
KNOWN: dict[str, dict[str, Mark]] = {version: known(version, recordings.VERSION) for version in recordings.VERSIONS}


@pytest.fixture(scope="module")
def url_of(opensearch_url: str) -> Iterator[Callable[[str], str]]:
    """Give the address of a service over the same node that answers as a version, started when it is asked for."""
    with contextlib.ExitStack() as started:

        @functools.cache
        def start(version: str) -> str:
            return started.enter_context(service("--opensearch", opensearch_url, "--ml-commons-version", version)).url

        yield start


@pytest.mark.embedded
@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in cases.load_all()])
def test_the_service_answers_as_recorded(case: cases.Case, service_url: str) -> None:
    """A client cannot tell the reply from the plugin's."""
    replay(case, service_url, recordings.VERSION)


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
