"""`mlcommons-tasks audit`: how the clients of a service polled, and an exit code for a run that is to fail over it."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlcommons_tasks.cli.seed import DEFAULT_URL

if TYPE_CHECKING:
    from mlcommons_tasks.emulation.audit import Client, Report, TaskPolls
    from mlcommons_tasks.emulation.audit_checks import Finding

FOUND = 1  #: the exit code where a check found something; 2 is that of checks that cannot be made
MAIN = "main"
MOST_FAILURES = 10  #: errors that are shown of a client
#: What to do about a service that cannot be asked, by what it answers, None for nothing.
_HINTS: Mapping[int | None, str] = {
    None: "Is the service there?",
    401: "Give its --token.",
    403: "Give its --token.",
}
WIDE = 200  #: columns where no terminal says how many there are: a log is searched by line

CHECKS_HELP = """\b
Checks:
  never-final         a task whose final state the client never read
  never-polled        a task that was made and that nobody asked for
  polls-after-final   polls after the client had read the final state
  no-retry            a poll that failed and was not repeated before the final
                      state; 429, 502, 503, 504 or a lost connection of another
                      request that was not repeated
  retry<SECONDS       the same again sooner than that after an error
  interval<SECONDS    less than that between two polls of a task
  interval>SECONDS    more than that between two polls of a task
  first-poll>SECONDS  the first poll later than that after the task was made
  polls>NUMBER        more polls of a task than that
  errors              any error that a client was given

\b
Exit codes: 0 all is well, 1 a check found something, 2 the service cannot be
asked, has no such namespace, or was asked nothing there that can be checked.
"""


@click.command(epilog=CHECKS_HELP)
@click.argument("url", envvar="MLCOMMONS_TASKS_URL", default=DEFAULT_URL)
@click.option("--namespace", "namespaces", multiple=True, default=[MAIN], show_default=True, help="May be repeated.")
@click.option("--token", envvar="MLCOMMONS_TASKS_EMULATOR_TOKEN", help="What the service asks control calls for.")
@click.option("--ca-file", type=click.Path(path_type=Path), help="Certificates to trust for an https URL.")
@click.option("--fail-on", "checks", multiple=True, metavar="CHECK,…", help="Exit with 1 if it finds something.")
@click.option("--har", "har_file", type=click.Path(path_type=Path), help="Write the requests there, as HAR 1.2.")
@click.option("--json", "as_json", is_flag=True, help="Print the reports and what was found as JSON.")
def audit(
    url: str,
    namespaces: tuple[str, ...],
    token: str | None,
    ca_file: Path | None,
    checks: tuple[str, ...],
    har_file: Path | None,
    as_json: bool,
) -> None:
    """Show how the clients of the service at URL polled their tasks.

    A client is who sends one X-Opaque-Id, or else has one User-Agent and address.
    """
    from mlcommons_tasks.emulation.audit import Report
    from mlcommons_tasks.emulation.audit_checks import check_named, findings
    from mlcommons_tasks.errors import IllegalArgument, StartError

    wanted = [check.strip() for each in checks for check in each.split(",") if check.strip()]
    try:
        for check in wanted:
            check_named(check)
    except IllegalArgument as error:
        raise click.BadParameter(str(error), param_hint="--fail-on") from error
    service = _Service(url, token, ca_file)
    service.expect(namespaces)
    reports, archives = {}, []
    for namespace in namespaces:
        try:
            reports[namespace] = Report.from_document(service.get(namespace, "audit"))
        except ValueError as error:
            raise StartError(f"the service answers with something that is no audit: {error}") from error
        if har_file is not None:
            archives.append(service.get(namespace, "requests", "_har"))
    if har_file is not None:
        archive = archives[0]
        archive["log"]["entries"] = [entry for each in archives for entry in each["log"]["entries"]]
        _write(har_file, archive)
    found = {namespace: findings(report, wanted) for namespace, report in reports.items()}
    if as_json:
        _print_json(reports, found)
    else:
        _print_tables(reports, found)
    if any(found.values()):
        sys.exit(FOUND)
    silent = [namespace for namespace, report in reports.items() if not report.totals.requests]
    if wanted and silent:
        raise StartError(f"nothing was asked in {', '.join(silent)}: is the pipeline pointed at {service.shown}?")


def _write(file: Path, archive: Any) -> None:
    from mlcommons_tasks.errors import StartError

    try:
        file.write_text(json.dumps(archive, indent=1, ensure_ascii=False), encoding="utf-8")
    except OSError as error:
        raise StartError(f"{file} of --har cannot be written: {error.strerror or error}") from error


class _Service:
    """The control API of a service."""

    def __init__(self, url: str, token: str | None, ca_file: Path | None) -> None:
        from mlcommons_tasks.emulation.credentials import kept_text

        self._url = url if "://" in url else f"http://{url}"
        self.shown = kept_text(self._url.rstrip("/"))
        self._token = token
        self._ca_file = str(ca_file) if ca_file is not None else None

    def expect(self, namespaces: Iterable[str]) -> None:
        """Go on if there are these namespaces; asking for one that is not there would make it.

        Raises:
            StartError: one is not there, or the service does not say.
        """
        from mlcommons_tasks.errors import StartError

        try:
            there = sorted(each["name"] for each in self.get(MAIN, "namespaces")["namespaces"])
        except (KeyError, TypeError) as error:
            raise StartError(f"{self.shown} does not say which namespaces it has", hint="Is it an emulator?") from error
        for namespace in namespaces:
            if namespace not in there:
                raise StartError(f"{self.shown} has no namespace {namespace}; there are {', '.join(there)}")

    def get(self, namespace: str, *path: str) -> Any:
        """Return what the service says of a namespace.

        Raises:
            StartError: it says nothing of the kind.
        """
        from mlcommons_tasks.emulation.credentials import kept_text
        from mlcommons_tasks.errors import StartError
        from mlcommons_tasks.testing.control import Control, EmulatorError

        named = None if namespace == MAIN else namespace
        try:
            with contextlib.closing(Control(self._url, named, self._token, self._ca_file)) as control:
                return control.get(*path)
        except EmulatorError as error:
            hint = _HINTS.get(error.status, "Is it an emulator, and switched on there?")
            raise StartError(f"{self.shown} cannot be asked: {kept_text(str(error))}", hint=hint) from error


def _print_json(reports: dict[str, Report], found: dict[str, list[Finding]]) -> None:
    import msgspec

    shown = {
        namespace: {**report.to_document(), "findings": msgspec.to_builtins(found[namespace])}
        for namespace, report in reports.items()
    }
    click.echo(json.dumps({"namespaces": shown}, indent=1))


def _print_tables(reports: dict[str, Report], found: dict[str, list[Finding]]) -> None:
    from rich.console import Console
    from rich.markup import escape

    out = Console(highlight=False, soft_wrap=False)
    if not out.is_terminal and not os.environ.get("COLUMNS"):
        out.width = WIDE
    for namespace, report in reports.items():
        totals = report.totals
        told = ", ".join(
            _counted(getattr(totals, f"{what}s"), what) for what in ("client", "request", "task", "poll", "error")
        )
        out.print(f"[bold]{escape(namespace)}[/]: {told}", soft_wrap=True)
        for client in report.clients:
            _print_client(out, client)
    for namespace, each in found.items():
        for finding in each:
            where = "" if len(found) == 1 else f"{namespace}: "
            out.print(f"{where}{finding}", style="red", markup=False, soft_wrap=True)


def _print_client(out: Any, client: Client) -> None:
    from rich.table import Table

    out.print(f"\n{client.name}: {_counted(client.requests, 'request')}", style="cyan", markup=False, soft_wrap=True)
    if client.tasks:
        table = Table(box=None)
        table.add_column("task", no_wrap=True, overflow="fold")  # somebody searches for it, so the others give way
        for title in ("first poll", "polls", "interval min/median/max", "states", "after final"):
            table.add_column(title, overflow="fold")
        for task in client.tasks:
            table.add_row(*_cells(task))
        out.print(table)
    for error in client.errors[:MOST_FAILURES]:
        what = "no answer" if error.status is None else str(error.status)
        then = "never repeated" if error.repeated_after_s is None else f"repeated after {error.repeated_after_s:g} s"
        cause = f" by fault {error.fault}" if error.fault else ""
        after = f"{_counted(error.requests_after, 'request')} after it"
        line = f"  {what} to {error.method} {error.path}{cause}: {then}, {after}"
        out.print(line, markup=False, soft_wrap=True)
    if len(client.errors) > MOST_FAILURES:
        out.print(f"  and {_counted(len(client.errors) - MOST_FAILURES, 'more error')}", soft_wrap=True)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _cells(task: TaskPolls) -> list[str]:
    between = task.intervals_s
    return [
        task.task_id,
        "never" if not task.polls else "?" if task.first_poll_after_s is None else f"{task.first_poll_after_s:g} s",
        str(task.polls),
        "" if between is None else f"{between.min:g}/{between.median:g}/{between.max:g} s",
        " ".join(task.states) + ("" if task.final_state else " …"),
        str(task.polls_after_final),
    ]
