"""JSON read into typed structs, from any thread.

msgspec 0.22 crashes the process where several threads are the first to read a type; so one does, and the others wait.
"""

from __future__ import annotations

import re
import threading
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

Told = TypeVar("Told")

_lock = threading.Lock()
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}
_NO_SUCH_VALUE = "Invalid enum value"  #: how msgspec's message begins, which does not say what there is
_PLACE = re.compile(r"at `\$(.*)`")
_PART = re.compile(r"\.([^.\[]+)|\[[^]]*\]")


def decode(payload: bytes | str, kind: type[Told]) -> Told:
    """Return JSON as a type.

    Raises:
        msgspec.DecodeError: it is no JSON, or not of the type; the message names the field.
    """
    decoder = _decoder_of(kind)
    try:
        found: Told = decoder.decode(payload)
    except msgspec.ValidationError as error:
        raise msgspec.ValidationError(_with_values(str(error), kind)) from error
    return found


def convert(value: Any, kind: type[Told]) -> Told:
    """Return parsed JSON as a type.

    Raises:
        msgspec.ValidationError: it is not of the type; the message names the field.
    """
    _decoder_of(kind)  # knows the type from then on
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise msgspec.ValidationError(_with_values(str(error), kind)) from error


def _decoder_of(kind: Any) -> msgspec.json.Decoder[Any]:
    found = _decoders.get(kind)
    if found is None:
        with _lock:
            found = _decoders[kind] = _decoders.get(kind) or msgspec.json.Decoder(kind)
    return found


def _with_values(message: str, kind: Any) -> str:
    """Return a message of msgspec, with what a value may be where it is none of a few."""
    place = _PLACE.search(message)
    if not message.startswith(_NO_SUCH_VALUE):
        return message
    types = _choices(inspect.type_info(kind))
    for part in _PART.finditer(place[1] if place else ""):
        types = [choice for one in types for inner in _inside(one, part[1]) for choice in _choices(inner)]
    values = sorted({str(value) for one in types for value in _values(one)})
    return f"{message}; there are {', '.join(values)}" if values else message


def _choices(one: inspect.Type) -> list[inspect.Type]:
    while isinstance(one, inspect.Metadata):
        one = one.type
    return [choice for each in one.types for choice in _choices(each)] if isinstance(one, inspect.UnionType) else [one]


def _inside(one: inspect.Type, field: str | None) -> list[inspect.Type]:
    """Return the type of a field, or without its name those of the members."""
    if isinstance(one, inspect.StructType):
        return [each.type for each in one.fields if each.encode_name == field]
    if field is not None:
        return []
    if isinstance(one, inspect.TupleType):
        return list(one.item_types)
    if isinstance(one, inspect.CollectionType):
        return [one.item_type]
    return [one.value_type] if isinstance(one, inspect.DictType) else []


def _values(one: inspect.Type) -> list[Any]:
    if isinstance(one, inspect.EnumType):
        return [member.value for member in one.cls]
    return list(one.values) if isinstance(one, inspect.LiteralType) else []
