"""Scenarios as they are told: what is taken, what is refused and with which words, and what they come down to."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from mlcommons_tasks.emulation.scenarios import (
    Scenario,
    read_scenario,
    read_scenario_file,
    read_told,
    resolve,
    scenario_of,
)
from mlcommons_tasks.emulation.steps import STATES, Refusal, Span, State, Step
from mlcommons_tasks.errors import IllegalArgument
from mlcommons_tasks.task import TaskState

STEPS = [{"state": "CREATED"}, {"state": "RUNNING", "lasts": {"seconds": 2.5}}, {"state": "FAILED", "error": "no"}]


def told(**fields: Any) -> dict[str, Any]:
    """Return a scenario as JSON has it."""
    return {"name": "one", **fields}


def test_the_states_of_a_step_are_the_plugins_and_absent() -> None:
    """A state that the task record learns is one that a scenario may say."""
    assert set(STATES) == {state.value for state in TaskState} | {"ABSENT"}
    assert State.__args__ == STATES  # type: ignore[attr-defined]


def test_a_scenario_is_read_with_all_that_it_says() -> None:
    """Every field of the format arrives where it belongs."""
    scenario = read_scenario(
        json.dumps(
            told(
                match={
                    "task_type": "TRAINING",
                    "function_name": "KMEANS",
                    "index": "iris*",
                    "model": "m1",
                    "opaque_id": "ci-*",
                },
                times=3,
                steps=STEPS,
                search_lag=2,
            )
        )
    )

    assert (scenario.match.index, scenario.match.model, scenario.match.opaque_id) == ("iris*", "m1", "ci-*")
    assert scenario.match.task_type is not None
    assert (scenario.times, scenario.search_lag) == (3, 2)
    assert scenario.steps is not None
    assert scenario.steps[1] == Step(state="RUNNING", lasts=Span(seconds=2.5))


@pytest.mark.parametrize(
    "body",
    [
        told(steps=STEPS, times=2, search_lag=1),
        told(preset="slow", match={"opaque_id": "*"}, **{"with": {"seconds": 3}}),
        told(refuse={"status": 429, "type": "rejected_execution_exception", "reason": "busy"}),
        told(steps=[{"state": "COMPLETED", "worker_nodes": ["a", "b"], "model_id": "m", "progress": 1.0}]),
        told(steps=[{"state": "FAILED", "node_errors": {"0": "x"}, "worker_nodes": 2}]),
    ],
    ids=lambda body: sorted(body)[-1],
)
def test_a_scenario_is_written_as_it_was_told(body: dict[str, Any]) -> None:
    """What is listed is what was posted, and nothing that was not said."""
    assert json.loads(msgspec.json.encode(scenario_of(body))) == body


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"preset": "slow"}, ["`name`"]),
        (told(name="a b", preset="slow"), ["$.name"]),
        (told(), ["exactly one of `steps`, `preset` and `refuse`", "none"]),
        (told(steps=STEPS, preset="slow"), ["`steps` and `preset`"]),
        (told(steps=[]), ["$.steps"]),
        (told(steps=[{"state": "RUN"}]), ["'RUN'", "$.steps[0].state"]),
        (told(steps=[{"state": "FAILED", "eror": "x"}]), ["`eror`", "$.steps[0]"]),
        (told(steps=[{"state": "FAILED", "error": "x", "node_errors": {"0": "x"}}]), ["`error`", "`node_errors`"]),
        (told(steps=[{"state": "FAILED", "node_errors": {}}]), ["$.steps[0].node_errors"]),
        (told(steps=[{"state": "RUNNING", "lasts": {"seconds": -1}}, *STEPS]), ["$.steps[0].lasts.seconds"]),
        (told(steps=[{"state": "RUNNING", "lasts": {"reads": 0}}, *STEPS]), ["$.steps[0].lasts.reads"]),
        (told(steps=[{"state": "RUNNING", "lasts": {}}, *STEPS]), ["`seconds`", "`reads`", "$.steps[0].lasts"]),
        (told(steps=[{"state": "RUNNING", "lasts": {"reads": 1, "seconds": 1}}, *STEPS]), ["$.steps[0].lasts"]),
        (told(steps=[{"state": "RUNNING", "lasts": "for ever"}, *STEPS]), ["$.steps[0].lasts"]),
        (told(steps=[{"state": "RUNNING", "lasts": "forever"}, *STEPS]), ["`steps[0].lasts`", "only the last"]),
        (told(steps=[*STEPS, {"state": "FAILED", "lasts": {"reads": 2}}]), ["`steps[3].lasts`"]),
        (told(steps=[{"state": "RUNNING", "model": "real"}]), ["`model`", "COMPLETED", "$.steps[0]"]),
        (told(steps=[{"state": "COMPLETED", "model": "real", "model_id": "m"}]), ["`model_id`", "$.steps[0]"]),
        (told(steps=[{"state": "ABSENT", "error": "x"}]), ["ABSENT", "$.steps[0]"]),
        (told(steps=[{"state": "RUNNING", "worker_nodes": 0}]), ["$.steps[0].worker_nodes"]),
        (told(steps=STEPS, **{"with": {"reads": 1}}), ["`with`", "`preset`"]),
        (told(preset="sloow"), ["`sloow`", "`preset`", "stuck_created"]),
        (told(preset="slow", **{"with": {"secs": 1}}), ["`secs`", "`with`", "slow"]),
        (told(preset="slow", **{"with": {"seconds": "1"}}), ["`with.seconds`", "slow"]),
        (told(preset="slow", times=0), ["$.times"]),
        (told(preset="slow", search_lag=-1), ["$.search_lag"]),
        (told(preset="slow", match={"task_type": "training"}), ["$.match.task_type"]),
        (told(preset="slow", match={"indexes": "x"}), ["`indexes`", "$.match"]),
        (told(refuse={"status": 200, "type": "x", "reason": "y"}), ["$.refuse.status"]),
        (told(refuse={"status": 500, "type": "x", "reason": "y"}, search_lag=1), ["`search_lag`", "`refuse`"]),
    ],
)
def test_a_mistake_is_refused_with_the_field_that_it_is_in(body: dict[str, Any], words: list[str]) -> None:
    """Both readers give an IllegalArgument whose reason leads to the mistake."""
    for read in (
        lambda: scenario_of(body),
        lambda: read_scenario(json.dumps(body)),
        lambda: read_told(json.dumps(body)),
    ):
        with pytest.raises(IllegalArgument) as refused:
            read()
        for word in words:
            assert word in str(refused.value.reason)


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"null", b'"x"', b"\xff{}", b"[" * 100_000])
def test_what_is_no_json_object_is_refused(payload: bytes) -> None:
    """Whatever the bytes are, the caller gets a 400."""
    for read in (read_scenario, read_scenario_file, read_told):
        with pytest.raises(IllegalArgument):
            read(payload)


def test_a_file_names_the_scenario_that_is_wrong() -> None:
    """The path goes through the list, also for what a preset says of its parameters."""
    with pytest.raises(IllegalArgument, match=r"`with\.reads`.*\$\.scenarios\[1\]"):
        read_scenario_file(
            json.dumps(
                {"scenarios": [told(preset="slow"), told(name="two", preset="fails", **{"with": {"reads": -1}})]}
            )
        )


def test_a_file_may_not_give_a_name_twice() -> None:
    """The second would silently replace the first."""
    with pytest.raises(IllegalArgument, match="`scenarios` has two of the name one"):
        read_scenario_file(json.dumps({"scenarios": [told(preset="slow"), told(preset="fails")]}))


def test_what_is_told_may_be_one_scenario_or_a_file() -> None:
    """A body with `scenarios` or `faults` is a file, any other one scenario."""
    fault = {"name": "busy", "effect": {"status": 503}}

    assert [it.name for it in read_told(json.dumps(told(preset="slow"))).scenarios] == ["one"]
    assert [it.name for it in read_told(json.dumps({"scenarios": [told(preset="slow")]})).scenarios] == ["one"]
    assert [it.name for it in read_told(json.dumps({"faults": [fault]})).faults] == ["busy"]


def test_resolved_steps_say_how_long_they_last() -> None:
    """A step that says nothing is immediate, the last one is for ever, also one that says immediate."""
    scenario = scenario_of(told(steps=[*STEPS[:2], {"state": "FAILED", "lasts": "immediate"}]))

    assert [step.lasts for step in resolve(scenario).steps] == ["immediate", Span(seconds=2.5), "forever"]


def test_a_preset_is_resolved_with_its_parameters() -> None:
    """A preset comes down to steps, a lag or a refusal."""
    slow = resolve(scenario_of(told(preset="slow", **{"with": {"seconds": 7}})))
    lags = resolve(scenario_of(told(preset="search_lag", **{"with": {"reads": 4}})))
    refused = resolve(scenario_of(told(preset="limit_exceeded")))

    assert Span(seconds=7) in [step.lasts for step in slow.steps]
    assert lags.search_lag == 4
    assert refused.refuse is not None
    assert not refused.steps


def test_a_lag_of_the_scenarios_own_wins_over_the_presets() -> None:
    """`search_lag` may be said of any preset."""
    assert resolve(scenario_of(told(preset="search_lag", search_lag=9))).search_lag == 9
    assert resolve(scenario_of(told(preset="slow", search_lag=9))).search_lag == 9


def test_a_refusal_is_resolved_as_it_is() -> None:
    """A scenario's own refusal keeps status, type and reason."""
    refusal = {"status": 503, "type": "cluster_block_exception", "reason": "blocked"}

    assert resolve(scenario_of(told(refuse=refusal))).refuse == Refusal(**refusal)


def test_a_scenario_made_in_python_is_checked_too() -> None:
    """The checks belong to the record, not to its reader."""
    with pytest.raises(ValueError, match="exactly one of"):
        Scenario(name="x")
