"""What our forests and summaries say of rows, beside what the plugin said of them."""

from __future__ import annotations

import functools

import pytest

from mlcommons_tasks.data_frame import DataFrame
from tests.algorithms.plugin_results import Case, columns_of, ours, recorded
from tests.algorithms.rcf_cases import CLUSTERS, FORESTS, NOISE, PLANTED, SUMMARIES

FLAGS = {"BATCH_RCF": "anomalous", "FIT_RCF": "anomaly_grade"}


@functools.cache
def predicted(asked: str) -> DataFrame:
    """Return what ours says to the cases of this name, which are one but for what the plugin said."""
    found = ours(next(case for case in [*FORESTS, *SUMMARIES] if case.name.split(" #")[0] == asked))
    assert isinstance(found, DataFrame)
    return found


def mine_of(case: Case) -> DataFrame:
    return predicted(case.name.split(" #")[0])


def data_set(case: Case) -> str:
    return case.name.split(" #")[0].removesuffix("; together")


@pytest.mark.parametrize("case", FORESTS, ids=lambda case: case.name)
def test_flags(case: Case) -> None:
    """Every planted anomaly is found, and at most 2 % of the other rows are flagged otherwise than by the plugin."""
    theirs = recorded("rcf", case.name)
    mine = mine_of(case)
    columns = columns_of(mine)
    assert list(columns) == list(theirs["columns"])
    assert {column.name: column.column_type.value for column in mine.columns} == theirs["types"]
    planted = PLANTED[data_set(case)]
    flags = [value > 0 for value in columns[FLAGS[case.algorithm]]]
    assert all(flags[row] for row in planted)
    others = [row for row in range(len(flags)) if row not in planted]
    their_flags = [value > 0 for value in theirs["columns"][FLAGS[case.algorithm]]]
    otherwise = sum(flags[row] != their_flags[row] for row in others)
    assert otherwise <= 0.02 * len(others)


@pytest.mark.parametrize("case", FORESTS, ids=lambda case: case.name)
def test_scores(case: Case) -> None:
    """Scores are 0 for the same first rows, on average 10 % apart at most, and times are the plugin's."""
    theirs, columns = recorded("rcf", case.name)["columns"], columns_of(mine_of(case))
    assert [score > 0 for score in columns["score"]] == [score > 0 for score in theirs["score"]]
    assert sum(columns["score"]) == pytest.approx(sum(theirs["score"]), rel=0.1)
    for name in theirs.keys() - {"score", "anomalous", "anomaly_grade"}:
        assert columns[name] == theirs[name]


@pytest.mark.parametrize("together", [False, True])
def test_noise(together: bool) -> None:
    """Where chance has a say, ours differ from the plugin's flags hardly more often than those from each other."""
    runs = [case for case in NOISE if case.together is together]
    there = [recorded("rcf", case.name)["columns"]["anomalous"] for case in runs]
    here = [columns_of(ours(runs[0], seed=seed))["anomalous"] for seed in range(4)]
    own = [otherwise(some, others) for i, some in enumerate(there) for others in there[:i]]
    across = [otherwise(some, others) for some in here for others in there]
    assert sum(across) / len(across) <= 1.25 * sum(own) / len(own) + 2
    assert all(flags[row] for flags in here for row in PLANTED["noise"])


def otherwise(some: list[bool], others: list[bool]) -> int:
    return sum(flag != other for flag, other in zip(some, others, strict=True))


@pytest.mark.parametrize("case", SUMMARIES, ids=lambda case: case.name)
def test_summaries(case: Case) -> None:
    """Labels on separated data are the plugin's up to their names, for every row, and there are as many clusters."""
    theirs, mine = recorded("rcf", case.name), mine_of(case)
    labels, their_labels = columns_of(mine)["ClusterID"], theirs["columns"]["ClusterID"]
    assert theirs["types"] == {"ClusterID": "INTEGER"}
    assert len(set(zip(labels, their_labels, strict=True))) == len(set(labels)) == len(set(their_labels))
    assert len(set(zip(labels, CLUSTERS[data_set(case)], strict=True))) == len(set(labels))
