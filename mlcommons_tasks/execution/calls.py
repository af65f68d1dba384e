"""Work whose caller waits: no task is stored, but the cluster's `_tasks` shows it, and it can be cancelled there.

Source: ml-commons 3.6.0 `MLTrainingTaskRunner`, `MLPredictTaskRunner`, `MLTrainAndPredictTaskRunner`.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from mlcommons_tasks.cancellation import Cancelled
from mlcommons_tasks.clock import Clock
from mlcommons_tasks.cluster_task import (
    CANCELLED_BY,
    PREDICT_ACTION,
    TRAIN_ACTION,
    TRAIN_PREDICT_ACTION,
    Outcome,
    Stage,
)
from mlcommons_tasks.data_frame import DataFrame
from mlcommons_tasks.errors import IllegalArgument, StatusError
from mlcommons_tasks.execution.executors import WorkerDied
from mlcommons_tasks.execution.live import LiveTask
from mlcommons_tasks.execution.membership import Membership
from mlcommons_tasks.execution.queue import Queue
from mlcommons_tasks.execution.registry import Registry
from mlcommons_tasks.execution.states import TaskCancelled, discard
from mlcommons_tasks.execution.training import Trainer, describe
from mlcommons_tasks.model import MLModel
from mlcommons_tasks.pipeline.algorithms import Prediction
from mlcommons_tasks.pipeline.algorithms.classes import no_frame
from mlcommons_tasks.store.models import ModelStore
from mlcommons_tasks.task import FunctionName, TaskState
from mlcommons_tasks.wire.ml_input import MLInput, OtherDataset
from mlcommons_tasks.wire.model_content import StoredModel


class Nodes(Protocol):
    """Says on which node of the cluster work is to be done."""

    def next_worker_node(self) -> str:
        """Return the id of the node that trains next."""

    def next_predict_node(self) -> str:
        """Return the id of the node that predicts next."""


class Calls:
    """Trains, predicts, or does both, while the caller waits.

    Each method takes the input, the headers that say who asks, by whose rights data is read, and those that cluster
    tasks carry. Each raises TooManyRequests where too many wait already, TaskCancelled where somebody did not want
    it, a StatusError 503 where its process died, and whatever TaskPluginError its data, the algorithm or the store
    have.
    """

    def __init__(
        self,
        models: ModelStore,
        trainer: Trainer,
        registry: Registry,
        membership: Membership,
        dispatcher: Nodes,
        clock: Clock,
        queue: Queue,
    ) -> None:
        self._models = models
        self._trainer = trainer
        self._registry = registry
        self._membership = membership
        self._dispatcher = dispatcher
        self._clock = clock
        self._queue = queue
        self._note: Callable[[str], None] = lambda _model_id: None

    def train(self, ml_input: MLInput, caller: dict[str, str], task_headers: Mapping[str, str]) -> str:
        """Train and store a model; return its id."""
        with self._queue.place(self._dispatcher.next_worker_node):
            node = self._dispatcher.next_worker_node()
            with self._live(TRAIN_ACTION, node, ml_input, task_headers) as live:
                frame = self._read(live, ml_input, {**caller, **task_headers})
                content = self._trainer.fit(ml_input, frame, live)
                live.cancellation.check()
                live.enter(Stage.STORE, self._clock.now_in_millis())
                model_id = self._models.new_id()
                self._models.create(model_id, MLModel(FunctionName(ml_input.function_name), content))
                if live.cancellation.wanted:
                    discard(self._models, model_id)
                    raise Cancelled
                self._note(model_id)
                return model_id

    def noting(self, note: Callable[[str], None]) -> Calls:
        """Return the same calls, which say of each model that they store that they did."""
        other = copy.copy(self)
        other._note = note
        return other

    def predict(
        self, model: StoredModel, ml_input: MLInput, caller: dict[str, str], task_headers: Mapping[str, str]
    ) -> Prediction:
        """Return what a model says of the rows; IllegalArgument for parameters of another algorithm than its own."""
        with self._live(PREDICT_ACTION, self._dispatcher.next_predict_node(), ml_input, task_headers) as live:
            if isinstance(ml_input.dataset, OtherDataset):
                raise no_frame(ml_input.dataset.java_class)
            frame = self._read(live, ml_input, {**caller, **task_headers}, Stage.PREDICT)
            if frame.size and ml_input.parameters is not None and ml_input.function_name != model.algorithm.value:
                raise IllegalArgument(f"Unsupported algorithm: {model.algorithm.value}")
            content = model.content() if frame.size else b""
            found = self._trainer.predict(model.algorithm, content, ml_input.parameters, frame, live)
            live.cancellation.check()
            return found

    def train_and_predict(
        self, ml_input: MLInput, caller: dict[str, str], task_headers: Mapping[str, str]
    ) -> DataFrame:
        """Return what a model of the rows says of them; no model stays."""
        with self._queue.place(self._dispatcher.next_worker_node):
            node = self._dispatcher.next_worker_node()
            with self._live(TRAIN_PREDICT_ACTION, node, ml_input, task_headers) as live:
                frame = self._read(live, ml_input, {**caller, **task_headers})
                found = self._trainer.fit_and_predict(ml_input, frame, live)
                live.cancellation.check()
                return found

    @contextlib.contextmanager
    def _live(self, action: str, node: str, ml_input: MLInput, headers: Mapping[str, str]) -> Iterator[LiveTask]:
        """Have an entry in `_tasks` for the length of a block, and say its failures to who waits."""
        self._membership.await_known()
        live = self._registry.open(node, describe(ml_input), headers, action=action)
        try:
            yield live
        except WorkerDied as error:
            raise StatusError(str(error), 503) from error
        except Cancelled as error:
            raise TaskCancelled(f"task cancelled: {CANCELLED_BY}") from error
        finally:
            self._registry.end(live, TaskState.COMPLETED, Outcome())

    def _read(self, live: LiveTask, ml_input: MLInput, caller: dict[str, str], then: Stage = Stage.FIT) -> DataFrame:
        return read_rows(self._trainer, live, ml_input, caller, self._clock, then)


def read_rows(
    trainer: Trainer,
    live: LiveTask,
    ml_input: MLInput,
    caller: dict[str, str],
    clock: Clock,
    then: Stage = Stage.FIT,
) -> DataFrame:
    """Read what a request names and enter the stage that comes `then`; see `Trainer.read` for what it raises."""
    live.cancellation.check()
    live.enter(Stage.READ, clock.now_in_millis())
    patient = live.recipe is not None  # nobody waits for a task
    frame = trainer.read(ml_input, caller, live.cancellation, patient=patient)
    live.cancellation.check()
    live.enter(then, clock.now_in_millis(), rows=frame.size)
    return frame
