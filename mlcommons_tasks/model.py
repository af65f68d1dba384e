"""The trained model: its record. Knows neither HTTP nor OpenSearch, and never looks into the content.

Facts: ml-commons 3.6.0 `MLModel`; a trained model's document holds these five fields only.
"""

from __future__ import annotations

import base64
import dataclasses
from typing import Any

from mlcommons_tasks.task import FunctionName

MODEL_VERSION = "1.0.0"  #: what the plugin gives every trained model
TRAINED = "TRAINED"  #: `MLModelState` of a trained model


@dataclasses.dataclass(frozen=True)
class MLModel:
    """A trained model; `content` are the bytes of its algorithm's own format."""

    algorithm: FunctionName
    content: bytes

    def source(self) -> dict[str, Any]:
        """Return the stored document; the content is base64, as the mapping's `binary` wants it."""
        return {
            "name": self.algorithm.value,
            "algorithm": self.algorithm.value,
            "model_version": MODEL_VERSION,
            "model_content": base64.b64encode(self.content).decode("ascii"),
            "model_state": TRAINED,
        }
