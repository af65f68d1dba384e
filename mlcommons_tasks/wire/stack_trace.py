"""`?error_trace`: the first lines that Java's stack traces would have, for errors that have none. Pure.

Source: OpenSearch 3.6.0 `OpenSearchException.toString`, `detailedMessage`; Java's `Throwable.toString`; recorded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Described = Mapping[str, Any]  #: an error of a reply: `type`, `reason` and more

#: Exceptions that are none of OpenSearch's own, by their type on the wire.
_JAVA = {
    "exception": "java.lang.Exception",
    "runtime_exception": "java.lang.RuntimeException",
    "illegal_argument_exception": "java.lang.IllegalArgumentException",
    "illegal_state_exception": "java.lang.IllegalStateException",
    "null_pointer_exception": "java.lang.NullPointerException",
    "class_cast_exception": "java.lang.ClassCastException",
    "number_format_exception": "java.lang.NumberFormatException",
    "out_of_memory_error": "java.lang.OutOfMemoryError",
    "action_request_validation_exception": "org.opensearch.action.ActionRequestValidationException",
    "named_object_not_found_exception": "org.opensearch.core.xcontent.NamedObjectNotFoundException",
    "x_content_parse_exception": "org.opensearch.core.xcontent.XContentParseException",
    "content_type_header_exception": "org.opensearch.rest.RestRequest$ContentTypeHeaderException",
    "bad_parameter_exception": "org.opensearch.rest.RestRequest$BadParameterException",
    "json_parse_exception": "com.fasterxml.jackson.core.JsonParseException",
    "json_e_o_f_exception": "com.fasterxml.jackson.core.io.JsonEOFException",
    "input_coercion_exception": "com.fasterxml.jackson.core.exc.InputCoercionException",
    "stream_constraints_exception": "com.fasterxml.jackson.core.exc.StreamConstraintsException",
    "m_l_resource_not_found_exception": "org.opensearch.ml.common.exception.MLResourceNotFoundException",
    "m_l_validation_exception": "org.opensearch.ml.common.exception.MLValidationException",
    "m_l_limit_exceeded_exception": "org.opensearch.ml.common.exception.MLLimitExceededException",
    "m_l_exception": "org.opensearch.ml.common.exception.MLException",
}
#: OpenSearch's own whose name is more than their type.
_PREFIXED = {"status_exception": "OpenSearchStatusException", "parse_exception": "OpenSearchParseException"}
#: Where every request came through; what is above it is not known here.
_FRAME = "\n\tat org.opensearch.rest.RestController.dispatchRequest(RestController.java)"


def with_stack_traces(body: dict[str, Any]) -> dict[str, Any]:
    """Return an error reply with a `stack_trace` in each of its errors; one that is a sentence has none."""
    error = body.get("error")
    if not isinstance(error, dict):
        return body
    chain = list(_chain(error))
    roots = [_with_trace(root, _wrapped(root, chain)) for root in error.get("root_cause", [])]
    return {**body, "error": {**_traced(error), **({"root_cause": roots} if roots else {})}}


def _traced(error: Described) -> dict[str, Any]:
    inner = {"caused_by": _traced(error["caused_by"])} if "caused_by" in error else {}
    return _with_trace({**error, **inner}, _said(error))


def _with_trace(error: Described, said: str) -> dict[str, Any]:
    return {**error, "stack_trace": said + _FRAME}


def _said(error: Described) -> str:
    """Return what Java says of an exception in one line."""
    if error["type"] in _JAVA:
        return f"{_JAVA[error['type']]}: {error['reason']}"
    index = ""
    if "index" in error:
        uuid = error.get("index_uuid", "_na_")
        index = f"[{error['index']}] " if uuid == "_na_" else f"[{error['index']}/{uuid}] "
    return index + _nested(list(_chain(error)))


def _wrapped(root: Described, chain: list[Described]) -> str:
    """Return what is said of a root cause, which OpenSearch wraps into an exception of its own unless it is one."""
    same = [number for number, error in enumerate(chain) if _key(error) == _key(root)]
    below = chain[same[-1] :] if same else [root]
    if root["type"] not in _JAVA:
        return _said({**root, **({"caused_by": below[0]["caused_by"]} if "caused_by" in below[0] else {})})
    return f"OpenSearchException[{root['reason']}]; nested: {_nested(below, ends=True)}"


def _nested(chain: list[Described], *, ends: bool = False) -> str:
    said = "; nested: ".join(f"{_name(error)}[{error['reason']}]" for error in chain)
    return said + (";" if ends or len(chain) > 1 else "")


def _chain(error: Described) -> Iterator[Described]:
    """Yield an error and its causes."""
    yield error
    if "caused_by" in error:
        yield from _chain(error["caused_by"])


def _key(error: Described) -> tuple[Any, Any]:
    return error["type"], error["reason"]


def _name(error: Described) -> str:
    """Return the simple name of an exception's class."""
    kind = str(error["type"])
    if kind in _JAVA:
        return _JAVA[kind].rpartition(".")[2].rpartition("$")[2]
    return _PREFIXED.get(kind) or "".join(word.capitalize() for word in kind.split("_"))
