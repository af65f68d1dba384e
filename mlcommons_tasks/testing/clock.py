"""The clock of a namespace, and a poller's `sleep` that moves it. Changes this process only where it is asked to."""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from mlcommons_tasks.testing.control import Control

#: What a sleep really takes: so that work that is real gets on while a poller hurries through its time.
PAUSE_S = 0.005
#: What a test may sleep in all; no poller of people who wait sleeps for longer.
LIMIT_S = 3600.0
#: Clocks of Python that run ahead by what was slept; in seconds, and in nanoseconds.
_SECONDS = ("time", "monotonic", "perf_counter")
_NANOSECONDS = tuple(f"{name}_ns" for name in _SECONDS)


class SleptTooLong(BaseException):
    """What was to be waited for never came: so much was slept that the poller would never give up.

    Not an Exception: a poller that catches those and tries again would catch it for ever.
    """


class Patcher(Protocol):
    """What pytest's `monkeypatch` can do."""

    def setattr(self, target: Any, name: str, value: Any) -> None:
        """Set an attribute until the test is over."""


class Clock:
    """The clock of a namespace."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._mutex = threading.Lock()
        self._slept_s = 0.0
        self._unsent_s = 0.0

    @property
    def now(self) -> int:
        """Its time, in milliseconds since the epoch."""
        return int(self._control.get("clock")["now"])

    @property
    def is_stopped(self) -> bool:
        """Whether it stands still."""
        return bool(self._control.get("clock")["stopped"])

    def stop(self, at: int | None = None) -> None:
        """Stop it, at a time in milliseconds since the epoch or now."""
        self._control.post("clock", "_stop", body=None if at is None else {"at": at})

    def start(self) -> None:
        """Let it run on from where it is."""
        self._control.post("clock", "_start")

    def advance(self, by: float | str) -> None:
        """Move it forward, by seconds or a time such as `30s` or `5m`."""
        text = by if isinstance(by, str) else f"{round(by * 1000)}ms"
        self._control.post("clock", "_advance", body={"by": text})

    def reset(self) -> None:
        """Give it the machine's time again."""
        self._control.delete("clock")

    def sleep(self, seconds: float) -> None:
        """Move it by so many seconds instead of waiting for them."""
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        with self._mutex:
            self._unsent_s += seconds
            in_millis = int(self._unsent_s * 1000)
            self._unsent_s -= in_millis / 1000
        if in_millis:
            self._control.post("clock", "_advance", body={"by": f"{in_millis}ms"})
        with self._mutex:
            self._slept_s += seconds

    def patch_sleep(self, monkeypatch: Patcher, *names: str, limit: float = LIMIT_S, pause: float = PAUSE_S) -> None:
        """Stop the clock, and have `time.sleep` move it until the test is over.

        `time.time`, `time.monotonic` and `time.perf_counter` run ahead by what was slept, so that a poller's own
        deadline comes as well. Give the name of a `sleep` that was imported as such, `my_package.poller.sleep`, or
        `asyncio.sleep`. Each sleep really takes `pause` seconds at most. Once `limit` seconds were slept in all,
        the next sleep raises SleptTooLong: a poller that loops for ever fails the test instead of hanging it.
        """
        self.stop()
        for owner, name, value in self._replacements(names, limit, pause):
            monkeypatch.setattr(owner, name, value)

    @contextlib.contextmanager
    def patched_sleep(self, *names: str, limit: float = LIMIT_S, pause: float = PAUSE_S) -> Iterator[Clock]:
        """Do what `patch_sleep` does, for the length of a block; the clock then has the machine's time again."""
        self.stop()
        before: list[tuple[Any, str, Any]] = []
        try:
            for owner, name, value in self._replacements(names, limit, pause):
                before.append((owner, name, getattr(owner, name)))
                setattr(owner, name, value)
            yield self
        finally:
            for owner, name, value in reversed(before):
                setattr(owner, name, value)
            self.reset()

    def _replacements(self, names: tuple[str, ...], limit_s: float, pause_s: float) -> list[tuple[Any, str, Any]]:
        """Return whose attribute becomes what."""
        import asyncio

        real_sleep, real_async_sleep = time.sleep, asyncio.sleep
        end_s = self._slept_s + limit_s

        def check() -> None:
            if self._slept_s >= end_s:
                raise SleptTooLong(f"{limit_s:g} s were slept, and it still waits: does it ever give up?")

        def sleep(seconds: float, /) -> None:
            check()
            self.sleep(seconds)
            real_sleep(min(seconds, pause_s))

        async def async_sleep(delay: float, result: Any = None) -> Any:
            check()
            await asyncio.to_thread(self.sleep, max(delay, 0))
            await real_async_sleep(min(delay, pause_s))
            return result

        found: list[tuple[Any, str, Any]] = [(time, "sleep", sleep)]
        found += [(time, name, self._ahead(getattr(time, name), 1)) for name in _SECONDS]
        found += [(time, name, self._ahead(getattr(time, name), 1_000_000_000)) for name in _NANOSECONDS]
        for name in names:
            owner, attribute = _place_of(name)
            is_async = inspect.iscoroutinefunction(getattr(owner, attribute))
            found.append((owner, attribute, async_sleep if is_async else sleep))
        return found

    def _ahead(self, clock: Callable[[], Any], units: int) -> Callable[[], Any]:
        """Return a clock that is ahead by what was slept."""

        @functools.wraps(clock)
        def ahead() -> Any:
            slept = self._slept_s * units
            return clock() + (slept if units == 1 else int(slept))

        return ahead


def _place_of(name: str) -> tuple[Any, str]:
    """Return the module, or the class, and the attribute that a dotted name is."""
    path, _, attribute = name.rpartition(".")
    module = path
    while module and module not in sys.modules:
        module = module.rpartition(".")[0]
    if not module:
        raise ValueError(f"{name!r} is in no module that is imported")
    owner: Any = sys.modules[module]
    for part in path[len(module) :].split(".")[1:]:
        owner = getattr(owner, part)
    getattr(owner, attribute)
    return owner, attribute
