"""The error that `_execute` answers with once its body is read: another shape than everybody's. Pure.

It names the innermost Java class and what that said. Source: ml-commons 3.6.0 `RestMLExecuteAction.reportError`,
`ErrorMessage`, `ErrorMessageFactory`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from mlcommons_tasks.errors import TaskPluginError, UpstreamError

#: OpenSearch's own whose name on the wire lacks their first word.
_PREFIXED = frozenset({"status_exception", "parse_exception", "security_exception", "timeout_exception"})


def execute_failure(error: TaskPluginError) -> dict[str, Any]:
    """Return the body of the reply to an execution that failed; its status is the error's."""
    kind, details = _innermost(error)
    reason = "Invalid Request" if error.status == HTTPStatus.BAD_REQUEST else "System Error"
    return {
        "status": error.status,
        "error": {"type": java_class(kind), "reason": reason, "details": details or ""},
    }


def java_class(kind: str) -> str:
    """Return the simple name of the class that has this type on the wire: m_l_exception is an MLException."""
    name = "".join(word.capitalize() for word in kind.split("_"))
    return f"OpenSearch{name}" if kind in _PREFIXED else name


def _innermost(error: TaskPluginError) -> tuple[str, str | None]:
    """Return type and reason of the root cause."""
    while error.caused_by is not None:
        error = error.caused_by
    if not isinstance(error, UpstreamError):
        return error.type, error.reason
    try:
        cause: Any = json.loads(error.payload)["error"]
    except (ValueError, KeyError, TypeError):
        cause = None
    if not isinstance(cause, Mapping):
        return error.type, error.reason
    while isinstance(cause.get("caused_by"), Mapping):
        cause = cause["caused_by"]
    return str(cause.get("type")), cause.get("reason")
