"""Record what the plugin says to one training too many: `python -m tests.overload_recorder`.

Writes `fixtures/recordings/overload-3.6.0.json`: a refused synchronous training, and what became of as many
asynchronous ones after half a minute. Their tasks are not refused: some are left CREATED or RUNNING for good.
"""

from __future__ import annotations

import collections
import datetime
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.bench.loads import kmeans_body
from tests.clients import Client
from tests.services import plugin_node

RECORDING = Path(__file__).parents[1] / "fixtures" / "recordings" / "overload-3.6.0.json"
CALLS, CALLERS, WAIT_S = 200, 64, 30


def main() -> None:
    """Overload a fresh node, and write down what it says."""
    body = kmeans_body(2_000)
    body["parameters"]["iterations"] = 100
    with plugin_node() as node, ThreadPoolExecutor(CALLERS) as callers:
        client = Client(node.url)

        def train(query: str) -> tuple[int, Any]:
            answer = client.send("POST", f"/_plugins/_ml/_train/kmeans{query}", body)
            return answer.status, answer.body

        answers = list(callers.map(train, [""] * CALLS))
        refused = next(answer for status, answer in answers if status == 429)
        accepted = list(callers.map(train, ["?async=true"] * CALLS))
        time.sleep(WAIT_S)
        wanted = {"size": 0, "aggs": {"states": {"terms": {"field": "state"}}}}
        found = client.ok("POST", "/_plugins/_ml/tasks/_search", wanted)
        states = {bucket["key"]: bucket["doc_count"] for bucket in found["aggregations"]["states"]["buckets"]}
        recording = {
            "recorded": datetime.date.today().isoformat(),
            "version": node.ready["opensearch"]["version"] if "opensearch" in node.ready else "3.6.0",
            "calls": CALLS,
            "synchronous_statuses": {str(k): v for k, v in collections.Counter(s for s, _ in answers).items()},
            "synchronous": refused,
            "asynchronous_statuses": {str(k): v for k, v in collections.Counter(s for s, _ in accepted).items()},
            "states_after_30_s": states,
        }
    RECORDING.write_text(json.dumps(recording, indent=1) + "\n")


if __name__ == "__main__":
    main()
