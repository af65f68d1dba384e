"""What another process needs to end a training, and how one that stops leaves its trainings to the others.

They are offered: written down as nobody's. Who looks for trainings without an owner takes them (`recovery`). What
nobody has taken after a while is taken back.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Iterable

from mlcommons_tasks.cluster_task import Recipe
from mlcommons_tasks.errors import TaskPluginError
from mlcommons_tasks.execution.registry import Registry
from mlcommons_tasks.execution.states import Stored
from mlcommons_tasks.store.cluster_tasks import MOST_RUNNING, NOBODY, ClusterTaskStore, task_document
from mlcommons_tasks.wire.ml_input import DataFrameDataset, MLInput
from mlcommons_tasks.wire.ml_payload import ml_payload

log = logging.getLogger(__name__)

PATIENCE_S = 3.0  #: how long an offer stands; who takes it looks once a second
LOOK_S = 0.1
LONGEST = 64 * 1024 * 1024  #: of all that is offered, in characters
AT_A_TIME = 4 * 1024 * 1024  #: of one request

ROWS_IN_REQUEST = "its rows came with the request and are not kept"
ASKS_CALLER = "its data is read with the credentials of its caller, which are not kept"
NOT_WRITABLE = "its data cannot be written down"


def recipe_of(ml_input: MLInput, model_id: str, *, asks_callers: bool) -> Recipe:
    """Return what it takes to train this elsewhere; with `asks_callers` its data is read with a caller's rights."""
    obstacle = None
    if isinstance(ml_input.dataset, DataFrameDataset):
        obstacle = ROWS_IN_REQUEST
    elif asks_callers:
        obstacle = ASKS_CALLER
    if obstacle is not None:
        return Recipe(model_id, ml_input.function_name, obstacle=obstacle)
    return _written_down(ml_input, model_id)


def _written_down(ml_input: MLInput, model_id: str) -> Recipe:
    try:
        return Recipe(model_id, ml_input.function_name, body=ml_payload(ml_input))
    except Exception as error:
        log.info("a request cannot be written down: %s", error)
        return Recipe(model_id, ml_input.function_name, obstacle=NOT_WRITABLE)


class Handover:
    """Offers what a process that stops leaves behind."""

    def __init__(self, store: ClusterTaskStore, registry: Registry) -> None:
        self._store = store
        self._registry = registry

    def offer(self, tasks: Iterable[Stored], reason: str) -> dict[Stored, str]:
        """Leave tasks to other processes; return those that nobody takes, and why they end.

        `reason` is why this process does not end them.
        """
        wanted = list(tasks)
        if not wanted or not self._others():
            return dict.fromkeys(wanted, reason)
        left: dict[Stored, str] = {}
        offered: dict[str, tuple[Stored, Recipe]] = {}
        size = 0
        for stored in wanted:
            recipe = self._recipe(stored)
            size += len(recipe.body or "")
            if recipe.body is not None and size <= LONGEST:
                offered[stored.live.key] = (stored, recipe)
            else:
                left[stored] = f"{reason}; {recipe.obstacle or NOT_WRITABLE}"
        for stored, _ in offered.values():
            self._registry.lose(stored.live)  # who takes it shall not find it at work here
        taken: set[str] = set()
        try:
            self._write(offered)
            taken = self._await_takers(set(offered))
        except TaskPluginError as error:
            log.warning("trainings could not be handed over: %s", error)
        except Exception:
            log.exception("trainings could not be handed over")
        untaken = {key: pair for key, pair in offered.items() if key not in taken}
        return left | dict.fromkeys(self._taken_back(untaken), reason)

    def _others(self) -> bool:
        try:
            return bool(self._store.owners() - {self._registry.owner})
        except TaskPluginError:
            return False

    def _recipe(self, stored: Stored) -> Recipe:
        known = stored.live.recipe
        if known is not None and known.body is not None:
            return known
        if stored.ml_input is not None and isinstance(stored.ml_input.dataset, DataFrameDataset):
            return _written_down(stored.ml_input, stored.model_id)
        return known or Recipe(stored.model_id, "", obstacle=NOT_WRITABLE)

    def _write(self, offered: dict[str, tuple[Stored, Recipe]]) -> None:
        batch, size = {}, 0
        for key, (stored, recipe) in offered.items():
            task = dataclasses.replace(stored.live.snapshot(), owner=NOBODY)
            batch[key] = task_document(task, recipe)
            size += len(recipe.body or "")
            if size > AT_A_TIME:
                self._store.write(batch, {}, ())
                batch, size = {}, 0
        if batch:
            self._store.write(batch, {}, ())

    def _await_takers(self, keys: set[str]) -> set[str]:
        """Return those that were taken, once all were or the offer is over."""
        until = time.monotonic() + PATIENCE_S
        while True:
            owners = self._store.owners_of(keys)
            waiting = {key for key in keys if owners.get(key) == NOBODY}
            if not waiting or time.monotonic() > until:
                return keys - waiting
            time.sleep(LOOK_S)

    def _taken_back(self, untaken: dict[str, tuple[Stored, Recipe]]) -> list[Stored]:
        """Take up again what nobody took, and return it; somebody may take a part at the last moment."""
        if not untaken:
            return []
        ours = set(untaken)
        try:
            found = [each for each in self._store.unfinished_of([NOBODY], MOST_RUNNING) if each.document_id in ours]
            self._store.claim(found, self._registry.owner)
            owners = self._store.owners_of(ours)  # the offer may not have been written, or a part of it
            ours = {key for key in ours if owners.get(key, self._registry.owner) == self._registry.owner}
        except TaskPluginError as error:
            log.warning("trainings that nobody took could not be taken back: %s", error)
        back = []
        for key in ours:
            stored, recipe = untaken[key]
            task = dataclasses.replace(stored.live.snapshot(), owner=self._registry.owner)
            back.append(dataclasses.replace(stored, live=self._registry.adopt(task, recipe)))
        return back
