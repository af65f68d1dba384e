"""Record how the plugin brings up an index with an older mapping: `python -m tests.upgrade_recorder`.

Writes `fixtures/recordings/upgrades-3.6.0.json`: a scenario each, played on a freshly started node, for the plugin
looks at an index once in the life of its node. `tests/integration/test_old_indices.py` plays the same scenarios on
the service.
"""

from __future__ import annotations

import copy
import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlcommons_tasks.store.mappings import MODEL_INDEX, TASK_INDEX, model_index_body, task_index_body
from tests.clients import TRAIN, Client, rows_body
from tests.services import plugin_node

RECORDING = Path(__file__).parents[1] / "fixtures" / "recordings" / "upgrades-3.6.0.json"
CURRENT = {TASK_INDEX: task_index_body(), MODEL_INDEX: model_index_body()}
#: What an old index knows; its documents' other fields it maps by itself.
OLD_FIELDS = {
    TASK_INDEX: {"state": {"type": "keyword"}, "old_field": {"type": "long"}},
    MODEL_INDEX: {"algorithm": {"type": "keyword"}, "old_field": {"type": "long"}},
}
#: The same with a field that the current mapping has otherwise.
UNFIT = {TASK_INDEX: {"state": {"type": "text"}}, MODEL_INDEX: {"algorithm": {"type": "text"}}}
SETTINGS = {"index": {"number_of_shards": 1, "number_of_replicas": 0, "auto_expand_replicas": "false"}}
TRAINING = rows_body(12, centroids=3, iterations=2)


@dataclass(frozen=True)
class Scenario:
    """What the two indices are like before the first training, and whether others were there before them."""

    indices: Mapping[str, Mapping[str, Any]]
    #: trainings that end before the indices are deleted and made anew
    before: int = 0


def old(index: str, meta: Any = None, fields: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return the body that creates an old index; its `_meta` is `meta` unless that is None."""
    mappings = {**({} if meta is None else {"_meta": meta}), "properties": fields or OLD_FIELDS[index], **more}
    return {"settings": SETTINGS, "mappings": mappings}


def both(meta: Any = None, **more: Any) -> dict[str, dict[str, Any]]:
    """Return both indices alike."""
    return {index: old(index, meta, **more) for index in CURRENT}


def versions(change: int) -> dict[str, dict[str, Any]]:
    """Return both indices with the current version and a change to it, but old fields."""
    current = {index: body["mappings"]["_meta"]["schema_version"] for index, body in CURRENT.items()}
    return {index: old(index, {"schema_version": current[index] + change}) for index in CURRENT}


SCENARIOS = {
    "an older version": Scenario(both({"schema_version": 1, "whose": "somebody's"}, dynamic="true")),
    "the version before": Scenario(versions(-1)),
    "the same version": Scenario(versions(0)),
    "a newer version": Scenario(versions(1)),
    "no version": Scenario({TASK_INDEX: old(TASK_INDEX), MODEL_INDEX: old(MODEL_INDEX, {"whose": "somebody's"})}),
    "a version that is a text, and one with a point": Scenario(
        {TASK_INDEX: old(TASK_INDEX, {"schema_version": "99"}), MODEL_INDEX: old(MODEL_INDEX, {"schema_version": 99.0})}
    ),
    "a version that is null, and one that is no Java int": Scenario(
        {
            TASK_INDEX: old(TASK_INDEX, {"schema_version": None}),
            MODEL_INDEX: old(MODEL_INDEX, {"schema_version": 3_000_000_000}),
        }
    ),
    "no mapping at all, and an empty one": Scenario({TASK_INDEX: {}, MODEL_INDEX: {"mappings": {}}}),
    "a task index that does not fit": Scenario({TASK_INDEX: old(TASK_INDEX, {"schema_version": 1}, UNFIT[TASK_INDEX])}),
    "a model index that does not fit": Scenario(
        {MODEL_INDEX: old(MODEL_INDEX, {"schema_version": 1}, UNFIT[MODEL_INDEX])}
    ),
    "an old index after others were there": Scenario(both({"schema_version": 1}), before=2),
}


def play(client: Client, scenario: Scenario) -> dict[str, Any]:
    """Make the indices, train twice, and return what was answered and what the indices are like then.

    The service under the client must not have been trained with before, and no index of ML Commons may be there.
    """
    for _ in range(scenario.before):
        client.ended(client.train_async(TRAINING))
    for index in CURRENT:
        if scenario.before:
            client.ok("DELETE", f"/{index}")
    for index, body in scenario.indices.items():
        client.ok("PUT", f"/{index}", copy.deepcopy(dict(body)))
    trainings = []
    for _ in range(2):
        answer = client.send("POST", f"{TRAIN}?async=true", TRAINING)
        task = client.ended(answer.body["task_id"]) if answer.status == 200 else {}
        said = {} if answer.status == 200 else {"body": answer.body}
        trainings.append({"status": answer.status, **said, **{k: task[k] for k in ("state", "error") if k in task}})
    return {"trainings": trainings, "indices": {index: _look(client, index) for index in scenario.indices}}


def _look(client: Client, index: str) -> dict[str, Any]:
    mappings = client.ok("GET", f"/{index}/_mapping")[index]["mappings"]
    settings = client.ok("GET", f"/{index}/_settings")[index]["settings"]["index"]
    kept = ("number_of_shards", "number_of_replicas", "auto_expand_replicas")
    return {"mappings": mappings, "settings": {name: settings[name] for name in kept if name in settings}}


def main() -> None:
    """Play each scenario on a node of its own, and write what it did."""
    found = {}
    for name, scenario in SCENARIOS.items():
        with plugin_node() as node:
            found[name] = play(Client(node.url), scenario)
            version = node.ready["version"]
        print(f"{name:60} {[training['status'] for training in found[name]['trainings']]}", flush=True)
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    recording = {"opensearch": version, "recorded": today, "scenarios": found}
    RECORDING.write_text(json.dumps(recording, ensure_ascii=False, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
