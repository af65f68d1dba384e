"""README's coverage table, made from the recordings: `python -m tests.conformance.coverage` writes it anew."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from .known import known
from .recordings import RECORDINGS, VERSION, read

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- coverage -->", "<!-- /coverage -->"
ML = r"/_plugins/_ml"

_ALL = ("_train", "_predict", "_train_predict")
_TWO = ("_train", "_predict")
_ANOMALIES = "planted anomalies found, at most 2 % of the other rows flagged otherwise"
#: Each algorithm, what can be asked of it, and how its results compare with the plugin's on the same rows, as
#: tests/algorithms holds them.
ALGORITHMS = (
    ("KMEANS", _ALL, "every row of separated clouds in the same cluster, by all three distances"),
    ("LINEAR_REGRESSION", _TWO, "predictions and coefficients within 1e-9, every objective and optimiser"),
    ("LOGISTIC_REGRESSION", _TWO, "every label equal, every objective and optimiser"),
    ("BATCH_RCF", _ALL, f"{_ANOMALIES}; on noise no more than 1.25 times what two runs of the plugin differ"),
    ("FIT_RCF", _ALL, _ANOMALIES),
    ("RCF_SUMMARIZE", _ALL, "every row of separated clouds in the same cluster"),
    ("AD_LIBSVM", _TWO, "scores within 1e-6 of the largest, every `anomaly_type` equal"),
    ("SAMPLE_ALGO", _TWO, "equal"),
)

#: A route as README names it, the requests that are its, and what else there is to say.
ROUTES = (
    (f"`GET {ML}/tasks/<id>`", rf"(GET|HEAD|OPTIONS) {ML}/tasks/(?!_search)[^/?]+/?", ""),
    (f"`DELETE {ML}/tasks/<id>`", rf"DELETE {ML}/tasks/(?!_search)[^/?]+/?", ""),
    (
        f"`GET`, `POST {ML}/tasks/_search`",
        rf"(GET|POST) {ML}/tasks/_search/?",
        "body passed through, OpenSearch's own hits",
    ),
    (
        f"`POST {ML}/tasks/<id>/_cancel`",
        rf"POST {ML}/tasks/[^/?]+/_cancel/?",
        "no remote jobs here, so none is cancelled",
    ),
    (f"`POST {ML}/_train/<algorithm>?async=true`", rf"POST {ML}/_train/[^/?]+/?\?.*async", "real training"),
    *(
        (
            ", ".join(f"`{route}`" for route in routes).replace("_train", f"POST {ML}/_train", 1) + f" of {name}",
            rf"POST {ML}/_(train|predict|train_predict)/(?i:{name})(/[^/?]+)?/?",
            notes,
        )
        for name, routes, notes in ALGORITHMS
    ),
    (f"`POST {ML}/models/<id>/_predict`", rf"POST {ML}/models/[^/?]+/_predict/?", "the model's own algorithm"),
    (
        f"`POST {ML}/_train`, `_predict` and `_train_predict` of others",
        rf"POST {ML}/_(train|predict|train_predict)/[^/?]+(/[^/?]+)?/?",
        "refused in the plugin's words",
    ),
    (
        f"`POST {ML}/_execute/<algorithm>`",
        rf"POST {ML}/_execute/[^/?]+/?",
        "LOCAL_SAMPLE_CALCULATOR and ANOMALY_LOCALIZATION; METRICS_CORRELATION as it is while switched off;"
        " several aggregations are all waited for; without any the output is empty, where the plugin never answers",
    ),
    (
        f"`GET {ML}/models/<id>`",
        rf"(GET|HEAD|OPTIONS) {ML}/models/(?!_search)[^/?]+/?",
        "`return_content` gives our JSON, as base64",
    ),
    (
        f"`PUT {ML}/models/<id>`",
        rf"PUT {ML}/models/(?!_search)[^/?]+/?",
        "an inline connector stays as it is: 501; there are no model groups",
    ),
    (f"`DELETE {ML}/models/<id>`", rf"DELETE {ML}/models/(?!_search)[^/?]+/?", ""),
    (f"`GET`, `POST {ML}/models/_search`", rf"(GET|POST) {ML}/models/_search/?", ""),
    (
        "`GET /_tasks`",
        r"GET /_tasks/?",
        "the cluster's tasks with ours; `master_timeout`, `cluster_manager_timeout` and `parent_task_id=-1`,"
        " which OpenSearch refuses, are honoured on purpose",
    ),
    (
        "`GET /_tasks/<node:id>`",
        r"GET /_tasks/(?!_cancel)[^/?]+/?",
        "results of our trainings are kept and deleted here",
    ),
    (
        "`POST /_tasks/_cancel`, `/_tasks/<node:id>/_cancel`",
        r"POST /_tasks/([^/?]+/)?_cancel/?",
        "ours stop within 2 s",
    ),
    ("`GET /_cat/tasks`", r"GET /_cat/tasks/?", ""),
    (
        "other methods, and paths like `/_tasks` and `/_cat/tasks`",
        r"[A-Z]+ /+(_tasks?|_TASKS|%5Ftasks|_cat/+tasks?).*",
        "405; `DELETE /_tasks/<node:id>` of 3.9 works for ours",
    ),
    ("`GET /_cat/plugins`, `/_nodes`", r"GET /(_cat/plugins|_nodes)/?", "those of the cluster, and ML Commons"),
    ("`GET /_cluster/settings`", r"GET /_cluster/settings/?", "the cluster's settings with ML Commons' own"),
    ("`PUT /_cluster/settings`", r"PUT /_cluster/settings/?", "both or none; those that shape tasks take effect"),
    ("other methods of `/_cluster/settings`", r"[A-Z]+ /_cluster/settings(/[^?]*)?", "forwarded"),
    (
        f"other methods and paths under `{ML}`",
        r"[A-Z]+ /+(_plugins|_PLUGINS|_ml|_opendistro)/.*",
        "405, OPTIONS, unknown paths",
    ),
    ("`.plugins-ml-task`, `.plugins-ml-model`", r"[A-Z]+ /\.plugins-ml-.*", "mapping, settings and stored documents"),
    ("aliases, and indices that are closed", r"[A-Z]+ /logs/_.*", "forwarded"),
)
LINES_BELOW = (
    f"| `POST {ML}/models/_register`, `{ML}/models/<id>/_deploy` | played | | | only where a scenario matches, with the"
    " plugin's answers and refusals as in `fixtures/recordings/creations-3.6.0.json`; whether the model is there, and"
    " what the settings allow, is not asked;"
    " `tests/integration/test_creations_recording.py`, `tests/integration/test_played_creations.py` |",
    "| `/_emulator/…` | ours | | | every call by a described and by a broken request,"
    " `tests/fuzz/test_emulator_calls.py`; every command of [docs/emulator.md](docs/emulator.md), on one worker and on"
    " two; every preset read by read, `tests/unit/test_presets.py` |",
    "| every other path | forwarded | | | integration tests with real requests, `tests/integration/test_proxy.py` |",
)


def recorded_in_all() -> int:
    """Return how many requests are recorded below ML Commons' paths and indices."""
    return sum(1 for _ in _requests())


def _requests() -> Iterator[str]:
    for requests in _recorded().values():
        yield from requests


def _recorded() -> dict[str, list[str]]:
    """Return the requests of each recorded case, by its id."""
    return {
        f"{path.stem}::{name}": [reply["request"] for reply in entry["replies"]]
        for path in sorted((RECORDINGS / VERSION).glob("*.json"))
        for name, entry in read(path.stem, path.parent).cases.items()
    }


def requests_recorded() -> Counter[str]:
    """Return how many recorded requests each route has."""
    return Counter(route for request in _requests() if (route := _route_of(request)) is not None)


def _route_of(request: str) -> str | None:
    for route, pattern, _ in ROUTES:
        if re.match(pattern + ("" if "async" in pattern else r"(\?|$)"), request):
            return route
    return None


def cases_by_route() -> dict[str, list[str]]:
    """Return the ids of the cases in which each route is asked."""
    found: dict[str, list[str]] = {route: [] for route, _, _ in ROUTES}
    for case_id, requests in _recorded().items():
        for route in {_route_of(request) for request in requests} - {None}:
            found[str(route)].append(case_id)
    return found


def table() -> str:
    """Return the table in Markdown, the reasons of what is known to differ below it."""
    counts, by_route, differing = requests_recorded(), cases_by_route(), known(VERSION, VERSION)
    lines = ["| route | cases | requests | known differences | notes |", "|---|---|---|---|---|"]
    for route, _, notes in ROUTES:
        ids = by_route[route]
        different = sum(case_id in differing for case_id in ids)
        lines.append(f"| {route} | {len(ids)} | {counts[route]} | {different or 'none'} | {notes} |")
    reasons = [f"- `{case_id}`: {mark.because}." for case_id, mark in sorted(differing.items())]
    told = f"{len(_recorded())} cases are recorded; {len(differing)} are known to differ, each for its reason:"
    return "\n".join([*lines, *LINES_BELOW, "", told, "", *reasons])


def written() -> str:
    """Return README with the table in its place."""
    text = README.read_text("utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    README.write_text(written(), "utf-8")
