"""Cases as data: reads and checks `cases/*.json`, a file per topic. Knows no HTTP and no recordings.

README.md beside this file describes the format.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CASES = Path(__file__).parent / "cases"
FRAGMENTS = "setups.json"  # not a topic: named lists of setup steps

_STEP_KEYS = {
    "request", "headers", "json", "text", "base64", "ndjson", "points", "store",
    "save", "until", "compare", "volatile", "replace", "because", "encoding", "headers_compared", "raw", "probe",
}  # fmt: skip
_CASE_KEYS = {"name", "indices", "setup", "steps", "versions", "because"}
_PLACEHOLDER = re.compile(r"\$\{(?:(?P<char>[^}])\*(?P<times>\d+)|(?P<name>[a-z_0-9]+))\}")


class CaseError(ValueError):
    """A case file says something that the format does not have."""


@dataclass(frozen=True)
class Step:
    """One request and how its reply is looked at."""

    method: str
    path: str
    headers: Mapping[str, str | None]
    body: bytes | None
    save: Mapping[str, str]
    until: Mapping[str, Any] | None
    compare: bool
    #: JSON path -> why its value cannot be the same twice
    volatile: Mapping[str, str]
    #: patterns replaced in the text, for what no JSON path reaches
    replace: tuple[Mapping[str, str], ...]
    #: headers compared beside those that always are
    headers_compared: tuple[str, ...] = ()
    #: instead of a request: bytes to send on one connection, and numbers of replies to read
    raw: tuple[bytes | int, ...] = ()
    #: find out whether the connection of a raw step still serves
    probe: bool = True

    @property
    def request(self) -> str:
        """The request line as the case wrote it."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Case:
    """Steps that start from a node without ML indices and need no other case."""

    topic: str
    name: str
    indices: tuple[str, ...]
    setup: tuple[Step, ...]
    steps: tuple[Step, ...]
    #: the first version that the case makes sense for; empty for every version
    since: tuple[int, ...]
    #: the case as written, fragments filled in; a value found here was given, hence is never volatile
    literal: str = field(repr=False)

    @property
    def id(self) -> str:
        """Topic and name, unique."""
        return f"{self.topic}::{self.name}"

    def is_for(self, version: str) -> bool:
        """Say whether the case makes sense for a version of ML Commons, such as `2.19.1`."""
        return tuple(int(number) for number in version.split(".")) >= self.since

    @property
    def digest(self) -> str:
        """Changes with the case, so a recording of what it was before is not taken for one of what it is."""
        return hashlib.sha256(self.literal.encode()).hexdigest()[:12]

    @property
    def compared(self) -> tuple[Step, ...]:
        """The steps whose replies are recorded."""
        return tuple(step for step in self.steps if step.compare)


def fill(text: str, values: Mapping[str, str]) -> str:
    """Replace `${name}` by the saved value and `${a*513}` by 513 times `a`."""

    def value(match: re.Match[str]) -> str:
        if match["char"] is not None:
            return match["char"] * int(match["times"])
        try:
            return values[match["name"]]
        except KeyError:
            raise CaseError(f"nothing was saved as {match['name']}") from None

    return _PLACEHOLDER.sub(value, text)


def topics(folder: Path = CASES) -> list[str]:
    """The topics, sorted."""
    return sorted(path.stem for path in folder.glob("*.json") if path.name != FRAGMENTS)


def load(topic: str, folder: Path = CASES, *, version: str | None = None) -> list[Case]:
    """Read the cases of one topic, in the order of its file; with `version` those that make sense for it."""
    fragments = json.loads((folder / FRAGMENTS).read_text("utf-8")) if (folder / FRAGMENTS).exists() else {}
    found = [_case(topic, written, fragments) for written in json.loads((folder / f"{topic}.json").read_text("utf-8"))]
    names = [case.name for case in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise CaseError(f"{topic}: names used twice: {sorted(twice)}")
    return [case for case in found if version is None or case.is_for(version)]


def load_all(folder: Path = CASES, *, version: str | None = None) -> list[Case]:
    """Read every case, or those that make sense for a version."""
    return [case for topic in topics(folder) for case in load(topic, folder, version=version)]


def _case(topic: str, written: dict[str, Any], fragments: dict[str, list[Any]]) -> Case:
    where = f"{topic}::{written.get('name')}"
    _known(where, written, _CASE_KEYS)
    setup = list(_expanded(where, written.get("setup", []), fragments))
    steps = list(_expanded(where, written["steps"], fragments))
    case = Case(
        topic=topic,
        name=written["name"],
        indices=tuple(written.get("indices", [])),
        setup=tuple(_step(where, step) for step in setup),
        steps=tuple(_step(where, step) for step in steps),
        since=_since(where, written),
        literal=json.dumps([setup, steps, written.get("indices", [])], ensure_ascii=False, sort_keys=False),
    )
    if not case.compared:
        raise CaseError(f"{where}: compares nothing")
    return case


def _since(where: str, written: dict[str, Any]) -> tuple[int, ...]:
    if "versions" not in written:
        return ()
    found = re.fullmatch(r">=(\d+)\.(\d+)", written["versions"])
    if found is None or "because" not in written:
        raise CaseError(f"{where}: versions must look like >=3.0, and needs a because")
    return int(found[1]), int(found[2])


def _expanded(where: str, written: list[Any], fragments: dict[str, list[Any]]) -> Iterator[dict[str, Any]]:
    for step in written:
        if not isinstance(step, str):
            yield step
        elif step in fragments:
            yield from _expanded(where, fragments[step], fragments)
        else:
            raise CaseError(f"{where}: {FRAGMENTS} has no {step}")


def _step(where: str, written: dict[str, Any]) -> Step:
    _known(where, written, _STEP_KEYS)
    if "raw" in written:
        return _raw_step(where, written)
    request, headers, body = _request(written)
    if "encoding" in written and body is not None:
        body = {"gzip": lambda payload: gzip.compress(payload, mtime=0), "deflate": zlib.compress}[written["encoding"]](
            body
        )
        headers = {**headers, "Content-Encoding": written["encoding"]}
    method, separator, path = request.partition(" ")
    if not separator or not path.startswith("/"):
        raise CaseError(f"{where}: {request!r} is not a method and a path")
    compare = written.get("compare", True)
    if compare is False and "because" not in written and "store" not in written and "points" not in written:
        raise CaseError(f"{where}: {request}: compare false needs a because")
    return Step(
        method=method,
        path=path,
        headers={**headers, **written.get("headers", {})},
        body=body,
        save=written.get("save", {}),
        until=written.get("until"),
        compare=compare,
        volatile=written.get("volatile", {}),
        replace=tuple(written.get("replace", [])),
        headers_compared=tuple(written.get("headers_compared", [])),
    )


def _raw_step(where: str, written: dict[str, Any]) -> Step:
    """Give a step that is bytes on a connection; `request` is what it is called. One reply is read unless it says."""
    if {"json", "text", "base64", "ndjson", "headers", "save", "until"} & set(written):
        raise CaseError(f"{where}: a raw step is all in its bytes")
    method, _, path = written["request"].partition(" ")
    script = [item if isinstance(item, int) else _bytes_of(item) for item in written["raw"]]
    if not isinstance(script[-1], int):
        script.append(1)
    return Step(
        method=method,
        path=path,
        headers={},
        body=None,
        save={},
        until=None,
        compare=True,
        volatile=written.get("volatile", {}),
        replace=tuple(written.get("replace", [])),
        headers_compared=tuple(written.get("headers_compared", [])),
        raw=tuple(script),
        probe=written.get("probe", True),
    )


def _bytes_of(item: str | dict[str, str]) -> bytes:
    return fill(item, {}).encode("latin-1") if isinstance(item, str) else base64.b64decode(item["base64"])


def _request(written: dict[str, Any]) -> tuple[str, dict[str, str | None], bytes | None]:
    """Give the request line, the default headers and the body of one written step."""
    if "store" in written:  # a document written past every API, as a client with access to the index could
        store = written["store"]
        index = store.get("index", ".plugins-ml-task")
        return f"PUT /{index}/_doc/{store['id']}?refresh=true", _JSON, _dumped(store["source"])
    if "points" in written:  # rows for training, too many to write down
        points = written["points"]
        lines = (
            '{"index":{}}\n' + json.dumps({"x": i % 97, "y": (i * 7) % 89 + 0.5}) + "\n" for i in range(points["count"])
        )
        return f"POST /{points['index']}/_bulk?refresh=true", _NDJSON, "".join(lines).encode()
    request = written["request"]
    if "json" in written:
        return request, _JSON, _dumped(written["json"])
    if "ndjson" in written:
        return request, _NDJSON, b"".join(_dumped(line) + b"\n" for line in written["ndjson"])
    if "text" in written:
        return request, _JSON, written["text"].encode()
    if "base64" in written:
        return request, {}, base64.b64decode(written["base64"])
    return request, {}, None


_JSON: dict[str, str | None] = {"Content-Type": "application/json"}
_NDJSON: dict[str, str | None] = {"Content-Type": "application/x-ndjson"}


def _dumped(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _known(where: str, written: dict[str, Any], keys: set[str]) -> None:
    if unknown := set(written) - keys:
        raise CaseError(f"{where}: unknown keys {sorted(unknown)}")
