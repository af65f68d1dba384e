"""Asks a node with the plugin for the results of a family's cases, and writes them down.

    python -m tests.algorithms.record FAMILY [--url URL] [--only NAME ...]

With `--only` the results of the other cases stay as they are.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from datetime import datetime, timezone

from tests.clients import Client
from tests.conformance.recorder import versions
from tests.services import plugin_node

from .plugin_results import RESULTS, asked, cases


def main() -> int:
    """Record one family."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("family")
    parser.add_argument("--url", help="a node with the plugin; default: one of our own")
    parser.add_argument("--only", nargs="*", help="names of cases")
    options = parser.parse_args()
    path = RESULTS / f"{options.family}.json"
    known = json.loads(path.read_text("utf-8"))["results"] if options.only and path.exists() else {}
    with contextlib.ExitStack() as started:
        url = options.url or started.enter_context(plugin_node()).url
        results = {}
        for case in cases(options.family):
            wanted = not options.only or case.name in options.only or case.name not in known
            results[case.name] = asked(case, Client(url)) if wanted else known[case.name]
        about = {"recorded": datetime.now(timezone.utc).date().isoformat(), **versions(url)}
    lines = ",\n".join(
        f"{json.dumps(name)}:{json.dumps(found, separators=(',', ':'))}" for name, found in results.items()
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{{"about":{json.dumps(about)},\n"results":{{\n{lines}\n}}}}\n', "utf-8")
    print(f"{len(results)} results in {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
