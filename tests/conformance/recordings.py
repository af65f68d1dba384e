"""Reads and writes `fixtures/recordings/<version>/<topic>.json`. Bodies are kept parsed where that is enough."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .cases import Case
from .player import Reply

RECORDINGS = Path(__file__).parents[2] / "fixtures" / "recordings"
VERSION = "3.6.0"  #: whose answers the service gives unless it is told otherwise
VERSIONS = ("2.19.1", VERSION)


class NotRecordedError(AssertionError):
    """A case has no recording, or has changed since."""


@dataclass(frozen=True)
class Recording:
    """What one node answered to the cases of one topic."""

    recorded: str
    opensearch: str
    ml_commons: str
    cases: Mapping[str, Any]

    def replies(self, case: Case) -> list[Reply]:
        """Give the recorded replies of a case."""
        entry = self.cases.get(case.name)
        if entry is None:
            raise NotRecordedError(f"{case.id} has no recording: run python -m tests.conformance.recorder")
        if entry["case"] != case.digest:
            raise NotRecordedError(f"{case.id} has changed since it was recorded: record it again")
        return [_reply(step.request, written) for step, written in zip(case.compared, entry["replies"], strict=True)]


def read(topic: str, folder: Path) -> Recording:
    """Read the recording of a topic; an empty one when there is none."""
    path = folder / f"{topic}.json"
    if not path.exists():
        return Recording("", "", "", {})
    written = json.loads(path.read_text("utf-8"))
    return Recording(written["recorded"], written["opensearch"], written["ml_commons"], written["cases"])


def write(topic: str, folder: Path, about: Mapping[str, str], cases: Sequence[tuple[Case, list[Reply]]]) -> Path:
    """Write the recording of a topic."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = {
        case.name: {"case": case.digest, "replies": [_written(reply) for reply in replies]} for case, replies in cases
    }
    path = folder / f"{topic}.json"
    path.write_text(json.dumps({**about, "cases": entries}, ensure_ascii=False, indent=1) + "\n", "utf-8")
    return path


def _written(reply: Reply) -> dict[str, Any]:
    written: dict[str, Any] = {"request": reply.request, "status": reply.status, "headers": reply.headers}
    if reply.text is None:
        return {**written, "base64": reply.base64}
    try:
        value = json.loads(reply.text)
    except ValueError:
        return {**written, "text": reply.text}
    if _compact(value) != reply.text:
        written["text"] = reply.text
    return {**written, "json": value}


def _reply(request: str, written: Mapping[str, Any]) -> Reply:
    if written["request"] != request:
        raise NotRecordedError(f"recorded {written['request']} where the case has {request}")
    headers = dict(written["headers"])
    if "base64" in written:
        return Reply(request, written["status"], headers, None, written["base64"])
    text = written["text"] if "text" in written else _compact(written["json"])
    return Reply(request, written["status"], headers, text)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
