"""What the commands say to people: on stderr, so that stdout stays for programs. rich is imported when it is needed."""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NoReturn

from mlcommons_tasks.errors import StartError

if TYPE_CHECKING:
    from rich.console import Console

FAILED = 2  #: the exit code of a start that failed


@functools.cache
def stderr() -> Console:
    """Return the console on stderr."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def note(message: str) -> None:
    """Say something to the person who started us."""
    stderr().print(message, markup=False)


def fail(error: StartError) -> NoReturn:
    """Say why a start failed, what the log's last lines are and what to do; exit with code 2."""
    stderr().print("error:", error.reason, style="bold red", markup=False)
    if error.log_tail:
        stderr().print("the last lines of the log:", style="dim", markup=False)
        stderr().print(error.log_tail.rstrip(), style="dim", markup=False)
    if error.hint:
        stderr().print(error.hint, markup=False)
    sys.exit(FAILED)


@contextlib.contextmanager
def download_progress(what: str = "fetching OpenSearch") -> Iterator[Callable[[int, int], None]]:
    """Yield a callback that shows bytes done and bytes in all; nothing is shown until bytes are missing."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    bar = Progress(*columns, console=stderr())
    task = bar.add_task(what, total=None)
    lock = threading.Lock()

    def show(done: int, total: int) -> None:
        with lock:
            if not bar.live.is_started:
                if done >= total:
                    return
                bar.start()
            bar.update(task, completed=done, total=total)
            if done >= total:
                bar.stop()

    try:
        yield show
    finally:
        bar.stop()
