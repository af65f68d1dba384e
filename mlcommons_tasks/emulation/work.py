"""The real trainings of played tasks: begun when the task is created, their outcome shown when the scenario says so.

Whoever trains says so again and again; a task whose trainer says nothing any more gets an end all the same.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from mlcommons_tasks.clock import Clock
from mlcommons_tasks.emulation.play import Outcome
from mlcommons_tasks.emulation.plays import Plays
from mlcommons_tasks.errors import TaskPluginError
from mlcommons_tasks.store.emulation import Conflict, Memory

KIND = "work"
AT_ONCE = 8
SAYS_S = 15.0  #: for how long it is believed that a training is under way
LOOK_S = 0.02  #: how often it is looked whether another process is done
STOPPED = "the service stopped before the training ended"

log = logging.getLogger(__name__)

Train = Callable[[], str]  #: trains, and returns the id of the model
Discard = Callable[[str], None]  #: deletes a model that nobody was told of


class Work:
    """The trainings of one namespace that this process does, in threads."""

    def __init__(
        self, namespace: str, owner: str, memory: Memory, plays: Plays, clock: Clock, discard: Discard
    ) -> None:
        self._namespace = namespace
        self._owner = owner
        self._memory = memory
        self._plays = plays
        self._clock = clock
        self._discard = discard
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="played-training")
        self._lock = threading.Lock()
        self._open: dict[str, threading.Event] = {}
        self._telling: set[str] = set()
        self._closing = threading.Event()
        self._saying: threading.Thread | None = None
        plays.lost_work = self.lost
        plays.await_work = self.wait

    def expect(self, task_id: str) -> None:
        """Say that a task's training will be done here, before anybody can ask."""
        with self._lock:
            self._open[task_id] = threading.Event()
            if self._saying is None:
                self._saying = threading.Thread(target=self._keep_saying, name="played-trainings", daemon=True)
                self._saying.start()
        self._say(task_id)

    def start(self, task_id: str, train: Train) -> None:
        """Do the training that was expected; how it ends is told to its play."""
        self._threads.submit(self._run, task_id, train, self._clock.now_in_millis(), time.monotonic())

    def give_up(self, task_id: str) -> None:
        """Expect nothing of a task that could not be stored."""
        with self._lock:
            self._open.pop(task_id, None)
        self._memory.delete(KIND, self._namespace, [task_id])

    def lost(self, task_id: str) -> str | None:
        """Return why a task's work will never be done, None while somebody does it."""
        if task_id in self._open:
            return None
        said = self._memory.get(KIND, self._namespace, task_id)
        if said is None:
            return None if self._plays.seen(task_id) is None else STOPPED
        found = json.loads(said.text)
        if found["until"] >= time.time():
            return None
        return f"replica {found['owner']} stopped before the training ended"

    def wait(self, task_id: str, timeout_s: float) -> None:
        """Return once a task's training is done, or after so long."""
        done = self._open.get(task_id)
        if done is not None:
            done.wait(timeout_s)
            return
        until = time.monotonic() + timeout_s  # another process does it
        while time.monotonic() < until and self._memory.get(KIND, self._namespace, task_id) is not None:
            self._closing.wait(LOOK_S)

    def close(self, grace_s: float) -> None:
        """Wait so long for what is under way; what is not done then ends as FAILED."""
        until = time.monotonic() + grace_s
        self._threads.shutdown(wait=False, cancel_futures=True)
        while self._open and time.monotonic() < until:
            self._closing.wait(0.02)
        self._closing.set()
        for task_id in list(self._open):
            self._tell(task_id, Outcome(error=STOPPED, at=self._clock.now_in_millis()))

    def _run(self, task_id: str, train: Train, began: int, began_s: float) -> None:
        try:
            outcome = Outcome(model_id=train())
        except TaskPluginError as error:
            outcome = Outcome(error=error.reason or type(error).__name__)
        except Exception as error:
            log.exception("the training of the played task %s broke", task_id)
            outcome = Outcome(error=f"{type(error).__name__}: {error}")
        took_in_millis = round((time.monotonic() - began_s) * 1000)  # by the machine: a clock that jumps is no work
        outcome = dataclasses.replace(outcome, at=min(self._clock.now_in_millis(), began + took_in_millis))
        if not self._tell(task_id, outcome) and outcome.model_id is not None:
            self._discard(outcome.model_id)

    def _tell(self, task_id: str, outcome: Outcome) -> bool:
        """Tell the play once; False if it wants to know nothing."""
        with self._lock:
            done = self._open.get(task_id)
            if done is None or task_id in self._telling:
                return False
            self._telling.add(task_id)
        try:
            told = self._plays.finish(task_id, outcome)
            self._memory.delete(KIND, self._namespace, [task_id])
        except TaskPluginError as error:
            log.error("what came of the played task %s could not be written: %s", task_id, error)  # noqa: TRY400
            return False
        finally:
            with self._lock:
                del self._open[task_id]
                self._telling.discard(task_id)
            done.set()
        return told

    def _say(self, task_id: str) -> None:
        text = json.dumps({"owner": self._owner, "until": time.time() + SAYS_S})
        try:
            self._memory.put(KIND, self._namespace, task_id, text, self._memory.get(KIND, self._namespace, task_id))
        except Conflict:
            log.debug("task %s was said to be worked on by another thread", task_id)

    def _keep_saying(self) -> None:
        while not self._closing.wait(SAYS_S / 4):
            for task_id in list(self._open):
                try:
                    self._say(task_id)
                except TaskPluginError as error:
                    log.warning("that task %s is worked on could not be said: %s", task_id, error)
