"""The names of a namespace's indices, and how answers are given the plugin's, in every format."""

from __future__ import annotations

import json
from typing import Any

import cbor2
import pytest
import yaml

from mlcommons_tasks.store.mappings import CLUSTER_TASK_INDEX, MODEL_INDEX, TASK_INDEX
from mlcommons_tasks.store.names import IndexNames, names_of, renamed
from mlcommons_tasks.store.upstream import Reply
from mlcommons_tasks.wire.rendering import render_json
from mlcommons_tasks.wire.smile import render_smile
from mlcommons_tasks.wire.yaml_writer import render_yaml

NAMESPACES = ["a", "t1", "a" * 7, "b" * 8, "c" * 20, "d" * 38, "e" * 39, "f" * 40, "g" * 63, "x-task", "x_y-model"]


def answer(index: str) -> dict[str, Any]:
    """Return what OpenSearch answers of an index: as a value, again, and as a key."""
    return {
        "hits": {"hits": [{"_index": index, "_id": str(number), "_source": {"n": number}} for number in range(3)]},
        index: {"aliases": {}},
        "of": [index, {"x": index}],
    }


WRITERS = {
    "application/json; charset=UTF-8": (render_json, json.loads),
    "application/json": (lambda body: json.dumps(body, indent=2).encode(), json.loads),
    "application/yaml": (render_yaml, yaml.safe_load),
    "application/cbor": (cbor2.dumps, cbor2.loads),
    "application/smile": (render_smile, None),
}


def test_the_main_namespace_has_the_plugins_names() -> None:
    """Nothing of it is shown otherwise."""
    assert names_of("main") == IndexNames()
    assert names_of("main").all == (TASK_INDEX, MODEL_INDEX, CLUSTER_TASK_INDEX)
    assert names_of("main").shown == {}


def test_no_two_namespaces_share_an_index() -> None:
    """Not even those whose names end as an index does."""
    names = [*NAMESPACES, "x", "x-cluster", "x-cluster-tasks", "x-model", "x-task-model", "main"]
    found = [index for name in dict.fromkeys(names) for index in names_of(name).all]
    assert len(set(found)) == len(found)


def test_names_are_names_of_indices() -> None:
    """Lower case, short enough, and hidden from who lists by a pattern without a dot."""
    for name in NAMESPACES:
        for index in names_of(name).all:
            assert index.startswith(".mlcommons-tasks-ns-")
            assert index == index.lower()
            assert len(index) <= 255


@pytest.mark.parametrize("namespace", NAMESPACES)
@pytest.mark.parametrize("content_type", WRITERS)
def test_an_answer_shows_the_plugins_name(content_type: str, namespace: str) -> None:
    """As it would be if the index had that name, to the byte; as a value, and as a key."""
    write, read = WRITERS[content_type]
    ours = names_of(namespace).tasks
    reply = Reply(200, [("Content-Type", content_type), ("X-Other", "1")], write(answer(ours)))

    shown = renamed(reply, names_of(namespace).shown)

    assert shown.payload == write(answer(TASK_INDEX))
    assert read is None or read(shown.payload) == answer(TASK_INDEX)
    assert (shown.status, ("X-Other", "1") in shown.headers) == (200, True)


@pytest.mark.parametrize("content_type", WRITERS)
def test_an_answer_without_it_is_left_as_it_is(content_type: str) -> None:
    """The very object, and the names of another namespace stay."""
    write, _ = WRITERS[content_type]
    reply = Reply(200, [("Content-Type", content_type)], write(answer(names_of("other").tasks)))

    assert renamed(reply, names_of("t1").shown) is reply
    assert renamed(reply, names_of("main").shown) is reply


def test_a_sentence_is_changed_too() -> None:
    """Where texts do not say how long they are."""
    ours = names_of("t1").models
    body = {"error": {"reason": f"no such index [{ours}]"}}
    shown = renamed(Reply(404, [("Content-Type", "application/json")], render_json(body)), names_of("t1").shown)

    assert json.loads(shown.payload) == {"error": {"reason": f"no such index [{MODEL_INDEX}]"}}


@pytest.mark.parametrize("write", [cbor2.dumps, render_smile])
def test_a_sentence_in_a_format_of_lengths_stays_readable(write: Any) -> None:
    """It keeps the name that it has: one of another length would break what follows."""
    kind = "application/cbor" if write is cbor2.dumps else "application/smile"
    payload = write({"reason": f"no such index [{names_of('t1').tasks}]", "then": 1})
    reply = Reply(404, [("Content-Type", kind)], payload)

    assert renamed(reply, names_of("t1").shown).payload == payload
