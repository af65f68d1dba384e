"""Data sets, what the plugin answered to them, and ours on the same rows.

A family is a module `<family>_cases.py` with a list `CASES`; `python -m tests.algorithms.record <family>` is the only
writer of `fixtures/results/<version>/<family>.json`.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import json
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlcommons_tasks.data_frame import ColumnMeta, ColumnType, DataFrame, FrameBuilder
from mlcommons_tasks.pipeline.algorithms import Prediction, get_algorithm, get_together
from tests.clients import Client

VERSION = "3.6.0"
RESULTS = Path(__file__).parents[2] / "fixtures" / "results" / VERSION
TYPES: Mapping[type, ColumnType] = {
    float: ColumnType.DOUBLE,
    int: ColumnType.LONG,
    str: ColumnType.STRING,
    bool: ColumnType.BOOLEAN,
}
Columns = Mapping[str, Sequence[Any]]


@dataclasses.dataclass(frozen=True)
class Case:
    """One model and what it says of rows.

    Attributes:
        name: unlike that of any other case of the family.
        algorithm: in capitals.
        parameters: those of the request; None for none.
        columns: name → values, a float, int, str or bool a row.
        predict: the rows to predict; None for those of the training.
        together: whether both is asked of `_train_predict`.
    """

    name: str
    algorithm: str
    parameters: Mapping[str, Any] | None
    columns: Columns
    predict: Columns | None = None
    together: bool = False


def frame_of(columns: Columns) -> DataFrame:
    """Return the rows as a frame: DOUBLE for floats, LONG for ints, STRING, BOOLEAN."""
    types = tuple(TYPES[type(values[0])] for values in columns.values())
    builder = FrameBuilder()
    for row in zip(*columns.values(), strict=True):
        builder.add(types, row)
    return builder.build([ColumnMeta(name, kind) for name, kind in zip(columns, types, strict=True)])


def body_of(parameters: Mapping[str, Any] | None, columns: Columns) -> dict[str, Any]:
    """Return a request's body with these rows."""
    types = [TYPES[type(values[0])].value for values in columns.values()]
    metas = [{"name": name, "column_type": kind} for name, kind in zip(columns, types, strict=True)]
    rows = [
        {"values": [{"column_type": kind, "value": value} for kind, value in zip(types, row, strict=True)]}
        for row in zip(*columns.values(), strict=True)
    ]
    body: dict[str, Any] = {} if parameters is None else {"parameters": dict(parameters)}
    return {**body, "input_data": {"column_metas": metas, "rows": rows}}


def asked(case: Case, client: Client) -> dict[str, Any]:
    """Return what a node with the plugin, or the service, answers: `columns` and `types`, or `error`, or an object."""
    name = case.algorithm.lower()
    prefix = "/_plugins/_ml"
    if case.together:
        answer = client.send("POST", f"{prefix}/_train_predict/{name}", body_of(case.parameters, case.columns))
    else:
        answer = client.send("POST", f"{prefix}/_train/{name}", body_of(case.parameters, case.columns))
        if answer.status < 300:
            model_id = answer.body["model_id"]
            parameters = case.parameters if case.algorithm == "SAMPLE_ALGO" else None
            body = body_of(parameters, case.columns if case.predict is None else case.predict)
            answer = client.send("POST", f"{prefix}/_predict/{name}/{model_id}", body)
    if answer.status >= 300:
        return {"error": {"status": answer.status, **answer.body["error"]["root_cause"][0]}}
    result = answer.body.get("prediction_result")
    if result is None:
        return dict(answer.body)
    names = [meta["name"] for meta in result["column_metas"]]
    rows = [[cell.get("value") for cell in row["values"]] for row in result["rows"]]
    return {
        "columns": {column: [row[at] for row in rows] for at, column in enumerate(names)},
        "types": {meta["name"]: meta["column_type"] for meta in result["column_metas"]},
    }


def ours(case: Case, *, seed: int | None = 1) -> Prediction:
    """Return what ours says, without a service between."""
    frame = frame_of(case.columns)
    if case.together:
        return get_together(case.algorithm, case.parameters).train_and_predict(frame, case.parameters, seed=seed)
    algorithm = get_algorithm(case.algorithm)
    content = algorithm.train(frame, case.parameters, seed=seed)
    parameters = case.parameters if case.algorithm == "SAMPLE_ALGO" else None
    return algorithm.predict(content, frame if case.predict is None else frame_of(case.predict), parameters)


def columns_of(prediction: Prediction) -> dict[str, list[Any]]:
    """Return the columns of a frame by name."""
    assert isinstance(prediction, DataFrame)
    cells = [values.tolist() if isinstance(values, array) else list(values) for values in prediction.cells]
    return {str(name): values for name, values in zip(prediction.names, cells, strict=True)}


def cases(family: str) -> list[Case]:
    """Return the cases of a family."""
    found: list[Case] = importlib.import_module(f"tests.algorithms.{family}_cases").CASES
    assert len({case.name for case in found}) == len(found), "two cases have one name"
    return found


@functools.cache
def _recording(family: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / f"{family}.json").read_text("utf-8"))
    return found


def recorded(family: str, name: str) -> dict[str, Any]:
    """Return what the plugin answered to a case."""
    found: dict[str, Any] = _recording(family)["results"][name]
    return found
