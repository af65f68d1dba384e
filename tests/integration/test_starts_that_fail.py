"""Starts that cannot succeed: what is said, when, where, and the exit code."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import psutil
import pytest

from mlcommons_tasks import running_service
from mlcommons_tasks.errors import StartError
from tests.services import clean_environment, service
from tests.upstreams import Request, answering, free_port, osmem, passing_to

AT_ONCE_S = 20.0  #: for what does not wait; the interpreter alone needs seconds on a busy machine


def failed(*flags: str, timeout_s: float = AT_ONCE_S, **environment: str) -> str:
    """Start a service that must end with code 2 and a sentence; return what it said."""
    process = subprocess.run(
        [sys.executable, "-m", "mlcommons_tasks", "serve", "--port", "0", *flags],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env=clean_environment(**environment),
        check=False,
    )
    said = process.stderr
    assert process.returncode == 2, said
    assert process.stdout == ""
    assert "Traceback" not in said, said
    assert "rror" in said, said
    return said


@contextlib.contextmanager
def patient(opensearch: str, wait_s: int) -> Iterator[tuple[subprocess.Popen[str], IO[str], IO[str]]]:
    """Start a service that waits for an OpenSearch; give the process, what it prints and what it logs."""
    command = [sys.executable, "-m", "mlcommons_tasks", "serve", "--port", "0"]
    with subprocess.Popen(
        [*command, "--opensearch", opensearch, "--wait", str(wait_s)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        yield process, process.stdout, process.stderr


def test_a_missing_opensearch_is_named_at_once_and_waited_for() -> None:
    """The first line comes long before the wait is over, the last one then, with what to do and code 2."""
    url = f"http://127.0.0.1:{free_port()}"
    with patient(url, 6) as (process, said, log):
        first = log.readline()
        told = time.monotonic()
        assert process.poll() is None
        rest = log.read()
        waited = time.monotonic() - told
        assert said.read() == ""
    assert f"no OpenSearch at {url} yet, waiting up to 6 s for it" in first
    assert "Connection refused" in first
    assert waited > 3, f"said only {waited:.1f} s before the end"
    assert process.returncode == 2
    assert f"no OpenSearch at {url} after 6 s" in rest
    assert "correct --opensearch" in rest
    assert "Traceback" not in rest


def test_an_opensearch_that_comes_late_is_served() -> None:
    """Within the wait it may still start."""
    port = free_port()
    with patient(f"http://127.0.0.1:{port}", 60) as (process, said, log):
        try:
            assert "waiting up to 60 s" in log.readline()
            with osmem(port):
                assert json.loads(said.readline())["opensearch"]["kind"] == "url"
                process.terminate()
                assert process.wait(15) == 0
        finally:
            process.kill()


def test_a_wrong_password_stops_the_start() -> None:
    """A refused account is named at once: waiting would not help, and the password is not shown."""
    with answering(lambda request: request.refuse(401, "security_exception", "Unauthorized")) as url:
        said = failed("--opensearch", url.replace("//", "//admin:pass-in-url@"))
        assert f"OpenSearch at {url} refuses the account: 401 Unauthorized" in said
        assert "OPENSEARCH_PASSWORD" in said
        assert "pass-in-url" not in said
        said = failed(OPENSEARCH_URL=url, OPENSEARCH_USERNAME="admin", OPENSEARCH_PASSWORD="pass-in-env")
        assert "refuses the account" in said
        assert "pass-in-env" not in said


@pytest.mark.parametrize(
    ("method", "suffix", "permission"),
    [
        ("POST", ".plugins-ml-task/_search", "indices:data/read/search on .plugins-ml-task"),
        ("POST", ".plugins-ml-model/_search", "indices:data/read/search on .plugins-ml-model"),
        ("DELETE", "/mlcommons-tasks-permission-probe", "indices:data/write/delete on .plugins-ml-task"),
    ],
)
def test_a_missing_permission_is_named(method: str, suffix: str, permission: str) -> None:
    """A cluster that protects the indices from the service's account stops the start with what is missing."""
    with osmem() as server:
        server.request("PUT", "/.plugins-ml-task")
        passed = passing_to(server.url)

        def answer(request: Request) -> None:
            if request.command == method and request.path.partition("?")[0].endswith(suffix):
                b"".join(request.read_body())
                request.refuse(403, "security_exception", "no permissions for [it] and User [name=reader]")
            else:
                passed(request)

        with answering(answer) as url:
            said = failed("--opensearch", url)
    assert "OpenSearch refuses the service's account: no permissions for [it]" in said
    assert permission in said
    assert "start with another account" in said


@pytest.mark.parametrize("fault", [503, 500, None])
def test_a_cluster_whose_indices_come_late_is_waited_for(fault: int | None) -> None:
    """A cluster that answers, but whose indices are not there yet, or that hangs up, is asked again."""
    asked: list[str] = []
    with osmem() as server:
        passed = passing_to(server.url)

        def answer(request: Request) -> None:
            if not request.path.startswith("/.plugins-ml-task/_search") or len(asked) >= 3:
                passed(request)
                return
            asked.append(request.path)
            b"".join(request.read_body())
            if fault:
                request.refuse(fault, "search_phase_execution_exception", "all shards failed")
            else:
                request.close_connection = True

        with answering(answer) as url, service("--opensearch", url) as running:
            assert len(asked) == 3
            assert "waiting up to 60 s for it" in running.log.read_text()
            assert running.stop() == 0
        assert asked[0].startswith("/.plugins-ml-task/_search")


def test_a_port_in_use_is_named() -> None:
    """A taken port ends the start before anything is started."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = failed("--port", str(port))
    assert f"port {port} of 127.0.0.1 is in use" in said
    assert "--port 0 picks a free one" in said


def test_an_address_that_is_not_ours_is_named() -> None:
    """An address of another machine cannot be listened on."""
    assert "cannot listen on 192.0.2.1" in failed("--host", "192.0.2.1", "--opensearch", "memory")


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A cache folder that cannot be made is named, with the variable that names another."""
    (tmp_path / "file").touch()
    said = failed(MLCOMMONS_TASKS_CACHE_DIR=str(tmp_path / "file" / "cache"))
    assert f"the cache folder {tmp_path}/file/cache cannot be written" in said
    assert "MLCOMMONS_TASKS_CACHE_DIR" in said


def test_a_tampered_file_is_refused_and_not_kept(tmp_path: Path) -> None:
    """A file whose sha256 is not the lock's stops the start, and nothing of it stays."""

    def tampered(request: Request) -> None:
        request.reply(200, b"not what the lock names", Content_Type="application/java-archive")

    with answering(tampered) as url:
        said = failed(MLCOMMONS_TASKS_CACHE_DIR=str(tmp_path), MLCOMMONS_TASKS_MAVEN_URL=url, timeout_s=60)
    assert "is not the file that the lock names: its sha256 differs, it was not kept" in said
    assert url in said
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size]
    assert kept == []


def test_a_cold_cache_without_network_says_what_to_do(tmp_path: Path) -> None:
    """Without network the first start names the address, the command for later and the mirror."""
    url = f"http://127.0.0.1:{free_port()}"
    said = failed(MLCOMMONS_TASKS_CACHE_DIR=str(tmp_path), MLCOMMONS_TASKS_MAVEN_URL=url, timeout_s=60)
    assert f"OpenSearch is not in the cache yet, and {url} cannot be reached" in said
    assert "mlcommons-tasks node prepare" in said
    assert "MLCOMMONS_TASKS_MAVEN_URL" in said


@pytest.mark.embedded
def test_a_node_that_dies_at_its_start_shows_its_log(tmp_path: Path) -> None:
    """Data that no node can read ends it, and the tail of its log is in the message."""
    state = tmp_path / "data" / "nodes" / "0" / "_state"
    state.mkdir(parents=True)
    (state / "node-1.st").write_bytes(b"this is no state of a node")
    said = failed("--data-dir", str(tmp_path), timeout_s=90)
    assert "before it was ready" in said
    assert "the last lines of the log:" in said
    assert "version[3.6.0], pid[" in said
    assert f"Its log is {tmp_path}" in said


@pytest.mark.parametrize(
    ("flags", "environment", "sentence"),
    [
        ((), {"MLCOMMONS_TASKS_THREADS": "many"}, "MLCOMMONS_TASKS_THREADS must be a number, not many"),
        ((), {"MLCOMMONS_TASKS_INSECURE": "perhaps"}, "MLCOMMONS_TASKS_INSECURE must be true or false"),
        (("--workers", "0"), {}, "workers must be at least 1, not 0"),
        (("--port", "70000"), {}, "port must be between 0 and 65535, not 70000"),
        (("--port", "x"), {}, "'x' is not a valid integer"),
        (("--wait", "-1"), {}, "wait must not be negative"),
        (("--opensearch", "ftp://me:hidden@there"), {}, "opensearch must be embedded, memory, a URL"),
        (("--opensearch", "http://me:hidden@there:99999"), {}, "opensearch must be embedded, memory, a URL"),
        (("--opensearch-version", "1.2.3"), {}, "Choose one of: 3.6.0"),
        (("--nonsense",), {}, "No such option"),
        (("--opensearch", "https://127.0.0.1:1", "--ca-file", os.devnull), {}, "cannot be used"),
        (("--opensearch", "https://127.0.0.1:1", "--ca-file", "/nowhere.pem"), {}, "the CA file /nowhere.pem"),
        (("--data-dir", os.devnull), {}, f"the data folder {os.devnull} cannot be written"),
        ((), {"MLCOMMONS_TASKS_LOG_LEVEL": "loud"}, "'loud' is not one of"),
        (("--scenarios", "/nowhere.json"), {}, "the scenario file /nowhere.json cannot be read"),
        (("--scenarios", os.devnull), {}, f"the scenario file {os.devnull} cannot be used"),
        (("--no-emulator", "--emulator-token", "hidden"), {}, "of no use without the emulator"),
        (("--opensearch", "memory", "--host", "::", "--emulator"), {}, "the emulator needs an emulator_token"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(
    flags: tuple[str, ...], environment: dict[str, str], sentence: str
) -> None:
    """A bad value ends the start with code 2 and a sentence that names the setting and no password."""
    said = failed(*flags, **environment)
    assert sentence in said, said
    assert "hidden" not in said


def test_a_start_that_fails_in_python_leaves_no_process() -> None:
    """`running_service` raises the same error, with what it started stopped."""
    before = set(psutil.Process().children(recursive=True))
    with (
        answering(lambda request: request.refuse(401, "security_exception", "Unauthorized")) as url,
        pytest.raises(StartError, match="refuses the account"),
        running_service(opensearch=url),
    ):
        raise AssertionError("not reached")
    assert set(psutil.Process().children(recursive=True)) <= before
