"""Typed JSON from many threads: the first readers of a type do not come in each other's way."""

from __future__ import annotations

import enum
import subprocess
import sys
from typing import Annotated, Any, Literal

import msgspec
import pytest

from mlcommons_tasks.wire.typed_json import convert, decode

FIRST_READERS = """
import sys, threading
from mlcommons_tasks.emulation.state import State
from mlcommons_tasks.wire.typed_json import decode
sys.setswitchinterval(1e-6)
start = threading.Barrier(16)
read = []
def first():
    start.wait()
    read.append(decode(b'{"scenarios": [{"scenario": {"name": "a", "preset": "slow"}}]}', State))
threads = [threading.Thread(target=first) for _ in range(16)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(len(read))
"""


class Point(msgspec.Struct):
    """Something that is read."""

    x: int


class Colour(str, enum.Enum):
    """One of a few."""

    RED = "RED"
    BLUE = "BLUE"


class Paint(msgspec.Struct):
    """A colour by another name."""

    colour: Colour = msgspec.field(name="dye")


class Picture(msgspec.Struct):
    """Colours in all places."""

    colours: Annotated[tuple[Colour, ...], msgspec.Meta(max_length=9)] = ()
    by: dict[str, Paint] | None = None
    lasts: Literal["immediate", "forever"] | Point | None = None


def test_both_ways_read_the_same() -> None:
    """Text and what was parsed already come to the same."""
    assert decode('{"x": 1}', Point) == convert({"x": 1}, Point) == Point(1)


def test_a_mistake_names_its_field() -> None:
    """What is wrong is said by the place where it stands."""
    for read, given in ((decode, '{"x": "a"}'), (convert, {"x": "a"})):
        with pytest.raises(msgspec.ValidationError, match=r"\$\.x"):
            read(given, Point)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"colours": ["RED", "GREY"]}, "Invalid enum value 'GREY' - at `$.colours[1]`; there are BLUE, RED"),
        ({"by": {"a": {"dye": "GREY"}}}, "Invalid enum value 'GREY' - at `$.by[...].dye`; there are BLUE, RED"),
        ({"lasts": "ever"}, "Invalid enum value 'ever' - at `$.lasts`; there are forever, immediate"),
    ],
)
def test_what_a_value_may_be_is_listed(given: dict[str, Any], said: str) -> None:
    """A value that is none of a few is told with the few, wherever it stands."""
    for read in (lambda: convert(given, Picture), lambda: decode(msgspec.json.encode(given), Picture)):
        with pytest.raises(msgspec.ValidationError) as refused:
            read()
        assert str(refused.value) == said


@pytest.mark.parametrize("run", range(3))
def test_many_threads_may_be_the_first(run: int) -> None:
    """A process in which sixteen threads read a type for the first time goes on."""
    ended = subprocess.run(
        [sys.executable, "-c", FIRST_READERS], capture_output=True, text=True, timeout=60, check=False
    )

    assert (ended.returncode, ended.stdout.strip()) == (0, "16"), (run, ended.stderr)
