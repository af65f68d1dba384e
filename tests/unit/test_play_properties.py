"""What holds of every play, whatever its steps and whatever is done to it."""

from __future__ import annotations

import itertools
import json

from hypothesis import given
from hypothesis import strategies as st

from mlcommons_tasks.emulation.play import Outcome, Play
from mlcommons_tasks.emulation.scenarios import scenario_of
from mlcommons_tasks.emulation.steps import STATES, Span, Step

NOW = 1_700_000_000_000
SHOWN_STATES = [state for state in STATES if state != "ABSENT"]

spans = st.one_of(
    st.just("immediate"),
    st.integers(1, 4).map(lambda reads: {"reads": reads}),
    st.sampled_from([0, 0.001, 0.5, 2]).map(lambda seconds: {"seconds": seconds}),
)
shown = st.fixed_dictionaries(
    {"state": st.sampled_from(SHOWN_STATES)},
    optional={
        "progress": st.floats(0, 1),
        "worker_nodes": st.integers(1, 3) | st.lists(st.text(min_size=3), min_size=1, max_size=3),
        "model_id": st.text(min_size=1),
    },
)
failing = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"error": st.text()}),
    st.fixed_dictionaries({"node_errors": st.dictionaries(st.sampled_from("0123"), st.text(), min_size=1)}),
)
told_steps = st.one_of(st.builds(lambda step, error: step | error, shown, failing), st.just({"state": "ABSENT"}))


@st.composite
def plays(draw: st.DrawFn) -> Play:
    """Return a task that has just begun."""
    steps = draw(st.lists(told_steps, min_size=1, max_size=6))
    told = [{**step, "lasts": draw(spans)} for step in steps[:-1]] + steps[-1:]
    scenario = scenario_of({"name": "s", "steps": told})
    assert scenario.steps is not None
    base = {"task_type": "TRAINING", "function_name": "KMEANS", "worker_node": ["a"], "is_async": True}
    return Play.begin("t", "s", scenario.steps, draw(st.integers(0, 3)), base, NOW, has_work=draw(st.booleans()))


#: What may happen to a task: milliseconds that pass, also backwards; a read; the end of its work.
events = st.lists(
    st.one_of(
        st.integers(-3000, 5000),
        st.just("read"),
        st.just("read"),
        st.builds(Outcome, model_id=st.just("m"), at=st.integers(NOW, NOW + 5000)),
        st.builds(Outcome, error=st.just("no"), at=st.integers(NOW, NOW + 5000)),
    ),
    max_size=25,
)


def lived(play: Play, happened: list[int | str | Outcome]) -> list[tuple[Play, int]]:
    """Return every stage of a task's life, each advanced to its time."""
    now, stages = NOW, [(play, NOW)]
    for event in happened:
        if isinstance(event, int):
            now += event
        elif isinstance(event, Outcome):
            play = play.finished(event) if play.outcome is None else play
        else:
            play = play.was_read()
        play = play.advanced(now)
        stages.append((play, now))
    return stages


@given(plays(), events)
def test_times_and_steps_never_go_back(play: Play, happened: list[int | str | Outcome]) -> None:
    """Also where the clock does: `last_update_time` is never before `create_time`, nor before it was."""
    stages = [stage for stage, _ in lived(play, happened)]

    for before, after in itertools.pairwise(stages):
        assert after.entered >= before.entered
        assert after.position >= before.position
        for source in (after.source(), after.stored_source()):
            assert source is None or source["last_update_time"] >= source["create_time"]


@given(plays(), events)
def test_advancing_again_changes_nothing(play: Play, happened: list[int | str | Outcome]) -> None:
    """Two replicas that bring a task to the same time bring it to the same state."""
    for stage, now in lived(play, happened):
        assert stage.advanced(now) == stage


@given(plays(), events)
def test_a_play_is_stored_and_read_as_it_was(play: Play, happened: list[int | str | Outcome]) -> None:
    """Whatever was told and has happened, JSON keeps it."""
    for stage, _ in lived(play, happened):
        assert Play.from_document(json.loads(json.dumps(stage.to_document()))) == stage


@given(plays(), events, events)
def test_what_is_over_shows_the_same_for_good(
    play: Play, happened: list[int | str | Outcome], later: list[int | str | Outcome]
) -> None:
    """No time, read or outcome changes a task that says it is over."""
    over, now = lived(play, happened)[-1]
    if not over.is_over:
        return
    for stage, _ in lived(over.advanced(now), later):
        assert stage.is_over
        assert stage.source() == over.source()
        assert stage.stored_source() == over.stored_source() == over.source()


@given(plays(), events)
def test_a_completed_task_that_has_work_names_what_came_of_it(play: Play, happened: list[int | str | Outcome]) -> None:
    """COMPLETED with a real model is never shown before there is one."""
    for stage, _ in lived(play, happened):
        step = stage.steps[stage.position]
        if step.state == "COMPLETED" and step.model == "real":
            assert stage.outcome is not None
            assert stage.outcome.model_id == (stage.source() or {})["model_id"]


@given(st.lists(st.tuples(st.sampled_from(SHOWN_STATES), st.integers(1, 6)), min_size=1, max_size=6), st.data())
def test_a_step_of_n_reads_is_shown_exactly_n_times(told: list[tuple[str, int]], data: st.DataObject) -> None:
    """With any time between the reads, and with any looks that are no reads."""
    steps = [Step(state=state, lasts=Span(reads=reads)) for state, reads in told]  # type: ignore[arg-type]
    play = Play.begin("t", "s", (*steps, Step(state="FAILED")), 0, {"task_type": "EXECUTION"}, NOW)
    expected = [state for state, reads in told for _ in range(reads)]
    now, found = NOW, []
    for _ in expected:
        now += data.draw(st.integers(0, 10_000))
        play = play.advanced(now).advanced(now)
        found.append(play.state)
        play = play.was_read()

    assert found == expected
    assert play.advanced(now).state == "FAILED"
