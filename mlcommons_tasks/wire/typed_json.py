"""JSON read into typed structs, from any thread.

msgspec 0.22 crashes the process where several threads are the first to read a type; so one does, and the others wait.
"""

from __future__ import annotations

import threading
from typing import Any, TypeVar

import msgspec

Told = TypeVar("Told")

_lock = threading.Lock()
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


def decode(payload: bytes | str, kind: type[Told]) -> Told:
    """Return JSON as a type.

    Raises:
        msgspec.DecodeError: it is no JSON, or not of the type; the message names the field.
    """
    found: Told = _decoder_of(kind).decode(payload)
    return found


def convert(value: Any, kind: type[Told]) -> Told:
    """Return parsed JSON as a type.

    Raises:
        msgspec.ValidationError: it is not of the type; the message names the field.
    """
    _decoder_of(kind)  # knows the type from then on
    return msgspec.convert(value, kind)


def _decoder_of(kind: Any) -> msgspec.json.Decoder[Any]:
    found = _decoders.get(kind)
    if found is None:
        with _lock:
            found = _decoders[kind] = _decoders.get(kind) or msgspec.json.Decoder(kind)
    return found
