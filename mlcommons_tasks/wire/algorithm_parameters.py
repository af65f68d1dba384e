"""`parameters` in a request body: what each algorithm takes, of which type, and what is wrong with others. Pure.

Only what the client said is kept, under its wire name; defaults and bounds are the algorithm's business.
Source: ml-commons 3.6.0 `MLAlgoParams` and its classes (`KMeansParams.parse`, …).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mlcommons_tasks.errors import IllegalArgument
from mlcommons_tasks.wire.json_reader import JsonReader
from mlcommons_tasks.wire.strict_json import Irregular

_INT = (-(2**31), 2**31 - 1)
_LONG = (-(2**63), 2**63 - 1)
_EXACT = 2**53  #: whole numbers up to here are doubles as well


@dataclass(frozen=True)
class Kind:
    """A type of value: how it is read from tokens, and whether a plain JSON value is one without a closer look."""

    read: Callable[[JsonReader], Any]
    is_plain: Callable[[Any], bool]


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and low <= value <= high


def _read_integer(reader: JsonReader) -> int:
    return reader.integer(coerce=False)


def _read_long(reader: JsonReader) -> int:
    return reader.long(coerce=False)


def _read_double(reader: JsonReader) -> float:
    return reader.double(coerce=False)


INTEGER = Kind(_read_integer, _whole(*_INT))
LONG = Kind(_read_long, _whole(*_LONG))
DOUBLE = Kind(_read_double, lambda value: type(value) is float or (type(value) is int and abs(value) < _EXACT))
BOOLEAN = Kind(JsonReader.boolean, lambda value: type(value) is bool)
STRING = Kind(JsonReader.string, lambda value: type(value) is str)


def _enum(words: tuple[str, ...], complaint: str, *, upper: bool = True) -> Kind:
    """Return a kind of text that is one of `words`; `complaint` may name the one that is none as `{word}`."""

    def read(reader: JsonReader) -> str:
        word = reader.string()
        word = word.upper() if upper else word
        if word not in words:
            raise IllegalArgument(complaint.format(word=word))
        return word

    return Kind(read, lambda value: value in words if type(value) is str else False)


def _gradient_descent(class_name: str, objectives: tuple[str, ...]) -> dict[str, Kind]:
    """Return the parameters of a regression; the plugin's class is in what it says of unknown words."""
    unknown = f"No enum constant org.opensearch.ml.common.input.parameter.regression.{class_name}."
    optimisers = ("SIMPLE_SGD", "LINEAR_DECAY_SGD", "SQRT_DECAY_SGD", "ADA_GRAD", "ADA_DELTA", "ADAM", "RMS_PROP")
    doubles = ("learning_rate", "momentum_factor", "epsilon", "beta1", "beta2", "decay_rate")
    return {
        "objective": _enum(objectives, unknown + "ObjectiveType.{word}"),
        "optimiser": _enum(optimisers, unknown + "OptimizerType.{word}"),
        "momentum_type": _enum(("STANDARD", "NESTEROV"), unknown + "MomentumType.{word}"),
        **dict.fromkeys(doubles, DOUBLE),
        **dict.fromkeys(("epochs", "batch_size", "logging_interval"), INTEGER),
        "seed": LONG,
        "target": STRING,
    }


_FOREST = dict.fromkeys(("number_of_trees", "shingle_size", "sample_size", "output_after"), INTEGER)

#: What each algorithm takes; others skip whatever is in the object.
KINDS: Mapping[str, Mapping[str, Kind]] = {
    "KMEANS": {
        "centroids": INTEGER,
        "iterations": INTEGER,
        "distance_type": _enum(("EUCLIDEAN", "COSINE", "L1"), "Wrong distance type", upper=False),
    },
    "LINEAR_REGRESSION": _gradient_descent("LinearRegressionParams", ("SQUARED_LOSS", "ABSOLUTE_LOSS", "HUBER")),
    "LOGISTIC_REGRESSION": _gradient_descent("LogisticRegressionParams", ("HINGE", "LOGMULTICLASS")),
    "BATCH_RCF": {**_FOREST, "training_data_size": INTEGER, "anomaly_score_threshold": DOUBLE},
    "FIT_RCF": {
        **_FOREST,
        **dict.fromkeys(("time_decay", "anomaly_rate"), DOUBLE),
        **dict.fromkeys(("time_field", "date_format", "time_zone"), STRING),
    },
    "RCF_SUMMARIZE": {
        **dict.fromkeys(("max_k", "initial_k"), INTEGER),
        **dict.fromkeys(("phase1_reassign", "parallel"), BOOLEAN),
        "distance_type": _enum(("L1", "L2"), "Wrong distance type"),  # LInfinity is there, but not in capitals
    },
    "AD_LIBSVM": {
        "kernel": _enum(("LINEAR", "POLY", "RBF", "SIGMOID"), "Wrong AD kernel type"),
        **dict.fromkeys(("gamma", "nu", "cost", "coeff", "epsilon"), DOUBLE),
        "degree": INTEGER,
    },
    "SAMPLE_ALGO": {"sample_param": INTEGER},
}


def parameters_from_json(name: str, body: Any) -> dict[str, Any]:
    """Return the parameters in a regular JSON object; Irregular when any value is not plainly what it should be."""
    if type(body) is not dict:
        raise Irregular
    found = {}
    for key, kind in KINDS.get(name, {}).items():
        if key in body:
            if not kind.is_plain(body[key]):
                raise Irregular
            found[key] = float(body[key]) if kind is DOUBLE else body[key]
    return found


def read_parameters(name: str, reader: JsonReader) -> dict[str, Any]:
    """Read the object that starts at the current token, raising what the plugin raises at each."""
    reader.expect("START_OBJECT")
    kinds = KINDS.get(name)
    if kinds is None:
        reader.skip_children()
        return {}
    found: dict[str, Any] = {}
    while (token := reader.next()) is not None and token.name == "FIELD_NAME":
        key = reader.field_name or ""
        reader.next()
        if key in kinds:
            found[key] = kinds[key].read(reader)
        else:
            reader.skip_children()
    return found
