"""A stored model as a prediction reads it: its algorithm, whether it can be used, and its content's bytes.

The content is decoded, and not looked into otherwise. What ML Commons itself trained is serialized Java: it is never
deserialized, whoever wrote it.
Source: ml-commons 3.6.0 `MLModelManager.getModel`, `RestMLPredictionAction`, `MLPredictTaskRunner`, `ModelSerDeSer`;
Java's `Base64.Decoder`, seen from outside (recording models_stored).
"""

from __future__ import annotations

import binascii
import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from mlcommons_tasks.errors import (
    IllegalArgument,
    IndexNotFound,
    InvalidRequest,
    ServerError,
    StatusError,
    TaskPluginError,
)
from mlcommons_tasks.task import FunctionName
from mlcommons_tasks.versions import CURRENT, Profile
from mlcommons_tasks.wire.model_document import ALGORITHM_FIELDS, read_model, said

NOT_FOUND = 404  #: of whatever a prediction cannot read of a model: `RestMLPredictionAction` knows no other status
#: `FunctionName.isDLModel`: what runs only where it was deployed.
DEEP_LEARNING = frozenset(
    {
        FunctionName.TEXT_EMBEDDING,
        FunctionName.TEXT_SIMILARITY,
        FunctionName.SPARSE_ENCODING,
        FunctionName.SPARSE_TOKENIZE,
        FunctionName.QUESTION_ANSWERING,
    }
)
NOT_DEPLOYED = "Model not ready yet. Please deploy the model first."
SERIALIZED_JAVA = b"\xac\xed"  #: how every stream of Java's ObjectOutputStream starts

_CONNECTOR_INDEX = ".plugins-ml-connector"
_ALPHABET = re.compile(rb"[A-Za-z0-9+/]*")
_NO_MAP_VALUE = 'Cannot invoke "Object.toString()" because the return value of "java.util.{}" is null'


@dataclasses.dataclass(frozen=True)
class StoredModel:
    """A model that is there, and what it says of itself; `fields` as `read_model` gives them."""

    model_id: str
    algorithm: FunctionName
    fields: Mapping[str, Any] = dataclasses.field(repr=False)
    #: Whether the document says `algorithm`; a prediction looks for that, where reading took `function_name` as well.
    says_algorithm: bool = True

    def require_deployed(self, *, auto_deploy: bool = True) -> None:
        """Refuse a model that works only where it is deployed: none ever is here.

        `auto_deploy` is the setting `plugins.ml_commons.model_auto_deploy.enable`, of which remote models know.

        Raises:
            TaskPluginError: the plugin's words for it.
        """
        if self.algorithm in DEEP_LEARNING or (self.algorithm is FunctionName.REMOTE and not auto_deploy):
            raise IllegalArgument(NOT_DEPLOYED)
        if self.algorithm is not FunctionName.REMOTE:
            return
        if (self.fields.get("deploy_setting") or {}).get("is_auto_deploy_enabled") is False:
            reason = "Auto deployment disabled for this model, please deploy model first"
            raise IllegalArgument(reason if self.fields.get("is_hidden") else f"{reason} Model ID: {self.model_id}")
        if "connector" in self.fields:
            raise IllegalArgument(NOT_DEPLOYED)
        if "connector_id" in self.fields:
            raise StatusError("Failed to find connector", 404)
        reason = f"Failed to get data object from index {_CONNECTOR_INDEX}"
        raise StatusError(reason, 500, caused_by=InvalidRequest("id is missing"))

    def content(self) -> bytes:
        """Return the content's bytes, in the format of the algorithm. To be asked for after the rows are there.

        Raises:
            IllegalArgument: it is no base64, in Java's words, or serialized Java.
            ServerError: there is none, or the document does not say `algorithm`; the plugin's null_pointer_exception.
        """
        if not self.says_algorithm:
            raise ServerError(_NO_MAP_VALUE.format("Map.get(Object)"), type="null_pointer_exception")
        text = self.fields.get("model_content")
        if text is None:
            reason = 'Cannot invoke "String.getBytes(java.nio.charset.Charset)" because "<parameter1>" is null'
            raise ServerError(reason, type="null_pointer_exception")
        content = java_base64(text)
        if content.startswith(SERIALIZED_JAVA):
            raise IllegalArgument(
                f"The content is not a {self.algorithm.value} model: it is serialized Java, as ML Commons writes it,"
                " and is not read here; train the model again"
            )
        return content


def read_for_prediction(payload: bytes, model_id: str, profile: Profile = CURRENT) -> StoredModel:
    """Return a stored model as a prediction sees it.

    Raises:
        TaskPluginError: the plugin cannot read the document; its words, and status 404 whatever it is.
    """
    try:
        names = {name for name, value in said(payload, ALGORITHM_FIELDS).items() if value is not None}
        if not names:
            raise ServerError(_NO_MAP_VALUE.format("Optional.orElse(Object)"), type="null_pointer_exception")
        fields = read_model(payload, profile)
    except TaskPluginError as error:
        error.status = NOT_FOUND
        raise
    return StoredModel(model_id, FunctionName(fields["algorithm"]), fields, "algorithm" in names)


def no_model(model_index: str | None = None) -> TaskPluginError:
    """Return what a prediction is told that asks for no model there is; `model_index` is named if it is missing."""
    if model_index is None:
        return StatusError("Failed to find model", NOT_FOUND)
    missing = IndexNotFound(model_index)
    missing.metadata["resource.type"] = "index_expression"
    return StatusError(f"Failed to get data object from index {model_index}", NOT_FOUND, caused_by=missing)


def java_base64(text: str) -> bytes:
    """Decode as Java's `Base64.getDecoder()`: padding may be missing, spare bits are not looked at, nothing else goes.

    Raises:
        IllegalArgument: in Java's words.
    """
    raw = text.encode("latin-1", "replace")
    if len(raw) == 1:
        raise IllegalArgument("Input byte[] should at least have 2 bytes for base64 bytes")
    found = _ALPHABET.match(raw)
    good = found.end() if found else 0
    last, end = good % 4, good
    if good < len(raw):
        if raw[good] != ord("="):
            shown = raw[good] if raw[good] < 0x80 else raw[good] - 0x100  # a byte of Java has a sign
            raise IllegalArgument(f"Illegal base64 character {shown:x}")
        if last == 0 or (last == 2 and raw[good + 1 : good + 2] != b"="):
            raise IllegalArgument("Input byte array has wrong 4-byte ending unit")
        end += 2 if last == 2 else 1
    if last == 1:
        raise IllegalArgument("Last unit does not have enough valid bits")
    if end < len(raw):
        raise IllegalArgument(f"Input byte array has incorrect ending byte at {end}")
    return binascii.a2b_base64(raw + b"=" * (-len(raw) % 4) if len(raw) % 4 else raw)
