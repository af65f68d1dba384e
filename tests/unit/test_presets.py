"""The presets: what each walks, what it may be told, and that docs/scenarios.md says so of every one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mlcommons_tasks.emulation.play import Play
from mlcommons_tasks.emulation.presets import PRESETS, description_of, preset_of, presets
from mlcommons_tasks.emulation.scenarios import read_told, resolve, scenario_of
from mlcommons_tasks.emulation.walk import seen

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "scenarios.md").read_text()
RECORDING = json.loads((ROOT / "fixtures" / "recordings" / "3.6.0" / "cluster_settings.json").read_text())
STEADY = "…"  #: after the state that stays

#: What the issue promises: the states of GET by the defaults, read by read.
WALKS = {
    "stuck_created": ["CREATED"],
    "stuck_running": ["RUNNING"],
    "slow": ["RUNNING for 30 s", "COMPLETED"],
    "fails": ["RUNNING", "FAILED"],
    "fails_on_one_node": ["RUNNING", "FAILED"],
    "completed_with_error": ["RUNNING", "COMPLETED_WITH_ERROR"],
    "cancel_lag": ["RUNNING", "CANCELLING", "CANCELLING", "CANCELLING", "CANCELLED"],
    "cancelled": ["RUNNING", "CANCELLED"],
    "expired": ["RUNNING", "EXPIRED"],
    "unreachable": ["RUNNING", "UNREACHABLE"],
    "vanishes": ["RUNNING", "RUNNING", "404"],
    "limit_exceeded": [],
    "skips_running": ["CREATED", "COMPLETED"],
    "search_lag": ["RUNNING", "COMPLETED"],
    "not_found_at_first": ["404", "404", "RUNNING", "COMPLETED"],
}


def begun(name: str, **parameters: Any) -> Play:
    """Return a task that plays a preset."""
    plot = resolve(scenario_of({"name": name, "preset": name, "with": parameters}))
    base = {"task_type": "TRAINING", "function_name": "KMEANS", "worker_node": ["node-a"], "is_async": True}
    return Play.begin("t1", name, plot.steps, plot.search_lag, base, 1_000)


def last_source(play: Play) -> dict[str, Any]:
    """Return what a task shows once it is over."""
    for _ in range(20):
        play = play.was_read().advanced(10_000_000)
    assert play.is_over
    source = play.source()
    assert source is not None
    return source


def row_of(name: str) -> str:
    """Return the row of the document's table that a preset is to have."""
    kind = PRESETS[name]
    told = "<br>".join(
        f"`{field.encode_name}` = `{json.dumps(field.default)}`: "
        f"{properties_of(name)[field.encode_name]['description']}"
        for field in msgspec.structs.fields(kind)
    )
    return f"| `{name}` | {description_of(kind)} | {told or 'none'} | {walk_of(name)} |"


def walk_of(name: str) -> str:
    """Return what a poller sees of a preset, read by read, as the document has it."""
    preset = preset_of(name, {})
    refusal = preset.refusal()
    if refusal is not None:
        return f"no task: {refusal.status}, `{refusal.type}`, `{refusal.reason}`"
    walk = seen(preset.steps(), preset.lag())
    got = f"{', '.join(walk.get)} {STEADY}"
    return got if walk.search == walk.get else f"{got}<br>`_search`: {', '.join(walk.search)} {STEADY}"


def properties_of(name: str) -> dict[str, Any]:
    """Return the parameters of a preset as the API lists them."""
    properties: dict[str, Any] = next(it["parameters"] for it in presets() if it["name"] == name)
    return properties


def test_every_promised_preset_is_there() -> None:
    """And no other that this list does not hold to its walk."""
    assert list(PRESETS) == list(WALKS)


@pytest.mark.parametrize("name", WALKS)
def test_a_preset_walks_what_is_promised(name: str) -> None:
    """Read by read, with the defaults, as the play has it."""
    steps = preset_of(name, {}).steps()

    assert (list(seen(steps).get) if steps else []) == WALKS[name]


@pytest.mark.parametrize("name", WALKS)
def test_the_document_has_the_row_of_a_preset(name: str) -> None:
    """Name, purpose, parameters and walk are what the code says; the message is the row that is wanted."""
    assert row_of(name) in DOCUMENT.splitlines(), f"docs/scenarios.md wants the row:\n{row_of(name)}"


def test_the_document_has_no_row_that_is_none() -> None:
    """A preset that is gone leaves the document too."""
    table = DOCUMENT.split("| preset |")[1].split("\n\n")[0]

    assert re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE) == list(PRESETS)


def test_the_documents_examples_are_scenarios() -> None:
    """Each block of JSON is one, or a file of them."""
    examples = re.findall(r"```json\n(.*?)```", DOCUMENT, flags=re.DOTALL)

    assert examples
    for example in examples:
        told = read_told(example)
        assert told.scenarios or told.faults


@pytest.mark.parametrize("name", WALKS)
def test_a_preset_is_listed_with_all_that_one_needs_to_use_it(name: str) -> None:
    """Its parameters have a description, a type and a default; what it does is there as steps or as a refusal."""
    listed = next(it for it in presets() if it["name"] == name)

    assert json.loads(json.dumps(listed))
    assert listed["description"].endswith(".")
    for parameter in listed["parameters"].values():
        assert {"description", "type", "default"} <= parameter.keys()
    assert bool(listed["steps"]) != ("refuse" in listed)


@pytest.mark.parametrize("name", [name for name in WALKS if "reads" in properties_of(name)])
def test_reads_is_how_often_a_state_is_shown(name: str) -> None:
    """One read more is one more of the same; for search_lag one more that `_search` is behind."""
    fewer, more = (preset_of(name, {"reads": reads}) for reads in (4, 5))
    walks = [seen(it.steps(), it.lag()) for it in (fewer, more)]
    before, after = (walk.search if name == "search_lag" else walk.get for walk in walks)

    assert len(after) == len(before) + 1


@pytest.mark.parametrize("name", ["fails", "fails_on_one_node", "completed_with_error", "cancelled", "expired"])
def test_no_reads_is_the_end_at_once(name: str) -> None:
    """The first read of the task shows how it ended; what is stored of it can be read again."""
    play = begun(name, reads=0)

    assert Play.from_document(play.to_document()) == play
    assert seen(preset_of(name, {"reads": 0}).steps()).get == (WALKS[name][-1],)


def test_a_failure_says_the_error_that_it_was_told() -> None:
    """As a plain text."""
    assert last_source(begun("fails", error="disk full"))["error"] == "disk full"


def test_a_node_that_fails_is_named_in_json_in_a_text() -> None:
    """The plugin ends a deploy as FAILED where every node failed: here it has one."""
    source = last_source(begun("fails_on_one_node", error="no room"))

    assert (source["state"], source["worker_node"]) == ("FAILED", ["node-a"])
    assert json.loads(source["error"]) == {"node-a": "no room"}


def test_some_nodes_that_fail_are_named_in_json_in_a_text() -> None:
    """As many as told, of as many as told, from the first read on."""
    play = begun("completed_with_error", worker_nodes=4, failed=2, error="no room")
    source = last_source(play)

    assert preset_of("completed_with_error", {"worker_nodes": 2, "failed": 2})
    assert len((play.source() or {})["worker_node"]) == 4
    assert json.loads(source["error"]) == dict.fromkeys(source["worker_node"][:2], "no room")


def test_no_more_nodes_fail_than_there_are() -> None:
    """The sentence names both parameters."""
    with pytest.raises(ValueError, match=r"`failed` is 3.*`worker_nodes`.*preset completed_with_error"):
        preset_of("completed_with_error", {"worker_nodes": 2, "failed": 3})


def test_the_limit_is_exceeded_in_the_plugins_words() -> None:
    """Status, type and reason are those of a recorded answer."""
    refusal = preset_of("limit_exceeded", {}).refusal()
    recorded = json.dumps(RECORDING)

    assert refusal is not None
    error = {"type": refusal.type, "reason": refusal.reason}
    assert json.dumps({"error": {"root_cause": [error], **error}, "status": refusal.status}) in recorded
