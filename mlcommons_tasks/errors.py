"""Every error we raise: its status and type on the wire, and its reason. Knows no HTTP framework.

    TaskPluginError
    ├── BadRequest                  400, told apart by `type`
    │   ├── IllegalArgument         illegal_argument_exception
    │   ├── InvalidRequest          action_request_validation_exception
    │   ├── UnreadableBody          parse_exception
    │   ├── ParsingError            parsing_exception (has line and col)
    │   ├── JsonParseError          json_parse_exception
    │   └── NamedObjectNotFound     named_object_not_found_exception
    ├── StatusError                 status_exception, any status
    ├── ServerError                 500, told apart by `type`
    ├── TooManyRequests             429
    ├── PayloadTooLarge             413
    ├── IndexNotFound               404 index_not_found_exception
    ├── StoreUnavailable            503, OpenSearch cannot be reached
    │   └── StoreTooSlow            or did not answer in time
    └── UpstreamError               an answer of OpenSearch itself, passed on verbatim
    StartError                      the service cannot start: reason, hint, tail of a log

The `type` names are the plugin's: the Java class in snake case, without `OpenSearch` in front.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlcommons_tasks.versions import Failure


class TaskPluginError(Exception):
    """An error with a place on the wire.

    `reason` is the sentence the client sees, `caused_by` the error below it, and `metadata`
    are further keys of the error object, such as `line` and `col`.
    """

    status = 500
    type = "exception"

    def __init__(
        self,
        reason: str | None,
        *,
        type: str | None = None,
        status: int | None = None,
        caused_by: TaskPluginError | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        if type is not None:
            self.type = type
        if status is not None:
            self.status = status
        self.caused_by = caused_by
        self.metadata = dict(metadata or {})


class BadRequest(TaskPluginError):
    """The caller can mend it."""

    status = 400


class IllegalArgument(BadRequest):
    """Java's IllegalArgumentException."""

    type = "illegal_argument_exception"


class InvalidRequest(BadRequest):
    """A request that fails its own validation; `problems` are numbered in the reason."""

    type = "action_request_validation_exception"

    def __init__(self, *problems: str) -> None:
        numbered = "".join(f" {n}: {problem};" for n, problem in enumerate(problems, 1))
        super().__init__(f"Validation Failed:{numbered}")


class UnreadableBody(BadRequest):
    """OpenSearchParseException: no body, or one that is not what was expected."""

    type = "parse_exception"


class ParsingError(BadRequest):
    """ParsingException: the body parses, a value of it does not fit. `line` and `col` count from 1."""

    type = "parsing_exception"

    def __init__(self, reason: str, line: int, col: int, *, caused_by: TaskPluginError | None = None) -> None:
        super().__init__(reason, caused_by=caused_by, metadata={"line": line, "col": col})


class JsonParseError(BadRequest):
    """The body is not JSON."""

    type = "json_parse_exception"


class NamedObjectNotFound(BadRequest):
    """A name that no parser is registered for."""

    type = "named_object_not_found_exception"


class StatusError(TaskPluginError):
    """OpenSearchStatusException: `status` is the HTTP status."""

    type = "status_exception"

    def __init__(self, reason: str, status: int, *, caused_by: TaskPluginError | None = None) -> None:
        super().__init__(reason, status=status, caused_by=caused_by)


class ServerError(TaskPluginError):
    """A 500 the plugin itself gives; `type` is the Java class, such as `illegal_state_exception`."""


class TooManyRequests(TaskPluginError):
    """Refused for now; may be repeated."""

    status = 429
    type = "rejected_execution_exception"


class PayloadTooLarge(TaskPluginError):
    """The body is larger than `http.max_content_length`; OpenSearch answers without a body."""

    status = 413


class IndexNotFound(TaskPluginError):
    """404 of OpenSearch for the index `name`."""

    status = 404
    type = "index_not_found_exception"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"no such index [{name}]",
            metadata={"index": name, "resource.id": name, "resource.type": "index_or_alias", "index_uuid": "_na_"},
        )


class StoreUnavailable(TaskPluginError):
    """OpenSearch cannot be reached, so nothing was stored or read."""

    status = 503
    type = "cluster_block_exception"


class StoreTooSlow(StoreUnavailable):
    """OpenSearch did not answer in time; nobody knows what it did."""


def error_of(failure: Failure, asked_for: str = "") -> TaskPluginError:
    """Return the error of a version's profile, about the id that was asked for."""
    return TaskPluginError(failure.reason.replace("{id}", asked_for), type=failure.type, status=failure.status)


class UpstreamError(TaskPluginError):
    """An answer of OpenSearch itself.

    `payload` are its bytes and `content_type` its media type, both passed on as they came.
    `reason` and `type` are those of its `error`, for a task document's `error` field.
    """

    def __init__(self, status: int, payload: bytes, content_type: str, type: str, reason: str) -> None:
        super().__init__(reason, type=type, status=status)
        self.payload = payload
        self.content_type = content_type


class StartError(Exception):
    """The service cannot start.

    `reason` says what is wrong, `hint` what to do about it, `log_tail` holds the last lines of a log.
    """

    def __init__(self, reason: str, *, hint: str = "", log_tail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint
        self.log_tail = log_tail
