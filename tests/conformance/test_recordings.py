"""Every recorded case, replayed on the service: it must answer as the plugin did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from . import cases, player, recordings
from .compare import differences

FOLDER = recordings.RECORDINGS / recordings.VERSION
#: Case ids and why the service answers otherwise; one that answers alike after all must leave this list.
KNOWN: dict[str, str] = json.loads((Path(__file__).parent / "known_differences.json").read_text("utf-8"))


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
    if case.id in KNOWN:
        assert found, f"{case.id} now answers as recorded: take it out of known_differences.json"
        pytest.xfail(KNOWN[case.id])
    if found:
        pytest.fail(f"{case.id}\n" + "\n".join(str(difference) for difference in found), pytrace=False)


def test_every_known_difference_is_of_a_case() -> None:
    """A case that went or changed its name leaves nothing behind."""
    assert set(KNOWN) <= {case.id for case in cases.load_all()}
