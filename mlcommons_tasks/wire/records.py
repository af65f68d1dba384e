"""What the plugin's parsers of stored documents have in common: fields in a loop, enums, texts, users. Pure.

Source: ml-commons 3.6.0 `MLTask.parse`, `MLModel.parse`; common-utils `User.parse`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar

from mlcommons_tasks.errors import IllegalArgument, ServerError
from mlcommons_tasks.java import hash_map
from mlcommons_tasks.task import FunctionName
from mlcommons_tasks.wire.json_reader import JsonReader

Member = TypeVar("Member", bound=Enum)
Reader = Callable[[JsonReader], Any]

_USER_LOCAL = 8  #: where `User.parse` keeps a field's name; Java says so when it is null


def read_fields(reader: JsonReader, known: dict[str, Reader], local: int, *, skips: bool = True) -> dict[str, Any]:
    """Read an object that starts here, as far as `known` has a reader for its fields; others are stepped over.

    A parser that does not skip (`skips`) takes what is inside an unknown field for fields of its own, and its end
    for the end of all. `local` is the number of Java's variable for a field's name.

    Raises:
        ServerError: the plugin's `null_pointer_exception` where it stands in a list and asks for a field's name.
    """
    reader.expect("START_OBJECT")
    found: dict[str, Any] = {}
    while True:
        token = reader.next()
        if token is not None and token.name == "END_OBJECT":
            return found
        name = reader.field_name
        if token is None or name is None:
            reason = f'Cannot invoke "String.hashCode()" because "<local{local}>" is null'
            raise ServerError(reason, type="null_pointer_exception")
        reader.next()
        if name in known:
            found[name] = known[name](reader)
        elif skips:
            reader.skip_children()


def read_user(reader: JsonReader) -> dict[str, Any]:
    """Return a `user` object as the plugin renders it; the reader stands on its start."""
    found = read_fields(reader, _USER_READERS, _USER_LOCAL, skips=False)
    return {
        "name": found.get("name", ""),
        "backend_roles": found.get("backend_roles", []),
        "roles": found.get("roles", []),
        "user_requested_tenant": found.get("user_requested_tenant"),
        "user_requested_tenant_access": found.get("user_requested_tenant_access"),
        "custom_attribute_names": found.get("custom_attribute_names", []),
    }


def read_function_name(reader: JsonReader) -> str:
    """Return a function's name, in whatever case it is written.

    Raises:
        IllegalArgument: there is no such function.
    """
    name = reader.string().upper()
    if name not in FunctionName.__members__:
        raise IllegalArgument("Wrong function name")
    return name


def constant_of(kind: type[Member], java_name: str) -> Reader:
    """Return a reader of an enum's constant that complains as Java's valueOf does."""

    def read(reader: JsonReader) -> str:
        name = reader.string()
        if name not in kind.__members__:
            raise IllegalArgument(f"No enum constant {java_name}.{name}")
        return name

    return read


def read_texts(reader: JsonReader) -> list[str]:
    """Return a list of texts."""
    reader.expect("START_ARRAY")
    texts: list[str] = []
    while (token := reader.next()) is not None and token.name != "END_ARRAY":
        texts.append(reader.string())
    return texts


def text_or_null(reader: JsonReader) -> str | None:
    """Return a text, or None for a null."""
    return None if reader.token is not None and reader.token.name == "VALUE_NULL" else reader.string()


def read_map(reader: JsonReader) -> dict[str, Any]:
    """Return an object in the order of a Java map; anything else is an empty one, and a list is not stepped over."""
    if reader.token is not None and reader.token.name == "START_OBJECT":
        return dict(hash_map(reader.value()))
    return {}


def _attributes(reader: JsonReader) -> list[str]:
    attributes = read_texts(reader)
    for attribute in attributes:
        if "=" not in attribute:
            raise IllegalArgument(f"No '=' present: {attribute}")
    return attributes


_USER_READERS: dict[str, Reader] = {
    "name": JsonReader.string,
    "backend_roles": read_texts,
    "roles": read_texts,
    "custom_attribute_names": _attributes,
    "user_requested_tenant": text_or_null,
    "user_requested_tenant_access": text_or_null,
}
