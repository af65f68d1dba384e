"""An entry of the cluster's `_tasks` API: a training or prediction of ours. Knows neither HTTP nor OpenSearch.

Facts: OpenSearch 3.6.0 `TaskInfo`, `TaskResult`, `TaskId`. OpenSearch counts its own tasks from 1, so ours count from
2^52: the two never meet, and a number below 2^53 is exact in every JSON reader. A training takes four numbers in a
row: its own, and one for each of its stages.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from enum import Enum
from typing import Any

TRAIN_ACTION = "cluster:admin/opensearch/ml/train"
PREDICT_ACTION = "cluster:admin/opensearch/ml/predict"
TRAIN_PREDICT_ACTION = "cluster:admin/opensearch/ml/trainAndPredict"
FIRST_NUMBER = 2**52
NUMBERS_OF_A_TASK = 4
#: The headers of a request that its tasks carry; OpenSearch's order changes from start to start.
TASK_HEADERS = ("X-Request-Id", "X-Opaque-Id")
PLAYED = "played"  #: the owner of what only a scenario plays: no process runs it
CANCELLED_BY = "by user request"  #: the reason that OpenSearch gives for every cancellation over HTTP

_TASK_ID = re.compile(r"([^:]+):(\d{1,19})")


class Stage(str, Enum):
    """What a training or prediction is doing, in this order; one at a time."""

    READ = "read"  #: the rows are read from their index, or taken from the request
    FIT = "fit"  #: a process of the pool trains
    PREDICT = "predict"  #: a process of the pool predicts
    STORE = "store"  #: the model is written

    @property
    def place(self) -> int:
        """How far its number is from the training's; nothing both trains and predicts in stages of their own."""
        return {Stage.READ: 1, Stage.FIT: 2, Stage.PREDICT: 2, Stage.STORE: 3}[self]


@dataclasses.dataclass(frozen=True)
class TaskId:
    """`node:number`."""

    node: str
    number: int

    @classmethod
    def parse(cls, text: str) -> TaskId | None:
        """Return the id that `text` says, None if it says none."""
        found = _TASK_ID.fullmatch(text)
        return cls(found[1], int(found[2])) if found else None

    @property
    def is_ours(self) -> bool:
        """Whether the number is one that OpenSearch will not give."""
        return self.number >= FIRST_NUMBER

    @property
    def training(self) -> TaskId:
        """The id of the training that this is, or is a stage of."""
        return TaskId(self.node, self.number - self.number % NUMBERS_OF_A_TASK)

    def __str__(self) -> str:
        return f"{self.node}:{self.number}"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a finished training: a `response`, or an `error`, as JSON objects."""

    response: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What it takes to end a training whose process is gone.

    Attributes:
        model_id: the id that its model has, or will have: whoever ends it, there is one model.
        algorithm: what to train.
        body: the body to train with, as JSON text; None if its data cannot be read again.
        obstacle: why it cannot; None if it can.
    """

    model_id: str
    algorithm: str
    body: str | None = None
    obstacle: str | None = None

    def source(self) -> dict[str, Any]:
        """Return the part of a document that keeps it."""
        return {key: value for key, value in dataclasses.asdict(self).items() if value is not None}

    @classmethod
    def from_source(cls, source: Mapping[str, Any]) -> Recipe:
        """Return what a document keeps; keys that it does not know are left out.

        Raises:
            TypeError: it is none of ours.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{key: value for key, value in source.items() if key in known})


@dataclasses.dataclass(frozen=True)
class ClusterTask:
    """A training as `_tasks` shows it, at one moment.

    Times are milliseconds since the epoch unless they say otherwise.

    Attributes:
        id: its id; the node is the one that works.
        description: what it trains on what, for `detailed`.
        headers: those of `TASK_HEADERS` that the request had.
        start_time: when the request came.
        owner: the process that runs it.
        ml_task_id: the id of its ML task; None for a training whose caller waits, which has none.
        state: the ML task's state.
        stage: what it is doing, None while it waits for its turn and once it has ended.
        stage_start_time: since when.
        rows: how many rows were read.
        iteration: the round it is in, 0 before the first.
        iterations: how many rounds there will be at most, None while nobody knows.
        cpu_time_in_nanos: what the training's process has used.
        cancellation_time: when it was cancelled, None if it was not.
        running_time_in_nanos: how long it took in all; None while it runs.
        outcome: what became of it; None while it runs.
        action: the name of what it does.
    """

    id: TaskId
    description: str
    headers: Mapping[str, str]
    start_time: int
    owner: str
    ml_task_id: str | None = None
    state: str = "CREATED"
    stage: Stage | None = None
    stage_start_time: int = 0
    rows: int = 0
    iteration: int = 0
    iterations: int | None = None
    cpu_time_in_nanos: int = 0
    cancellation_time: int | None = None
    running_time_in_nanos: int | None = None
    outcome: Outcome | None = None
    action: str = TRAIN_ACTION

    @property
    def completed(self) -> bool:
        """Whether it has ended."""
        return self.outcome is not None

    @property
    def stage_id(self) -> TaskId | None:
        """The id of the stage it is in."""
        return None if self.stage is None else TaskId(self.id.node, self.id.number + self.stage.place)

    def source(self) -> dict[str, Any]:
        """Return the document that keeps it."""
        source = dataclasses.asdict(self)
        source["id"] = str(self.id)
        source["stage"] = self.stage.value if self.stage else None
        return {key: value for key, value in source.items() if value is not None}

    @classmethod
    def from_source(cls, source: Mapping[str, Any]) -> ClusterTask:
        """Return what a document keeps; keys that it does not know are left out.

        Raises:
            KeyError, TypeError, ValueError: it is none of ours.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        values = {key: value for key, value in source.items() if key in known}
        found = TaskId.parse(str(values.pop("id")))
        if found is None:
            raise ValueError(f"{source['id']} is no task id")
        stage, outcome = values.pop("stage", None), values.pop("outcome", None)
        return cls(
            id=found, stage=Stage(stage) if stage else None, outcome=Outcome(**outcome) if outcome else None, **values
        )
