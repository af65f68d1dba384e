"""A stored model as a prediction reads it, in the words that the plugin 3.6.0 was heard to use (models_stored)."""

from __future__ import annotations

import base64
import json
import tracemalloc
from typing import Any

import pytest

from mlcommons_tasks.errors import IllegalArgument, TaskPluginError
from mlcommons_tasks.task import FunctionName
from mlcommons_tasks.wire.model_content import NOT_DEPLOYED, java_base64, no_model, read_for_prediction
from mlcommons_tasks.wire.model_document import render_model

FOUR = "Input byte array has wrong 4-byte ending unit"
BITS = "Last unit does not have enough valid bits"
NO_ALGORITHM = (
    'Cannot invoke "Object.toString()" because the return value of "java.util.Optional.orElse(Object)" is null'
)


def document(**fields: Any) -> bytes:
    model = {"name": "KMEANS", "algorithm": "KMEANS", "model_content": "AAEC", "model_state": "TRAINED", **fields}
    return json.dumps({name: value for name, value in model.items() if value is not ...}).encode()


def test_a_trained_model_is_read() -> None:
    """Its algorithm, in whatever case, and its bytes."""
    model = read_for_prediction(document(algorithm="kmeans"), "m1")

    assert model.algorithm is FunctionName.KMEANS
    assert model.content() == b"\0\1\2"
    model.require_deployed()


@pytest.mark.parametrize("state", ["REGISTERED", "DEPLOYED", "DEPLOYING", "UNDEPLOYED", "DEPLOY_FAILED", ...])
def test_the_state_does_not_matter(state: Any) -> None:
    """Nor do a flag that hides it, one that disables it, its group or its chunks."""
    fields = {"is_hidden": True, "is_enabled": False, "model_group_id": "g", "total_chunks": 2, "tenant_id": "t"}

    assert read_for_prediction(document(model_state=state, **fields), "m1").content() == b"\0\1\2"


def test_the_older_name_of_the_content_counts_where_the_other_is_missing() -> None:
    """As up to 2.4 it was called."""
    assert read_for_prediction(document(model_content=..., content="AAAA"), "m1").content() == b"\0\0\0"
    assert read_for_prediction(document(content="AAAA"), "m1").content() == b"\0\1\2"


def test_of_two_names_of_an_algorithm_the_last_counts() -> None:
    """`function_name` is another name of `algorithm`."""
    read = read_for_prediction(document(algorithm="LINEAR_REGRESSION", function_name="KMEANS"), "m1")
    assert read.algorithm is FunctionName.KMEANS
    read = read_for_prediction(b'{"function_name":"KMEANS","algorithm":"FIT_RCF"}', "m1")
    assert read.algorithm is FunctionName.FIT_RCF


@pytest.mark.parametrize(
    ("fields", "type", "reason"),
    [
        ({"algorithm": ...}, "null_pointer_exception", NO_ALGORITHM),
        ({"algorithm": None}, "null_pointer_exception", NO_ALGORITHM),
        ({"algorithm": ..., "model_state": "NOPE"}, "null_pointer_exception", NO_ALGORITHM),
        ({"algorithm": "NOPE"}, "illegal_argument_exception", "Wrong function name"),
        ({"algorithm": 5}, "illegal_argument_exception", "Wrong function name"),
        ({"algorithm": ["KMEANS"]}, "illegal_state_exception", "Can't get text on a START_ARRAY at 1:33"),
        ({"model_state": "NOPE"}, "illegal_argument_exception", "Wrong model state"),
        ({"name": None}, "illegal_state_exception", "Can't get text on a VALUE_NULL at 1:10"),
        ({"total_chunks": "2"}, "illegal_argument_exception", "Integer value passed as String"),
    ],
)
def test_a_document_that_cannot_be_read(fields: dict[str, Any], type: str, reason: str) -> None:
    """It is a 404 to a prediction, whatever is wrong with it."""
    with pytest.raises(TaskPluginError) as caught:
        read_for_prediction(document(**fields), "m1")

    assert (caught.value.status, caught.value.type, caught.value.reason) == (404, type, reason)


@pytest.mark.parametrize(
    ("fields", "status", "type"),
    [
        ({"model_content": ...}, 500, "null_pointer_exception"),
        ({"algorithm": ..., "function_name": "KMEANS"}, 500, "null_pointer_exception"),
        ({"model_content": 5}, 400, "illegal_argument_exception"),
        ({"model_content": "x!y"}, 400, "illegal_argument_exception"),
        ({"model_content": base64.b64encode(b"\xac\xed\0\5t\0\3abc").decode()}, 400, "illegal_argument_exception"),
    ],
)
def test_content_that_cannot_be_had(fields: dict[str, Any], status: int, type: str) -> None:
    """The model is there, and what is wrong with its content is said when it is asked for."""
    model = read_for_prediction(document(**fields), "m1")
    with pytest.raises(TaskPluginError) as caught:
        model.content()

    assert (caught.value.status, caught.value.type) == (status, type)


def test_what_ml_commons_trained_is_not_deserialized() -> None:
    """It is named for what it is."""
    model = read_for_prediction(document(model_content=base64.b64encode(b"\xac\xed\0\5sr").decode()), "m1")

    with pytest.raises(IllegalArgument, match=r"^The content is not a KMEANS model: it is serialized Java"):
        model.content()


@pytest.mark.parametrize(
    ("fields", "status", "reason"),
    [
        ({"algorithm": "TEXT_EMBEDDING"}, 400, NOT_DEPLOYED),
        ({"algorithm": "QUESTION_ANSWERING", "model_state": "DEPLOYED"}, 400, NOT_DEPLOYED),
        ({"algorithm": "REMOTE"}, 500, "Failed to get data object from index .plugins-ml-connector"),
        ({"algorithm": "REMOTE", "connector_id": "c"}, 404, "Failed to find connector"),
        (
            {"algorithm": "REMOTE", "deploy_setting": {"is_auto_deploy_enabled": False}},
            400,
            "Auto deployment disabled for this model, please deploy model first Model ID: m1",
        ),
    ],
)
def test_a_model_that_would_have_to_be_deployed(fields: dict[str, Any], status: int, reason: str) -> None:
    """Remote ones would deploy themselves, and have nothing to do it with."""
    model = read_for_prediction(document(**fields), "m1")
    with pytest.raises(TaskPluginError) as caught:
        model.require_deployed()

    assert (caught.value.status, caught.value.reason) == (status, reason)
    if model.algorithm is FunctionName.REMOTE:
        with pytest.raises(IllegalArgument, match=NOT_DEPLOYED):
            model.require_deployed(auto_deploy=False)


def test_no_model() -> None:
    """Where the index is missing, that is said below."""
    assert (no_model().status, no_model().caused_by) == (404, None)
    below = no_model(".plugins-ml-model").caused_by
    assert below is not None
    assert (below.status, below.type, below.metadata["resource.type"]) == (
        404,
        "index_not_found_exception",
        "index_expression",
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", b""),
        ("AA==", b"\0"),
        ("AA", b"\0"),
        ("AAA", b"\0\0"),
        ("AAA=", b"\0\0"),
        ("AP//", b"\0\xff\xff"),
        ("AF", b"\0"),  # spare bits
        ("A", "Input byte[] should at least have 2 bytes for base64 bytes"),
        ("é", "Input byte[] should at least have 2 bytes for base64 bytes"),
        ("==", FOUR),
        ("A=", BITS),
        ("A===", BITS),
        ("A=AA", BITS),
        ("AA=", FOUR),
        ("AA=A", FOUR),
        ("AAAA=", FOUR),
        ("AAAA====", FOUR),
        ("AAAAA", BITS),
        ("AA===", "Input byte array has incorrect ending byte at 4"),
        ("AA==AA", "Input byte array has incorrect ending byte at 4"),
        ("AAA=A", "Input byte array has incorrect ending byte at 4"),
        ("AAAé", "Illegal base64 character -17"),
        ("AAA中", "Illegal base64 character 3f"),
        ("AA\nEC", "Illegal base64 character a"),
        ("AAAA-", "Illegal base64 character 2d"),
    ],
)
def test_base64_as_java_has_it(text: str, found: bytes | str) -> None:
    """Every one of these was stored and asked of the plugin."""
    if isinstance(found, bytes):
        assert java_base64(text) == found
        return
    with pytest.raises(IllegalArgument) as caught:
        java_base64(text)
    assert caught.value.reason == found


def test_a_deep_document_is_read() -> None:
    """As deep as Jackson takes it, and deeper than Python's own parser may go from within a request."""
    payload = document(zz=...)[:-1] + b',"zz":' + b"[" * 990 + b"]" * 990 + b"}"

    assert read_for_prediction(payload, "m1").content() == b"\0\1\2"
    assert render_model(payload)["algorithm"] == "KMEANS"


def test_a_number_that_is_none() -> None:
    """An index may hold NaN only where it is not parsed; it is said, not taken."""
    with pytest.raises(TaskPluginError) as caught:
        read_for_prediction(document(created_time=float("nan")), "m1")
    assert caught.value.status == 404


def test_content_costs_a_few_times_its_size() -> None:
    """16 MB of content take less than six times that on top of the document, and an error no more."""
    size = 16 * 2**20
    for text in ("A" * size, "A" * size + "!"):
        payload = document(model_content=text)
        tracemalloc.start()
        try:
            model = read_for_prediction(payload, "m1")
            if text.endswith("!"):
                with pytest.raises(IllegalArgument):
                    model.content()
            else:
                assert len(model.content()) == size * 3 // 4
            assert tracemalloc.get_traced_memory()[1] < 6 * size
        finally:
            tracemalloc.stop()
