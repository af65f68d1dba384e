"""Training bodies as big as a caller likes, and what reading one costs a process."""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

MIB = 2**20
METAS = [{"name": name, "column_type": "DOUBLE"} for name in "xy"]


class Cost(NamedTuple):
    """What it took to read one body, in a process of its own."""

    mib: float  #: the body's size
    rows: int
    held_mib: float  #: the most that the process had, the body itself included
    seconds: float

    @property
    def times_the_body(self) -> float:
        return self.held_mib / self.mib


def points_body(size: int) -> bytes:
    """Return a body of KMEANS with as many rows of two numbers as `size` bytes have room for, and hardly fewer."""
    numbers = random.Random(7)
    head = b'{"parameters":{"centroids":2},"input_data":{"column_metas":' + json.dumps(METAS).encode() + b',"rows":['
    body = bytearray(head)
    while True:
        cells = ",".join(f'{{"column_type":"DOUBLE","value":{numbers.random()!r}}}' for _ in METAS)
        row = f'{{"values":[{cells}]}}'.encode()
        if len(body) + len(row) + 4 > size:
            break
        body += row + b","
    body[-1:] = b"]}}"
    return bytes(body)


def cost_of_reading(size: int) -> Cost:
    """Have a new process read a body of `size` bytes, and say what that took."""
    command = [sys.executable, "-m", "tests.big_bodies", str(size)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    return Cost(*json.loads(done.stdout))


def _held() -> float:
    """Return the most memory that this process has had, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage says was partly the parent's
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB


def _read(size: int) -> Cost:
    from mlcommons_tasks.wire.ml_input import DataFrameDataset, parse_ml_input

    parse_ml_input("kmeans", points_body(1000))
    before = _held()
    body = points_body(size)
    began = time.perf_counter()
    found = parse_ml_input("kmeans", body)
    seconds = time.perf_counter() - began
    assert isinstance(found.dataset, DataFrameDataset)
    return Cost(len(body) / MIB, found.dataset.frame.size, _held() - before, seconds)


if __name__ == "__main__":
    print(json.dumps(_read(int(sys.argv[1]))))
