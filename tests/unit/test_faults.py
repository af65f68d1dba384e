"""Faults: what is read, which requests they are for, when they apply, and that all of it can be repeated."""

from __future__ import annotations

import json
import statistics
from typing import Any

import msgspec
import pytest

from mlcommons_tasks.emulation.faults import LONGEST_DELAY_S, Asked, Effect, Fault, FaultState, choose, differences
from mlcommons_tasks.errors import IllegalArgument

POLL = Asked("GET", "/_plugins/_ml/tasks/abc", "me", "py/1")


def fault(name: str = "f", effect: Any = None, **more: Any) -> Fault:
    return Fault.read({"name": name, "effect": effect or {"status": 503}, **more})


def applied(one: Fault, times: int) -> list[int]:
    """Return the running numbers to which a fault applies, counted as it is in a service."""
    state, found = FaultState(), []
    for number in range(1, times + 1):
        applies, state = one.asked(state)
        found += [number] * applies
    assert state == FaultState(times, len(found))
    return found


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"effect": {"drop": True}}, "missing required field `name`"),
        ({"name": "f"}, "missing required field `effect`"),
        ({"name": "a/b", "effect": {"drop": True}}, "`$.name`"),
        ({"name": "f", "effect": {}}, "`$.effect`"),
        ({"name": "f", "effect": {"drop": True, "reset": True}}, "there is `drop` and `reset` - at `$.effect`"),
        ({"name": "f", "effect": {"drop": False}}, "`drop` is true, or is left out - at `$.effect`"),
        ({"name": "f", "effect": {"status": 200}}, "`$.effect.status`"),
        ({"name": "f", "effect": {"status": 600}}, "`$.effect.status`"),
        ({"name": "f", "effect": {"drop": True, "reason": "r"}}, "`reason` goes with `status` - at `$.effect`"),
        ({"name": "f", "effect": {"status": 503, "retry_after": -1}}, "`$.effect.retry_after`"),
        ({"name": "f", "effect": {"drop": True, "seed": 1}}, "`seed` goes with `delay` - at `$.effect`"),
        ({"name": "f", "effect": {"delay": {"fixed": -1}}}, "`$.effect.delay.fixed`"),
        ({"name": "f", "effect": {"delay": {"fixed": 1, "uniform": [1, 2]}}}, "`$.effect.delay`"),
        ({"name": "f", "effect": {"delay": {"uniform": [2, 1]}}}, "`uniform` goes from the shorter"),
        ({"name": "f", "effect": {"delay": {"lognormal": {"median": 1}}}}, "`sigma` - at `$.effect.delay.lognormal`"),
        ({"name": "f", "effect": {"truncate": {"after": -1}}}, "`$.effect.truncate.after`"),
        ({"name": "f", "effect": {"stale": {"reads": 0}}}, "`$.effect.stale.reads`"),
        ({"name": "f", "effect": {"drop": True}, "when": {"first": 0}}, "`$.when.first`"),
        ({"name": "f", "effect": {"drop": True}, "when": {}}, "there is none - at `$.when`"),
        ({"name": "f", "effect": {"drop": True}, "when": {"first": 1, "every": 2}}, "`$.when`"),
        ({"name": "f", "effect": {"drop": True}, "when": {"first": 1, "seed": 2}}, "`seed` goes with `probability`"),
        ({"name": "f", "effect": {"drop": True}, "when": {"probability": 1.5}}, "`$.when.probability`"),
        ({"name": "f", "effect": {"drop": True}, "times": 0}, "`$.times`"),
        ({"name": "f", "effect": {"drop": True}, "match": {"paths": "/x"}}, "unknown field `paths` - at `$.match`"),
        (
            {"name": "f", "effect": {"drop": True}, "match": {"path": "_plugins/*"}},
            "`path` begins with `/` or `*`; [_p",
        ),
        ({"name": "f", "effect": {"drop": True}, "match": {"path": "/x?y=1"}}, "`path` is without the query"),
        ({"name": "f", "effect": {"drop": True}, "match": {"path": "/_emulator"}}, "`path` is that of a request of"),
        ({"name": "f", "effect": {"drop": True}, "match": {"path": "/_emulator/in/a/*"}}, "no request - at `$.match`"),
    ],
)
def test_what_is_wrong_is_named(body: dict[str, Any], field: str) -> None:
    """A body that is no fault is refused by a reason that names the field."""
    for form in (body, json.dumps(body).encode()):
        with pytest.raises(IllegalArgument) as refused:
            Fault.read(form)
        assert field in str(refused.value.reason)


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b'"\xff"', b"[" * 100_000])
def test_what_is_no_json(payload: bytes) -> None:
    """What is no JSON object at all is refused likewise."""
    with pytest.raises(IllegalArgument):
        Fault.read(payload)


@pytest.mark.parametrize(
    "body",
    [
        {"name": "f", "effect": {"status": 429, "type": "t", "reason": "r", "retry_after": 3}},
        {"name": "f", "match": {"method": "get", "path": "/a/*"}, "when": {"every": 3}, "effect": {"drop": True}},
        {"name": "f", "times": 4, "effect": {"delay": {"uniform": [0.5, 2.0]}, "seed": 3}},
    ],
)
def test_a_fault_is_written_as_it_was_read(body: dict[str, Any]) -> None:
    """What was not said is not written."""
    one = Fault.read(body)

    assert one.to_document() == body
    assert msgspec.json.decode(msgspec.json.encode(one), type=Fault) == one


@pytest.mark.parametrize(
    ("match", "fields"),
    [
        ({}, []),
        ({"path": "/_plugins/_ml/tasks/*"}, []),
        ({"method": "get", "opaque_id": "m*", "user_agent": "py/*"}, []),
        ({"method": "POST", "path": "/_plugins/_ml/tasks"}, ["method", "path"]),
        ({"path": "/_plugins/_ml/tasks/AB*"}, ["path"]),
        ({"opaque_id": "you", "user_agent": "py"}, ["opaque_id", "user_agent"]),
    ],
)
def test_which_requests_match(match: dict[str, str], fields: list[str]) -> None:
    """A fault is for the requests that have all that is said, and what differs is told."""
    one = fault(match=match)

    assert [each.field for each in differences(one.match, POLL)] == fields
    assert one.matches(POLL) is (not fields)


def test_a_header_that_is_not_there_matches_nothing() -> None:
    """A star is any text, and no header is none."""
    [difference] = differences(fault(match={"opaque_id": "*"}).match, POLL._replace(opaque_id=None))

    assert (difference.field, difference.wanted, difference.was) == ("opaque_id", "*", None)


def test_when_a_fault_applies() -> None:
    """First so many, every so manieth, at most so often."""
    assert applied(fault(), 4) == [1, 2, 3, 4]
    assert applied(fault(times=2), 4) == [1, 2]
    assert applied(fault(when={"first": 3}), 6) == [1, 2, 3]
    assert applied(fault(when={"first": 3}, times=2), 6) == [1, 2]
    assert applied(fault(when={"every": 3}), 10) == [3, 6, 9]
    assert applied(fault(when={"every": 3}, times=2), 10) == [3, 6]
    assert applied(fault(when={"probability": 0}), 10) == []
    assert applied(fault(when={"probability": 1}), 3) == [1, 2, 3]


def test_chance_can_be_repeated() -> None:
    """The same seed does the same to the same numbers, another seed or name something else, as often as is said."""
    by_seed = fault(when={"probability": 0.3, "seed": 7})
    again = fault("g", when={"probability": 0.3, "seed": 7})
    other = fault(when={"probability": 0.3, "seed": 8})
    unseeded, unseeded_too = fault("a", when={"probability": 0.3}), fault("b", when={"probability": 0.3})

    assert applied(by_seed, 200) == applied(again, 200)
    assert applied(by_seed, 10)[:2] == [number for number in range(1, 11) if by_seed.decide(number)][:2]
    assert applied(by_seed, 200) != applied(other, 200)
    assert applied(unseeded, 200) != applied(unseeded_too, 200)
    assert 250 < len(applied(by_seed, 1000)) < 350


def test_delays() -> None:
    """Delays are of their distribution, and can be repeated."""

    def delays(delay: Any, **more: Any) -> list[float]:
        one = fault(effect={"delay": delay, **more})
        assert [one.delay_s(number) for number in range(50)] == [one.delay_s(number) for number in range(50)]
        return [one.delay_s(number) for number in range(2000)]

    assert set(delays({"fixed": 1.5})) == {1.5}
    uniform = delays({"uniform": [1, 3]})
    assert min(uniform) >= 1
    assert max(uniform) <= 3
    assert statistics.mean(uniform) == pytest.approx(2, abs=0.1)
    lognormal = delays({"lognormal": {"median": 0.2, "sigma": 1}}, seed=3)
    assert statistics.median(lognormal) == pytest.approx(0.2, rel=0.15)
    assert statistics.quantiles(lognormal, n=100)[83] == pytest.approx(0.2 * 2.718, rel=0.25)
    assert lognormal != delays({"lognormal": {"median": 0.2, "sigma": 1}}, seed=4)
    assert max(delays({"lognormal": {"median": 3000, "sigma": 10}})) == LONGEST_DELAY_S
    assert fault().delay_s(1) == 0


def test_the_first_that_wants_a_request_has_it() -> None:
    """Faults are asked in order; those behind the one that applies are not counted."""
    faults = [
        fault("other", match={"path": "/x"}),
        fault("second", when={"every": 2}),
        fault("always", effect={"drop": True}),
        fault("last", effect={"reset": True}),
    ]
    states: dict[str, FaultState] = {}
    chosen = []
    for _ in range(3):
        one, changed = choose(faults, states, POLL)
        states |= changed
        chosen.append(one and one.name)

    assert chosen == ["always", "second", "always"]
    assert states == {"second": FaultState(3, 1), "always": FaultState(2, 2)}
    assert choose(faults[:1], {}, POLL) == (None, {})


def test_an_effect_is_shown_in_a_schema() -> None:
    """The JSON Schema of a fault can be made, for files."""
    schema = msgspec.json.schema(Fault)

    assert set(schema["$defs"]["Effect"]["properties"]) == set(Effect.__struct_fields__)
