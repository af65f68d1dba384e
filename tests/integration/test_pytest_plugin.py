"""The pytest plugin as its users meet it: what their tests are given, in runs in processes of their own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from mlcommons_tasks import Emulator
from tests.plugin_runs import TRAINING, forget_settings, run

pytest_plugins = ["pytester"]


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
def quick(running: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of this test take the service that runs already: what they need it for is not how it starts."""
    monkeypatch.setenv("MLCOMMONS_TASKS_TEST_URL", running.url)


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
    pytester.makeini("[pytest]\nmlcommons_tasks_fail_on = never-polled")
    by_ini = run(pytester)

    for result in (by_option, by_ini):
        result.assert_outcomes(passed=2, errors=1)
        result.stdout.fnmatch_lines(["*AssertionError: never-polled: opensearch-py/*made the task and never asked*"])


@pytest.mark.parametrize(
    ("ini", "arguments", "said"),
    [
        (
            "",
            ["--mlcommons-tasks-fail-on=nonsense"],
            "--mlcommons-tasks-fail-on: there is no check [[]nonsense[]]; there",
        ),
        (
            "mlcommons_tasks_fail_on = no-retry polls>",
            [],
            "mlcommons_tasks_fail_on: there is no check [[]polls>[]]; there",
        ),
        (
            "mlcommons_tasks_if_missing = skp",
            [],
            "mlcommons_tasks_if_missing cannot be [[]skp[]]; there are error and skip",
        ),
    ],
)
def test_a_setting_that_nobody_knows_is_refused(
    pytester: pytest.Pytester, ini: str, arguments: list[str], said: str
) -> None:
    """Once, before the first test, with what there is instead."""
    pytester.makepyfile("def test_it(): pass")
    pytester.makeini(f"[pytest]\n{ini}")

    result = run(pytester, *arguments)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: mlcommons-tasks: {said}*"])
    assert "Traceback" not in result.stderr.str()
    result.stdout.no_fnmatch_line("*test_it*")


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
