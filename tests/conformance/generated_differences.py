"""Generated documents and bodies on both sides, on identical data: `python -m tests.conformance.generated_differences`.

What it finds should become a case. The smallest example of a difference is printed.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from typing import Any
from urllib.parse import urlsplit

from hypothesis import HealthCheck, given, settings

from tests.services import plugin_node, service

from . import generated
from .compare import canonical
from .references import References

EXAMPLES = 2_000


def compare(ours: str, theirs: str, examples: int) -> None:
    """Compare what both sides answer.

    Raises:
        AssertionError: they differ; hypothesis prints the smallest example.
    """
    bounded = settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))

    @bounded
    @given(document=generated.any_tasks())
    def documents(document: dict[str, Any]) -> None:
        if generated.store(theirs, "probe", document):
            assert generated.store(ours, "probe", document)
            assert generated.get(ours, "probe") == generated.get(theirs, "probe")

    @bounded
    @given(body=generated.search_bodies())
    def searches(body: bytes) -> None:
        path = "/_plugins/_ml/tasks/_search"
        answers = [_neutral(url, generated.search(url, path, body)) for url in (ours, theirs)]
        assert answers[0] == answers[1]

    documents()
    for url in (ours, theirs):
        generated.prepare(url)
    searches()


def _neutral(url: str, answer: tuple[int, str]) -> tuple[int, str]:
    """Leave node ids out and sort `_source`: both differ from one start of OpenSearch to the next."""
    status, text = answer
    return status, canonical(References("", urlsplit(url).netloc).apply(text))


def main(arguments: list[str] | None = None) -> int:
    """Compare, and say how it went."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", help="the service; default: one of our own")
    parser.add_argument("--theirs", help="a node with the plugin; default: one of our own")
    parser.add_argument("--examples", type=int, default=EXAMPLES)
    options = parser.parse_args(arguments)
    with contextlib.ExitStack() as started:
        ours = options.ours or started.enter_context(service()).url
        theirs = options.theirs or started.enter_context(plugin_node()).url
        for url in (ours, theirs):
            generated.prepare(url)
        compare(ours, theirs, options.examples)
    print(f"{options.examples} generated documents and {options.examples} generated searches: alike on both sides")
    return 0


if __name__ == "__main__":
    sys.exit(main())
