"""The names of our indices: the plugin's own in the main namespace, others in every other. Pure.

Whoever asks in a namespace sees the plugin's names: `renamed` puts them into OpenSearch's answers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from mlcommons_tasks.store.mappings import CLUSTER_TASK_INDEX, MODEL_INDEX, TASK_INDEX
from mlcommons_tasks.store.upstream import Reply
from mlcommons_tasks.wire.media_types import MediaType, of_media_type

MAIN = "main"  #: the namespace of requests that name none
PREFIX = ".mlcommons-tasks-ns-"


@dataclass(frozen=True)
class IndexNames:
    """The indices of one namespace."""

    tasks: str = TASK_INDEX
    models: str = MODEL_INDEX
    cluster_tasks: str = CLUSTER_TASK_INDEX

    @property
    def all(self) -> tuple[str, ...]:
        """Every one of them."""
        return dataclasses.astuple(self)

    @property
    def shown(self) -> dict[str, str]:
        """What those are called that are shown under another name."""
        names = {self.tasks: TASK_INDEX, self.models: MODEL_INDEX}
        return {ours: theirs for ours, theirs in names.items() if ours != theirs}


def names_of(namespace: str) -> IndexNames:
    """Return the names of a namespace's indices."""
    if namespace == MAIN:
        return IndexNames()
    return IndexNames(*(f"{PREFIX}{namespace}-{kind}" for kind in ("task", "model", "cluster-tasks")))


def renamed(answer: Reply, names: Mapping[str, str]) -> Reply:
    """Return an answer of OpenSearch with other names of indices in it, in whichever format it is.

    In JSON and YAML a name is changed in sentences as well; in CBOR and SMILE, where each text says how long it is,
    only where it stands alone.
    """
    kind = of_media_type(answer.content_type)
    payload = answer.payload
    for ours, theirs in names.items():
        if kind is MediaType.CBOR:
            payload = payload.replace(_cbor_text(ours), _cbor_text(theirs))
        elif kind is MediaType.SMILE:
            payload = payload.replace(_smile_text(ours), _smile_text(theirs))
            payload = payload.replace(_smile_key(ours), _smile_key(theirs))
        else:
            payload = payload.replace(ours.encode(), theirs.encode())
    return answer if payload == answer.payload else dataclasses.replace(answer, payload=payload)


def _cbor_text(text: str) -> bytes:
    head = bytes([0x60 + len(text)]) if len(text) < 24 else bytes([0x78, len(text)])
    return head + text.encode()


def _smile_text(text: str) -> bytes:
    """Return an ASCII text as SMILE has it: up to 32 bytes, up to 64, or longer with an end of its own."""
    if len(text) <= 32:
        return bytes([0x40 + len(text) - 1]) + text.encode()
    if len(text) <= 64:
        return bytes([0x60 + len(text) - 33]) + text.encode()
    return b"\xe0" + text.encode() + b"\xfc"


def _smile_key(text: str) -> bytes:
    """Return an ASCII name of a field as SMILE has it when it comes first: up to 64 bytes, or longer."""
    if len(text) <= 64:
        return bytes([0x80 + len(text) - 1]) + text.encode()
    return b"\x34" + text.encode() + b"\xfc"
