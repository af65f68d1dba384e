"""What the plugin's parsers of stored documents have in common: fields in a loop, enums, texts, users. Pure.

Source: ml-commons 3.6.0 `MLTask.parse`, `MLModel.parse`; common-utils `User.parse`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mlcommons_tasks.errors import IllegalArgument, ServerError
from mlcommons_tasks.java import hash_map
from mlcommons_tasks.versions import Profile
from mlcommons_tasks.wire.json_reader import JsonReader

Reader = Callable[[JsonReader], Any]

_LISTS_OF_USER = ("backend_roles", "roles", "custom_attribute_names")
_BEFORE_FIELDS = 2  #: Java's variables of a parser that are no field: the parser itself, and the field's name


def read_fields(reader: JsonReader, known: Mapping[str, Reader], local: int, *, skips: bool = True) -> dict[str, Any]:
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


def local_of_name(fields: int) -> int:
    """Return the number of Java's variable for a field's name in a parser that has a variable for each field."""
    return fields + _BEFORE_FIELDS


def user_reader(profile: Profile) -> Reader:
    """Return a reader of a `user` object, standing on its start, that gives it as the plugin renders it."""
    readers: dict[str, Reader] = {
        "name": JsonReader.string,
        "backend_roles": read_texts,
        "roles": read_texts,
        "custom_attribute_names": _attributes if profile.user_attributes_have_values else read_texts,
        "user_requested_tenant": text_or_null,
        "user_requested_tenant_access": text_or_null,
    }
    known = {name: readers[name] for name in profile.user_fields}

    def read(reader: JsonReader) -> dict[str, Any]:
        empty: dict[str, Any] = {"name": "", **{name: [] for name in _LISTS_OF_USER}}
        found = read_fields(reader, known, local_of_name(len(known)), skips=False)
        return {name: found.get(name, empty.get(name)) for name in known}

    return read


def function_reader(profile: Profile) -> Reader:
    """Return a reader of a function's name, in whatever case it is written; IllegalArgument if there is none."""

    def read(reader: JsonReader) -> str:
        name = reader.string().upper()
        if name not in profile.function_names:
            raise IllegalArgument("Wrong function name")
        return name

    return read


def constant_of(names: Iterable[str], java_name: str) -> Reader:
    """Return a reader of an enum's constant that complains as Java's valueOf does."""
    known = frozenset(names)

    def read(reader: JsonReader) -> str:
        name = reader.string()
        if name not in known:
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
    """Return an object in the order of a Java map; anything else is an empty one, and a list is not stepped over.

    Where it is asked for at a field's name, which a list before it leads to, the fields from there on are the map.
    """
    if reader.token is not None and reader.token.name == "START_OBJECT":
        return dict(hash_map(reader.value()))
    token = reader.token
    while token is not None and token.name == "FIELD_NAME":
        reader.next()
        reader.skip_children()
        token = reader.next()
    return {}


def _attributes(reader: JsonReader) -> list[str]:
    attributes = read_texts(reader)
    for attribute in attributes:
        if "=" not in attribute:
            raise IllegalArgument(f"No '=' present: {attribute}")
    return attributes
