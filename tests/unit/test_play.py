"""One played task: what it shows when, read by read, by the clock and with real work. Nothing is stored here."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from mlcommons_tasks.emulation.play import Outcome, Play
from mlcommons_tasks.emulation.steps import Step
from mlcommons_tasks.errors import IllegalArgument
from mlcommons_tasks.task import FunctionName, InputType, MLTask
from mlcommons_tasks.wire.task_document import RENDERED, render_task

BASE = {
    "task_type": "TRAINING",
    "function_name": "KMEANS",
    "input_type": "SEARCH_QUERY",
    "worker_node": ["node-a"],
    "is_async": True,
}
NOW = 1_700_000_000_000


def steps_of(*told: dict[str, Any]) -> tuple[Step, ...]:
    """Return steps from what JSON has of them."""
    return msgspec.convert(list(told), tuple[Step, ...])


def begun(*told: dict[str, Any], lag: int = 0, base: dict[str, Any] | None = None, **more: Any) -> Play:
    """Return a task that has just been created."""
    return Play.begin("t1", "s", steps_of(*told), lag, BASE if base is None else base, NOW, **more)


def state_of(play: Play) -> str | None:
    """Return what GET shows."""
    source = play.source()
    return None if source is None else str(source["state"])


def polled(play: Play, reads: int, now: int = NOW) -> list[str | None]:
    """Return the states that so many reads show."""
    states = []
    for _ in range(reads):
        play = play.advanced(now)
        states.append(state_of(play))
        play = play.was_read()
    return states


def test_a_task_is_shown_as_a_real_one_is() -> None:
    """The document has the fields of a stored training, in their order, and nothing of the scenario."""
    play = begun({"state": "CREATED"})
    real = MLTask.training(FunctionName.KMEANS, InputType.SEARCH_QUERY, "node-a", NOW)

    assert json.dumps(play.source()) == json.dumps(real.source())


def test_immediate_steps_are_never_seen() -> None:
    """A task begins in the first step that lasts."""
    play = begun({"state": "CREATED"}, {"state": "RUNNING", "lasts": "immediate"}, {"state": "EXPIRED"})

    assert state_of(play) == "EXPIRED"
    assert play.is_over


def test_a_step_of_reads_is_shown_so_often() -> None:
    """The read after the last one moves on, whatever the clock says."""
    play = begun(
        {"state": "CREATED", "lasts": {"reads": 2}}, {"state": "RUNNING", "lasts": {"reads": 1}}, {"state": "FAILED"}
    )

    assert polled(play, 5) == ["CREATED", "CREATED", "RUNNING", "FAILED", "FAILED"]


def test_a_step_of_reads_ends_when_the_next_read_comes() -> None:
    """`last_update_time` is when the next state was first seen."""
    play = begun({"state": "RUNNING", "lasts": {"reads": 1}}, {"state": "FAILED"}).was_read().advanced(NOW + 900)

    source = play.source()
    assert source is not None
    assert (source["create_time"], source["last_update_time"]) == (NOW, NOW + 900)


def test_a_step_of_seconds_ends_to_the_millisecond_however_late_it_is_looked_at() -> None:
    """Each of several steps that are over began when the one before it ended."""
    play = begun(
        {"state": "CREATED", "lasts": {"seconds": 1.5}},
        {"state": "RUNNING", "lasts": {"seconds": 2}},
        {"state": "FAILED"},
    )

    assert state_of(play.advanced(NOW + 1499)) == "CREATED"
    assert play.advanced(NOW + 1500).entered == NOW + 1500
    late = play.advanced(NOW + 60_000)
    assert (state_of(late), late.entered) == ("FAILED", NOW + 3500)


def test_reads_do_not_move_a_step_of_seconds() -> None:
    """On a stopped clock a slow task stays where it is."""
    assert set(polled(begun({"state": "RUNNING", "lasts": {"seconds": 1}}, {"state": "FAILED"}), 20)) == {"RUNNING"}


def test_no_seconds_are_immediate() -> None:
    """A step of 0 seconds is not seen."""
    assert state_of(begun({"state": "RUNNING", "lasts": {"seconds": 0}}, {"state": "FAILED"})) == "FAILED"


def test_an_absent_task_shows_nothing() -> None:
    """ABSENT is no state of a document: there is none."""
    play = begun(
        {"state": "ABSENT", "lasts": {"reads": 2}}, {"state": "RUNNING", "lasts": {"reads": 1}}, {"state": "ABSENT"}
    )

    assert polled(play, 5) == [None, None, "RUNNING", None, None]
    assert play.stored_source() is None
    assert play.state == "ABSENT"


def test_a_read_of_a_state_that_does_not_count_reads_changes_nothing() -> None:
    """So nobody has to write a task that is polled while its time runs."""
    for play in (
        begun({"state": "RUNNING"}),
        begun({"state": "RUNNING", "lasts": {"seconds": 9}}, {"state": "FAILED"}),
    ):
        assert play.was_read() == play


def test_a_clock_that_goes_back_holds_nothing_up_but_seconds() -> None:
    """Reads still move a task, through steps that nobody sees too, and no time in it goes back."""
    play = begun(
        {"state": "CREATED", "lasts": {"seconds": 1}},
        {"state": "RUNNING", "lasts": {"reads": 1}},
        {"state": "CANCELLING"},
        {"state": "CANCELLED", "lasts": {"seconds": 5}},
        {"state": "ABSENT"},
    ).advanced(NOW + 1000)

    earlier = play.was_read().advanced(NOW - 60_000)
    assert (state_of(earlier), earlier.entered) == ("CANCELLED", NOW + 1000)
    assert earlier.advanced(NOW + 5999) == earlier
    assert earlier.advanced(NOW + 6000).state == "ABSENT"


def test_fields_stay_until_a_later_step_says_otherwise() -> None:
    """As in the plugin, whose updates are partial: also what a step says that nobody saw."""
    play = begun(
        {"state": "CREATED", "progress": 0.25, "worker_nodes": ["x", "y"]},
        {"state": "RUNNING", "lasts": {"reads": 1}, "model_id": "m"},
        {"state": "UNREACHABLE", "progress": 0.5, "error": "gone"},
    )

    first, last = play.source(), play.was_read().advanced(NOW).source()
    assert first is not None
    assert last is not None
    assert (first["progress"], first["worker_node"], first["model_id"]) == (0.25, ["x", "y"], "m")
    assert "error" not in first
    assert (last["progress"], last["worker_node"], last["model_id"], last["error"]) == (0.5, ["x", "y"], "m", "gone")


def test_the_keys_have_the_plugins_order() -> None:
    """Whatever a scenario adds stands where the plugin writes it, and GET's rendering keeps all of it."""
    play = begun(
        {"state": "COMPLETED_WITH_ERROR", "progress": 1.0, "error": "e", "model_id": "m"},
        base={"is_async": True, "user": {"name": "ann"}, "error": None, **BASE},
    )

    source = play.source()
    assert source is not None
    assert list(source) == [name for name in RENDERED if name in source]
    assert render_task(json.dumps(source).encode()).keys() == source.keys()


def test_node_errors_are_a_json_object_in_a_text() -> None:
    """A place stands for the worker node there, any other key is a node id."""
    play = begun(
        {"state": "CREATED", "worker_nodes": ["n0", "n1"]},
        {"state": "FAILED", "node_errors": {"1": 'say "no"', "far": "é"}},
    )

    source = play.source()
    assert source is not None
    assert source["error"] == '{"n1":"say \\"no\\"","far":"é"}'
    assert json.loads(source["error"]) == {"n1": 'say "no"', "far": "é"}


def test_worker_nodes_are_the_clusters_before_they_are_invented() -> None:
    """A number of them begins with the dispatcher's; invented ones look like OpenSearch's and stay the same."""
    told = {"state": "RUNNING", "worker_nodes": 4}
    known = begun(told, node_ids=("node-a", "node-b")).source()
    again = begun(told, node_ids=("node-a", "node-b")).source()

    assert known == again
    assert known is not None
    assert known["worker_node"][:2] == ["node-a", "node-b"]
    assert [len(node) for node in known["worker_node"][2:]] == [22, 22]
    assert len(set(known["worker_node"])) == 4


def test_fewer_worker_nodes_are_the_first_ones() -> None:
    """A number may also be smaller than what the dispatcher gave."""
    source = begun({"state": "RUNNING", "worker_nodes": 1}, base={**BASE, "worker_node": ["a", "b"]}).source()

    assert source is not None
    assert source["worker_node"] == ["a"]


def test_an_error_of_a_node_needs_that_node() -> None:
    """A task has at least as many worker nodes as its errors name."""
    source = begun({"state": "FAILED", "node_errors": {"2": "full"}}, node_ids=("node-a", "node-b", "node-c")).source()

    assert source is not None
    assert source["worker_node"] == ["node-a", "node-b", "node-c"]
    assert json.loads(source["error"]) == {"node-c": "full"}


def test_a_played_training_names_a_model_once_it_is_done() -> None:
    """Its id looks like OpenSearch's; a step may say another one; a task that has one keeps it."""
    steps = ({"state": "RUNNING", "lasts": {"reads": 1}}, {"state": "COMPLETED"})
    running = begun(*steps)
    done = running.was_read().advanced(NOW)

    assert running.played_model_id is None
    assert "model_id" not in (running.source() or {})
    assert len(done.played_model_id or "") == 20
    assert done.played_model_id == (done.source() or {})["model_id"]
    assert begun({"state": "COMPLETED", "model_id": "mine"}).played_model_id == "mine"
    early = begun({"state": "RUNNING", "model_id": "mine"}, {"state": "COMPLETED"}, base={**BASE, "model_id": None})
    assert early.played_model_id == "mine"
    deploy = begun({"state": "COMPLETED"}, base={"task_type": "DEPLOY_MODEL", "model_id": "m1"})
    assert (deploy.source() or {})["model_id"] == "m1"
    assert deploy.played_model_id is None


def test_a_task_that_makes_no_model_names_none() -> None:
    """A batch prediction is COMPLETED without a model id, and a failed training has none."""
    assert "model_id" not in (begun({"state": "COMPLETED"}, base={"task_type": "BATCH_PREDICTION"}).source() or {})
    assert "model_id" not in (begun({"state": "FAILED"}).source() or {})


def test_a_field_that_is_nothing_is_not_shown() -> None:
    """A document has no nulls, as a real one has none."""
    assert None not in (begun({"state": "RUNNING"}, base={**BASE, "model_id": None}).source() or {}).values()


class TestRealWork:
    """Where there is data to train on, COMPLETED waits for the model that comes of it."""

    STEPS = ({"state": "RUNNING", "lasts": {"seconds": 5}}, {"state": "COMPLETED"})

    def test_the_step_before_stays_until_the_work_is_done(self) -> None:
        """However long its time is over, and however often it is read."""
        play = begun(*self.STEPS, has_work=True).advanced(NOW + 99_000)

        assert (play.waits_for_work, play.needs_work, play.is_over) == (True, True, False)
        assert set(polled(play, 5, NOW + 99_000)) == {"RUNNING"}

    def test_reads_that_wait_for_work_are_not_counted(self) -> None:
        """A poller that waits has nothing written."""
        play = begun({"state": "RUNNING", "lasts": {"reads": 1}}, {"state": "COMPLETED"}, has_work=True).was_read()

        assert play.was_read() == play.advanced(NOW + 1) == play

    def test_work_that_is_done_early_is_shown_when_the_step_ends(self) -> None:
        """The scenario's time is the longer one."""
        play = begun(*self.STEPS, has_work=True).finished(Outcome(model_id="m", at=NOW + 100))

        assert state_of(play.advanced(NOW + 4999)) == "RUNNING"
        done = play.advanced(NOW + 80_000)
        assert done.entered == NOW + 5000
        assert (done.source() or {})["model_id"] == "m"
        assert (done.waits_for_work, done.needs_work, done.is_over) == (False, False, True)
        assert done.played_model_id is None

    def test_work_that_is_done_late_is_shown_from_then_on(self) -> None:
        """`last_update_time` is when the work ended, also if nobody looked then."""
        play = begun(*self.STEPS, has_work=True).finished(Outcome(model_id="m", at=NOW + 7000))

        assert play.advanced(NOW + 80_000).entered == NOW + 7000

    def test_work_that_fails_makes_the_task_fail_for_good(self) -> None:
        """In place of COMPLETED and of all that would follow it."""
        play = begun(*self.STEPS[:1], {"state": "COMPLETED", "lasts": {"reads": 1}}, {"state": "ABSENT"}, has_work=True)
        failed = play.finished(Outcome(error="no such index [x]", at=NOW)).advanced(NOW + 5000)

        assert polled(failed, 3, NOW + 90_000) == ["FAILED"] * 3
        assert (failed.source() or {})["error"] == "no such index [x]"
        assert "model_id" not in (failed.source() or {})
        assert failed.is_over

    def test_a_task_that_only_completes_is_created_while_the_work_lasts(self) -> None:
        """Something has to be shown, and it is not COMPLETED."""
        play = begun({"state": "COMPLETED"}, has_work=True)

        assert state_of(play) == "CREATED"
        assert state_of(play.finished(Outcome(model_id="m", at=NOW)).advanced(NOW)) == "COMPLETED"

    def test_a_played_model_needs_no_work(self) -> None:
        """A scenario may say so, or name the model."""
        for told in ({"state": "COMPLETED", "model": "played"}, {"state": "COMPLETED", "model_id": "m"}):
            play = begun(told, has_work=True)
            assert state_of(play) == "COMPLETED"
            assert not play.needs_work

    def test_a_real_model_needs_data(self) -> None:
        """Without, the task would never end."""
        with pytest.raises(IllegalArgument, match=r"scenario \[s\] wants a real model"):
            begun({"state": "COMPLETED", "model": "real"})

    def test_a_task_that_does_not_complete_needs_no_work(self) -> None:
        """Nobody trains for a scenario that fails."""
        assert not begun({"state": "RUNNING", "lasts": {"reads": 3}}, {"state": "FAILED"}, has_work=True).needs_work


class TestSearchLag:
    """`_search` shows what GET showed some reads ago."""

    STEPS = (
        {"state": "CREATED", "lasts": {"reads": 1}},
        {"state": "RUNNING", "lasts": {"reads": 1}},
        {"state": "COMPLETED"},
    )

    @pytest.mark.parametrize("lag", [0, 1, 2, 5])
    def test_search_is_so_many_reads_behind(self, lag: int) -> None:
        """The first reads find what the task began as."""
        play, got, found = begun(*self.STEPS, lag=lag), [], []
        for _ in range(10):
            play = play.advanced(NOW)
            got.append(play.source())
            found.append(play.stored_source())
            play = play.was_read()

        assert found == ([got[0]] * lag + got)[:10]

    def test_a_task_is_over_when_search_has_caught_up(self) -> None:
        """Before, what it shows still changes."""
        play = begun(*self.STEPS, lag=2)
        over = []
        for _ in range(6):
            play = play.advanced(NOW)
            over.append(play.is_over)
            play = play.was_read()

        assert over == [False, False, False, False, True, True]

    def test_a_task_that_vanished_is_still_found_for_a_while(self) -> None:
        """And one that is not there at first is found later than it is there."""
        gone = begun({"state": "RUNNING", "lasts": {"reads": 1}}, {"state": "ABSENT"}, lag=1).was_read().advanced(NOW)
        late = begun({"state": "ABSENT", "lasts": {"reads": 1}}, {"state": "RUNNING"}, lag=1).was_read().advanced(NOW)

        assert gone.source() is None
        assert (gone.stored_source() or {})["state"] == "RUNNING"
        assert (late.source() or {})["state"] == "RUNNING"
        assert late.stored_source() is None
