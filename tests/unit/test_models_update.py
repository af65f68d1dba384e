"""What is written over a model, and why not, in the words that the plugin 3.6.0 was heard to use (model_update)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlcommons_tasks.errors import StatusError, TaskPluginError, UnreadableBody
from mlcommons_tasks.wire.model_update import changes_of, read_update

EMBEDDING = {"name": "e", "algorithm": "TEXT_EMBEDDING", "model_state": "REGISTERED"}
REMOTE = {"name": "r", "algorithm": "REMOTE", "model_state": "REGISTERED"}
CONFIG = {"model_type": "bert", "embedding_dimension": 3, "framework_type": "SENTENCE_TRANSFORMERS"}
NOW = 1_700_000_000_000


def changes(body: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return what is written over an embedding model with these fields."""
    update = read_update(json.dumps(body).encode())
    return changes_of(update, json.dumps({**EMBEDDING, **fields}).encode(), "m1", NOW)


@pytest.mark.parametrize(
    ("body", "written"),
    [
        ({}, {}),
        ({"zz": [1], "model_version": "9", "tenant_id": "t", "model_id": "x"}, {}),
        ({"name": 5, "is_enabled": "true"}, {"name": "5", "is_enabled": True}),
        ({"rate_limiter": {"zz": 1, "limit": 4}}, {"rate_limiter": {"limit": "4"}}),
        ({"deploy_setting": {}}, {"deploy_setting": {"model_ttl_minutes": -1}}),
        ({"interface": {"input": {"a": 1.0}, "zz": 1}}, {"interface": {"input": '{"a":1.0}'}}),
        ({"model_config": {**CONFIG, "normalize_result": False, "zz": 1}}, {"model_config": CONFIG}),
        ({"guardrails": {"input_guardrail": {}}}, {"guardrails": {"type": "local_regex"}}),
        ({"model_group_id": "", "connector_id": ""}, {"model_group_id": "", "connector_id": ""}),
    ],
)
def test_what_is_written(body: dict[str, Any], written: dict[str, Any]) -> None:
    """What the body said and the plugin knows, the model's id, and when."""
    assert changes(body) == {"model_id": "m1", **written, "last_updated_time": NOW}


@pytest.mark.parametrize(
    ("existing", "wanted", "written"),
    [
        ({"limit": "1", "unit": "DAYS"}, {"limit": "2"}, {"limit": "2", "unit": "DAYS"}),
        ({"limit": "1", "unit": "DAYS"}, {"limit": "1"}, {"limit": "1"}),
        ({"limit": "1", "unit": "DAYS"}, {}, {}),
        ({"unit": "DAYS"}, {"limit": "2", "unit": "DAYS"}, {"limit": "2", "unit": "DAYS"}),
    ],
)
def test_limits_over_limits(existing: dict[str, Any], wanted: dict[str, Any], written: dict[str, Any]) -> None:
    """The whole is written where something changes."""
    assert changes({"rate_limiter": wanted}, rate_limiter=existing)["rate_limiter"] == written


@pytest.mark.parametrize(
    ("body", "model", "status", "reason"),
    [
        ({"model_config": {"model_type": "b"}}, {}, 400, "Embedding dimension is null"),
        ({"model_config": {"model_type": "b", "embedding_dimension": 1}}, {}, 400, "Framework type is null"),
        ({"model_group_id": "g"}, {}, 404, "Failed to find the model group"),
        ({"connector": {}}, {}, 400, "Trying to update the connector"),
        ({"connector_id": "c"}, REMOTE, 400, "This remote does not have a connector_id"),
        ({"connector": {}}, REMOTE, 400, "Cannot update connector settings"),
        (
            {"connector": {}},
            {**REMOTE, "connector": {"protocol": "http"}},
            501,
            "This service does not change connectors",
        ),
        ({"model_config": {"model_type": "Text_Embedding"}}, REMOTE, 400, "Embedding dimension must be provided"),
        ({}, {"is_hidden": True}, 403, "User doesn't have privilege"),
        ({}, {"algorithm": "FIT_RCF"}, 403, "The function category FIT_RCF"),
        ({}, {"model_state": "LOADING"}, 409, "Model is deploying."),
        ({}, {"model_state": "NOPE"}, 404, "Failed to find model to update"),
        ({}, {"algorithm": "NOPE"}, 404, "Failed to find model to update"),
    ],
)
def test_what_is_not_written(body: dict[str, Any], model: dict[str, Any], status: int, reason: str) -> None:
    """Nothing else of it is, either."""
    with pytest.raises(StatusError) as caught:
        changes(body, **model)

    assert caught.value.status == status
    assert (caught.value.reason or "").startswith(reason)


@pytest.mark.parametrize(
    ("body", "type", "reason"),
    [
        (b'{"rate_limiter":{"limit":"-1"}}', "parse_exception", "Limit field must be a positive number."),
        (b'{"rate_limiter":{"unit":"x"}}', "illegal_argument_exception", "No enum constant java.util.concurrent."),
        (b'{"model_config":{}}', "illegal_argument_exception", "model type is null"),
        (b'{"model_config":{"additional_config":[1]}}', "null_pointer_exception", 'Cannot invoke "String.hashCode()"'),
        (b'{"guardrails":{"type":"x"}}', "illegal_argument_exception", "The type of guardrails is required"),
        (b'{"guardrails":{"input_guardrail":{"regex":1}}}', "class_cast_exception", "class java.lang.Integer cannot"),
        (b'{"connector":{"actions":[{}]}}', "illegal_argument_exception", "action type can't be null"),
        (b'{"name":NaN}', "json_parse_exception", "Non-standard token 'NaN'"),
        (b'{"interface":' + b'{"a":' * 1001, "stream_constraints_exception", "Document nesting depth (1001)"),
    ],
)
def test_a_body_that_cannot_be_read(body: bytes, type: str, reason: str) -> None:
    """It is refused before the model is looked for."""
    with pytest.raises(TaskPluginError) as caught:
        read_update(body)

    assert caught.value.type == type
    assert (caught.value.reason or "").startswith(reason)


def test_a_deep_body() -> None:
    """As deep as Jackson goes: what nobody keeps is stepped over, the rest refused in a sentence."""
    deep = b"[" * 990 + b"]" * 990
    assert read_update(b'{"zz":{"a":' + deep + b"}}") == {}
    with pytest.raises(UnreadableBody, match="nested deeper than this service reads"):
        read_update(b'{"interface":{"input":' + deep + b"}}")


def test_a_deep_stored_model() -> None:
    """It is read, or refused in a sentence; never a mistake of ours."""
    deep = b"[" * 990 + b"]" * 990
    for field in (b'"interface":{"input":', b'"guardrails":{"input_guardrail":', b'"zz":{"a":'):
        document = b'{"algorithm":"KMEANS","model_state":"TRAINED",' + field + deep + b"}}"
        with pytest.raises(TaskPluginError) as caught:
            changes_of({}, document, "m1", NOW)
        assert caught.value.status in (403, 404)
