"""How processes of a service die, sleep and wake: all of one service at once, as a machine does."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

import psutil

from tests.services import Service

GONE_S = 10.0


def processes(service: Service) -> list[psutil.Process]:
    """Return the processes of a service: its master, its workers, those that train."""
    master = psutil.Process(service.process.pid)
    return [master, *master.children(recursive=True)]


def workers(service: Service) -> list[psutil.Process]:
    """Return those that answer requests, whose numbers are in the names of owners."""
    return psutil.Process(service.process.pid).children()


def freeze(service: Service) -> list[psutil.Process]:
    """Let a service sleep, as a machine does that is suspended; return its processes."""
    asleep: list[psutil.Process] = []
    while more := [process for process in processes(service) if process not in asleep]:  # some start just now
        for process in more:
            _send(process, signal.SIGSTOP)
        asleep += more
    return asleep


def thaw(asleep: list[psutil.Process]) -> None:
    """Let a service go on as if nothing had been."""
    for process in asleep:
        _send(process, signal.SIGCONT)


def kill(service: Service) -> set[int]:
    """End a service as a power failure does; return the numbers of its processes."""
    dying = freeze(service)
    for process in dying:
        _send(process, signal.SIGKILL)
    service.process.wait(GONE_S)
    psutil.wait_procs(dying[1:], GONE_S)
    return {process.pid for process in dying}


@contextlib.contextmanager
def asleep(service: Service) -> Iterator[None]:
    """Let a service sleep for the length of a block."""
    sleeping = freeze(service)
    try:
        yield
    finally:
        thaw(sleeping)


def _send(process: psutil.Process, number: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)
