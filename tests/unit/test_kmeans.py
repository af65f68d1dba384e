"""KMEANS: the maths, the bounds, and content that is safe to load."""

from __future__ import annotations

import json
import math
from array import array
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcommons_tasks.cancellation import Cancelled
from mlcommons_tasks.data_frame import ColumnMeta, ColumnType, DataFrame
from mlcommons_tasks.errors import IllegalArgument, ServerError
from mlcommons_tasks.pipeline.algorithms import get_algorithm, kmeans
from tests.unit.no_models import NO_OBJECTS

DISTANCES = ["EUCLIDEAN", "COSINE", "L1"]
#: three directions, so that COSINE can tell them apart, too
CENTERS = {
    "EUCLIDEAN": [(0, 0), (10, 0), (5, 9)],
    "L1": [(0, 0), (10, 0), (5, 9)],
    "COSINE": [(10, 0.5), (6, 6), (0.5, 10)],
}
#: no numbers whose squares vanish: COSINE takes such vectors for zero
NUMBERS = st.floats(-1e6, 1e6, allow_nan=False).map(lambda number: round(number, 3))
TABLES = st.integers(1, 3).flatmap(
    lambda width: st.lists(st.lists(NUMBERS, min_size=width, max_size=width), min_size=1, max_size=12)
)


def frame_of(rows: Any) -> DataFrame:
    table = np.asarray(rows, dtype=float)
    columns = tuple(ColumnMeta(f"f{i}", ColumnType.DOUBLE) for i in range(table.shape[1]))
    cells = tuple(array("d", column) for column in table.T)
    return DataFrame(columns, cells, (ColumnType.DOUBLE,) * table.shape[1], len(table))


def labels_of(content: bytes, frame: DataFrame) -> list[int]:
    return list(kmeans.predict(content, frame).cells[0])


def distances(row: Any, centroids: Any, distance_type: str) -> list[float]:
    found = []
    for centroid in centroids:
        pairs = list(zip(row, centroid, strict=True))
        if distance_type == "L1":
            found.append(sum(abs(a - b) for a, b in pairs))
        elif distance_type == "EUCLIDEAN":
            found.append(math.sqrt(sum((a - b) ** 2 for a, b in pairs)))
        else:
            norms = math.hypot(*row) * math.hypot(*centroid)
            found.append(1 - sum(a * b for a, b in pairs) / norms if norms else 1.0)
    return found


@settings(max_examples=60, deadline=None)
@given(TABLES, st.integers(1, 6), st.sampled_from(DISTANCES), st.integers(0, 99))
def test_every_row_goes_to_its_nearest_centroid(rows: Any, clusters: int, distance: str, seed: int) -> None:
    """Predicted ids are those of a centroid that no other one beats by more than rounding."""
    content = kmeans.train(
        frame_of(rows), {"centroids": clusters, "iterations": 10, "distance_type": distance}, seed=seed
    )
    centroids = kmeans.load(content).centroids
    assert centroids.shape == (clusters, len(rows[0]))
    for row, label in zip(rows, labels_of(content, frame_of(rows)), strict=True):
        found = distances(row, centroids, distance)
        assert found[label] <= min(found) + 1e-6 * (1 + min(found))


@settings(max_examples=40, deadline=None)
@given(TABLES, st.integers(1, 6), st.integers(0, 99))
def test_a_settled_model_holds_means_and_origins(rows: Any, clusters: int, seed: int) -> None:
    """Once nothing changes, a centroid is the mean of its rows, and the origin if it has none."""
    content = kmeans.train(frame_of(rows), {"centroids": clusters, "iterations": 200}, seed=seed)
    labels = np.array(labels_of(content, frame_of(rows)))
    for i, centroid in enumerate(kmeans.load(content).centroids.tolist()):
        own = np.array(rows)[labels == i]
        if len(own):
            assert centroid == pytest.approx(own.mean(axis=0), rel=1e-6, abs=1e-3)


def test_a_cluster_without_rows_moves_to_the_origin() -> None:
    """With more centroids than rows the spare ones are zero."""
    centroids = kmeans.load(kmeans.train(frame_of([[5, 6], [7, 9]]), {"centroids": 50}, seed=1)).centroids
    assert centroids.shape == (50, 2)
    assert sum(not centroid.any() for centroid in centroids) >= 48


def test_the_first_of_equally_near_centroids_wins() -> None:
    """A row between two centroids belongs to the one of the lower id."""
    content = model(centroids=[[2.0], [0.0], [2.0]], features=["f0"])
    assert labels_of(content, frame_of([[1.0], [2.0], [0.5]])) == [0, 0, 1]


@pytest.mark.parametrize("distance", DISTANCES)
def test_three_groups_are_found_as_often_as_the_plugin_finds_them(distance: str) -> None:
    """Random starts find three well-parted groups in most runs; the plugin did in 91, 68 and 87 % of 250."""
    random = np.random.default_rng(7)
    rows = np.concatenate([random.normal(center, 0.4, (30, 2)) for center in CENTERS[distance]])  # type: ignore[attr-defined]
    truth = [0] * 30 + [1] * 30 + [2] * 30
    frame = frame_of(rows)
    found = 0
    for seed in range(60):
        labels = labels_of(
            kmeans.train(frame, {"centroids": 3, "iterations": 20, "distance_type": distance}, seed=seed), frame
        )
        found += len(set(zip(labels, truth, strict=True))) == len(set(labels)) == 3
    assert found >= 30


def test_training_and_predicting_at_once() -> None:
    """Both in one call say what the model of the same seed says, in a column `ClusterID` of integers."""
    frame = frame_of([[0, 0], [9, 9], [0, 1], [9, 8]])
    together = kmeans.train_and_predict(frame, {"centroids": 3}, seed=1)
    assert together == kmeans.predict(kmeans.train(frame, {"centroids": 3}, seed=1), frame)
    assert together.columns == (ColumnMeta("ClusterID", ColumnType.INTEGER),)
    assert (together.row_types, together.size) == ((ColumnType.INTEGER,), 4)


def test_parameters_of_a_prediction_count_for_nothing_but_their_bounds() -> None:
    """A prediction takes the plugin's parameters, refuses those out of bounds and looks at no other."""
    assert list(kmeans.predict(model(features=["f0"]), frame_of([[1.0]]), {"centroids": 7}).cells[0]) == [0]
    with pytest.raises(IllegalArgument, match=r"^Unsupported algorithm: KMEANS$"):
        kmeans.predict(model(features=["f0"]), frame_of([[1.0]]), {"centroids": 0})


def test_the_same_seed_gives_the_same_bytes() -> None:
    """Training is a function of rows, parameters and seed, and another seed is another start."""
    frame = frame_of(np.random.default_rng(3).random((40, 3)))
    contents = {seed: kmeans.train(frame, {"centroids": 4, "iterations": 1}, seed=seed) for seed in (1, 2)}
    assert kmeans.train(frame, {"centroids": 4, "iterations": 1}, seed=1) == contents[1] != contents[2]
    many = frame_of(np.random.default_rng(3).random((400, 3)))  # no two starts of 8 centroids part them alike
    assert kmeans.train(many, {"centroids": 8, "iterations": 1}) != kmeans.train(
        many, {"centroids": 8, "iterations": 1}
    )


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Working in pieces of a few distances gives the same labels as all at once."""
    frame = frame_of(np.random.default_rng(5).random((53, 2)))
    whole = kmeans.train(frame, {"centroids": 7}, seed=1)
    monkeypatch.setattr(kmeans, "_CHUNK_CELLS", 16)
    assert kmeans.train(frame, {"centroids": 7}, seed=1) == whole
    assert len(labels_of(whole, frame)) == 53


@pytest.mark.parametrize("parameters", [None, {}])
def test_defaults(parameters: dict[str, Any] | None) -> None:
    """Without parameters there are 2 centroids and the distance is EUCLIDEAN."""
    loaded = kmeans.load(kmeans.train(frame_of([[1.0], [9.0]]), parameters))
    assert (len(loaded.centroids), loaded.distance_type) == (2, "EUCLIDEAN")


def test_at_most_the_asked_rounds() -> None:
    """`iterations` bounds the rounds, and a settled clustering stops before."""
    asked: list[bool] = []

    def never() -> bool:
        asked.append(True)
        return False

    frame = frame_of(np.random.default_rng(1).random((200, 2)))
    kmeans.train(frame, {"centroids": 9, "iterations": 3}, seed=1, cancelled=never)
    assert len(asked) == 3
    asked.clear()
    kmeans.train(frame_of([[1.0], [1.0]]), {"centroids": 2, "iterations": 100}, seed=1, cancelled=never)
    assert len(asked) == 2


def test_cancelled_is_looked_at_every_round() -> None:
    """A training that is told to stop leaves no model."""
    answers = iter([False, True])
    frame = frame_of(np.random.default_rng(1).random((200, 2)))
    with pytest.raises(Cancelled):
        kmeans.train(frame, {"centroids": 9, "iterations": 50}, seed=1, cancelled=lambda: next(answers))


@pytest.mark.parametrize(
    "parameters",
    [{"centroids": 0}, {"centroids": -3}, {"centroids": 2, "iterations": 0}, {"centroids": 2, "iterations": -1}],
)
def test_bounds(parameters: dict[str, Any]) -> None:
    """Parameters out of bounds give the plugin's odd sentence, an empty frame its own before that."""
    with pytest.raises(IllegalArgument, match=r"^Unsupported algorithm: KMEANS$"):
        kmeans.train(frame_of([[1.0]]), parameters)
    with pytest.raises(IllegalArgument, match=r"^Input data frame should not be null or empty$"):
        kmeans.train(frame_of(np.empty((0, 1))), parameters)


@pytest.mark.parametrize("rows", [[[math.inf], [1.0]], [[-1.7e308], [1.7e308]]])
def test_rows_no_distance_reaches(rows: Any) -> None:
    """Infinite values and ranges end in the plugin's null pointer."""
    with pytest.raises(ServerError, match=r"java\.util\.Map\.get") as caught:
        kmeans.train(frame_of(rows), None)
    assert caught.value.type == "null_pointer_exception"


@pytest.mark.parametrize("distance", DISTANCES)
def test_zero_rows_are_rows(distance: str) -> None:
    """Rows of zeros cluster with every distance; for COSINE they count as orthogonal to everything."""
    content = kmeans.train(
        frame_of([[0, 0], [0, 0]]), {"centroids": 2, "iterations": 10, "distance_type": distance}, seed=1
    )
    assert labels_of(content, frame_of([[0, 0]])) == [0]


def test_cosine_counts_a_zero_vector_as_orthogonal() -> None:
    """A centroid at the origin is nearer than one that points away and farther than one that points alike."""
    content = model(centroids=[[-1.0, 0.0], [0.0, 0.0], [1.0, 1.0]], features=["f0", "f1"], distance_type="COSINE")
    assert labels_of(content, frame_of([[1.0, 0.0], [-2.0, 0.1], [1.0, -1.5], [0.0, 0.0]])) == [2, 0, 1, 0]


def test_columns_are_matched_by_name() -> None:
    """Predicting does not depend on column order; unknown columns are left out, none known is an error."""
    content = model(centroids=[[0.0, 9.0], [9.0, 0.0]], features=["a", "b"])
    cells = (array("d", [9.0]), array("d", [5.0]), array("d", [0.0]))
    types = (ColumnType.DOUBLE,) * 3
    columns = tuple(ColumnMeta(name, ColumnType.DOUBLE) for name in ("b", "x", "a"))
    assert labels_of(content, DataFrame(columns, cells, types, 1)) == [0]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ([1.5], "No features found in Example ArrayExample(numFeatures=1,output=-1,weight=1.0,features=[(f0, 1.5)])"),
        (
            [0, 2],
            "No features in this example were found in the feature map. Example - "
            "ArrayExample(numFeatures=2,output=-1,weight=1.0,features=[(f0, 0.0)(f1, 2.0), ])",
        ),
    ],
)
def test_no_column_is_known(row: list[float], reason: str) -> None:
    """Rows without a column of the model are refused, in one of two sentences by their width."""
    with pytest.raises(IllegalArgument) as caught:
        labels_of(model(centroids=[[0.0, 9.0]], features=["a", "b"]), frame_of([row]))
    assert caught.value.reason == reason


def test_an_infinite_row_has_no_cluster() -> None:
    """Predicting, unlike training, answers -1 for a row that is infinitely far from everything."""
    assert labels_of(model(features=["f0"]), frame_of([[math.inf], [1.0]])) == [-1, 0]


def test_far_too_many_centroids() -> None:
    """What would exhaust the plugin's heap fails the training, and only that."""
    with pytest.raises(ServerError, match="Java heap space"):
        kmeans.train(frame_of([[1.0]]), {"centroids": 2**31 - 1})


def model(**changes: Any) -> bytes:
    body = {"algorithm": "KMEANS", "version": 1, "features": ["a"], "distance_type": "EUCLIDEAN", "centroids": [[0.0]]}
    return json.dumps(body | changes).encode()


@pytest.mark.parametrize(
    "content",
    [
        *NO_OBJECTS,
        model(algorithm="LINEAR_REGRESSION"),
        model(version=2),
        model(features=[]),
        model(features=[1]),
        model(distance_type="HAMMING"),
        model(distance_type=["L1"]),
        model(centroids=[]),
        model(centroids=[[1.0, 2.0]]),
        model(centroids=[["1"]]),
        model(centroids=[[True]]),
        model(centroids=[[math.nan]]),
        model(centroids=[[10**400]]),
    ],
)
def test_content_that_is_no_model_is_refused(content: bytes) -> None:
    """Loading checks everything and evaluates nothing."""
    with pytest.raises(IllegalArgument, match="not a KMEANS model"):
        kmeans.load(content)


def test_content_is_plain_json() -> None:
    """What is stored can be read by anyone and loads to the same numbers."""
    content = kmeans.train(frame_of([[0.1, 1 / 3], [2.0, 5.0]]), {"centroids": 1}, seed=1)
    body = json.loads(content)
    assert sorted(body) == ["algorithm", "centroids", "distance_type", "features", "version"]
    assert kmeans.load(content).centroids.tolist() == body["centroids"] == [[1.05, (1 / 3 + 5) / 2]]


def test_the_registry() -> None:
    """KMEANS is there; what cannot be trained is refused by its class."""
    assert get_algorithm("KMEANS") is kmeans
    with pytest.raises(ServerError, match=r"MetricsCorrelation cannot be cast to class .*\.Trainable "):
        get_algorithm("METRICS_CORRELATION")
