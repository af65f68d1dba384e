"""`mlcommons-tasks seed`: loads files, with progress."""

from __future__ import annotations

import os
from pathlib import Path

import click

DEFAULT_URL = "http://127.0.0.1:9201"


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--url", envvar="MLCOMMONS_TASKS_URL", default=DEFAULT_URL, show_default=True, help="The service's address."
)
@click.option("--ca-file", type=click.Path(path_type=Path), help="Certificates to trust for an https URL.")
def seed(paths: tuple[Path, ...], url: str, ca_file: Path | None) -> None:
    """Load NDJSON files of _bulk lines, or folders of them."""
    from rich.progress import Progress

    from mlcommons_tasks.cli.console import note, stderr
    from mlcommons_tasks.errors import StartError
    from mlcommons_tasks.store.endpoint import Endpoint
    from mlcommons_tasks.store.seeding import bulk_files, read_actions
    from mlcommons_tasks.store.seeding import seed as load

    if not url.startswith(("http://", "https://")):
        raise StartError("--url must be a URL such as http://127.0.0.1:9201")
    files = bulk_files(list(paths))
    endpoint = Endpoint.at(
        url, os.environ.get("OPENSEARCH_USERNAME"), os.environ.get("OPENSEARCH_PASSWORD"), ca_file=ca_file
    )
    with Progress(console=stderr(), transient=True) as progress:
        bars = {path: progress.add_task(path.name, total=sum(1 for _ in read_actions(path))) for path in files}
        total = load(endpoint, files, lambda path, done: progress.update(bars[path], completed=done))
    note(f"{_counted(total, 'document')} from {_counted(len(files), 'file')} loaded into {endpoint.url}")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
