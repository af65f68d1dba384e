"""The body of `POST /_plugins/_ml/_train/<algorithm>`: what it says and everything wrong with it. Pure.

Three places where a request can fail, seen on the plugin 3.6.0 with and without `async=true`:

1. `parse_ml_input`, always answered at once. The body is read as a stream, so the first mistake from the left
   wins, be it of grammar or of meaning; what follows the root object is never read. A body whose root is no
   object is named before an unknown algorithm is.
2. `validate_request`, after all parsing, also answered at once: there is no dataset.
3. Everything else is found by the task: sync it is the answer, async it ends as `error` of a FAILED document.
   In this order: index missing, no document, unfit hits, an empty frame, parameters out of bounds
   (`Unsupported algorithm: KMEANS`), cells that are no numbers, rows of the wrong length, unusable features.

OpenSearch parses `input_query` in step 1 too. That needs its query parser: `query_in_place` gives a search body
whose errors carry the line and column they have in the client's own body.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mlcommons_tasks.data_frame import DataFrame
from mlcommons_tasks.errors import IllegalArgument, InvalidRequest, NamedObjectNotFound, UnreadableBody
from mlcommons_tasks.task import FunctionName
from mlcommons_tasks.wire.algorithm_parameters import KINDS, parameters_from_json, read_parameters
from mlcommons_tasks.wire.frame_body import read_frame
from mlcommons_tasks.wire.json_reader import JsonReader
from mlcommons_tasks.wire.json_tokens import JsonTokens, position
from mlcommons_tasks.wire.regular_body import read_regular
from mlcommons_tasks.wire.strict_json import Irregular

_NO_PARAMETERS = {"LOCAL_SAMPLE_CALCULATOR", "METRICS_CORRELATION", "ANOMALY_LOCALIZATION", "CONNECTOR"}


def _list_of(read: Callable[[JsonReader], Any]) -> Callable[[JsonReader], list[Any]]:
    def read_list(reader: JsonReader) -> list[Any]:
        reader.expect("START_ARRAY")
        found = []
        while (token := reader.next()) is not None and token.name != "END_ARRAY":
            found.append(read(reader))
        return found

    return read_list


#: What models of texts take. It is read for every algorithm, and left alone by those that are emulated.
_TEXTS: Mapping[str, Callable[[JsonReader], Any]] = {
    **dict.fromkeys(("return_bytes", "return_number"), JsonReader.boolean),
    **dict.fromkeys(("target_response", "text_docs"), _list_of(JsonReader.string)),
    "target_response_positions": _list_of(JsonReader.integer),
    **dict.fromkeys(("query_text", "question", "context"), JsonReader.string),
}
#: Models of texts, which have parsers of their own, and what these say without a text.
_NO_TEXT = {
    "TEXT_EMBEDDING": "Empty text docs",
    "SPARSE_ENCODING": "Empty text docs",
    "SPARSE_TOKENIZE": "Empty text docs",
    "TEXT_SIMILARITY": "No text documents were provided",
    "QUESTION_ANSWERING": "Question is not provided",
}
#: The `input_type` of what has a parser of its own, and the class of its data.
_OTHER = {
    **dict.fromkeys(("TEXT_EMBEDDING", "SPARSE_ENCODING", "SPARSE_TOKENIZE"), ("TEXT_DOCS", "TextDocsInputDataSet")),
    "TEXT_SIMILARITY": ("TEXT_SIMILARITY", "TextSimilarityInputDataSet"),
    "QUESTION_ANSWERING": ("QUESTION_ANSWERING", "QuestionAnsweringInputDataSet"),
    **dict.fromkeys(("REMOTE", "AGENT", "TOOL"), ("REMOTE", "remote.RemoteInferenceInputDataSet")),
}


@dataclass(frozen=True)
class SearchQueryDataset:
    """Train on the hits of `query`, a search body, in `indices`."""

    indices: tuple[str, ...]
    query: dict[str, Any]


@dataclass(frozen=True)
class DataFrameDataset:
    """Train on the rows that came with the request."""

    frame: DataFrame


@dataclass(frozen=True)
class OtherDataset:
    """Data of something that is not emulated: its `input_type`, and the plugin's class, below its package."""

    input_type: str
    java_class: str


Dataset = SearchQueryDataset | DataFrameDataset | OtherDataset


@dataclass(frozen=True)
class MLInput:
    """`MLInput`: the algorithm in capitals, its parameters if given, and the data if given."""

    function_name: str
    parameters: Mapping[str, Any] | None
    dataset: Dataset | None

    @property
    def input_type(self) -> str | None:
        """The task's `input_type`: SEARCH_QUERY, DATA_FRAME, another's own, or None without a dataset."""
        if self.dataset is None:
            return None
        if isinstance(self.dataset, OtherDataset):
            return self.dataset.input_type
        return "DATA_FRAME" if isinstance(self.dataset, DataFrameDataset) else "SEARCH_QUERY"


def parse_ml_input(function_name: str, payload: bytes) -> MLInput:
    """Parse a training body for the algorithm as it stands in the path.

    Raises, as the plugin does: UnreadableBody without a body, ParsingError for a token of the wrong kind,
    JsonParseError for broken JSON, a repeated key or a number in the wrong place, IllegalArgument
    (`Wrong function name`, `Wrong distance type`, `indices can't be empty`, …), NamedObjectNotFound for parameters
    of an algorithm that has none, and ServerError `illegal_state_exception` for text that is null.
    Source: `RestMLTrainingAction`, `MLInput.parse`, `KMeansParams.parse`, 3.6.0.
    """
    if not payload:
        raise UnreadableBody("request body is required")
    name = function_name.upper()
    if name in FunctionName.__members__:
        try:
            return _from_json(name, payload)
        except Irregular:
            pass
    return _from_tokens(name, JsonReader(payload))


def validate_request(ml_input: MLInput) -> None:
    """Raise InvalidRequest if there is nothing to train on. Source: `MLTrainingTaskRequest.validate`, 3.6.0."""
    if ml_input.dataset is None:
        raise InvalidRequest("input data can't be null")


def query_in_place(payload: bytes) -> bytes:
    """Return `input_query` as a search body that stands at the same line and column as it does in `payload`.

    For a payload that `parse_ml_input` took and that has an `input_query`: OpenSearch's errors about this body
    (`unknown query [nope]` at 3:10) then read as the plugin's do. b"" if there is none.
    """
    tokens = JsonTokens(payload)
    tokens.next()
    while (token := tokens.next()) is not None and token.name == "FIELD_NAME":
        wanted = tokens.field_name == "input_query"
        start = tokens.next()
        tokens.skip_children()
        if wanted and start is not None and tokens.token is not None:
            line, col = position(payload, start.start)
            return b"\n" * (line - 1) + b" " * (col - 1) + payload[start.start : tokens.token.end]
    return b""


def _from_json(name: str, payload: bytes) -> MLInput:
    """Read a body that is regular JSON; Irregular when any value of it is not plainly what it should be."""
    if name in _OTHER:
        raise Irregular
    body, frame = read_regular(payload)
    parameters = None
    if "parameters" in body:
        if name not in KINDS:
            raise Irregular
        parameters = parameters_from_json(name, body["parameters"])
    indices = body.get("input_index", [])
    if not isinstance(indices, list) or not all(isinstance(index, str) for index in indices):
        raise Irregular
    query = body.get("input_query")
    if "input_query" in body and not isinstance(query, dict):
        raise Irregular
    return MLInput(name, parameters, _dataset(indices, query, frame))


def _from_tokens(name: str, reader: JsonReader) -> MLInput:
    """Read any body token by token, as the plugin does, raising what the plugin raises."""
    reader.next()
    reader.expect("START_OBJECT")
    if name not in FunctionName.__members__:
        raise IllegalArgument("Wrong function name")
    parameters: Mapping[str, Any] | None = None
    indices: list[str] = []
    query: dict[str, Any] | None = None
    frame: DataFrame | None = None
    has_text, has_parameters = False, False
    while (token := reader.next()) is not None and token.name == "FIELD_NAME":
        key = reader.field_name or ""
        value = reader.next()
        if key == "parameters" and name in _OTHER:
            has_parameters = True
            reader.skip_children()
        elif key == "parameters":
            parameters = _parameters_from_tokens(name, reader)
        elif key == "input_index":
            indices.extend(_list_of(JsonReader.string)(reader))
        elif key == "input_query":
            reader.expect("START_OBJECT")
            query = reader.value()
        elif key == "input_data":
            frame = read_frame(reader)
        elif key in _TEXTS and name not in _OTHER:
            _TEXTS[key](reader)
        else:
            has_text = has_text or (key in ("text_docs", "question") and value is not None)
            reader.skip_children()
    if name in _NO_TEXT and not has_text:
        raise IllegalArgument(_NO_TEXT[name])
    if name in _OTHER:
        given = name == "REMOTE" or has_text or has_parameters
        return MLInput(name, None, OtherDataset(*_OTHER[name]) if given else None)
    return MLInput(name, parameters, _dataset(indices, query, frame))


def _parameters_from_tokens(name: str, reader: JsonReader) -> dict[str, Any]:
    if name in _NO_PARAMETERS:
        token = reader.token
        line, col = position(reader.payload, token.start if token else 0)
        raise NamedObjectNotFound(f"[{line}:{col}] unknown field [{name}]")
    return read_parameters(name, reader)


def _dataset(
    indices: list[str], query: dict[str, Any] | None, frame: DataFrame | None
) -> SearchQueryDataset | DataFrameDataset | None:
    """Choose as the plugin does: a frame wins over a search, a search needs indices.

    Source: `MLInput.createInputDataSet`, `SearchQueryInputDataset`, 3.6.0.
    """
    if frame is not None:
        return DataFrameDataset(frame)
    if query is None:
        return None
    if not indices:
        raise IllegalArgument("indices can't be empty")
    return SearchQueryDataset(tuple(indices), query)
