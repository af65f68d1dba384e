"""The environments of the official clients stand at the ends of the range that setup.cfg allows."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def requirements(name: str) -> list[str]:
    """Return the lines of a requirements file that require something."""
    lines = (ROOT / "tests" / "official_clients" / f"requirements-{name}.txt").read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_requirements_follow_setup_cfg() -> None:
    """The newest environment has setup.cfg's range, the lowest its lower bound."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    wanted = setup["options"]["install_requires"].split("\n")
    (allowed,) = (line.removeprefix("opensearch-py") for line in wanted if line.startswith("opensearch-py"))
    newest, lowest = requirements("newest")[0], requirements("lowest")[0]
    assert newest == f"opensearch-py[async]{allowed}"
    bound, pinned = re.match(r">=([\d.]+),", allowed), re.fullmatch(r"opensearch-py\[async\]==([\d.]+)", lowest)
    assert bound
    assert pinned
    assert pinned[1] == f"{bound[1]}.0"
