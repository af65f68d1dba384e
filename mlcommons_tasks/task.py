"""The ML task: its record, its enums and the one table of legal transitions. Knows neither HTTP nor OpenSearch.

Facts: ml-commons 3.6.0 `MLTask`, `MLTaskState`, `MLTaskType`, `FunctionName`, `MLTrainingTaskRunner`.

                    ┌──────────▶ FAILED
    CREATED ──▶ RUNNING ──▶ COMPLETED
       │            └─────▶ CANCELLED
       └──▶ FAILED, CANCELLED

A training walks CREATED → RUNNING → COMPLETED or FAILED, one write each.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import Enum
from typing import Any


class TaskState(str, Enum):
    """`MLTaskState`, in the order of its Java enum."""

    CREATED = "CREATED"  #: accepted and stored, nothing done yet
    RUNNING = "RUNNING"  #: a worker has it
    COMPLETED = "COMPLETED"  #: done; `model_id` says what came of it
    FAILED = "FAILED"  #: over; `error` says why
    CANCELLED = "CANCELLED"  #: ended by request
    COMPLETED_WITH_ERROR = "COMPLETED_WITH_ERROR"  #: done on some nodes only
    CANCELLING = "CANCELLING"  #: a remote job was told to stop
    EXPIRED = "EXPIRED"  #: a remote job ran out of time
    UNREACHABLE = "UNREACHABLE"  #: a remote job's status could not be had


class TaskType(str, Enum):
    """`MLTaskType`, in the order of its Java enum."""

    TRAINING = "TRAINING"
    PREDICTION = "PREDICTION"
    TRAINING_AND_PREDICTION = "TRAINING_AND_PREDICTION"
    EXECUTION = "EXECUTION"
    BATCH_INGEST = "BATCH_INGEST"
    BATCH_PREDICTION = "BATCH_PREDICTION"
    UPLOAD_MODEL = "UPLOAD_MODEL"  #: deprecated since 2.7
    LOAD_MODEL = "LOAD_MODEL"  #: deprecated since 2.7
    REGISTER_MODEL = "REGISTER_MODEL"
    DEPLOY_MODEL = "DEPLOY_MODEL"
    AGENT_EXECUTION = "AGENT_EXECUTION"


class FunctionName(str, Enum):
    """`FunctionName`, in the order of its Java enum; a task's `function_name`, a model's `algorithm`."""

    LINEAR_REGRESSION = "LINEAR_REGRESSION"
    KMEANS = "KMEANS"
    AD_LIBSVM = "AD_LIBSVM"
    SAMPLE_ALGO = "SAMPLE_ALGO"
    LOCAL_SAMPLE_CALCULATOR = "LOCAL_SAMPLE_CALCULATOR"
    FIT_RCF = "FIT_RCF"
    BATCH_RCF = "BATCH_RCF"
    ANOMALY_LOCALIZATION = "ANOMALY_LOCALIZATION"
    RCF_SUMMARIZE = "RCF_SUMMARIZE"
    LOGISTIC_REGRESSION = "LOGISTIC_REGRESSION"
    TEXT_EMBEDDING = "TEXT_EMBEDDING"
    METRICS_CORRELATION = "METRICS_CORRELATION"
    REMOTE = "REMOTE"
    SPARSE_ENCODING = "SPARSE_ENCODING"
    SPARSE_TOKENIZE = "SPARSE_TOKENIZE"
    TEXT_SIMILARITY = "TEXT_SIMILARITY"
    QUESTION_ANSWERING = "QUESTION_ANSWERING"
    AGENT = "AGENT"
    CONNECTOR = "CONNECTOR"
    TOOL = "TOOL"


class InputType(str, Enum):
    """`MLInputDataType`."""

    SEARCH_QUERY = "SEARCH_QUERY"
    DATA_FRAME = "DATA_FRAME"
    TEXT_DOCS = "TEXT_DOCS"
    REMOTE = "REMOTE"
    TEXT_SIMILARITY = "TEXT_SIMILARITY"
    QUESTION_ANSWERING = "QUESTION_ANSWERING"


TRANSITIONS: Mapping[TaskState, frozenset[TaskState]] = {
    TaskState.CREATED: frozenset({TaskState.RUNNING, TaskState.FAILED, TaskState.CANCELLED}),
    TaskState.RUNNING: frozenset({TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED}),
}


class IllegalTransition(ValueError):
    """A task was asked to go where its state does not lead."""


@dataclasses.dataclass(frozen=True)
class MLTask:
    """A training task as it is stored.

    Times are milliseconds since the epoch. A field that is None is not stored.
    """

    task_type: TaskType
    function_name: FunctionName
    state: TaskState
    input_type: InputType
    worker_node: tuple[str, ...]
    create_time: int
    last_update_time: int
    is_async: bool = True
    model_id: str | None = None
    error: str | None = None

    @classmethod
    def training(cls, function_name: FunctionName, input_type: InputType, worker_node: str, now: int) -> MLTask:
        """Return the task that an asynchronous training begins with."""
        return cls(
            task_type=TaskType.TRAINING,
            function_name=function_name,
            state=TaskState.CREATED,
            input_type=input_type,
            worker_node=(worker_node,),
            create_time=now,
            last_update_time=now,
        )

    def taken_over(self, now: int) -> MLTask:
        """Return the task once another process works on it: who had it before cannot write it any more."""
        return dataclasses.replace(self, last_update_time=now)

    def running(self, now: int) -> MLTask:
        """Return the task once a worker has it."""
        return self._moved(TaskState.RUNNING, now)

    def completed(self, model_id: str, now: int) -> MLTask:
        """Return the task once its model is stored."""
        return dataclasses.replace(self._moved(TaskState.COMPLETED, now), model_id=model_id)

    def failed(self, error: str, now: int) -> MLTask:
        """Return the task once it is over without a model."""
        return dataclasses.replace(self._moved(TaskState.FAILED, now), error=error)

    def source(self) -> dict[str, Any]:
        """Return the stored document, keys in the order in which the plugin writes them."""
        source: dict[str, Any] = {}
        if self.model_id is not None:
            source["model_id"] = self.model_id
        source["task_type"] = self.task_type.value
        source["function_name"] = self.function_name.value
        source["state"] = self.state.value
        source["input_type"] = self.input_type.value
        source["worker_node"] = list(self.worker_node)
        source["create_time"] = self.create_time
        source["last_update_time"] = self.last_update_time
        if self.error is not None:
            source["error"] = self.error
        source["is_async"] = self.is_async
        return source

    def changes_since(self, earlier: MLTask) -> dict[str, Any]:
        """Return the fields in which this task differs from `earlier`: the body of a partial update."""
        before = earlier.source()
        return {key: value for key, value in self.source().items() if before.get(key) != value or key not in before}

    def _moved(self, state: TaskState, now: int) -> MLTask:
        if state not in TRANSITIONS.get(self.state, frozenset()):
            raise IllegalTransition(f"a task that is {self.state.value} cannot become {state.value}")
        return dataclasses.replace(self, state=state, last_update_time=now)
