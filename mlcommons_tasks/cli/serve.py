"""`mlcommons-tasks serve`: the service in the foreground."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from mlcommons_tasks.config import Settings

BANNER = """
mlcommons-tasks is ready at {url} over {opensearch}

  curl {url}
  curl -XPOST '{url}/_plugins/_ml/_train/kmeans?async=true' -H 'Content-Type: application/json' -d '
    {{"parameters":{{"centroids":2}},"input_data":{{
      "column_metas":[{{"name":"x","column_type":"DOUBLE"}}],
      "rows":[{{"values":[{{"column_type":"DOUBLE","value":1.0}}]}},{{"values":[{{"column_type":"DOUBLE","value":9.0}}]}}]}}}}'
  curl '{url}/_plugins/_ml/tasks/<task_id>?pretty'
  curl '{url}/_plugins/_ml/tasks/_search?pretty' -H 'Content-Type: application/json' -d '{{}}'

Ctrl-C stops it.
"""

FILE = click.Path(path_type=Path)


@click.command()
@click.option("--host", help="The address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="The port to listen on; 0 picks a free one.  [default: 9201]")
@click.option(
    "--opensearch",
    help="embedded, memory, or the URL of an OpenSearch; several with commas between.  [default: embedded]",
)
@click.option("--username", help="The service's account at OpenSearch.")
@click.option("--password", help="Its password, which process lists show: better --password-file.")
@click.option("--password-file", type=FILE, help="A file with its password; or set OPENSEARCH_PASSWORD.")
@click.option("--ca-file", type=FILE, help="Certificates to trust for an https URL.")
@click.option("--insecure", is_flag=True, default=None, help="Do not verify OpenSearch's certificate.")
@click.option("--client-cert", type=FILE, help="A certificate to show to OpenSearch.")
@click.option("--client-key", type=FILE, help="Its key, unless that is in the same file.")
@click.option("--identity-headers", help="Headers by which a proxy in front says who calls, with commas between.")
@click.option("--timeout", type=float, help="Seconds that OpenSearch may take to answer.  [default: 120]")
@click.option("--cert", type=FILE, help="A certificate to show to callers: the service speaks https.")
@click.option("--key", type=FILE, help="Its key, unless that is in the same file.")
@click.option("--opensearch-version", help="The version of the embedded node.  [default: 3.6.0]")
@click.option("--ml-commons-version", help="The version of ML Commons to answer as, from 1.3 to 3.6.  [default: 3.6.0]")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Keep the embedded node's data here.")
@click.option("--cache-dir", type=click.Path(path_type=Path), help="Keep downloads here.")
@click.option("--maven-url", help="A mirror of Maven Central.")
@click.option("--wait", type=float, help="Seconds to wait for OpenSearch at start.  [default: 60]")
@click.option("--workers", type=int, help="Processes that answer requests.  [default: 1]")
@click.option("--threads", type=int, help="Threads of each.  [default: 32]")
@click.option("--fast-lane/--no-fast-lane", default=None, help="Answer polls of tasks the short way.  [default: on]")
@click.option("--trainings", type=int, help="Processes that train, per worker.  [default: 2]")
@click.option("--dask", help="Train on a Dask cluster: its scheduler's address, such as tcp://10.0.0.5:8786.")
@click.option("--seed", type=int, help="Make every training repeatable: the same rows, the same model.")
@click.option("--queue", type=int, help="Trainings that may wait for their turn, per worker.  [default: 10000]")
@click.option("--grace", type=float, help="Seconds that trainings may take to end at the stop.  [default: 2]")
@click.option("--lease", type=float, help="Seconds until another takes over what a dead replica ran.  [default: 15]")
@click.option("--retain", help="Delete tasks that are over for so long, such as 7d, 12h or 30m.  [default: never]")
@click.option(
    "--emulator/--no-emulator",
    default=None,
    help="Scenarios, faults and more under /_emulator/.  [default: on over an embedded or in-memory OpenSearch on"
    " loopback, or with a token]",
)
@click.option("--emulator-token", help="What calls under /_emulator/ must show; better in the environment.")
@click.option("--scenarios", type=click.Path(path_type=Path), help="A file or folder of scenarios to begin with.")
def serve(**flags: Any) -> None:
    """Run the service until Ctrl-C or SIGTERM.

    Every option can be given in the environment too: --data-dir is MLCOMMONS_TASKS_DATA_DIR, and so on;
    OPENSEARCH_URL, OPENSEARCH_USERNAME and OPENSEARCH_PASSWORD are understood as well.
    """
    from mlcommons_tasks import server
    from mlcommons_tasks.cli.console import download_progress, note

    settings = Settings.resolve(flags, os.environ)
    if settings.insecure:
        note("warning: OpenSearch's certificate is not verified (--insecure)")

    def announce(ready: server.Ready) -> None:
        if not sys.stdout.isatty():
            print(json.dumps(ready.as_json(), separators=(",", ":")), flush=True)
            return
        where = f"OpenSearch {ready.version} ({ready.kind}) at {ready.opensearch_url}"
        print(BANNER.format(url=ready.url, opensearch=where), flush=True)

    def found_ml_commons() -> None:
        note(
            "the cluster has ML Commons: the emulated routes are answered here, over the same indices;"
            " its other routes under /_plugins/_ml/ are forwarded"
        )

    with download_progress() as progress:
        server.serve(settings, announce, progress=progress, on_ml_commons=found_ml_commons, on_wait=note)
