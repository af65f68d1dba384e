"""Runs the cases live on two servers and prints a table of where they differ.

    python -m tests.conformance.differences [--ours URL] [--theirs URL | --version V [--java PATH]] [--topic T ...]

Without URLs it starts both sides itself, ours over an OpenSearch of the default version.
Both lose their ML tasks and models: give it nodes of their own.
Exit code 1 when there is a difference that is not known.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from tests.services import plugin_node, service

from . import cases, player
from .compare import Difference, differences
from .known import known
from .recorder import versions
from .recordings import VERSION


def of_case(case: cases.Case, ours: str, theirs: str) -> list[Difference]:
    """Play a case on both, theirs being what is expected."""
    try:
        expected = player.play(case, theirs)
        player.clean(theirs, case.indices)
        actual = player.play(case, ours)
        player.clean(ours, case.indices)
    except (player.UnplayableError, OSError) as error:
        return [Difference(0, "", f"unplayable: {error}", "", "")]
    return differences(expected, actual)


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", help="the service; default: one of our own")
    parser.add_argument("--theirs", help="a node with the plugin; default: one of our own")
    parser.add_argument("--version", default=VERSION, help="of both sides of our own (default: %(default)s)")
    parser.add_argument("--java", help="the Java that runs the plugin; 2.x needs one from 17 to 23")
    parser.add_argument("--topic", action="append", choices=cases.topics(), help="only this one (repeatable)")
    parser.add_argument("--verbose", action="store_true", help="print the differences below the table")
    options = parser.parse_args(arguments)
    with contextlib.ExitStack() as started:
        ours = options.ours or started.enter_context(service("--ml-commons-version", options.version)).url
        java = ["--java", options.java] if options.java else []
        plugin = ("--opensearch-version", options.version, *java)
        theirs = options.theirs or started.enter_context(plugin_node(*plugin)).url
        return compare_all(ours.rstrip("/"), theirs.rstrip("/"), options.topic or cases.topics(), options.verbose)


def compare_all(ours: str, theirs: str, topics: Sequence[str], verbose: bool) -> int:
    """Run the cases on both sides and print where they differ; return the exit code."""
    version = versions(theirs)["opensearch"]
    marks = known(version, VERSION)
    table = Table("topic", "case", "step", "request", "what", "known", title="Differences")
    console, found, total = Console(), [], 0
    for topic in topics:
        for case in cases.load(topic, version=version):
            total += 1
            for difference in of_case(case, ours, theirs):
                found.append((case, difference))
                is_known = "yes" if case.id in marks else ""
                table.add_row(
                    topic, case.name, str(difference.step), difference.request[:60], difference.what[:120], is_known
                )
    if found:
        console.print(table)
    if verbose:
        for case, difference in found:
            console.print(f"\n{case.id}\n{difference}", markup=False, highlight=False)
    differing = {case.id for case, _ in found}
    new = differing - set(marks)
    console.print(f"{total} cases, {total - len(differing)} alike, {len(differing)} not, {len(new)} of these not known")
    return 1 if new else 0


if __name__ == "__main__":
    sys.exit(main())
