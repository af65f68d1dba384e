"""`mlcommons-tasks audit`: what it prints of a service, and how it ends a run."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from click.testing import CliRunner, Result

from mlcommons_tasks import RunningService, running_service
from mlcommons_tasks.cli import group, main
from mlcommons_tasks.cli.console import FAILED

TOKEN = "let-me-in"
POOL = urllib3.PoolManager(retries=False)


@pytest.fixture(scope="module")
def service() -> Iterator[RunningService]:
    with running_service(opensearch="memory", emulator_token=TOKEN) as running:
        yield running


def call(service: RunningService, path: str, body: Any = None, **headers: str) -> Any:
    """Send a request, a POST if it has a body; return its status and its answer."""
    named = {"X-Emulator-Token": TOKEN, **{name.replace("_", "-"): value for name, value in headers.items()}}
    method = "GET" if body is None else "POST"
    answer = POOL.request(method, service.url + path, headers=named, json=body or None)
    return answer.status, answer.json()


def polled(service: RunningService, namespace: str, steps: list[Any], polls: int) -> str:
    """Have a client of a namespace poll a played task; return the task's id."""
    told = {"task_type": "TRAINING", "function_name": "KMEANS", "scenario": {"name": "s", "steps": steps}}
    status, made = call(service, "/_emulator/tasks", told, X_Emulator_Namespace=namespace)
    assert status == 200, made
    for _ in range(polls):
        call(service, f"/_plugins/_ml/tasks/{made['task_id']}", X_Emulator_Namespace=namespace, X_Opaque_Id="poller-1")
    return str(made["task_id"])


def run(*arguments: str, columns: str | None = "160") -> Result:
    return CliRunner().invoke(group, ["audit", *arguments], env={"COLUMNS": columns})


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run it as a person does, expect that it fails, and return what it says of that."""
    with pytest.raises(SystemExit) as ended:
        main(["audit", *arguments])
    assert ended.value.code == FAILED
    return capsys.readouterr().err


DONE = [{"state": "RUNNING", "lasts": {"reads": 1}}, {"state": "COMPLETED", "model": "played"}]


def test_a_good_run_ends_well(service: RunningService) -> None:
    """The polls of each client are shown in a table, and the code is 0 if no check finds anything."""
    task = polled(service, "good", DONE, 2)
    result = run(service.url, "--namespace", "good", "--token", TOKEN, "--fail-on", "never-final,polls-after-final")

    assert result.exit_code == 0, result.output
    assert "good: 1 client, 2 requests, 1 task, 2 polls, 0 errors" in result.output
    [row] = [line for line in result.output.splitlines() if task in line]
    assert "RUNNING COMPLETED" in row
    assert "poller-1: 2 requests" in result.output


def test_a_bad_run_fails(service: RunningService) -> None:
    """What a check finds is a line with client and task, and the code is 1; a check that is not asked for is none."""
    task = polled(service, "bad", DONE, 4)
    arguments = (service.url, "--namespace", "bad", "--token", TOKEN)
    result = run(*arguments, "--fail-on", "never-final", "--fail-on", "polls-after-final, errors")

    assert result.exit_code == 1
    assert (
        f"polls-after-final: poller-1, task {task}: 2 polls after it had read COMPLETED" in result.output.splitlines()
    )
    assert run(*arguments, "--fail-on", "never-final").exit_code == 0
    assert run(*arguments).exit_code == 0


def test_several_namespaces_in_json(service: RunningService, tmp_path: Path) -> None:
    """Several namespaces are asked at once; JSON has the reports and what was found, an archive all requests."""
    polled(service, "one", DONE, 2)
    polled(service, "two", [{"state": "RUNNING"}], 3)
    file = tmp_path / "requests.har"
    arguments = ("--namespace", "one", "--namespace", "two", "--token", TOKEN, "--fail-on", "never-final")
    result = run(service.url, *arguments, "--json", "--har", str(file))

    shown = json.loads(result.stdout)["namespaces"]
    assert result.exit_code == 1
    assert shown["one"]["findings"] == []
    assert [each["check"] for each in shown["two"]["findings"]] == ["never-final"]
    assert shown["two"]["clients"][0]["tasks"][0]["polls"] == 3
    archive = json.loads(file.read_text())
    assert archive["log"]["version"] == "1.2"
    assert len(archive["log"]["entries"]) == 5
    assert TOKEN not in file.read_text()


def test_errors_are_shown(service: RunningService) -> None:
    """What a client was refused is shown with the fault that did it and what followed."""
    fault = {"name": "busy", "effect": {"status": 503}, "when": {"first": 1}}
    call(service, "/_emulator/faults", fault, X_Emulator_Namespace="errors")
    task = polled(service, "errors", DONE, 2)
    result = run(service.url, "--namespace", "errors", "--token", TOKEN, "--fail-on", "no-retry")

    assert f"503 to GET /_plugins/_ml/tasks/{task} by fault busy: repeated after" in result.output
    assert result.exit_code == 0


def test_a_check_that_there_is_not(service: RunningService) -> None:
    """A check that nobody knows is told before the service is asked."""
    result = run("http://127.0.0.1:9", "--fail-on", "nothing")

    assert result.exit_code == 2
    assert "there is no check [nothing]" in result.output


def test_a_service_that_cannot_be_asked(service: RunningService, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nobody listens, the token is missing or nothing is an emulator, the code is 2 and the reason is told."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        free = listener.getsockname()[1]
    for arguments, said in (
        ((f"http://me:hunter2@127.0.0.1:{free}",), "cannot be asked"),
        ((service.url,), "401"),
        ((service.url, "--token", "wrong"), "--token"),
        ((service.opensearch_url, "--token", TOKEN), "Is it an emulator"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["audit", *arguments])
        told = capsys.readouterr().err
        assert ended.value.code == FAILED
        assert said in told
        assert "hunter2" not in told


def test_a_namespace_that_is_not_there(service: RunningService, capsys: pytest.CaptureFixture[str]) -> None:
    """A typing error is told with the namespaces that there are, again and again, and makes none."""
    polled(service, "spelt-right", DONE, 2)
    for _ in range(2):
        told = refused(capsys, service.url, "--namespace", "spelt-rihgt", "--token", TOKEN)

        assert f"{service.url} has no namespace spelt-rihgt; there are " in told
        assert "spelt-right" in told


def test_checks_of_nothing_are_no_success(service: RunningService, capsys: pytest.CaptureFixture[str]) -> None:
    """A pipeline that asked somebody else is not taken for a good one; who only wants to see is shown nothing."""
    call(service, "/_emulator/scenarios", X_Emulator_Namespace="silent")
    polled(service, "loud", DONE, 2)
    arguments = (service.url, "--token", TOKEN, "--namespace", "silent")
    for more in ((), ("--namespace", "loud")):
        told = refused(capsys, *arguments, *more, "--fail-on", "never-final")
        assert f"nothing was asked in silent: is the pipeline pointed at {service.url}?" in told

    result = run(*arguments)
    assert result.exit_code == 0
    assert "silent: 0 clients, 0 requests" in result.output


def test_an_archive_that_cannot_be_written(
    service: RunningService, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """It is told as a sentence with the file's name."""
    polled(service, "archived", DONE, 2)
    file = tmp_path / "nowhere" / "requests.har"
    told = refused(capsys, service.url, "--token", TOKEN, "--namespace", "archived", "--har", str(file))

    assert f"{file} of --har cannot be written: No such file or directory" in told


@pytest.mark.parametrize("columns", ["80", None])
def test_a_task_id_is_never_cut(service: RunningService, columns: str | None) -> None:
    """However narrow the place is, a task can be found by its id; without a terminal its row is one line."""
    namespace = f"columns-{columns or 'none'}".lower()
    task = polled(service, namespace, DONE, 3)
    lines = run(service.url, "--token", TOKEN, "--namespace", namespace, columns=columns).output.splitlines()

    [row] = [line for line in lines if task in line]
    assert "…" not in "".join(lines)
    assert columns is not None or "RUNNING COMPLETED" in row


def test_one_is_not_told_as_several(service: RunningService) -> None:
    """What is counted is said in words that fit the number."""
    fault = {"name": "busy", "effect": {"status": 503}, "when": {"first": 1}}
    call(service, "/_emulator/faults", fault, X_Emulator_Namespace="single")
    polled(service, "single", [{"state": "COMPLETED", "model": "played"}], 2)
    output = run(service.url, "--namespace", "single", "--token", TOKEN).output

    assert "single: 1 client, 2 requests, 1 task, 2 polls, 1 error\n" in output
    assert ", 1 request after it" in output
