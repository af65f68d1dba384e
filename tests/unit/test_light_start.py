"""What an import of the package and a look at its help load: little, so that both are quick on any machine."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

#: Prints which modules came with a statement, and which were there before.
REPORT = """
import json, sys
before = set(sys.modules)
try:
    {statement}
except SystemExit as end:
    assert not end.code, end.code
print("\\n" + json.dumps(sorted(set(sys.modules) - before)))
"""
HELP = "from mlcommons_tasks.cli import main; main({arguments})"
OURS = "mlcommons_tasks"
#: Of the standard library, what takes long and is for other commands.
HEAVY = {"asyncio", "concurrent", "email", "http", "multiprocessing", "sqlite3", "ssl", "subprocess", "unittest", "xml"}
#: Rooms of ours that bring the heavy libraries with them.
FAR = ("app", "backend", "execution", "foreground", "node", "pipeline", "rest", "server", "store", "wire")


def loaded(statement: str) -> list[str]:
    """Return the modules that a statement loads in a new interpreter."""
    script = REPORT.format(statement=statement)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    modules: list[str] = json.loads(done.stdout.splitlines()[-1])
    return modules


def strangers(modules: list[str]) -> set[str]:
    """Return the libraries among modules that are neither ours nor Python's."""
    return {name.partition(".")[0] for name in modules} - sys.stdlib_module_names - {OURS}


def test_the_package_costs_nothing_until_it_is_used() -> None:
    """Test runs of others load it each time: only its version is read, and no library is imported."""
    modules = loaded(f"import {OURS}")

    assert {name for name in modules if name.startswith(OURS)} == {OURS, f"{OURS}._version"}
    assert strangers(modules) == set()
    assert {name.partition(".")[0] for name in modules} & HEAVY == set()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["serve", "--help"], ["seed", "--help"]])
def test_help_loads_click_and_little_else(arguments: list[str]) -> None:
    """Neither the web framework nor a client of OpenSearch nor numpy."""
    modules = loaded(HELP.format(arguments=arguments))

    assert strangers(modules) == {"click"}
    assert {name.partition(".")[0] for name in modules} & HEAVY == set()
    assert [name for name in modules if name.startswith(tuple(f"{OURS}.{room}" for room in FAR))] == []


def test_the_test_sees_what_is_loaded() -> None:
    """What the service needs is seen as such when it is loaded."""
    modules: Any = loaded("import mlcommons_tasks; mlcommons_tasks.create_app")

    assert {"flask", "opensearchpy", "elasticsearch_dsl"} <= strangers(modules)
    assert f"{OURS}.store.tasks" in modules
