"""Forests and summaries: seeds, models and what is wrong with them, stopping, and errors that need no plugin to see."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mlcommons_tasks.cancellation import Cancelled
from mlcommons_tasks.errors import IllegalArgument, ServerError
from mlcommons_tasks.pipeline.algorithms import get_algorithm, get_together
from mlcommons_tasks.pipeline.algorithms.random_cut_forest import Forest, ForestOptions
from mlcommons_tasks.pipeline.algorithms.thresholder import Corrector, Deviation, Thresholder

from .plugin_results import Columns, columns_of, frame_of

NAMES = ["BATCH_RCF", "FIT_RCF", "RCF_SUMMARIZE"]
MESSAGE = "The content is not a {} model: "


def rows(count: int = 200, columns: int = 2, seed: int = 1) -> Columns:
    """Return a time and numbers, among which one is far from the others."""
    numbers = np.random.default_rng(seed).normal(size=(count, columns))
    numbers[count // 2] += 20
    return {"timestamp": [60_000 * row for row in range(count)], **dict(zip("abcd", numbers.T.tolist(), strict=False))}


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_gives_the_same_bytes(name: str) -> None:
    """The same seed gives the same model, another one another; without one each training is another."""
    algorithm, frame = get_algorithm(name), frame_of(rows())
    assert algorithm.train(frame, None, seed=7) == algorithm.train(frame, None, seed=7)
    if name != "RCF_SUMMARIZE":
        contents = {algorithm.train(frame, None, seed=seed) for seed in (7, 8, None, None)}
        assert len(contents) == 4


def test_fit_rcf_goes_on_where_the_training_ended() -> None:
    """A model that was stored and read predicts what the forest would have said of the next rows."""
    whole = rows(260)
    first = {name: values[:200] for name, values in whole.items()}
    rest = {name: values[200:] for name, values in whole.items()}
    algorithm = get_algorithm("FIT_RCF")
    content = algorithm.train(frame_of(first), None, seed=3)
    predicted = columns_of(algorithm.predict(content, frame_of(rest)))
    together = columns_of(get_together("FIT_RCF", None).train_and_predict(frame_of(whole), None, seed=3))
    assert predicted == {name: values[200:] for name, values in together.items()}
    assert columns_of(algorithm.predict(content, frame_of(rest))) == predicted, "a prediction changed the model"


@pytest.mark.parametrize("name", NAMES)
def test_stops(name: str) -> None:
    """A training asks whether to stop, and stops."""
    algorithm, frame = get_algorithm(name), frame_of(rows(2000))
    asked: list[bool] = []

    def cancelled() -> bool:
        asked.append(True)
        return len(asked) > 3

    with pytest.raises(Cancelled):
        algorithm.train(frame, {}, seed=1, cancelled=cancelled)
    assert len(asked) == 4


def broken(name: str, change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return a model's content with something wrong in it."""
    body = json.loads(get_algorithm(name).train(frame_of(rows(150)), None, seed=1))
    change(body)
    return json.dumps(body).encode()


def last_is(**changes: object) -> Callable[[dict[str, Any]], object]:
    def change(body: dict[str, Any]) -> None:
        anomaly = {"row": 3, "score": 2.0, "attribution": [[1.0] * 16] * 2, "shingle": [1.0] * 16, "expected": None}
        body["thresholder"]["last"] = {**anomaly, **changes}

    return change


FOREST_FAULTS: list[Callable[[dict[str, Any]], object]] = [
    lambda body: body.update(version=2),
    lambda body: body.update(algorithm="KMEANS"),
    lambda body: body.pop("rows"),
    lambda body: body.update(rows=5),
    lambda body: body.update(rows="AAAA"),
    lambda body: body.update(rows="not base64!"),
    lambda body: body.update(rows=base64.b64encode(np.full(8, np.nan, "<f4").tobytes()).decode()),
    lambda body: body.update(rows=base64.b64encode(np.full(8, -np.inf, "<f4").tobytes()).decode()),
    lambda body: body.update(number_of_trees=0),
    lambda body: body.update(number_of_trees=2**31 - 1),
    lambda body: body.update(number_of_trees=True),
    lambda body: body.update(sample_size=2**31 - 1),
    lambda body: body.update(sample_size=1, output_after=1),
    lambda body: body.update(output_after=10**6),
    lambda body: body.update(shingle_size=10**9),
    lambda body: body.update(columns=10**9),
    lambda body: body.update(columns=-2),
    lambda body: body.update(columns="2"),
    lambda body: body.update(seed=-1),
    lambda body: body.update(seed=2**70),
    lambda body: body.update(seed=None),
    lambda body: body.update(time_decay="0"),
    lambda body: body.update(time_decay=-1.0),
    lambda body: body.update(time_decay=float("nan")),
]
FIT_FAULTS: list[Callable[[dict[str, Any]], object]] = [
    lambda body: body.update(anomaly_rate=2),
    lambda body: body.update(anomaly_rate=None),
    lambda body: body.update(time_decay=1.0),
    lambda body: body.pop("thresholder"),
    lambda body: body["thresholder"].update(in_anomaly=1),
    lambda body: body["thresholder"].update(primary=[]),
    lambda body: body["thresholder"]["primary"].update(count=-1),
    lambda body: body["thresholder"]["primary"].update(count=1.5),
    lambda body: body["thresholder"]["primary"].update(discount=1),
    lambda body: body["thresholder"]["secondary"].update(weight=float("inf")),
    lambda body: body["thresholder"]["secondary"].update(more=1),
    last_is(row=150),
    last_is(row=-1),
    last_is(score="2"),
    last_is(attribution=[[1.0] * 16]),
    last_is(attribution=[[1.0] * 16, [1.0] * 15]),
    last_is(shingle=[1.0] * 17),
    last_is(shingle=["1"] * 16),
    last_is(expected=[]),
    last_is(expected=[float("nan")] * 16),
    last_is(more=1),
]
SUMMARY_FAULTS: list[Callable[[dict[str, Any]], object]] = [
    lambda body: body.update(version=2),
    lambda body: body.update(centers=[]),
    lambda body: body.update(centers=5),
    lambda body: body.update(centers=[5]),
    lambda body: body.update(centers=[[1.0], [1.0, 2.0]]),
    lambda body: body.update(centers=[["1"]]),
    lambda body: body.update(centers=[[1e39]]),
    lambda body: body.update(centers=[[float("nan")]]),
    lambda body: body.update(centers=[[1.0]] * 100),
]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        *(("BATCH_RCF", change) for change in FOREST_FAULTS),
        *(("FIT_RCF", change) for change in (*FOREST_FAULTS, *FIT_FAULTS)),
        *(("RCF_SUMMARIZE", change) for change in SUMMARY_FAULTS),
    ],
)
def test_damaged_models(name: str, change: Callable[[dict[str, Any]], object]) -> None:
    """A model with anything wrong in it is refused in a sentence, before anything large is made of it."""
    with pytest.raises(IllegalArgument) as raised:
        get_algorithm(name).predict(broken(name, change), frame_of(rows(5)))
    assert str(raised.value.reason).startswith(MESSAGE.format(name))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b"null", b"[" * 100_000, b'{"algorithm":"KMEANS"}'])
def test_contents_that_are_none(name: str, content: bytes) -> None:
    """Whatever is no JSON object of ours is no model."""
    with pytest.raises(IllegalArgument, match=MESSAGE.format(name)):
        get_algorithm(name).predict(content, frame_of(rows(5)))


@pytest.mark.parametrize("name", NAMES)
def test_too_large_ones(name: str) -> None:
    """Parameters that would fill the plugin's heap are refused before anything is made."""
    large: dict[str, dict[str, Any]] = {
        "BATCH_RCF": {"number_of_trees": 2**31 - 1},
        "FIT_RCF": {"shingle_size": 2**28},
        "RCF_SUMMARIZE": {"initial_k": 3 * 10**8, "max_k": 2},
    }
    with pytest.raises(ServerError, match="Java heap space"):
        get_algorithm(name).train(frame_of(rows(5)), large[name])


def test_a_panic_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """What krcf throws beside Python's exceptions comes out as an error of ours; a wish to stop goes through."""
    panic = type("PanicException", (BaseException,), {})

    class Broken:
        error: BaseException = panic("out of bounds")

        def __init__(self, _options: object) -> None:
            pass

        def update(self, _point: object) -> None:
            raise self.error

    monkeypatch.setattr("krcf.RandomCutForest", Broken)
    forest = Forest(ForestOptions(1, 5, 16, 4, 0.0), 1)
    with pytest.raises(ServerError, match="cut failed"):
        forest.update([1.0])
    Broken.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        forest.update([1.0])


def test_copies_count() -> None:
    """All rows alike score a half, as with the Java library; krcf alone says more."""
    forest = Forest(ForestOptions(1, 10, 256, 32, 0.0004), 1)
    for _ in range(300):
        forest.update([1.0])
    assert forest.score([1.0]) == pytest.approx(0.5, abs=0.001)


def test_deviation() -> None:
    """Means and deviations are those of the numbers while no number is discounted."""
    numbers = [1.0, 4.0, 2.0, 8.0]
    deviation = Deviation(0.0)
    assert (deviation.mean, deviation.deviation) == (0.0, 0.0)
    for number in numbers:
        deviation.update(number)
    assert deviation.mean == pytest.approx(np.mean(numbers))
    assert deviation.deviation == pytest.approx(np.std(numbers))


def test_grades() -> None:
    """The first scores are high above 1.5, later ones where they are far from the others."""
    thresholder = Thresholder.of(0.005, one_column=False)
    assert thresholder.grade(1.49, False) == 0
    assert thresholder.grade(1.495, True) < 0, "as high as its predecessor, though lower"
    assert thresholder.grade(3.0, False) == 1
    for _ in range(100):
        thresholder.update(0.7, 0.7, False)
        thresholder.update(0.8, 0.8, False)
    assert thresholder.grade(0.99, False) == 0
    assert 0.9 < thresholder.grade(1.0, False) < thresholder.grade(5.0, False) == 1


def test_an_explained_score_is_no_anomaly() -> None:
    """A row whose shingle is ordinary without an earlier anomaly has no grade, one that is odd by itself has."""
    scores = {"corrected": 0.6}
    corrector = Corrector(
        Thresholder.of(0.005, one_column=True),
        shingle_size=4,
        columns=1,
        score=lambda _shingle: scores["corrected"],
        attribution=lambda shingle: ([float(shingle[-1]), 0.1, 0.1, float(shingle[-1])], [0.0] * 4),
        impute=lambda shingle, _places: [*shingle[:-1], 0.0],
    )
    for _ in range(150):
        assert corrector.grade([0.0] * 4, 0.7) == 0
    assert corrector.grade([0.0, 0.0, 0.0, 5.0], 3.0) == 1
    assert corrector.grade([0.0, 0.0, 5.0, 0.0], 2.9) == 0
    scores["corrected"] = 3.0
    assert corrector.grade([0.0, 5.0, 0.0, 9.0], 3.5) == 1
