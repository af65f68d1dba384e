"""The folders nodes live in: who owns one, and which a killed run left behind.

Knows locks and names on disk. Must not know what a node writes into its folder.
A folder belongs to whoever holds the lock on its file `node.lock`; the node's process holds it too, so that a
folder is never taken away under a node that outlives its parent for a moment.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path

from mlcommons_tasks.errors import StartError
from mlcommons_tasks.node.guard import hold_alone, is_alive, let_go

_PREFIX = "mlcommons-tasks-node-"
_LOCK = "node.lock"
_UNLOCKED_FOR_S = 600  # a folder without a lock file may just be in the making


class Folder:
    """A folder that is ours until `close`."""

    def __init__(self, path: Path, lock: int, *, temporary: bool) -> None:
        self.path = path
        #: Descriptor of the lock; a child that inherits it holds the lock as well.
        self.lock = lock
        self._temporary = temporary

    def close(self) -> None:
        """Give it back, and remove it when it was only for this run."""
        lock, self.lock = self.lock, -1
        if lock < 0:
            return
        if self._temporary:
            shutil.rmtree(self.path, ignore_errors=True)
        _unlock(lock)


def temporary_folder() -> Folder:
    """Make a folder for one run, after removing those that killed runs left."""
    remove_stale()
    path = Path(tempfile.mkdtemp(prefix=_PREFIX)).resolve()
    new = path / f"{_LOCK}.new"
    lock = _open(new)
    if not _try_lock(lock):
        raise StartError(f"the folder {path}, just made, is locked by another process")
    new.rename(path / _LOCK)  # a lock file is never seen unlocked
    return Folder(path, lock, temporary=True)


def data_folder(path: Path, *, patience_s: float = 5.0) -> Folder:
    """Take the folder that a node keeps its data in; StartError when another node has it.

    A node whose parent was killed needs some seconds to end: that long we wait, when the parent is dead.
    """
    try:
        path = path.expanduser().absolute()
        path.mkdir(parents=True, exist_ok=True)
        lock = _open(path / _LOCK)
    except OSError as error:
        raise StartError(
            f"the data folder {path} cannot be written: {error.strerror or error}",
            hint="Make it writable or name another.",
        ) from error
    deadline = time.monotonic() + patience_s
    while not _try_lock(lock):
        owner = _owner(lock)
        if (owner and is_alive(owner)) or time.monotonic() > deadline:
            let_go(lock)
            raise StartError(
                f"the data folder {path} is in use by another node" + (f" (process {owner})" if owner else ""),
                hint="Stop that one first, or give this one a folder of its own.",
            )
        time.sleep(0.05)
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    return Folder(path.resolve(), lock, temporary=False)


def remove_stale() -> None:
    """Remove the folders of killed runs; never one whose node lives."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if path.is_symlink() or path.stat().st_uid != os.getuid():
                continue
            if not (path / _LOCK).exists():
                if time.time() - path.stat().st_mtime > _UNLOCKED_FOR_S:
                    shutil.rmtree(path, ignore_errors=True)
                continue
            lock = hold_alone(os.open(path / _LOCK, os.O_RDWR))
            if _try_lock(lock):
                shutil.rmtree(path, ignore_errors=True)
                _unlock(lock)
            else:
                let_go(lock)


def _open(path: Path) -> int:
    return hold_alone(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def _try_lock(lock: int) -> bool:
    import fcntl

    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _unlock(lock: int) -> None:
    import fcntl

    with contextlib.suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_UN)  # for all that inherited it, too
    let_go(lock)


def _owner(lock: int) -> int:
    content = os.pread(lock, 20, 0)
    return int(content) if content.isdigit() else 0
