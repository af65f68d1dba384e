"""Makes Java's ahead-of-time cache: a node of its own is started, exercised a little and stopped.

Knows what a client of the service does often. Must not be needed for a start: without the cache it is only slower.
"""

from __future__ import annotations

import argparse
import http.client
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mlcommons_tasks.errors import StartError
from mlcommons_tasks.node import aot
from mlcommons_tasks.node.distribution import Distribution, fetch, hold_lock
from mlcommons_tasks.node.guard import GuardedProcess
from mlcommons_tasks.node.process import JVM_FLAGS, EmbeddedNode

_START_S = 300.0  # at the lowest priority on a busy machine
_WRITE_S = 300.0  # Java writes the cache at its exit
#: Sends a request: method, path, body.
Call = Callable[..., None]
_background: list[GuardedProcess] = []  # kept, for Python warns of a forgotten process


def record_aot_cache(distribution: Distribution) -> Path | None:
    """Record the cache unless it is there; None when this Java has no such thing. Takes some 15 s.

    May be killed at any time: the file comes into its place whole, and what is left over goes at the next call.
    """
    file = aot.cache_file(distribution, JVM_FLAGS)
    if file is None or file.is_file():
        return file
    workshop = file.with_suffix(".unfinished")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with hold_lock(file.with_suffix(".lock")):
            if file.is_file():  # another process was faster
                return file
            shutil.rmtree(workshop, ignore_errors=True)
            workshop.mkdir()
            try:
                _record(distribution, workshop / file.name)
                (workshop / file.name).replace(file)
            finally:
                shutil.rmtree(workshop, ignore_errors=True)
    except OSError as error:
        raise StartError(
            f"the cache folder {file.parent} cannot be written: {error.strerror or error}",
            hint="Make it writable, or name another with MLCOMMONS_TASKS_CACHE_DIR.",
        ) from error
    return file


def start_recording_in_background(distribution: Distribution) -> GuardedProcess | None:
    """Record the cache in a process of the lowest priority that ends with this one; None when it is not needed."""
    file = aot.cache_file(distribution, JVM_FLAGS)
    if file is None or file.is_file():
        return None
    command = [sys.executable, "-m", __name__, "--version", distribution.version]
    command += ["--cache-dir", str(distribution.cache_dir)]
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        recorder = GuardedProcess(["nice", "-n", "19", *command], file.with_suffix(".log"))
    except OSError:
        return None  # it would only have been faster
    _background.append(recorder)
    return recorder


def _record(distribution: Distribution, output: Path) -> None:
    node = EmbeddedNode(distribution, use_aot=False, jvm_flags=[f"-XX:AOTCacheOutput={output}"])
    node.start()
    try:
        node.wait_ready(_START_S)
        _exercise(node.url)
    finally:
        # After a failure there is nothing to wait for.
        node.stop(_WRITE_S if sys.exc_info()[0] is None else 1.0)
    if not output.is_file():
        raise StartError("Java wrote no ahead-of-time cache", log_tail=node.log_tail())


def _exercise(url: str) -> None:
    """Do what clients do, so that the classes for it are in the cache."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)

    def call(method: str, path: str, body: Any = None, /) -> None:
        payload = None if body is None else body if isinstance(body, str) else json.dumps(body)
        connection.request(method, path, payload, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        if answer.status >= 400:
            raise StartError(f"recording: {method} {path} was answered with {answer.status}: {content[:500]!r}")

    fields = {"state": {"type": "keyword"}, "n": {"type": "long"}, "text": {"type": "text"}}
    one = {"number_of_shards": 1, "number_of_replicas": 0}
    call("PUT", "/tasks", {"settings": one, "mappings": {"properties": fields}})
    lines = [
        line
        for n in range(50)
        for line in ({"index": {"_id": str(n)}}, {"state": "CREATED", "n": n, "text": f"some text {n}"})
    ]
    bulk = "".join(json.dumps(line) + "\n" for line in lines)
    query = {"bool": {"must": [{"match": {"text": "text"}}], "filter": [{"range": {"n": {"gte": 3}}}]}}
    script = {"source": "ctx._source.n += params.by", "params": {"by": 2}}
    for _ in range(5):
        call("POST", "/tasks/_bulk?refresh=true", bulk)
        call("POST", "/tasks/_search?version=true", {"query": query, "sort": [{"n": "desc"}], "size": 5})
        call("POST", "/tasks/_search", {"size": 0, "aggs": {"by_state": {"terms": {"field": "state"}}}})
        call("PUT", "/tasks/_doc/1?refresh=true", {"state": "RUNNING", "n": 1})
        call("GET", "/tasks/_doc/1")
        call("POST", "/_mget", {"docs": [{"_index": "tasks", "_id": "1"}]})
        call("POST", "/tasks/_update/2", {"doc": {"state": "RUNNING"}})
        call("POST", "/tasks/_update/3", {"script": script})
    call("POST", "/tasks/_refresh")
    call("POST", "/_reindex?refresh=true", {"source": {"index": "tasks"}, "dest": {"index": "copy"}})
    call("POST", "/tasks/_update_by_query?refresh=true", {"query": query, "script": script})
    call("POST", "/tasks/_delete_by_query?refresh=true", {"query": {"term": {"state": "RUNNING"}}})
    call("DELETE", "/tasks/_doc/5")
    for path in ("/", "/_nodes", "/_cluster/settings", "/_cat/indices", "/_tasks", "/tasks/_mapping"):
        call("GET", path)
    call("DELETE", "/tasks,copy")
    for _ in range(3):
        _exercise_a_task(call)
    connection.close()


def _exercise_a_task(call: Call) -> None:
    """Do what the service does from its start to the end of its first training."""
    for path in ("/", "/_cat/plugins?format=json", "/_nodes?filter_path=nodes.*.roles"):
        call("GET", path)
    kinds = {"keyword": "state", "date": "time", "text": "error", "float": "progress", "boolean": "is_async"}
    fields: dict[str, Any] = {name: {"type": kind} for kind, name in kinds.items()}
    fields["time"]["format"] = "strict_date_time||epoch_millis"
    fields |= {"content": {"type": "binary"}, "remote_job": {"type": "flat_object"}, "count": {"type": "integer"}}
    fields["user"] = {
        "type": "nested",
        "properties": {"name": {"type": "text", "fields": {"raw": {"type": "keyword"}}}},
    }
    fields["config"] = {"properties": {"kind": {"type": "keyword"}}}
    settings = {"index": {"number_of_shards": "1", "auto_expand_replicas": "0-1"}}
    call("POST", "/one/_search?ignore_unavailable=true", {"size": 0})
    call("PUT", "/one", {"settings": settings, "mappings": {"_meta": {"schema_version": 1}, "properties": fields}})
    task = {"state": "CREATED", "time": 1_700_000_000_000, "is_async": True, "content": "e30="}
    call("PUT", "/one/_doc/t?refresh=true&op_type=create", task)
    for number, state in enumerate(("RUNNING", "COMPLETED")):
        expected = f"if_seq_no={number}&if_primary_term=1"
        call("POST", f"/one/_update/t?refresh=true&{expected}", {"doc": {"state": state}})
        call("GET", "/one/_source/t")
    wanted = "version=true&seq_no_primary_term=true&_source=true&_source_excludes=content"
    call("POST", f"/one/_search?ignore_unavailable=true&{wanted}", {"query": {"term": {"state": "COMPLETED"}}})
    call("DELETE", "/one/_doc/t?refresh=true")
    call("DELETE", "/one")


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--version", required=True)
    parser.add_argument("--cache-dir", type=Path, required=True)
    given = parser.parse_args()
    record_aot_cache(fetch(given.version, cache_dir=given.cache_dir))


if __name__ == "__main__":
    _main()
