"""Typed JSON from many threads: the first readers of a type do not come in each other's way."""

from __future__ import annotations

import subprocess
import sys

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


def test_both_ways_read_the_same() -> None:
    """Text and what was parsed already come to the same."""
    assert decode('{"x": 1}', Point) == convert({"x": 1}, Point) == Point(1)


def test_a_mistake_names_its_field() -> None:
    """What is wrong is said by the place where it stands."""
    for read, given in ((decode, '{"x": "a"}'), (convert, {"x": "a"})):
        with pytest.raises(msgspec.ValidationError, match=r"\$\.x"):
            read(given, Point)  # type: ignore[operator]


@pytest.mark.parametrize("run", range(3))
def test_many_threads_may_be_the_first(run: int) -> None:
    """A process in which sixteen threads read a type for the first time goes on."""
    ended = subprocess.run(
        [sys.executable, "-c", FIRST_READERS], capture_output=True, text=True, timeout=60, check=False
    )

    assert (ended.returncode, ended.stdout.strip()) == (0, "16"), (run, ended.stderr)
