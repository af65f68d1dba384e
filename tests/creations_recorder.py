"""Record what the plugin answers to registering and deploying models: `python -m tests.creations_recorder`.

Writes `fixtures/recordings/creations-3.6.0.json`: calls that create a task and their answers, what GET showed of the
task up to its end, and its stored document; and what is refused. No model is fetched: the URL is of a closed port, and
a KMEANS model cannot be deployed. `tests/integration/test_creations_recording.py` has the service play the same.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.clients import FINAL, MODELS, TASKS, TRAIN, Answer, Client, rows_body
from tests.conformance.recorder import versions
from tests.conformance.references import References
from tests.secured_recorder import parsed
from tests.services import plugin_node, start, stopping, wait_until

RECORDING = Path(__file__).parents[1] / "fixtures" / "recordings" / "creations-3.6.0.json"
#: What a node must be told before it takes these calls.
SETTINGS = {
    "plugins.ml_commons.only_run_on_ml_node": "false",
    "plugins.ml_commons.allow_registering_model_via_url": "true",
}
CONFIG = {"model_type": "bert", "embedding_dimension": 384, "framework_type": "sentence_transformers"}
MODEL = {
    "name": "out-of-reach",
    "version": "1.0.0",
    "description": "a model that cannot be fetched",
    "model_format": "TORCH_SCRIPT",
    "function_name": "TEXT_EMBEDDING",
    "model_content_hash_value": "e13b74006290a9d0f58c1376f9629d4ebc05a0f9385f40db837452b167ae9021",
    "model_config": CONFIG,
    "url": "http://127.0.0.1:1/model.zip",
}


def _config(without: str | None = None) -> dict[str, Any]:
    return {key: value for key, value in CONFIG.items() if key != without}


REGISTER, UPLOAD = f"{MODELS}/_register", f"{MODELS}/_upload"
TRAINED = "<trained>"  #: stands in a path for the KMEANS model that is trained first
#: Calls that create a task, by name: the path, and the body.
CREATIONS: Mapping[str, tuple[str, Any]] = {
    "register": (REGISTER, MODEL),
    "register by the old route": (UPLOAD, MODEL),
    "register without a function": (REGISTER, {k: v for k, v in MODEL.items() if k != "function_name"}),
    "register and deploy": (f"{REGISTER}?deploy=true", MODEL),
    "register in small letters": (REGISTER, {**MODEL, "function_name": "text_embedding", "model_format": "onnx"}),
    "register with an access that is not there": (REGISTER, {**MODEL, "access_mode": "none"}),
    "register a sparse encoder without a config": (
        REGISTER,
        {k: v for k, v in {**MODEL, "function_name": "SPARSE_ENCODING"}.items() if k != "model_config"},
    ),
    "deploy": (f"{MODELS}/{TRAINED}/_deploy", None),
    "deploy with a body that says nothing": (f"{MODELS}/{TRAINED}/_deploy", {"node_ids": [], "more": {"of": "it"}}),
    "deploy by the old route": (f"{MODELS}/{TRAINED}/_load", None),
}
#: Calls that are refused, likewise.
REFUSALS: Mapping[str, tuple[str, Any]] = {
    "deploy of a missing model": (f"{MODELS}/missing/_deploy", None),
    "load of a missing model": (f"{MODELS}/missing/_load", None),
    "deploy to nodes of the caller's choice": (f"{MODELS}/{TRAINED}/_deploy", {"node_ids": ["node"]}),
    "register without a body": (REGISTER, None),
    "register with a body that is no JSON": (REGISTER, b"{"),
    "register with a function that is not there": (REGISTER, {**MODEL, "function_name": "none"}),
    "register with a format that is not there": (REGISTER, {**MODEL, "model_format": "none"}),
    **{
        f"register without {field}": (REGISTER, {k: v for k, v in MODEL.items() if k != field})
        for field in ("name", "model_format", "model_config")
    },
    "register with a list for a body": (REGISTER, b"[]"),
    "register with a name that is null": (REGISTER, {**MODEL, "name": None}),
    "register with a name that is an object": (REGISTER, {**MODEL, "name": {"first": "out", "last": "of reach"}}),
    **{
        f"register with a config without {field}": (REGISTER, {**MODEL, "model_config": _config(without=field)})
        for field in ("model_type", "embedding_dimension", "framework_type")
    },
    "register with a framework that is not there": (
        REGISTER,
        {**MODEL, "model_config": {**_config(), "framework_type": "none"}},
    ),
    "register for nodes that are no list": (REGISTER, {**MODEL, "model_node_ids": "node"}),
    "register with a flag that is a number": (REGISTER, {**MODEL, "is_enabled": 1}),
    "register a sparse encoder without a format": (REGISTER, {"name": "sparse", "function_name": "SPARSE_ENCODING"}),
    "register a remote model without a connector": (REGISTER, {"name": "remote", "function_name": "REMOTE"}),
    "register with two mistakes": (REGISTER, {"model_format": "none", "function_name": "none"}),
    "register and perhaps deploy": (f"{REGISTER}?deploy=perhaps", MODEL),
    "register with a parameter that is not there": (f"{REGISTER}?deply=true", MODEL),
    "register with a mistake and such a parameter": (f"{REGISTER}?deply=true", {}),
    "deploy with a body that is no JSON": (f"{MODELS}/{TRAINED}/_deploy", b"{"),
    "deploy with a list for a body": (f"{MODELS}/{TRAINED}/_deploy", b"[]"),
    "deploy to nodes that are no list": (f"{MODELS}/{TRAINED}/_deploy", {"node_ids": "node"}),
    "deploy with a parameter that is not there": (f"{MODELS}/{TRAINED}/_deploy?node=this", None),
}
_TIME = re.compile(r"<(create_time|last_update_time):\d+>")  #: two may be the same millisecond or not

Send = Callable[[str, str, Any], Answer]


def train(send: Send) -> str:
    """Train the KMEANS model that is deployed; return its id."""
    answer = send("POST", TRAIN, rows_body(12, centroids=3, iterations=2))
    assert answer.status == 200, answer.payload
    return str(answer.body["model_id"])


def created(send: Send, name: str, trained: str) -> dict[str, Any]:
    """Make a call that creates a task; return the answer, each state that GET shows of the task, and its document."""
    path, body = CREATIONS[name]
    references = _references(body, trained)
    answer = send("POST", path.replace(TRAINED, trained), body)
    assert answer.status == 200, answer.payload
    task_id = str(answer.body["task_id"])
    found = {"request": _request(path, body), "answer": _written(answer, references)}
    shown: list[Answer] = []

    def ended() -> bool:
        seen = send("GET", f"{TASKS}/{task_id}", None)
        if not shown or seen.payload != shown[-1].payload:
            shown.append(seen)
        return bool(seen.body["state"] in FINAL)

    wait_until(ended, what="the end of the task")
    wanted = {"query": {"ids": {"values": [task_id]}}}
    search = f"{TASKS}/_search?filter_path=hits.hits._source"
    stored = wait_until(lambda: _stored(send("POST", search, wanted)), what="the end of the stored task")
    return {**found, "task": [_written(it, references) for it in shown], "stored": _written(stored, references)}


def refused(send: Send, name: str, trained: str) -> dict[str, Any]:
    """Make a call that is refused; return the answer."""
    path, body = REFUSALS[name]
    answer = send("POST", path.replace(TRAINED, trained), body)
    assert answer.status >= 400, f"{name}: {answer.payload!r}"
    return {"request": _request(path, body), "answer": _written(answer, _references(body, trained))}


def _stored(answer: Answer) -> Answer | None:
    hits = answer.body.get("hits", {}).get("hits", [])
    return answer if hits and hits[0]["_source"]["state"] in FINAL else None


def _references(body: Any, trained: str) -> References:
    references = References(repr(body))
    references.know(trained)
    return references


def _request(path: str, body: Any) -> dict[str, Any]:
    said = {} if body is None else {"body": body.decode() if isinstance(body, bytes) else body}
    return {"method": "POST", "path": path, **said}


def _written(answer: Answer, references: References) -> dict[str, Any]:
    text = _TIME.sub(r"<\1>", references.apply(answer.payload.decode()))
    return {"status": answer.status, "content-type": answer.headers["Content-Type"], "body": parsed(text)}


@contextlib.contextmanager
def told(client: Client, settings: Mapping[str, str]) -> Iterator[None]:
    """Have these persistent settings for the length of a block, and those of before after it."""
    had = client.ok("GET", "/_cluster/settings?flat_settings=true")["persistent"]
    client.ok("PUT", "/_cluster/settings", {"persistent": dict(settings)})
    try:
        yield
    finally:
        client.ok("PUT", "/_cluster/settings", {"persistent": {name: had.get(name) for name in settings}})


def record(url: str) -> dict[str, Any]:
    """Record all calls; the node keeps the model and the tasks."""
    client = Client(url)
    about = versions(url)
    if not about["ml_commons"]:
        sys.exit(f"{url} has no ML Commons plugin: recordings come from the real one only")
    with told(client, SETTINGS):
        trained = train(client.send)
        creations = {name: created(client.send, name, trained) for name in CREATIONS}
        refusals = {name: refused(client.send, name, trained) for name in REFUSALS}
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    return {"recorded": today, **about, "settings": SETTINGS, "creations": creations, "refusals": refusals}


def main() -> None:
    """Record a node that is there, or one that is started for it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    node = parser.add_mutually_exclusive_group()
    node.add_argument("--url", help="a node with the plugin, to which nothing else talks; default: one of our own")
    node.add_argument("--oracle", help='a command that starts one and prints a JSON line with "url"')
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        if given.oracle:
            url = stack.enter_context(stopping(start(shlex.split(given.oracle)))).url
        else:
            url = given.url or stack.enter_context(plugin_node()).url
        recording = record(url.rstrip("/"))
    RECORDING.write_text(json.dumps(recording, ensure_ascii=False, indent=1) + "\n", "utf-8")
    for name, entry in recording["creations"].items():
        print(f"{name:32} {[shown['body']['state'] for shown in entry['task']]}")
    print(f"{len(recording['refusals'])} refusals, ML Commons {recording['ml_commons']}")


if __name__ == "__main__":
    main()
