"""Stored tasks and models as the plugin 3.6.0 parses and renders them; what a list in an odd place does was asked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlcommons_tasks.errors import StatusError, TaskPluginError
from mlcommons_tasks.wire.model_document import check_deletion, read_model, render_model
from mlcommons_tasks.wire.model_update import changes_of, read_update
from mlcommons_tasks.wire.search_body import source_filter
from mlcommons_tasks.wire.search_failure import failed_model_search
from mlcommons_tasks.wire.task_document import render_task


def source(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


@pytest.mark.parametrize(
    ("fields", "local"),
    [({"remote_job": []}, 19), ({"remote_job": [1], "error": "e"}, 19), ({"user": {"x": [1]}}, 8)],
)
def test_a_list_that_is_not_stepped_over(fields: dict[str, Any], local: int) -> None:
    """The plugin then asks for the name of a field where there is none."""
    with pytest.raises(TaskPluginError) as caught:
        render_task(source(**fields))

    reason = f'Cannot invoke "String.hashCode()" because "<local{local}>" is null'
    assert (caught.value.type, caught.value.reason) == ("null_pointer_exception", reason)


def test_an_object_in_a_user_ends_it() -> None:
    """The end of the inner object is taken for the user's, and the user's for the task's."""
    task = render_task(source(user={"name": "a", "x": {"roles": ["r"]}, "name2": 1}, is_async=True))

    assert task["user"]["roles"] == ["r"]
    assert task["is_async"] is False


def test_maps_come_in_the_order_of_java() -> None:
    """`remote_job` is a HashMap on its way."""
    task = render_task(source(remote_job={"z": 1, "a": 2, "n": 3, "big": 4}))

    assert list(task["remote_job"]) == ["a", "big", "z", "n"]


def test_a_model_is_read_field_by_field() -> None:
    """Numbers are coerced, older names count, what is unknown goes."""
    model = read_model(
        source(
            algorithm="kmeans",
            description=5,
            version=4,
            created_time=1.5,
            last_loaded_time=6,
            is_enabled="true",
            interface={"input": "a", "zz": 1},
            connector={"name": "c", "credential": {"key": "k"}},
            deploy_to_all_nodes=False,
            unknown={"a": [1]},
        )
    )

    assert model == {
        "algorithm": "KMEANS",
        "model_version": "4",
        "description": "5",
        "is_enabled": True,
        "created_time": 1,
        "last_deployed_time": 6,
        "is_hidden": False,
        "connector": {"name": "c"},
        "interface": {"input": "a"},
    }


@pytest.mark.parametrize(
    ("fields", "status", "reason"),
    [
        ({"model_state": "NOPE"}, 400, "Wrong model state"),
        ({"model_format": "NOPE"}, 400, "Wrong model format"),
        ({"algorithm": "NOPE"}, 400, "Wrong function name"),
        ({"created_time": "2021-09-09"}, 400, 'For input string: "2021-09-09"'),
        ({"chunk_number": "1"}, 400, "Integer value passed as String"),
        ({"is_hidden": True}, 403, "User doesn't have privilege to perform this operation on this model"),
    ],
)
def test_a_model_that_is_not_shown(fields: dict[str, Any], status: int, reason: str) -> None:
    """The plugin's words for what is wrong with it."""
    with pytest.raises(TaskPluginError) as caught:
        render_model(source(**{"algorithm": "KMEANS", **fields}))

    assert (caught.value.status, caught.value.reason) == (status, reason)


@pytest.mark.parametrize(("state", "status"), [("DEPLOYED", 400), ("LOADING", 400), (None, 500)])
def test_a_model_that_is_not_deleted(state: str | None, status: int) -> None:
    """One in use stays, and so does one that says nothing of its state."""
    with pytest.raises(TaskPluginError) as caught:
        check_deletion(source(algorithm="KMEANS", **({"model_state": state} if state else {})))

    assert caught.value.status == status


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "Update model request has empty body"),
        (b'{"name":null}', "Can't get text on a VALUE_NULL at 1:9"),
        (
            b'{"connector_id":"c","connector":{}}',
            "Model cannot have both stand-alone connector and internal connector.",
        ),
    ],
)
def test_an_update_that_cannot_be_read(payload: bytes, reason: str) -> None:
    """It is refused before the model is looked for."""
    with pytest.raises(TaskPluginError) as caught:
        read_update(payload)

    assert caught.value.status == 400
    assert (caught.value.reason or "").startswith(reason)


@pytest.mark.parametrize(
    ("model", "status"),
    [
        (None, 404),
        ({"algorithm": "KMEANS", "model_state": "TRAINED"}, 403),
        ({"algorithm": "KMEANS", "model_state": "DEPLOYING"}, 409),
        ({"algorithm": "KMEANS"}, 404),
    ],
)
def test_a_model_that_is_not_changed(model: dict[str, Any] | None, status: int) -> None:
    """Why not depends on what it is."""
    with pytest.raises(StatusError) as caught:
        changes_of({}, None if model is None else source(**model), "m1", 5)

    assert caught.value.status == status


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ({"type": "illegal_argument_exception", "reason": "invalid id: [x]"}, StatusError("invalid id: [x]", 400)),
        (
            {"type": "x", "reason": "a", "caused_by": {"type": "illegal_argument_exception", "reason": "too large"}},
            StatusError("too large", 500),
        ),
        ({"type": "x", "reason": "a", "caused_by": {"type": "y"}}, StatusError("Fail to search model version", 500)),
        ("a sentence", StatusError("Fail to search model version", 500)),
    ],
)
def test_a_search_for_models_that_failed(error: Any, told: StatusError) -> None:
    """Only an illegal argument is told on."""
    found = failed_model_search(json.dumps({"error": error, "status": 400}).encode())

    assert (found.reason, found.status) == (told.reason, told.status)


@pytest.mark.parametrize("wanted", [1, True, False, {}, {"includes": 5}])
def test_a_source_filter_of_a_wrong_kind_asks_for_nothing(wanted: Any) -> None:
    """OpenSearch's parser says what is wrong with it."""
    assert source_filter({"_source": wanted}, "") == {"includes": [], "excludes": ["ui_metadata"]}
