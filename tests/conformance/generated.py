"""Strategies for task documents and search bodies, and what must hold of the answers to them.

Documents have every field in every type that JSON has; bodies are valid ones, and valid ones with something broken.
"""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import strategies as st

from mlcommons_tasks.store.mappings import TASK_INDEX, task_index_body

from . import player

#: The order in which the plugin renders a task (`MLTask.toXContent`, 3.6.0).
ORDER = [
    "task_id",
    "model_id",
    "task_type",
    "function_name",
    "state",
    "input_type",
    "progress",
    "output_index",
    "worker_node",
    "create_time",
    "last_update_time",
    "error",
    "user",
    "is_async",
    "remote_job",
    "response",
    "tenant_id",
]
STATES = [
    "CREATED",
    "RUNNING",
    "COMPLETED",
    "FAILED",
    "CANCELLED",
    "COMPLETED_WITH_ERROR",
    "CANCELLING",
    "EXPIRED",
    "UNREACHABLE",
]
TYPES = ["TRAINING", "PREDICTION", "EXECUTION", "REGISTER_MODEL", "DEPLOY_MODEL", "BATCH_INGEST", "AGENT_EXECUTION"]
FUNCTIONS = ["KMEANS", "LINEAR_REGRESSION", "REMOTE", "AGENT", "TEXT_EMBEDDING", "BATCH_RCF"]
INPUTS = ["SEARCH_QUERY", "DATA_FRAME", "TEXT_DOCS", "REMOTE"]
MILLIS = st.integers(min_value=0, max_value=4_102_444_800_000)
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)

#: What each field is when it is as it should be.
WELL_TYPED: dict[str, st.SearchStrategy[Any]] = {
    "model_id": WORDS,
    "task_type": st.sampled_from(TYPES),
    "function_name": st.sampled_from(FUNCTIONS),
    "state": st.sampled_from(STATES),
    "input_type": st.sampled_from(INPUTS),
    "output_index": WORDS,
    "worker_node": st.lists(WORDS, max_size=3),
    "create_time": MILLIS,
    "last_update_time": MILLIS,
    "error": WORDS,
    "is_async": st.booleans(),
    "tenant_id": WORDS,
}
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    WORDS,
    st.sampled_from(
        [*STATES, "running", "kmeans", "true", "", "1647545342556", "1.5e3", "2021-09-09T00:46:24.240Z", "a,b,,"]
    ),
    st.lists(st.one_of(st.none(), WORDS, st.integers()), max_size=3),
    st.dictionaries(WORDS, st.one_of(st.none(), WORDS, st.integers(), st.booleans()), max_size=3),
)
USERS = st.fixed_dictionaries(
    {}, optional={"name": WORDS, "backend_roles": st.lists(WORDS, max_size=2), "roles": st.lists(WORDS, max_size=2)}
)


def well_typed_tasks() -> st.SearchStrategy[dict[str, Any]]:
    """Return documents as the plugin writes them, with any of the fields, in any order, and unknown ones among them."""
    known = st.fixed_dictionaries({}, optional=WELL_TYPED)
    unknown = st.fixed_dictionaries({}, optional={"note": WORDS, "stage": st.integers(-9, 9)})
    return st.tuples(known, unknown).map(lambda pair: {**pair[0], **pair[1]}).flatmap(_shuffled)


def any_tasks() -> st.SearchStrategy[dict[str, Any]]:
    """Return documents whose fields may be of any type."""
    odd = {name: st.one_of(strategy, ODD) for name, strategy in WELL_TYPED.items()}
    more = {"progress": ODD, "user": st.one_of(USERS, ODD), "remote_job": ODD, "response": ODD}
    return st.fixed_dictionaries({}, optional={**odd, **more}).flatmap(_shuffled)


def _shuffled(document: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.permutations(list(document)).map(lambda names: {name: document[name] for name in names})


FIELDS = st.sampled_from(
    ["function_name", "state", "task_type", "create_time", "is_async", "model_id", "error", "nope"]
)
VALUES = st.one_of(st.sampled_from([*STATES, *FUNCTIONS]), MILLIS, st.booleans(), WORDS)


def _told(field: str, values: list[Any]) -> list[Any]:
    """Return one value for a field that takes not all: OpenSearch keeps terms in a set, and which bad one it
    complains of first differs from one start to the next."""
    return values[:1] if field in ("is_async", "create_time") else values


LEAVES = st.one_of(
    st.just({"match_all": {}}),
    st.just({"match_none": {}}),
    st.builds(lambda field, value: {"term": {field: value}}, FIELDS, VALUES),
    st.builds(
        lambda field, values: {"terms": {field: _told(field, values)}}, FIELDS, st.lists(VALUES, min_size=1, max_size=3)
    ),
    st.builds(lambda low: {"range": {"create_time": {"gte": low}}}, MILLIS),
    st.builds(lambda field: {"exists": {"field": field}}, FIELDS),
    st.builds(lambda text: {"prefix": {"state": text}}, st.sampled_from(["C", "RUN", "x"])),
    st.builds(lambda text: {"wildcard": {"function_name": {"value": text}}}, st.sampled_from(["*", "K*", "?MEANS"])),
    st.builds(lambda text: {"match": {"error": text}}, WORDS),
    st.builds(lambda ids: {"ids": {"values": ids}}, st.lists(st.sampled_from(["g1", "g2", "nope"]), max_size=2)),
    st.builds(
        lambda text: {"query_string": {"query": text}}, st.sampled_from(["state:COMPLETED", "KMEANS", "a AND", "*"])
    ),
    st.builds(lambda name: {name: {}}, st.sampled_from(["nope", "term", "range"])),
)
QUERIES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(
            lambda kind, parts: {"bool": {kind: parts}},
            st.sampled_from(["must", "filter", "should", "must_not", "nope"]),
            st.lists(inner, max_size=3),
        ),
        st.builds(lambda part: {"constant_score": {"filter": part}}, inner),
    ),
    max_leaves=5,
)
SORTS = st.lists(
    st.one_of(
        st.sampled_from(["create_time", "state", "_doc", "error"]),
        st.builds(lambda order: {"create_time": {"order": order}}, st.sampled_from(["asc", "desc", "up"])),
    ),
    max_size=2,
)
SOURCES = st.one_of(
    st.booleans(),
    st.sampled_from(["state", "*_time", "nope", 5]),
    st.lists(st.sampled_from(["state", "model_id", "error"]), max_size=2),
    st.fixed_dictionaries(
        {}, optional={"includes": st.just(["s*"]), "excludes": st.just(["state"]), "nope": st.just(1)}
    ),
)
AGGREGATIONS = st.builds(
    lambda field, name: {"a": {name: {"field": field}}},
    FIELDS,
    st.sampled_from(["terms", "value_count", "cardinality", "max", "nope"]),
)


def search_bodies() -> st.SearchStrategy[bytes]:
    """Return search bodies, most of them valid, some with a wrong value, some cut off."""
    parts = {
        "query": QUERIES,
        "size": st.one_of(st.integers(0, 20), st.sampled_from([-1, 10_001, "3", None])),
        "from": st.integers(0, 3),
        "sort": SORTS,
        "_source": SOURCES,
        "aggs": AGGREGATIONS,
        "track_total_hits": st.one_of(st.booleans(), st.integers(0, 5)),
        "version": st.booleans(),
        "seq_no_primary_term": st.booleans(),
        "post_filter": QUERIES,
        "nope": st.just(1),
    }
    whole = st.fixed_dictionaries({}, optional=parts).map(lambda body: json.dumps(body, ensure_ascii=False).encode())
    cut = st.tuples(whole, st.integers(1, 30)).map(lambda pair: pair[0][: -pair[1]] or b"{")
    return st.one_of(whole, whole, whole, cut)


def expected_task(document: dict[str, Any]) -> dict[str, Any]:
    """Return what GET shows of a well-typed document, by the rule alone: known fields, the plugin's order."""
    shown = {"is_async": False, **document}
    return {name: shown[name] for name in ORDER if name in shown}


def without_took(text: str) -> str:
    """Return a search's answer with its time left out."""
    return re.sub(r'"took":\d+', '"took":0', text, count=1)


def store(base_url: str, document_id: str, document: dict[str, Any], *, refresh: bool = False) -> bool:
    """Store a document in the task index; False if the mapping refuses it."""
    path = f"/.plugins-ml-task/_doc/{document_id}" + ("?refresh=true" if refresh else "")
    body = json.dumps(document, ensure_ascii=False).encode()
    return player.send(base_url, "PUT", path, {"Content-Type": "application/json"}, body).status < 300


def prepare(base_url: str) -> None:
    """Leave nothing of ML Commons there but a task index as the plugin makes it, with five tasks.

    Raises:
        player.UnplayableError: the server refuses that.
    """
    player.clean(base_url)
    body = json.dumps(task_index_body()).encode()
    created = player.send(base_url, "PUT", f"/{TASK_INDEX}", {"Content-Type": "application/json"}, body)
    if created.status != 200:
        raise player.UnplayableError(f"{base_url} makes no task index: {created.body!r}")
    for number, state in enumerate(STATES[:5]):
        task = {"state": state, "function_name": "KMEANS", "task_type": "TRAINING", "create_time": 1_000 + number}
        if not store(base_url, f"g{number}", task, refresh=True):
            raise player.UnplayableError(f"{base_url} refuses a task")


def get(base_url: str, document_id: str) -> tuple[int, str]:
    """Return status and body of GET on a task."""
    raw = player.send(base_url, "GET", f"/_plugins/_ml/tasks/{document_id}", {}, None)
    return raw.status, raw.body.decode()


def search(base_url: str, path: str, body: bytes) -> tuple[int, str]:
    """Return status and body of a search, its time left out."""
    raw = player.send(base_url, "POST", path, {"Content-Type": "application/json"}, body)
    return raw.status, without_took(raw.body.decode())
