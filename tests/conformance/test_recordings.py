"""Every recorded case, replayed on the service: it must answer as the plugin did."""

from __future__ import annotations

import pytest

from . import cases, player, recordings
from .compare import differences

FOLDER = recordings.RECORDINGS / recordings.VERSION


@pytest.mark.embedded
@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in cases.load_all()])
def test_the_service_answers_as_recorded(case: cases.Case, service_url: str) -> None:
    """A client cannot tell the reply from the plugin's."""
    expected = recordings.read(case.topic, FOLDER).replies(case)

    try:
        actual = player.play(case, service_url)
    finally:
        player.clean(service_url, case.indices)

    found = differences(expected, actual)
    if found:
        pytest.fail(f"{case.id}\n" + "\n".join(str(difference) for difference in found), pytrace=False)
