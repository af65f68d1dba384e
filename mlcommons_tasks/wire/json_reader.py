"""Typed reading of JSON tokens with OpenSearch's coercions and complaints. Pure.

Source: OpenSearch 3.6.0 `AbstractXContentParser`, `JsonXContentParser`, `XContentParserUtils`, seen from outside.
"""

from __future__ import annotations

import math
import re
import struct
from typing import Any

from mlcommons_tasks.errors import BadRequest, IllegalArgument, JsonParseError, ParsingError, ServerError
from mlcommons_tasks.java import java_repr
from mlcommons_tasks.wire.json_tokens import JsonTokens, Lexeme

_NUMERIC = ("VALUE_NUMBER_INT", "VALUE_NUMBER_FLOAT")
_INT = (-(2**31), 2**31 - 1)
_LONG = (-(2**63), 2**63 - 1)
_SHORT = (-(2**15), 2**15 - 1)
_JAVA_DOUBLE = re.compile(r"[+-]?(?:NaN|Infinity|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fFdD]?)")


class JsonReader(JsonTokens):
    """A pull parser whose accessors read the current token as OpenSearch's XContentParser does."""

    def expect(self, name: str) -> None:
        """Raise a ParsingError unless the current token is `name`, such as START_ARRAY."""
        found = None if self.token is None else self.token.name
        if found != name:
            if self.token is None:
                line, col = self.place(len(self.payload))[0], 0
            else:
                line, col = self.place(self.token.start)
            shown = "null" if found is None else found
            message = f"Failed to parse object: expecting token of type [{name}] but found [{shown}]"
            raise ParsingError(message, line, col)

    def string(self) -> str:
        """Return a string, or a number or boolean as it is written; else a 500 `illegal_state_exception`."""
        token = self._current()
        if token.jackson_name == "VALUE_NULL" or not token.jackson_name.startswith("VALUE_"):
            line, col = self.place(token.start)
            message = f"Can't get text on a {token.name} at {line}:{col}"
            raise ServerError(message, type="illegal_state_exception")
        return self.text()

    def boolean(self) -> bool:
        """Return a boolean; the strings true, false and the empty one count as such."""
        token = self._current()
        if token.jackson_name == "VALUE_STRING":
            text = self.text()
            if text not in ("true", "false", ""):
                raise IllegalArgument(f"Failed to parse value [{text}] as only [true] or [false] are allowed.")
            return text == "true"
        if token.name != "VALUE_BOOLEAN":
            raise self._complaint(f"Current token ({token.jackson_name}) not of boolean type")
        return token.jackson_name == "VALUE_TRUE"

    def integer(self, *, coerce: bool = True) -> int:
        """Return a 32-bit integer; with `coerce` a string counts and fractions are cut off."""
        return self._whole("integer", _INT, coerce=coerce)

    def short(self) -> int:
        """Return a 16-bit integer, coerced."""
        return self._whole("short", _SHORT)

    def long(self, *, coerce: bool = True) -> int:
        """Return a 64-bit integer; with `coerce` a string counts and fractions are cut off."""
        return self._whole("long", _LONG, coerce=coerce)

    def double(self, *, coerce: bool = True) -> float:
        """Return a double; with `coerce` strings count, numbers beyond its range are infinite."""
        if self._current().jackson_name == "VALUE_STRING":
            if not coerce:
                raise IllegalArgument("Double value passed as String")
            return java_double(self.text())
        return _as_float(self._numeric())

    def single(self) -> float:
        """Return a double with the precision of a float."""
        value = self.double()
        try:
            return float(struct.unpack("f", struct.pack("f", value))[0])
        except OverflowError:
            return math.copysign(math.inf, value)

    def value(self) -> Any:
        """Return the value that starts here and step to its last token."""
        root: list[Any] = []
        stack: list[tuple[Any, str | None]] = [(root, None)]
        while True:
            token = self._current()
            name = token.jackson_name
            if name.startswith("END_"):
                stack.pop()
            else:
                self._put(stack, name)
            if len(stack) == 1:
                return root[0]
            if self.next() is None:
                raise AssertionError("the tokens end inside a value")

    def _put(self, stack: list[tuple[Any, str | None]], name: str) -> None:
        holder, key = stack[-1]
        if name == "FIELD_NAME":
            stack[-1] = (holder, self.field_name)
            return
        item: Any
        if name == "START_OBJECT":
            item = {}
        elif name == "START_ARRAY":
            item = []
        elif name in _NUMERIC:
            item = self._numeric()
        elif name == "VALUE_STRING":
            item = self.text()
        else:
            item = {"VALUE_TRUE": True, "VALUE_FALSE": False, "VALUE_NULL": None}[name]
        if isinstance(holder, list):
            holder.append(item)
        else:
            holder[key] = item
        if name.startswith("START_"):
            stack.append((item, None))

    def _whole(self, word: str, bounds: tuple[int, int], *, coerce: bool = True) -> int:
        token = self._current()
        if token.jackson_name == "VALUE_STRING":
            if not coerce:
                raise IllegalArgument(f"{word.capitalize()} value passed as String")
            return _whole_from_text(self.text(), word, bounds)
        number = self._numeric()
        wide = _LONG if word == "long" else _INT
        if not wide[0] <= number <= wide[1]:
            raise self._out_of_range(f"of {'long' if word == 'long' else 'int'} ({wide[0]} - {wide[1]})")
        if not bounds[0] <= int(number) <= bounds[1]:
            raise self._out_of_range("of Java short")
        if not coerce and number != int(number):
            lost = f"{java_repr(float(number))} cannot be converted to {word.capitalize()} without data loss"
            raise IllegalArgument(lost)
        return int(number)

    def _numeric(self) -> int | float:
        token = self._current()
        if token.jackson_name not in _NUMERIC:
            raise self._complaint(
                f"Current token ({token.jackson_name}) not numeric, can not use numeric value accessors"
            )
        raw = self.payload[token.start : token.end]
        return int(raw) if token.jackson_name == "VALUE_NUMBER_INT" else float(raw)

    def _out_of_range(self, what: str) -> JsonParseError:
        raw = self.text()
        if len(raw) >= 1000 and self._current().jackson_name == "VALUE_NUMBER_INT":
            raw = f"[Integer with {len(raw)} digits]"
        message = f"Numeric value ({raw}) out of range {what}"
        return JsonParseError(self.located(message, self.read_to), type="input_coercion_exception")

    def _complaint(self, message: str) -> JsonParseError:
        return JsonParseError(self.located(message, self.read_to))

    def _current(self) -> Lexeme:
        if self.token is None:
            raise AssertionError("there is no current token")
        return self.token


class DocumentReader(JsonReader):
    """A reader of a stored source: the plugin parses it as a text, so columns count UTF-16 units, not bytes."""

    def place(self, offset: int) -> tuple[int, int]:
        """Return line and column of a byte offset."""
        line, col = super().place(offset)
        before = self.payload[offset - col + 1 : offset].decode("utf-8", "replace")
        return line, len(before.encode("utf-16-le")) // 2 + 1


def java_double(text: str) -> float:
    """Parse as Java's Double.parseDouble does; a 400 `number_format_exception` for anything else."""
    stripped = text.strip(" \t\r\n\x00\x0b\x0c")
    if not stripped:
        raise BadRequest("empty String", type="number_format_exception")
    if not _JAVA_DOUBLE.fullmatch(stripped):
        raise BadRequest(f'For input string: "{text}"', type="number_format_exception")
    return float(stripped if stripped.endswith(("NaN", "Infinity")) else stripped.rstrip("fFdD"))


def _as_float(number: int | float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _whole_from_text(text: str, word: str, bounds: tuple[int, int]) -> int:
    try:
        number = java_double(text)
    except BadRequest as error:
        if word == "long":
            raise IllegalArgument(f'For input string: "{text}"') from error
        raise
    if math.isnan(number):
        return 0
    if math.isfinite(number) and word == "long" and re.fullmatch(r"[+-]?[0-9]+", text):
        number = int(text)
    if not bounds[0] <= number <= bounds[1]:
        raise IllegalArgument(f"Value [{text}] is out of range for {'an' if word == 'integer' else 'a'} {word}")
    return int(number)
