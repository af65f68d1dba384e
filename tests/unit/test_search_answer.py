"""What is cut out of OpenSearch's answers to searches, in each format."""

from __future__ import annotations

import cbor2
import pytest

from mlcommons_tasks.wire.rendering import render_cbor, render_json, render_pretty_json
from mlcommons_tasks.wire.search_answer import without_early_end
from mlcommons_tasks.wire.yaml_writer import render_yaml

PLAIN = {"took": 1, "timed_out": False, "_shards": {"total": 1}}
EARLY = {"took": 1, "timed_out": False, "terminated_early": True, "_shards": {"total": 1}}


@pytest.mark.parametrize("render", [render_json, render_pretty_json, render_yaml, render_cbor])
@pytest.mark.parametrize(
    ("early", "plain"),
    [
        (EARLY, PLAIN),
        (PLAIN, PLAIN),
        ({"took": 1, "terminated_early": True}, {"took": 1}),
    ],
)
def test_an_early_end_is_cut_out(render: object, early: dict[str, object], plain: dict[str, object]) -> None:
    """Nothing else changes, wherever it stands."""
    assert callable(render)
    assert without_early_end(render(early)) == render(plain)


def test_a_document_that_says_so_stays() -> None:
    """What is stored is not looked at."""
    answer = {**PLAIN, "hits": [{"_source": {"note": "x" * 300, "terminated_early": True}}]}
    assert without_early_end(render_json(answer)) == render_json(answer)
    assert cbor2.loads(without_early_end(render_cbor(answer))) == answer
