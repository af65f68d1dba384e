"""What the plugin makes of OpenSearch's error about a search for models, its body being fine. Pure.

Source: ml-commons 3.6.0 `MLSearchHandler.wrapRestActionListener`; asked of the plugin.
"""

from __future__ import annotations

import json
from typing import Any

from mlcommons_tasks.errors import StatusError

GENERAL = "Fail to search model version"
ILLEGAL_ARGUMENT = frozenset({"illegal_argument_exception", "number_format_exception"})


def failed_model_search(payload: bytes) -> StatusError:
    """Return the plugin's error for an error of OpenSearch, given as JSON.

    The innermost cause has the word if it is an illegal argument; else there are few words.
    """
    error: Any = json.loads(payload).get("error")
    if not isinstance(error, dict):
        return StatusError(GENERAL, 500)
    if error["type"] in ILLEGAL_ARGUMENT:
        return StatusError(error["reason"], 400)
    while isinstance(error.get("caused_by"), dict):
        error = error["caused_by"]
    return StatusError(error["reason"] if error["type"] in ILLEGAL_ARGUMENT else GENERAL, 500)
