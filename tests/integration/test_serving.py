"""`mlcommons-tasks serve` as a user starts and stops it: the ready line, settings, signals, what is left behind."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.clients import TASKS, TRAIN, Client, long_body, rows_body
from tests.services import Service, clean_environment, service, start_service, wait_until
from tests.upstreams import free_port, osmem

SERVE = [sys.executable, "-m", "mlcommons_tasks", "serve", "--port", "0"]
STOPS_S = 10.0
GONE_S = 5.0


def children_of(running: Service) -> list[psutil.Process]:
    return psutil.Process(running.process.pid).children(recursive=True)


def alive(processes: list[psutil.Process]) -> list[str]:
    """Name the processes that still do something."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"{process.pid} {' '.join(process.cmdline())[:120]}")
    return found


def all_gone(processes: list[psutil.Process], deadline_s: float = GONE_S) -> None:
    """Wait for the end of processes; name those that stay."""
    with contextlib.suppress(AssertionError):
        wait_until(lambda: not alive(processes), deadline_s=deadline_s)
    assert alive(processes) == []


def node_folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("mlcommons-tasks-node-*"))


def stopped(running: Service, number: int) -> float:
    """Stop a service, which must end well; return how long it took."""
    family = children_of(running)
    began = time.monotonic()
    code = running.stop(number)
    took = time.monotonic() - began
    log = running.log.read_text()
    assert code == 0, log
    assert took < STOPS_S, log
    assert "Traceback" not in log, log
    all_gone(family, 2)
    print(f"stopped by {signal.Signals(number).name} in {took:.2f} s")
    return took


@contextlib.contextmanager
def started(*flags: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a service and do not wait for it."""
    process = subprocess.Popen(
        [*SERVE, *flags],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_environment(**environment),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("kind", ["memory", pytest.param("embedded", marks=pytest.mark.embedded)])
def test_the_ready_line_is_one_json_line_of_known_keys(kind: str) -> None:
    """Stdout, which is no terminal, holds one line of JSON and no byte more, from start to stop."""
    with service("--opensearch", kind) as running:
        ready = running.ready
        assert list(ready) == ["url", "opensearch", "pid"]
        assert list(ready["opensearch"]) == ["kind", "url", "version"]
        assert ready["opensearch"]["kind"] == kind
        assert ready["opensearch"]["version"] == Client(running.opensearch_url).ok("GET", "/")["version"]["number"]
        assert ready["pid"] == running.process.pid
        assert running.url != running.opensearch_url
        assert Client(running.url).send("GET", f"{TASKS}/none").status == 404
        stopped(running, signal.SIGTERM)
        assert running.process.stdout is not None
        assert running.process.stdout.read() == ""


def test_a_url_is_served_and_left_running() -> None:
    """An OpenSearch that runs already is named in the ready line, and runs on after the service."""
    with osmem() as server:
        with service("--opensearch", server.url) as running:
            assert running.ready["opensearch"]["kind"] == "url"
            assert running.opensearch_url == server.url
            client = Client(running.url)
            client.ok("PUT", "/mine/_doc/1?refresh=true", {"a": 1})
            assert client.ended(client.train_async(rows_body()))["state"] == "COMPLETED"
            stopped(running, signal.SIGINT)
        assert Client(server.url).ok("GET", "/mine/_doc/1")["_source"] == {"a": 1}


def test_flags_win_over_our_variables_and_those_over_familiar_ones() -> None:
    """--opensearch beats MLCOMMONS_TASKS_OPENSEARCH, which beats OPENSEARCH_URL; a variable alone counts too."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    with osmem() as server:
        both = {"OPENSEARCH_URL": nowhere, "MLCOMMONS_TASKS_OPENSEARCH": server.url}
        with service(environment=both) as running:
            assert running.opensearch_url == server.url
        with service("--opensearch", server.url, environment={"MLCOMMONS_TASKS_OPENSEARCH": nowhere}) as running:
            assert running.opensearch_url == server.url
        familiar = {"OPENSEARCH_URL": server.url, "MLCOMMONS_TASKS_HOST": "127.0.0.2", "MLCOMMONS_TASKS_PORT": "1"}
        with service(environment=familiar) as running:
            assert running.url.startswith("http://127.0.0.2:")
            assert not running.url.endswith(":1"), "--port 0 is a flag"


def test_a_terminal_gets_a_banner_whose_curl_lines_work() -> None:
    """On a terminal a short banner says what to type, and what it says can be typed."""
    ours, theirs = pty.openpty()
    with osmem() as server, contextlib.ExitStack() as stack:
        process = subprocess.Popen(
            [*SERVE, "--opensearch", server.url],
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=subprocess.PIPE,
            env=clean_environment(),
        )
        stack.callback(process.communicate)
        stack.callback(process.kill)
        stack.callback(os.close, ours)
        os.close(theirs)
        shown = ""
        until = time.monotonic() + 60
        while "Ctrl-C stops it." not in shown:
            assert time.monotonic() < until, shown
            if select.select([ours], [], [], 0.1)[0]:
                shown += os.read(ours, 65536).decode()
        lines = shown.replace("\r\n", "\n")
        commands = re.findall(r"^  (curl .*?)$(?=\n\n|\n  curl)", lines, re.MULTILINE | re.DOTALL)
        assert len(commands) == 4, lines
        task_id = ""
        for command in commands:
            line = command.replace("<task_id>", task_id)
            answer = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, timeout=30, check=True)
            body = json.loads(answer.stdout)
            assert "error" not in body or "task_id" in command, (line, body)
            task_id = body.get("task_id", task_id)
            if "<task_id>" in command:
                assert body["function_name"] == "KMEANS", (line, body)
        assert body["hits"]["hits"][0]["_id"] == task_id
        process.send_signal(signal.SIGINT)
        assert process.wait(STOPS_S) == 0


def test_logs_go_to_stderr() -> None:
    """What is logged, at any level, is on stderr and nothing of it on stdout."""
    with service("--opensearch", "memory", environment={"MLCOMMONS_TASKS_LOG_LEVEL": "debug"}) as running:
        client = Client(running.url)
        assert client.ended(client.train_async(rows_body()))["state"] == "COMPLETED"
        stopped(running, signal.SIGTERM)
        assert running.process.stdout is not None
        assert running.process.stdout.read() == ""
        assert " DEBUG " in running.log.read_text()


@pytest.mark.embedded
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_service_and_node_and_removes_their_folder(number: int) -> None:
    """SIGINT and SIGTERM end everything within 10 s with exit code 0, and the temporary folder goes."""
    before = node_folders()
    with service() as running:
        (folder,) = [path for path in node_folders() - before if has_open(running, path)]
        stopped(running, number)
        assert not folder.exists()


def has_open(running: Service, folder: Path) -> bool:
    """Say whether a node of this service lives in `folder`: others may run beside us."""
    return any(str(folder) in " ".join(process.cmdline()) for process in children_of(running))


@pytest.mark.embedded
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_node_starts_ends_both(number: int) -> None:
    """A start that is interrupted ends with code 0 and leaves no node."""
    with started() as process:
        me = psutil.Process(process.pid)
        family = wait_until(
            lambda: [child for child in me.children(recursive=True) if child.name() == "java"],
            deadline_s=60,
            what="the start of the node",
        )
        family = me.children(recursive=True)
        began = time.monotonic()
        process.send_signal(number)
        out, log = process.communicate(timeout=STOPS_S)
        print(f"a start was stopped in {time.monotonic() - began:.2f} s")
        assert process.returncode == 0, log.decode()
        assert out == b""
        assert b"Traceback" not in log, log.decode()
        all_gone(family, 2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_service_that_trains_and_has_a_slow_request_open(number: int) -> None:
    """A training in work, a caller who waits for another and one who only half asked delay the end by seconds."""
    with osmem() as server, service("--opensearch", server.url) as running:
        client = Client(running.url)
        task_id = client.train_async(long_body(100_000_000))
        wait_until(lambda: client.task(task_id)["state"] == "RUNNING", what="RUNNING")
        ends: list[str] = []

        def ask() -> None:
            try:
                ends.append(str(client.send("POST", TRAIN, long_body(100_000_000)).status))
            except OSError as error:
                ends.append(type(error).__name__)

        caller = threading.Thread(target=ask)
        caller.start()
        with contextlib.closing(half_a_request(running)):
            wait_until(lambda: busy_processes(running) >= 2, what="two trainings at work")
            stopped(running, number)
        caller.join(10)
        assert ends, "the caller must not hang"
        task = Client(server.url).ok("GET", f"/.plugins-ml-task/_source/{task_id}")
        assert task["state"] == "FAILED"
        assert task["error"] == "the service stopped before the training ended"


def half_a_request(running: Service) -> contextlib.closing[object]:
    import socket
    from urllib.parse import urlsplit

    parts = urlsplit(running.url)
    connection = socket.create_connection((parts.hostname, parts.port))
    connection.sendall(b"PUT /half/_doc/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    return connection  # type: ignore[return-value]


def busy_processes(running: Service) -> int:
    """Count the training processes that used the processor for some time."""
    busy = 0
    for process in children_of(running):
        with contextlib.suppress(psutil.NoSuchProcess):
            spawned = "LokyProcess" in " ".join(process.cmdline())
            busy += spawned and process.cpu_times().user > 1.0
    return busy


@pytest.mark.parametrize("kind", ["memory", pytest.param("embedded", marks=pytest.mark.embedded)])
def test_nothing_is_left_five_seconds_after_a_kill(kind: str) -> None:
    """Neither node nor in-memory server nor worker nor training process outlives a killed service by 5 s."""
    with service("--opensearch", kind) as running:
        client = Client(running.url)
        task_id = client.train_async(long_body(100_000_000))
        wait_until(lambda: client.task(task_id)["state"] == "RUNNING", what="RUNNING")
        family = children_of(running)
        named = " ".join(" ".join(process.cmdline()) for process in family)
        assert "LokyProcess" in named
        assert ("java" in named) == (kind == "embedded"), named
        assert ("osmem-server" in named) == (kind == "memory"), named
        running.process.kill()
        running.process.wait()
        began = time.monotonic()
        all_gone(family)
        print(f"after the kill all was gone in {time.monotonic() - began:.2f} s")


@pytest.mark.embedded
def test_the_folder_of_a_killed_run_goes_at_the_next_start() -> None:
    """What a killed run left in the temporary folder is removed by the next one."""
    before = node_folders()
    with service() as running:
        (folder,) = [path for path in node_folders() - before if has_open(running, path)]
        family = children_of(running)
        running.process.kill()
        running.process.wait()
    all_gone(family)
    assert folder.exists()
    with service():
        assert not folder.exists()


@pytest.mark.embedded
def test_two_services_run_side_by_side() -> None:
    """Two services have ports and data of their own, and the end of one is not the other's."""
    with service() as one, service("--opensearch", "memory") as two, service() as three:
        clients = [Client(running.url) for running in (one, two, three)]
        ids = [client.train_async(rows_body()) for client in clients]
        for client, own in zip(clients, ids, strict=True):
            assert client.ended(own)["state"] == "COMPLETED"
            for other in ids:
                assert client.send("GET", f"{TASKS}/{other}").status == (200 if other == own else 404)
        stopped(one, signal.SIGTERM)
        assert clients[1].task(ids[1])["state"] == "COMPLETED"
        assert clients[2].task(ids[2])["state"] == "COMPLETED"


@pytest.mark.embedded
def test_a_data_dir_keeps_everything_and_has_one_service(tmp_path: Path) -> None:
    """With --data-dir tasks, models and the user's own indices survive a restart; a second service is refused."""
    data = str(tmp_path / "data")
    with service("--data-dir", data) as running:
        client = Client(running.url)
        client.load_iris()
        task_id = client.train_async(rows_body())
        task = client.ended(task_id)
        model = client.ok("GET", f"/_plugins/_ml/models/{task['model_id']}?return_content=true")
        with started("--data-dir", data) as second:
            out, log = second.communicate(timeout=60)
        assert second.returncode == 2
        assert out == b""
        assert b"is in use by another node" in log, log.decode()
        assert b"Traceback" not in log
        assert client.task(task_id) == task
        stopped(running, signal.SIGTERM)
    with service("--data-dir", data) as running:
        client = Client(running.url)
        assert client.task(task_id) == task
        assert client.ok("GET", f"/_plugins/_ml/models/{task['model_id']}?return_content=true") == model
        assert client.ok("GET", "/iris/_count")["count"] == 150
        assert client.states() == {task_id: "COMPLETED"}
        client.ended(client.train_async(rows_body()))
        stopped(running, signal.SIGINT)


@pytest.mark.embedded
def test_no_task_is_left_hanging_by_a_stop(tmp_path: Path) -> None:
    """A service that is stopped with tasks at work and in line ends them all as FAILED, with the reason."""
    flags = ("--data-dir", str(tmp_path / "data"))
    with service(*flags) as running:
        client = Client(running.url)
        ids = [client.train_async(long_body(100_000_000)) for _ in range(40)]
        wait_until(lambda: "RUNNING" in client.states().values(), what="RUNNING")
        assert "CREATED" in client.states().values()
        stopped(running, signal.SIGTERM)
    with service(*flags) as running:
        client = Client(running.url)
        assert client.states() == dict.fromkeys(ids, "FAILED")
        assert client.task(ids[-1])["error"] == "the service stopped before the training ended"


def test_a_dead_worker_is_replaced() -> None:
    """When the process that answers dies, the service answers again soon, at the same address."""
    running = start_service("--opensearch", "memory")
    try:
        client = Client(running.url)
        client.ok("PUT", "/mine/_doc/1?refresh=true", {"a": 1})
        (worker,) = [
            child
            for child in psutil.Process(running.process.pid).children()
            if "osmem-server" not in " ".join(child.cmdline())
        ]
        worker.kill()

        def answers() -> bool:
            with contextlib.suppress(OSError):
                return client.send("GET", "/mine/_doc/1").status == 200
            return False

        wait_until(answers, what="an answer of the next worker")
        assert client.ended(client.train_async(rows_body()))["state"] == "COMPLETED"
        assert running.stop() == 0
        assert running.process.stdout is not None
        assert running.process.stdout.read() == "", "the ready line comes once"
    finally:
        running.process.kill()
        running.process.communicate()
        running.log.unlink()
