"""The namespaces of a service with an emulator: each has its tasks, its stage and its routes, once it is asked for.

Says what is deleted when one is reset or goes: what the emulator made, and nothing else.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from mlcommons_tasks.clock import EmulatedClock, SystemClock
from mlcommons_tasks.emulation.director import Director
from mlcommons_tasks.emulation.journal import Journal
from mlcommons_tasks.emulation.memory import ProcessMemory
from mlcommons_tasks.emulation.played_tasks import PlayedTasks
from mlcommons_tasks.emulation.plays import MODEL, Plays
from mlcommons_tasks.emulation.shared_journal import SharedJournal
from mlcommons_tasks.emulation.stage import Stage
from mlcommons_tasks.emulation.state import States
from mlcommons_tasks.emulation.work import Work
from mlcommons_tasks.errors import IllegalArgument, TaskPluginError
from mlcommons_tasks.execution.rounds import Rounds, noted
from mlcommons_tasks.execution.states import discard
from mlcommons_tasks.rest.routing import WsgiApp
from mlcommons_tasks.service import Service, Space
from mlcommons_tasks.store.emulation import IndexMemory, Memory, drop_indices, indices_like
from mlcommons_tasks.store.journal import JournalStore
from mlcommons_tasks.store.names import MAIN, PREFIX, names_of

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
MOST_OPEN = 256  #: namespaces that are not asked for are closed from then on, and opened again when they are
NO_TASK = ""  #: of which a model is that was trained while its caller waited
END_S = 5.0  #: how long a reset waits for trainings that it cancelled
LOOK_S = 0.01
TICK_S = 1.0  #: how often tasks are moved that nobody reads, for who looks into the index itself

log = logging.getLogger(__name__)


@dataclass
class Opened:
    """A namespace in this process."""

    space: Space
    stage: Stage
    app: WsgiApp


class _StageCaretaker:
    """Ends the real work of played tasks when a namespace ends."""

    def __init__(self, stage: Stage, grace_s: float) -> None:
        self._stage = stage
        self._grace_s = grace_s

    def start(self) -> None:
        """Do nothing: work begins with a task."""

    def close(self) -> None:
        """End it."""
        self._stage.close(self._grace_s)


class Namespaces:
    """All namespaces of one process."""

    def __init__(
        self,
        service: Service,
        build: Callable[[Space, Stage], WsgiApp],
        *,
        is_shared: bool,
        main_clock: EmulatedClock | None = None,
    ) -> None:
        """Begin with none; `build` makes the routes of one, `is_shared` says that other processes serve them too."""
        self.is_shared = is_shared
        self.memory: Memory = IndexMemory(service.client, service.upstream) if is_shared else ProcessMemory()
        self.states = States(self.memory)
        self.journal: Journal | SharedJournal = Journal()
        if is_shared:
            self.journal = SharedJournal(JournalStore(service.client, service.upstream))
        self._service = service
        self._build = build
        self._main_clock = main_clock or EmulatedClock()
        self._opened: dict[str, Opened] = {}
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._machine = SystemClock()
        failures = partial(noted, log, "played tasks could not be moved on", level=logging.INFO)
        self._ticker = Rounds("ticker", self.tick, lambda: TICK_S, failures)

    def start(self) -> None:
        """Begin to move tasks that nobody reads."""
        self._ticker.start()

    def close(self) -> None:
        """Move them no more."""
        self._closing.set()
        self._ticker.close()

    def get(self, name: str) -> Opened:
        """Return a namespace, opened if it is not.

        Raises:
            IllegalArgument: it cannot have that name.
        """
        found = self._opened.get(name)
        if found is not None:
            return found
        if not NAME.fullmatch(name):
            raise IllegalArgument(f"a namespace is named by [{NAME.pattern}], not [{name}]")
        with self._lock:
            if name not in self._opened:
                self._close_some()
                self._opened[name] = self._open(name)
            return self._opened[name]

    def names(self) -> list[str]:
        """Return every namespace that there is: opened here, remembered, or with indices."""
        found = set(self._opened) | self.memory.namespaces() | {MAIN}
        for index in indices_like(self._service.client, f"{PREFIX}*"):
            found.add(re.sub(r"-(task|model|cluster-tasks)$", "", index.removeprefix(PREFIX)))
        return sorted(found)

    def reset(self, name: str) -> None:
        """Leave nothing in a namespace that the emulator made: tasks, models, scenarios, faults, journal, time, ids.

        Raises:
            StoreUnavailable, UpstreamError: some of it may be left.
        """
        self._empty(self.get(name), list(names_of(name).shown))

    def delete(self, name: str) -> None:
        """Reset a namespace and have it no more.

        Raises:
            IllegalArgument: it is the main one, which stays.
            StoreUnavailable, UpstreamError: some of it may be left.
        """
        if name == MAIN:
            raise IllegalArgument(f"the namespace [{MAIN}] cannot be deleted; reset it")
        opened = self.get(name)
        with self._lock:
            self._opened.pop(name, None)
        self._empty(opened, [])
        self._service.close_space(opened.space)
        drop_indices(self._service.client, names_of(name).all)

    def is_quiet(self) -> bool:
        """Say whether requests of the main namespace are answered as they would be without an emulator."""
        return self.states.get(MAIN).is_quiet

    def note(self, address: str, request: bytes, reply: bytes, took_in_millis: float) -> None:
        """Take note of a request of the main namespace and its reply, both as they were on the wire."""
        if isinstance(self.journal, Journal):  # or there is nobody who answers polls the short way
            at = self._machine.now_in_millis() - round(took_in_millis)
            self.journal.add_raw(at, MAIN, address, request, reply, took_in_millis)

    def tick(self) -> None:
        """Move tasks on whose time has come.

        Raises:
            StoreUnavailable, UpstreamError: OpenSearch does not say.
        """
        failure: TaskPluginError | None = None
        for opened in list(self._opened.values()):
            try:
                if opened.stage.follow().has_plays:
                    opened.stage.move_plays()
            except TaskPluginError as error:  # which is no reason for others to stand still
                failure = error
        if failure is not None:
            raise failure

    def _open(self, name: str) -> Opened:
        service = self._service
        clock = self._main_clock if name == MAIN else EmulatedClock()
        space = service.open_space(name, clock, lambda: self.states.new_id(name))
        plays = Plays(name, self.memory, space.tasks, space.models, clock)

        def discard_model(model_id: str) -> None:
            discard(space.models, model_id)

        work = Work(name, space.registry.owner, self.memory, plays, clock, discard_model)
        train = space.calls.train
        if name == MAIN:  # of others the index goes
            space.calls = space.calls.noting(partial(plays.note_model, task_id=NO_TASK))
        director = Director(
            name,
            self.states,
            plays,
            work,
            space.tasks,
            space.runner,
            train,
            space.dispatcher.next_worker_node,
            lambda: [node.id for node in service.nodes.all()],
            clock,
        )
        tasks = PlayedTasks(space.tasks, plays, lambda: self.states.get(name).has_plays)
        stage = Stage(name, self.states, clock, plays, work, director, tasks)
        stage.follow()
        space.cluster_tasks.played = stage
        space.caretakers.append(_StageCaretaker(stage, service.settings.grace / 2))
        opened = Opened(space, stage, self._build(space, stage))
        space.start()
        return opened

    def _close_some(self) -> None:
        if len(self._opened) < MOST_OPEN:
            return
        for name, opened in list(self._opened.items()):
            if name != MAIN and not opened.space.registry.has_running and not self.states.get(name).has_plays:
                del self._opened[name]
                self._service.close_space(opened.space)
                return

    def _empty(self, opened: Opened, indices: list[str]) -> None:
        """End what runs in a namespace and delete what the emulator made there, whole indices first of all."""
        name = opened.space.name
        running = opened.space.cluster_tasks.running()
        opened.space.cluster_tasks.cancel(running)
        if name == MAIN:
            opened.stage.delete_played()
        else:
            opened.stage.forget_played()
        self._await_end(opened.space)
        if name == MAIN:
            for task_id in filter(None, (task.ml_task_id for task in running)):
                opened.space.tasks.delete(task_id, {})
            self._delete_trained(opened.space)
        drop_indices(self._service.client, indices)
        self.memory.forget(name)
        self.journal.clear(name)
        opened.stage.clock.reset()

    def _await_end(self, space: Space) -> None:
        """Wait for what was cancelled, or it might bring an index back with its last word."""
        until = time.monotonic() + END_S
        while space.registry.has_running and time.monotonic() < until:
            self._closing.wait(LOOK_S)

    def _delete_trained(self, space: Space) -> None:
        """Delete the tasks of real trainings of ours with their models: others may have tasks in the same index."""
        for kept in self.memory.all(MODEL, MAIN):
            if kept.text == NO_TASK:
                space.models.delete(kept.name, {})
        for trace in space.traces.ended():
            source = space.tasks.find(trace.ml_task_id) if trace.ml_task_id is not None else None
            if source is not None and trace.ml_task_id is not None:
                if (model_id := source[0].get("model_id")) is not None:
                    space.models.delete(model_id, {})
                space.tasks.delete(trace.ml_task_id, {})
            space.traces.delete(trace.id)
