"""OpenSearch's error envelope. Knows the shape, and nothing of who sends it.

Source: OpenSearch 3.6.0 `OpenSearchException.generateFailureXContent`; seen in every error recording.
"""

from __future__ import annotations

from typing import Any

from mlcommons_tasks.errors import TaskPluginError


def error_body(error: TaskPluginError) -> dict[str, Any]:
    """Return the body of an error reply, keys in OpenSearch's order."""
    return {
        "error": {"root_cause": [_described(error)], **_described(error), **_caused_by(error)},
        "status": error.status,
    }


def method_not_allowed_body(uri: str, method: str, allowed: list[str]) -> dict[str, Any]:
    """Return the body of a 405: `error` is a sentence, not an object."""
    reason = f"Incorrect HTTP method for uri [{uri}] and method [{method}], allowed: [{', '.join(allowed)}]"
    return {"error": reason, "status": 405}


def no_handler_body(uri: str, method: str) -> dict[str, Any]:
    """Return the body of the 400 for a path that no handler has."""
    return {"error": f"no handler found for uri [{uri}] and method [{method}]"}


def unsupported_media_type_body(content_type: str) -> dict[str, Any]:
    """Return the body of the 406 for a `Content-Type` that is no structured format."""
    return {"error": f"Content-Type header [{content_type}] is not supported", "status": 406}


def _described(error: TaskPluginError) -> dict[str, Any]:
    return {"type": error.type, "reason": error.reason, **error.metadata}


def _caused_by(error: TaskPluginError) -> dict[str, Any]:
    cause = error.caused_by
    if cause is None:
        return {}
    return {"caused_by": {**_described(cause), **_caused_by(cause)}}
