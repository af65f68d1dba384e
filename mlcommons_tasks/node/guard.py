"""A child process that never outlives us, however we die, and whose output goes to a file.

Knows pipes, signals and process groups. Must not know what it runs.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

# The shell becomes the program (exec), so the program's pid is ours to signal. Before that it leaves a watcher
# behind, in the same process group, that reads our pipe: a line means "all is well, go", the end of the pipe
# means that we are dead. The group is the watcher's own, so its number cannot belong to strangers by then.
# $1 is the time in seconds between asking and killing.
# Written for any POSIX shell: dash knows descriptors of one digit only, and its kill no `--` without `-s`.
_GUARD = """
exec 3<&0 </dev/null
grace=$1; shift
( trap '' TERM INT HUP
  if ! read -r line <&3; then
    kill -s TERM -- -$$
    while [ "$grace" -gt 0 ] && kill -s 0 $$; do
      sleep 1
      grace=$((grace - 1))
    done
    kill -s KILL -- -$$
  fi ) &
exec 3<&-
exec "$@"
"""
_GRACE_S = 3
_SHELL_FDS = 10

_ours: set[int] = set()
_hooked = False
_mutex = threading.Lock()


def hold_alone(fd: int) -> int:
    """Keep a descriptor from forked children: a copy of theirs would keep a pipe or a lock alive.

    Returns it under another number, out of the way of those the shell uses above.
    """
    global _hooked  # noqa: PLW0603 - a fork hook cannot be taken back, so there is one
    import fcntl

    low, fd = fd, fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _SHELL_FDS)
    os.close(low)
    with _mutex:
        if not _hooked:
            os.register_at_fork(after_in_child=_close_in_child)
            _hooked = True
        _ours.add(fd)
    return fd


def let_go(fd: int, farewell: bytes = b"") -> None:
    """Close a descriptor given to `hold_alone`; does nothing in a forked child, which has it no more."""
    with _mutex:
        mine = fd in _ours
        _ours.discard(fd)
    if mine:
        if farewell:
            with contextlib.suppress(OSError):  # nobody may be there to read it
                os.write(fd, farewell)
        os.close(fd)


def _close_in_child() -> None:
    global _mutex  # noqa: PLW0603 - a thread that is not there any more may have held it
    _mutex = threading.Lock()
    for fd in _ours:
        with contextlib.suppress(OSError):
            os.close(fd)
    _ours.clear()


class GuardedProcess:
    """A running program. Signals typed in our terminal do not reach it; our death does."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        keep_fds: Sequence[int] = (),
    ) -> None:
        """Start it; `keep_fds` stay open in it, so that a lock of theirs is held as long as it lives."""
        self._parent = os.getpid()
        reader, writer = os.pipe()
        self._pipe = hold_alone(writer)
        try:
            with log.open("wb") as out:
                self._popen = subprocess.Popen(  # noqa: S603 - a list of arguments, and none of a caller's over HTTP
                    ["/bin/sh", "-c", _GUARD, "sh", str(_GRACE_S), *command],
                    stdin=reader,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=keep_fds,
                    cwd=cwd,
                    env=env,
                )
        except BaseException:
            let_go(self._pipe)
            raise
        finally:
            os.close(reader)

    @property
    def pid(self) -> int:
        """Its process id, which is also that of its process group."""
        return self._popen.pid

    def poll(self) -> int | None:
        """Give its exit code, or None as long as it runs; a forked child, which cannot know the code, gets -1."""
        if os.getpid() != self._parent:
            return None if is_alive(self.pid) else -1
        code = self._popen.poll()
        if code is not None:
            self._release()
        return code

    def wait(self, timeout_s: float) -> int | None:
        """Wait for its end; None when it still runs after that time."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout_s)
        return self.poll()

    def stop(self, timeout_s: float) -> None:
        """Ask it to end, and end it with all its children when it has not after `timeout_s`."""
        if self.poll() is None:
            self._popen.terminate()
            if self.wait(timeout_s) is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.pid, signal.SIGKILL)
                self._popen.wait()
        self._release()

    def _release(self) -> None:
        """Send the watcher home."""
        let_go(self._pipe, b"\n")


def is_alive(pid: int) -> bool:
    """Say whether there is a process of that number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
