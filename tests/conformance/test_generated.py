"""Two rules over generated documents and bodies: GET renders what is stored, and a search is OpenSearch's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from mlcommons_tasks.store.mappings import TASK_INDEX
from mlcommons_tasks.wire.search_answer import without_early_end

from . import generated, player

ALWAYS = "version=true&seq_no_primary_term=true&ignore_unavailable=true"
#: What the plugin answers for a document that it cannot read: never a page, never an error of ours.
UNREADABLE = {
    (400, "illegal_argument_exception"),
    (400, "number_format_exception"),
    (400, "json_parse_exception"),
    (400, "parsing_exception"),
    (400, "input_coercion_exception"),
    (404, "status_exception"),
    (500, "illegal_state_exception"),
    (500, "null_pointer_exception"),
}
BOUNDED = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def url(service_url: str) -> Iterator[str]:
    """The service, with a task index that holds five tasks."""
    generated.prepare(service_url)
    yield service_url
    player.clean(service_url)


@pytest.fixture(scope="module")
def settled_url(url: str) -> str:
    """The service once all that was stored can be found: between two searches nothing may come to be seen."""
    assert player.send(url, "POST", f"/{TASK_INDEX}/_refresh", {}, None).status == 200
    return url


@BOUNDED
@given(document=generated.well_typed_tasks())
def test_get_shows_a_well_typed_document_by_the_rule(url: str, document: dict[str, Any]) -> None:
    """Known fields in the plugin's order with the stored values, unknown ones left out, is_async always there."""
    assert generated.store(url, "probe", document)

    status, text = generated.get(url, "probe")

    assert status == 200
    assert list(json.loads(text).items()) == list(generated.expected_task(document).items())


@BOUNDED
@given(document=generated.any_tasks())
def test_get_of_any_document_is_a_task_or_the_plugins_error(url: str, document: dict[str, Any]) -> None:
    """Whatever is stored, GET answers a task in the plugin's order or one of the plugin's own errors."""
    if not generated.store(url, "probe", document):
        return

    status, text = generated.get(url, "probe")

    body = json.loads(text)
    if status == 200:
        shown = [name for name in generated.ORDER if name in body]
        assert list(body) == shown
        assert isinstance(body["is_async"], bool)
    else:
        assert (status, body["error"]["type"]) in UNREADABLE


@BOUNDED
@given(body=generated.search_bodies())
def test_a_search_answers_as_opensearch_itself(settled_url: str, body: bytes) -> None:
    """Status and every byte but the time are those of the same search on the index, with what the plugin forces."""
    try:
        wanted = json.loads(body).get("_source")
        fields = generated_source(wanted)
    except (ValueError, AttributeError):
        fields = "_source=true&_source_excludes=content,model_content,ui_metadata"

    actual = generated.search(settled_url, "/_plugins/_ml/tasks/_search", body)

    status, text = generated.search(settled_url, f"/{TASK_INDEX}/_search?{ALWAYS}&{fields}", body)
    assert actual == (status, without_early_end(text.encode()).decode())  # which the plugin's index never says


def generated_source(wanted: Any) -> str:
    """Return the `_source` parameters that the plugin's rule makes of a body's `_source`."""
    if wanted is None:
        return "_source=true&_source_excludes=content,model_content,ui_metadata"
    includes, excludes = [], ["ui_metadata"]
    if isinstance(wanted, (str, list)):
        includes = [wanted] if isinstance(wanted, str) else wanted
    elif isinstance(wanted, dict):
        includes, excludes = wanted.get("includes", []), [*wanted.get("excludes", []), "ui_metadata"]
    listed = f"&_source_includes={','.join(includes)}" if includes else ""
    return f"_source=true{listed}&_source_excludes={','.join(excludes)}"
