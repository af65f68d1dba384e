"""docs/testing.md: every piece of Python on it runs, with the plugin; so does its shell, and its output is pytest's."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlcommons_tasks import Emulator
from tests.services import clean_environment

pytest_plugins = ["pytester"]

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"
#: Plugins that are not needed here take seconds to load.
WITHOUT = ("cacheprovider", "timeout", "schemathesis", "hypothesispytest", "anyio", "xdist")
QUIET = (*(f"-pno:{name}" for name in WITHOUT), "-W", "error")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: The first line of a piece of Python: the file it is, or adds to.
NAME = re.compile(r"# (\w+\.py)(, mended)?\n")
FAILED = re.compile(r"^FAILED ", re.MULTILINE)


@dataclass(frozen=True)
class Piece:
    """A block of Python."""

    file: str
    is_mended: bool
    text: str


def blocks(language: str) -> list[str]:
    """Return the page's blocks in a language."""
    return [text for name, text in BLOCK.findall(PAGE.read_text("utf-8")) if name == language]


def pieces() -> list[Piece]:
    """Return the page's pieces of Python, each with the name of its file."""
    found = []
    for text in blocks("python"):
        name = NAME.match(text)
        assert name, f"the first line of a piece of Python names its file:\n{text}"
        found.append(Piece(name[1], bool(name[2]), text))
    return found


def files_of_tests() -> list[str]:
    """Return the names of the page's files of tests."""
    return [piece.file for piece in pieces() if piece.file.startswith("test_")]


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    """One service for all runs."""
    with Emulator(opensearch="memory") as emulator:
        yield emulator


@pytest.fixture
def folder(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> Path:
    """The page's files as they are before anything is mended."""
    for name in {*os.environ} - {*clean_environment()}:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLCOMMONS_TASKS_TEST_URL", emulator.url)
    monkeypatch.setenv("COLUMNS", "250")  # so that pytest does not shorten what it says
    monkeypatch.setenv("no_proxy", "*")
    for piece in pieces():
        if not piece.is_mended:
            (pytester.path / piece.file).write_text(piece.text)
    return pytester.path


def mend(folder: Path) -> None:
    """Add what mends a file: its definitions are the later ones."""
    for piece in pieces():
        if piece.is_mended:
            with (folder / piece.file).open("a") as out:
                out.write(piece.text)


def run(pytester: pytest.Pytester, file: str) -> pytest.RunResult:
    """Run one of the page's files of tests."""
    return pytester.runpytest_subprocess(*QUIET, file, timeout=120)


def test_every_piece_is_used() -> None:
    """No file is there twice; each is a file of tests, or is imported or mended by one."""
    names = [piece.file for piece in pieces() if not piece.is_mended]
    everything = "\n".join(piece.text for piece in pieces())

    assert len(names) == len(set(names))
    assert len(files_of_tests()) >= 4
    for piece in pieces():
        module = piece.file.removesuffix(".py")
        assert piece.file in files_of_tests() or f"from {module} import" in everything, f"nobody runs {piece.file}"


@pytest.mark.parametrize("file", files_of_tests())
def test_the_tests_on_the_page_pass(pytester: pytest.Pytester, folder: Path, file: str) -> None:
    """With what the page mends in place; none is skipped."""
    mend(folder)

    outcomes = run(pytester, file).parseoutcomes()

    assert set(outcomes) == {"passed"}


def test_the_imperfect_poller_fails_as_the_page_says(pytester: pytest.Pytester, folder: Path) -> None:
    """The same tests fail, with the same words, and no others."""
    (shown,) = (text for text in blocks("text") if FAILED.search(text))

    result = run(pytester, "test_pipeline.py")

    assert [line for line in result.outlines if FAILED.match(line)] == shown.splitlines()


def test_unittest_runs_its_tests(folder: Path) -> None:
    """What is for unittest passes there too, without a word of warning."""
    command = [sys.executable, "-W", "error", "-m", "unittest", "test_with_unittest"]

    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    assert re.search(r"^Ran 2 tests", done.stderr, re.MULTILINE)
    assert "Warning" not in done.stderr


def test_the_shell_on_the_page_works(tmp_path: Path, emulator: Emulator) -> None:
    """Each call is answered as it should; the service is one that runs already, at its own address."""
    (script,) = (text for text in blocks("sh") if "curl" in text)
    assert shutil.which("curl"), "curl is needed for this test"
    calls = re.sub(r"^mlcommons-tasks serve .*$", "", script, flags=re.MULTILINE)
    assert calls != script
    calls = calls.replace("http://127.0.0.1:9201", emulator.url).replace("curl -sS", "curl -sS --fail-with-body")

    done = subprocess.run(
        ["bash", "-euxc", calls], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert '"scenarios":["slow"]' in done.stdout
    assert '"count":0' in done.stdout
