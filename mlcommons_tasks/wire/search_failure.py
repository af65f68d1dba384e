"""What the plugin makes of OpenSearch's error about a search for models, its body being fine. Pure.

Source: ml-commons 3.6.0 `MLSearchHandler.wrapRestActionListener`; asked of the plugin.
"""

from __future__ import annotations

import json
from typing import Any

from mlcommons_tasks.errors import StatusError
from mlcommons_tasks.versions import CURRENT

ILLEGAL_ARGUMENT = frozenset({"illegal_argument_exception", "number_format_exception"})


def failed_model_search(payload: bytes, general: str = CURRENT.model_search_failed) -> StatusError:
    """Return the plugin's error for an error of OpenSearch, given as JSON; `general` is said if there is no more.

    The innermost cause has the word if it is an illegal argument; else there are few words.
    """
    error: Any = json.loads(payload).get("error")
    if not isinstance(error, dict):
        return StatusError(general, 500)
    if error["type"] in ILLEGAL_ARGUMENT:
        return StatusError(error["reason"], 400)
    while isinstance(error.get("caused_by"), dict):
        error = error["caused_by"]
    return StatusError(error["reason"] if error["type"] in ILLEGAL_ARGUMENT else general, 500)
