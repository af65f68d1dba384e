"""The embedded node as a process: what it can do, what it leaves behind, and how it dies."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from mlcommons_tasks.errors import StartError
from mlcommons_tasks.node import aot
from mlcommons_tasks.node.distribution import Distribution, Kind, fetch
from mlcommons_tasks.node.folders import remove_stale
from mlcommons_tasks.node.process import JVM_FLAGS, EmbeddedNode
from mlcommons_tasks.node.recording import record_aot_cache

pytestmark = pytest.mark.embedded
NODE = [sys.executable, "-m", "mlcommons_tasks.cli.node", "start"]


@pytest.fixture(scope="module")
def distribution() -> Distribution:
    return fetch()


@pytest.fixture(scope="module")
def node(distribution: Distribution) -> Iterator[EmbeddedNode]:
    with EmbeddedNode(distribution) as node:
        yield node


@pytest.fixture
def own_cache(distribution: Distribution, tmp_path: Path) -> Distribution:
    """The same files in a cache of the test's own, where nothing is recorded."""
    (tmp_path / "maven").symlink_to(distribution.cache_dir / "maven")
    (tmp_path / "verified").symlink_to(distribution.cache_dir / "verified")
    return dataclasses.replace(distribution, cache_dir=tmp_path)


def call(node: EmbeddedNode, method: str, path: str, body: Any = None, status: tuple[int, ...] = (200, 201)) -> Any:
    connection = http.client.HTTPConnection(urlsplit(node.url).netloc, timeout=30)
    with contextlib.closing(connection):
        connection.request(
            method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"}
        )
        answer = connection.getresponse()
        content = answer.read()
    assert answer.status in status, f"{method} {path}: {answer.status} {content[:1000]!r}\n{node.log_tail()}"
    return json.loads(content) if content.startswith((b"{", b"[")) else content.decode()


def until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.05)


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def node_folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("mlcommons-tasks-node-*"))


def test_looks_like_a_default_node(node: EmbeddedNode) -> None:
    root = call(node, "GET", "/")
    assert root["version"]["number"] == node.version == "3.6.0"
    assert root["version"]["build_type"] == "tar"
    assert root["cluster_name"] == "mlcommons-tasks"
    (described,) = call(node, "GET", "/_nodes")["nodes"].values()
    assert described["roles"] == ["cluster_manager", "data", "ingest", "remote_cluster_client"]
    assert described["http"]["bound_address"] == [urlsplit(node.url).netloc]
    assert all(address.startswith("127.0.0.1:") for address in described["transport"]["bound_address"])


def test_has_the_modules_of_a_real_one(node: EmbeddedNode) -> None:
    query = {"query": {"match_all": {}}}
    script = {"source": "ctx._source.n += params.by", "params": {"by": 2}}
    call(node, "PUT", "/books", {"mappings": {"properties": {"n": {"type": "long"}, "t": {"type": "text"}}}})
    for n in range(5):
        call(node, "PUT", f"/books/_doc/{n}", {"n": n, "t": f"book {n}"})
    call(node, "POST", "/books/_update/1?refresh=true", {"script": script})
    assert call(node, "GET", "/books/_doc/1")["_source"]["n"] == 3
    assert call(node, "POST", "/books/_update_by_query?refresh=true", query | {"script": script})["updated"] == 5
    copied = call(node, "POST", "/_reindex?refresh=true", {"source": {"index": "books"}, "dest": {"index": "copy"}})
    assert copied["created"] == 5
    expression = {"script_fields": {"twice": {"script": {"lang": "expression", "source": "doc['n'].value * 2"}}}}
    found = call(node, "POST", "/books/_search", {"query": {"ids": {"values": ["1"]}}} | expression)
    assert found["hits"]["hits"][0]["fields"]["twice"] == [10.0]
    assert call(node, "POST", "/books/_search/point_in_time?keep_alive=1m")["pit_id"]
    rated = {"id": "r", "request": query, "ratings": [{"_index": "books", "_id": "2", "rating": 1}]}
    metric = {"precision": {"k": 5, "relevant_rating_threshold": 1}}
    assert call(node, "POST", "/books/_rank_eval", {"requests": [rated], "metric": metric})["metric_score"] == 0.2

    call(node, "PUT", "/saved", {"mappings": {"properties": {"q": {"type": "percolator"}, "t": {"type": "text"}}}})
    call(node, "PUT", "/saved/_doc/1?refresh=true", {"q": {"match": {"t": "book"}}})
    percolate = {"query": {"percolate": {"field": "q", "document": {"t": "a book"}}}}
    assert call(node, "POST", "/saved/_search", percolate)["hits"]["total"]["value"] == 1

    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0"
    processors = [{"user_agent": {"field": "agent"}}, {"set": {"field": "seen", "value": True}}]
    call(node, "PUT", "/_ingest/pipeline/agents", {"processors": processors})
    call(node, "PUT", "/books/_doc/a?pipeline=agents", {"agent": agent})
    source = call(node, "GET", "/books/_doc/a")["_source"]
    assert source["seen"] is True
    assert source["user_agent"]["name"] == "Firefox"
    rendered = call(node, "POST", "/_render/template", {"source": '{"a": "{{a}}"}', "params": {"a": 1}})
    assert rendered["template_output"] == {"a": "1"}

    call(node, "PUT", "/places", {"mappings": {"properties": {"shape": {"type": "geo_shape"}}}})
    call(
        node, "PUT", "/places/_doc/1", {"shape": {"type": "polygon", "coordinates": [[[0, 0], [0, 1], [1, 1], [0, 0]]]}}
    )
    call(node, "POST", "/_analyze", {"analyzer": "thai", "text": "ภาษาไทย"})
    call(node, "PUT", "/_snapshot/backup", {"type": "fs", "settings": {"location": "backup"}})
    taken = call(node, "PUT", "/_snapshot/backup/one?wait_for_completion=true", {"indices": "books"})
    assert taken["snapshot"]["state"] == "SUCCESS"
    snapshots = f"file:{node.log.parent.parent / 'snapshots' / 'backup'}"
    call(node, "PUT", "/_snapshot/read_only", {"type": "url", "settings": {"url": snapshots}})


def test_refuses_a_body_over_100_mb(node: EmbeddedNode) -> None:
    connection = http.client.HTTPConnection(urlsplit(node.url).netloc, timeout=30)
    with contextlib.closing(connection):
        connection.putrequest("PUT", "/big/_doc/1")
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", str(100 * 2**20 + 1))
        connection.endheaders()
        assert connection.getresponse().status == 413


def test_data_outlives_the_node_and_belongs_to_one(distribution: Distribution, tmp_path: Path) -> None:
    with EmbeddedNode(distribution, tmp_path / "data") as node:
        call(node, "PUT", "/kept/_doc/1", {"a": 1})
        before = set(call(node, "GET", "/_nodes")["nodes"])
        began = time.monotonic()
        with pytest.raises(StartError, match="in use by another node") as caught:
            EmbeddedNode(distribution, tmp_path / "data").start()
        assert time.monotonic() - began < 1
        assert str(os.getpid()) in caught.value.reason
    with EmbeddedNode(distribution, tmp_path / "data") as node:
        assert call(node, "GET", "/kept/_doc/1")["_source"] == {"a": 1}
        assert set(call(node, "GET", "/_nodes")["nodes"]) == before


def test_leaves_nothing_behind(distribution: Distribution) -> None:
    node = EmbeddedNode(distribution)
    with node:
        pid, folder = node.pid, node.log.parent.parent
        assert folder in node_folders()
        assert node.is_running
    node.stop()  # a second time, for nothing
    assert is_gone(pid)
    assert not folder.exists()
    assert not node.is_running
    assert "started" in node.log_tail(400)


def test_two_at_once_have_each_their_own_port(distribution: Distribution) -> None:
    with contextlib.ExitStack() as stack, ThreadPoolExecutor() as pool:
        nodes = list(pool.map(lambda _: stack.enter_context(EmbeddedNode(distribution)), range(2)))
        uuids = {call(node, "GET", "/")["cluster_uuid"] for node in nodes}
        assert len(uuids) == len({node.url for node in nodes}) == 2


def test_a_taken_port_is_said_in_one_sentence(distribution: Distribution, node: EmbeddedNode) -> None:
    port = urlsplit(node.url).port
    assert port
    with pytest.raises(StartError, match=f"port {port} cannot be had"):
        EmbeddedNode(distribution, port=port).start()


def test_a_start_that_fails_fails_at_once_with_the_log(distribution: Distribution) -> None:
    node = EmbeddedNode(distribution, jvm_flags=["-XX:+NoSuchFlag"])
    began = time.monotonic()
    with pytest.raises(StartError, match="exit code 1") as caught, node:
        pass
    assert time.monotonic() - began < 5
    assert "NoSuchFlag" in caught.value.log_tail


def test_a_start_that_takes_too_long_is_given_up(distribution: Distribution) -> None:
    node = EmbeddedNode(distribution)
    node.start()
    pid = node.pid
    with pytest.raises(StartError, match=r"within 0\.2 seconds"):
        node.wait_ready(0.2)
    node.stop()
    assert is_gone(pid)


def test_dies_with_its_parent_whatever_forks_live_on(distribution: Distribution) -> None:
    program = textwrap.dedent("""
        import os, sys, time
        from pathlib import Path
        from mlcommons_tasks.node.distribution import fetch
        from mlcommons_tasks.node.process import EmbeddedNode
        node = EmbeddedNode(fetch(cache_dir=Path(sys.argv[1])))
        node.start()
        node.wait_ready()
        fork = os.fork()
        if not fork:
            node.stop()  # not its node: nothing happens
            time.sleep(60)
            os._exit(0)
        print(node.pid, fork, node.log.parent.parent, flush=True)
        time.sleep(60)
    """)
    command = [sys.executable, "-c", program, str(distribution.cache_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        pid, fork, folder = parent.stdout.readline().split()
        assert not is_gone(int(pid))
        parent.kill()
    try:
        assert not is_gone(int(fork))
        until(lambda: is_gone(int(pid)), 5, "the node ends after its parent was killed")
        assert Path(folder).exists()

        def is_removed_by_a_start() -> bool:
            remove_stale()
            return not Path(folder).exists()

        until(is_removed_by_a_start, 5, "what the killed run left is removed")
    finally:
        os.kill(int(fork), signal.SIGKILL)


def test_does_not_take_the_folder_of_a_live_node(node: EmbeddedNode) -> None:
    remove_stale()
    assert node.log.exists()


def test_a_killed_runs_data_folder_can_be_taken_over_at_once(distribution: Distribution, tmp_path: Path) -> None:
    with subprocess.Popen([*NODE, "--data-dir", str(tmp_path)], stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout
        ready = json.loads(killed.stdout.readline())
        killed.kill()
    with EmbeddedNode(distribution, tmp_path) as node:
        assert is_gone(ready["pid"])
        assert node.is_running


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_command_line(number: signal.Signals) -> None:
    process = subprocess.Popen(NODE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout
    line = process.stdout.readline()
    assert line, process.communicate()[1]
    ready = json.loads(line)
    assert list(ready) == ["url", "version", "ml_commons", "seconds", "pid", "log"]
    os.killpg(process.pid, number)  # as a terminal does: to the whole group
    out, _ = process.communicate(timeout=10)
    assert (process.returncode, out) == (0, "")
    assert is_gone(ready["pid"])
    assert not Path(ready["log"]).exists()


def test_the_ahead_of_time_cache_is_recorded_and_a_broken_one_does_no_harm(own_cache: Distribution) -> None:
    file = record_aot_cache(own_cache)
    if file is None:
        pytest.skip("this Java has no ahead-of-time cache")
    assert [path.name for path in file.parent.iterdir() if path.suffix != ".lock"] == [file.name]
    assert aot.use_flags(own_cache, JVM_FLAGS) == [f"-XX:AOTCache={file}"]
    with EmbeddedNode(own_cache) as node:
        call(node, "GET", "/")
    whole = file.read_bytes()
    broken = bytearray(whole)
    broken[len(whole) // 2 : len(whole) // 2 + 2_000_000] = os.urandom(2_000_000)
    for content in (b"not a cache", whole[: len(whole) // 2], bytes(broken)):
        file.write_bytes(content)
        with EmbeddedNode(own_cache) as node:
            call(node, "PUT", "/a/_doc/1", {"a": 1})


def test_a_recording_dies_with_its_parent(own_cache: Distribution) -> None:
    program = textwrap.dedent("""
        import sys, time
        from pathlib import Path
        from mlcommons_tasks.node.distribution import fetch
        from mlcommons_tasks.node.recording import start_recording_in_background
        print(start_recording_in_background(fetch(cache_dir=Path(sys.argv[1]))).pid, flush=True)
        time.sleep(60)
    """)
    command = [sys.executable, "-c", program, str(own_cache.cache_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        recorder = psutil.Process(int(parent.stdout.readline()))

        def nodes() -> list[psutil.Process]:
            return [child for child in recorder.children(recursive=True) if "java" in child.name()]

        until(lambda: any(node.cpu_times().user > 1 for node in nodes()), 30, "the recorder's node is on its way")
        assert recorder.nice() == 19
        started = [recorder.pid, *(node.pid for node in nodes())]
        parent.kill()
    until(lambda: all(is_gone(pid) for pid in started), 5, f"{started} end after their parent was killed")
    assert not aot.use_flags(own_cache, JVM_FLAGS)


@pytest.mark.plugin
def test_the_real_plugin_trains_a_model() -> None:
    with EmbeddedNode(fetch(kind=Kind.ML_COMMONS)) as node:
        assert "opensearch-ml" in call(node, "GET", "/_cat/plugins")
        rows = [{"values": [{"column_type": "DOUBLE", "value": float(n)}]} for n in (1, 2, 10, 11)]
        data = {"column_metas": [{"name": "a", "column_type": "DOUBLE"}], "rows": rows}
        body = {"parameters": {"centroids": 2}, "input_data": data}
        accepted = call(node, "POST", "/_plugins/_ml/_train/kmeans?async=true", body)

        def state() -> str:
            return str(call(node, "GET", f"/_plugins/_ml/tasks/{accepted['task_id']}")["state"])

        until(lambda: state() not in ("CREATED", "RUNNING"), 30, "the task ends")
        assert state() == "COMPLETED"
