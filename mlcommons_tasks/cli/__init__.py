"""`mlcommons-tasks`: its commands, each imported when it is called."""

from __future__ import annotations

import importlib
import logging
import sys
from typing import Any

import click

from mlcommons_tasks._version import __version__

#: command → (module, name in it, what the list of commands says)
COMMANDS = {
    "serve": ("mlcommons_tasks.cli.serve", "serve", "Run the service over an embedded or a given OpenSearch."),
    "seed": ("mlcommons_tasks.cli.seed", "seed", "Load tasks or data from NDJSON files or folders."),
    "demo": ("mlcommons_tasks.cli.demo", "demo", "Train KMEANS on iris, from nothing to COMPLETED, and show it."),
    "audit": ("mlcommons_tasks.cli.audit", "audit", "Show how clients polled a service, and fail over what is wrong."),
    "node": ("mlcommons_tasks.cli.node", "node", "Prepare and run the embedded OpenSearch alone."),
}


class LazyGroup(click.Group):
    """A group that knows its commands by name, so that `--help` imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module, name, _ = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)  # noqa: S101  # the table above is ours
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_text) for name, (_, _, help_text) in COMMANDS.items()])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mlcommons-tasks")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
    default="warning",
    show_default=True,
    envvar="MLCOMMONS_TASKS_LOG_LEVEL",
    help="On stderr.",
)
def group(log_level: str) -> None:
    """The task API of the OpenSearch ML Commons plugin, emulated over a real OpenSearch."""
    logging.basicConfig(
        stream=sys.stderr, level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    if log_level != "debug":  # opensearch-py warns of every answer that is no success, a missing index among them
        logging.getLogger("opensearch").setLevel(logging.ERROR)


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; a start that fails ends with code 2 and says what to do."""
    from mlcommons_tasks.config import SettingsError
    from mlcommons_tasks.errors import StartError

    try:
        return group.main(args=arguments, prog_name="mlcommons-tasks")
    except StartError as error:
        from mlcommons_tasks.cli.console import fail

        fail(error)
    except SettingsError as error:
        from mlcommons_tasks.cli.console import fail

        fail(StartError(str(error), hint="See `mlcommons-tasks serve --help`."))
