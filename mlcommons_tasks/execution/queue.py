"""How many trainings a process has taken up, and what it says to one too many: what the plugin says."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from mlcommons_tasks.errors import TooManyRequests

EXECUTOR = "org.opensearch.common.util.concurrent.OpenSearchThreadPoolExecutor"


class Queue:
    """`at_once` trainings are in work, `longest` more may wait."""

    def __init__(self, at_once: int = 32, longest: int = 10_000) -> None:
        self.at_once = at_once
        self._longest = longest
        self._lock = threading.Lock()
        self._taken = 0
        self._done = 0

    @contextlib.contextmanager
    def place(self, node: Callable[[], str]) -> Iterator[None]:
        """Have a place for the length of a block; `node` names the one that refuses.

        Raises:
            TooManyRequests: there is none left.
        """
        self.enter(node)
        try:
            yield
        finally:
            self.leave()

    def enter(self, node: Callable[[], str] | None) -> None:
        """Take a place; with no `node` there is always one.

        Raises:
            TooManyRequests: there is none left. The words are those of the plugin's thread pool, the numbers ours.
        """
        with self._lock:
            if node is None or self._taken < self.at_once + self._longest:
                self._taken += 1
                return
            done = self._done
        raise TooManyRequests(
            f"rejected execution of org.opensearch.ml.task.MLTrainingTaskRunner$$Lambda/{id(self):#018x}@{id(node):x}"
            f" on OpenSearchThreadPoolExecutor[name = {node()}/opensearch_ml_train, queue capacity = {self._longest},"
            f" {EXECUTOR}@{id(self) & 0xFFFFFFFF:x}[Running, pool size = {self.at_once},"
            f" active threads = {self.at_once}, queued tasks = {self._longest}, completed tasks = {done}]]"
        )

    @property
    def has_idle(self) -> bool:
        """Whether what has a place is in work at once, or was when the question came."""
        return self._taken <= self.at_once

    def leave(self) -> None:
        """Give a place back."""
        with self._lock:
            self._taken -= 1
            self._done += 1
