"""Loads NDJSON `_bulk` lines into an OpenSearch, or a service over one; our own indices get their mapping first."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import opensearchpy

from mlcommons_tasks.errors import StartError, TaskPluginError
from mlcommons_tasks.store.connection import open_client, translated
from mlcommons_tasks.store.endpoint import Endpoint
from mlcommons_tasks.store.mappings import MODEL_INDEX, TASK_INDEX, model_index_body, task_index_body

LINES_AT_ONCE = 1000
OWN_INDICES = {TASK_INDEX: task_index_body, MODEL_INDEX: model_index_body}

Loaded = Callable[[Path, int], None]  #: the file, and how many of its documents are in


@dataclass(frozen=True)
class Action:
    """One action of a `_bulk` file with its document, if it has one."""

    kind: str
    meta: dict[str, Any]
    document: str | None


def bulk_files(paths: list[Path]) -> list[Path]:
    """Return the files that `paths` name: a file itself, of a folder all its .ndjson files, in name order.

    Raises:
        StartError: a path is not there, or a folder has none.
    """
    files: list[Path] = []
    for path in paths:
        found = sorted(path.rglob("*.ndjson")) if path.is_dir() else [path] if path.is_file() else []
        if not found:
            what = "has no .ndjson file" if path.is_dir() else "is not there"
            raise StartError(f"{path} {what}", hint="Give NDJSON files of _bulk lines, or folders with such files.")
        files += found
    return files


def read_actions(path: Path) -> Iterator[Action]:
    """Yield the actions of a `_bulk` file.

    Raises:
        StartError: names the file and the line that does not fit.
    """
    with path.open("rb") as lines:
        numbered = ((number, line.strip()) for number, line in enumerate(lines, 1) if line.strip())
        for number, line in numbered:
            kind, meta = next(iter(_object(line).items()), ("", None))
            if kind not in ("index", "create", "update", "delete") or not isinstance(meta, dict):
                raise StartError(
                    f"{path}, line {number}: this is no _bulk action", hint="See the files in fixtures/tasks."
                )
            document = None
            if kind != "delete":
                following = next(numbered, None)
                if following is None:
                    raise StartError(f"{path}, line {number}: the action has no document", hint="A line is missing.")
                if not _object(following[1]):
                    raise StartError(
                        f"{path}, line {following[0]}: the document is not a JSON object", hint="One line, one object."
                    )
                document = following[1].decode()
            yield Action(kind, meta, document)


def _object(line: bytes) -> dict[str, Any]:
    """Return the JSON object of a line; an empty one if it is none."""
    try:
        parsed = json.loads(line)
    except ValueError:  # that of the text's encoding, too
        return {}
    return parsed if isinstance(parsed, dict) else {}


def seed(endpoint: Endpoint, files: list[Path], loaded: Loaded) -> int:
    """Load files; return how many documents went in. `loaded` is called after every batch.

    Raises:
        StartError: a file does not fit, or OpenSearch refuses a document; what came before stays loaded.
    """
    client = open_client(endpoint)
    try:
        total = 0
        for path in files:
            done = 0
            for batch in _batches(read_actions(path)):
                _send(client, path, batch)
                done += len(batch)
                loaded(path, done)
            total += done
    except TaskPluginError as error:
        raise StartError(
            f"loading stopped: {error.reason}", hint=f"Is a service or an OpenSearch at {endpoint.url}? See --url."
        ) from error
    else:
        return total
    finally:
        client.close()


def _batches(actions: Iterator[Action]) -> Iterator[list[Action]]:
    batch: list[Action] = []
    for action in actions:
        batch.append(action)
        if len(batch) == LINES_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _send(client: opensearchpy.OpenSearch, path: Path, batch: list[Action]) -> None:
    for index in sorted({str(action.meta.get("_index")) for action in batch} & OWN_INDICES.keys()):
        with translated():
            if not client.indices.exists(index=index):
                client.indices.create(index=index, body=OWN_INDICES[index]())
    lines = []
    for action in batch:
        lines.append(json.dumps({action.kind: action.meta}))
        if action.document is not None:
            lines.append(action.document)
    with translated():
        reply = client.bulk(body="\n".join(lines) + "\n", params={"refresh": "true"})
    if reply["errors"]:
        failed = next(result for item in reply["items"] for result in item.values() if "error" in result)
        reason = failed["error"].get("reason") if isinstance(failed["error"], dict) else failed["error"]
        raise StartError(f"{path}: OpenSearch refuses document {failed.get('_id')}: {reason}", hint="Correct the file.")
