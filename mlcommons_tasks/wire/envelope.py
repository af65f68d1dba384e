"""OpenSearch's error envelope. Knows the shape, and nothing of who sends it.

Source: OpenSearch 3.6.0 `OpenSearchException.generateFailureXContent`; seen in every error recording.
"""

from __future__ import annotations

from typing import Any

from mlcommons_tasks.errors import IndexNotFound, StatusError, TaskPluginError


def error_body(error: TaskPluginError) -> dict[str, Any]:
    """Return the body of an error reply, keys in OpenSearch's order."""
    return {
        "error": {"root_cause": [_described(_root_cause(error))], **_described(error), **_caused_by(error)},
        "status": error.status,
    }


def method_not_allowed_body(uri: str, method: str, allowed: list[str]) -> dict[str, Any]:
    """Return the body of a 405: `error` is a sentence, not an object."""
    reason = f"Incorrect HTTP method for uri [{uri}] and method [{method}], allowed: [{', '.join(allowed)}]"
    return {"error": reason, "status": 405}


def unexpected_method_body(allowed: list[str]) -> dict[str, Any]:
    """Return the body of the 405 for a path that cannot be decoded: OpenSearch takes that for a bad method."""
    reason = "Unexpected HTTP method" + (f", allowed: [{', '.join(allowed)}]" if allowed else "")
    return {"error": reason, "status": 405}


def invalid_uri_body() -> dict[str, Any]:
    """Return the body of the 400 for a path that no handler has and that is no URI to Java."""
    return {"error": "invalid uri has been requested"}


def no_handler_body(uri: str, method: str) -> dict[str, Any]:
    """Return the body of the 400 for a path that no handler has; `uri` is decoded and without its query."""
    return {"error": f"no handler found for uri [{uri}] and method [{method}]"}


def repeated_header_body(name: str) -> dict[str, Any]:
    """Return the body of the 400 for a header that has one value and was sent with two."""
    return {"error": f"multiple values for single-valued header [{name}].", "status": 400}


def unsupported_media_type_body(content_type: str) -> dict[str, Any]:
    """Return the body of the 406 for a `Content-Type` that is no structured format."""
    return {"error": f"Content-Type header [{content_type}] is not supported", "status": 406}


def _described(error: TaskPluginError) -> dict[str, Any]:
    return {"type": error.type, "reason": error.reason, **error.metadata}


def _root_cause(error: TaskPluginError) -> TaskPluginError:
    """Return the innermost of OpenSearch's own exceptions; Java's below them do not count."""
    while isinstance(error.caused_by, (StatusError, IndexNotFound)):
        error = error.caused_by
    return error


def _caused_by(error: TaskPluginError) -> dict[str, Any]:
    cause = error.caused_by
    if cause is None:
        return {}
    return {"caused_by": {**_described(cause), **_caused_by(cause)}}
