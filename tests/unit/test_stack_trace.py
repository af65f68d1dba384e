"""The first lines of stack traces, as OpenSearch and Java write them."""

from __future__ import annotations

import pytest

from mlcommons_tasks.errors import (
    IllegalArgument,
    IndexNotFound,
    NamedObjectNotFound,
    ParsingError,
    ServerError,
    StatusError,
    TaskPluginError,
)
from mlcommons_tasks.wire.envelope import error_body, no_handler_body
from mlcommons_tasks.wire.stack_trace import with_stack_traces


@pytest.mark.parametrize(
    ("error", "said", "root"),
    [
        (StatusError("gone", 404), "OpenSearchStatusException[gone]", "OpenSearchStatusException[gone]"),
        (
            IllegalArgument("no"),
            "java.lang.IllegalArgumentException: no",
            "OpenSearchException[no]; nested: IllegalArgumentException[no];",
        ),
        (
            ServerError("no", type="m_l_resource_not_found_exception"),
            "org.opensearch.ml.common.exception.MLResourceNotFoundException: no",
            "OpenSearchException[no]; nested: MLResourceNotFoundException[no];",
        ),
        (
            ParsingError("unknown", 1, 2, caused_by=NamedObjectNotFound("[1:2] unknown")),
            "ParsingException[unknown]; nested: NamedObjectNotFoundException[[1:2] unknown];",
            "ParsingException[unknown]; nested: NamedObjectNotFoundException[[1:2] unknown];",
        ),
        (
            StatusError("gone", 404, caused_by=IndexNotFound("i")),
            "OpenSearchStatusException[gone]; nested: IndexNotFoundException[no such index [i]];",
            "[i] IndexNotFoundException[no such index [i]]",
        ),
    ],
)
def test_what_java_would_say(error: TaskPluginError, said: str, root: str) -> None:
    """Each error of a reply has its trace, last of its keys."""
    found = with_stack_traces(error_body(error))["error"]

    assert found["stack_trace"].partition("\n\tat ")[0] == said
    assert found["root_cause"][0]["stack_trace"].partition("\n\tat ")[0] == root
    assert list(found)[-1] == list(found["root_cause"][0])[-1] == "stack_trace"
    if "caused_by" in found:
        assert list(found["caused_by"])[-1] == "stack_trace"


def test_a_sentence_has_no_trace() -> None:
    """An error that is a sentence stays one."""
    body = no_handler_body("/x", "GET")
    assert with_stack_traces(body) == body
