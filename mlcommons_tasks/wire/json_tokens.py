"""JSON as OpenSearch's parser sees it: one token after the other, and where each stands. Pure.

Slow and exact; callers try `json.loads` first and come here when something does not fit. Comments are allowed,
a repeated key is an error, and what follows the root value is never looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from mlcommons_tasks.wire.json_scanner import JsonScanner, Lexeme, beyond, position, unquote

__all__ = ["JsonTokens", "Lexeme", "Token", "position", "token_at"]

MAX_DEPTH, MAX_NAME_LENGTH = 1000, 50_000


class Token(NamedTuple):
    """Where a value stands and what OpenSearch calls it, such as VALUE_NULL at 1:11."""

    line: int
    col: int
    name: str


@dataclass
class _Context:
    kind: str  # Object or Array
    start: int
    names: set[str] = field(default_factory=set)
    empty: bool = True


class JsonTokens(JsonScanner):
    """A pull parser over a payload; `next()` gives one token after the other, None at the end of the root value.

    Raises JsonParseError in Jackson's words where the payload stops being JSON, and a 500
    `stream_constraints_exception` beyond Jackson's limits. As in Jackson a string's inside is only looked at
    when it is asked for or passed over, and the token after a key is read together with the key.
    """

    def __init__(self, payload: bytes) -> None:
        super().__init__(payload)
        self.field_name: str | None = None
        self._stack: list[_Context] = []
        self._ahead: Lexeme | None = None
        self._names: list[str | None] = []

    def next(self) -> Lexeme | None:
        """Step to the next token and return it."""
        self.check()
        if self._ahead is not None:
            self.token, self._ahead = self._ahead, None
            return self._entered(self.token)
        if not self._stack and self.token is not None:
            self.token = None
            return None
        at = self._skip_white()
        if at == len(self.payload):
            self._end_of_input(at)
            self.token = None
            return None
        if self.payload[at] in b"]}":
            self.token = self._close(at)
            return self.token
        if not self._stack:
            self.token = self._value(at)
            return self._entered(self.token)
        return self._entry(at, self._stack[-1])

    def check(self) -> None:
        """Raise what is wrong inside the current string token, if anything is."""
        if self._broken is not None and self._broken[0] is self.token:
            raise self._broken[1]

    def skip_children(self) -> None:
        """Step to the end of the object or array that starts here; do nothing elsewhere."""
        if self.token is None or self.token.jackson_name not in ("START_OBJECT", "START_ARRAY"):
            return
        depth = len(self._stack)
        while len(self._stack) >= depth:
            self.next()

    def text(self) -> str:
        """Return a string's characters, or any other token as it is written."""
        self.check()
        assert self.token is not None  # noqa: S101 - the callers' invariant
        raw = self.payload[self.token.start : self.token.end]
        return unquote(raw) if self.token.jackson_name == "VALUE_STRING" else raw.decode("utf-8", "replace")

    @property
    def read_to(self) -> int:
        """How far the input has been read: the offset Jackson names in an error about the current token."""
        return self._at if self.token is None else self.token.end

    def _entered(self, token: Lexeme) -> Lexeme:
        if token.jackson_name in ("START_OBJECT", "START_ARRAY"):
            if len(self._stack) == MAX_DEPTH:
                raise beyond("Document nesting depth", MAX_DEPTH + 1, MAX_DEPTH, "NestingDepth")
            self._inside = "Object" if token.jackson_name == "START_OBJECT" else "Array"
            self._stack.append(_Context(self._inside, token.start))
            self._names.append(self.field_name)
            self.field_name = None
        return token

    def _entry(self, at: int, context: _Context) -> Lexeme:
        if not context.empty:
            if self.payload[at] != 0x2C:
                raise self._unexpected(at, f": was expecting comma to separate {context.kind} entries", raw=True)
            self._at = at + 1
            at = self._skip_white()
            if at == len(self.payload):
                raise self._error(f"Unexpected end-of-input within/between {context.kind} entries", at)
        context.empty = False
        if context.kind == "Array":
            self.token = self._value(at)
            return self._entered(self.token)
        self.token = self._key(at, context)
        colon = self._skip_white()
        if colon == len(self.payload):
            raise self._end(" within/between Object entries", colon)
        if self.payload[colon] != 0x3A:
            raise self._unexpected(colon, ": was expecting a colon to separate field name and value", raw=True)
        self._at = colon + 1
        value = self._skip_white()
        if value == len(self.payload):
            raise self._end(" within/between Object entries", value)
        self._ahead = self._value(value)
        return self.token

    def _close(self, at: int) -> Lexeme:
        mark = chr(self.payload[at])
        kind = "Object" if mark == "}" else "Array"
        if not self._stack:
            raise self._error(f"Unexpected close marker '{mark}': no open {kind} to close", at)
        context = self._stack[-1]
        if context.kind != kind:
            other = "}" if context.kind == "Object" else "]"
            place = self._source(context.start)
            message = f"Unexpected close marker '{mark}': expected '{other}' (for {context.kind} starting at {place})"
            raise self._error(message, at)
        self._stack.pop()
        self._inside = self._stack[-1].kind if self._stack else None
        self.field_name = self._names.pop()
        self._at = at + 1
        return Lexeme(f"END_{kind.upper()}", at, at + 1)

    def _key(self, at: int, context: _Context) -> Lexeme:
        if self.payload[at] != 0x22:
            raise self._unexpected(at, ": was expecting double-quote to start field name")
        end, error = self._string_end(at, "name", " in field name")
        if error is not None:
            raise error
        name = unquote(self.payload[at:end])
        if len(name) > MAX_NAME_LENGTH:
            raise beyond("Name length", len(name), MAX_NAME_LENGTH, "NameLength")
        if name in context.names:
            raise self._error(f"Duplicate field '{name}'", end)
        context.names.add(name)
        self.field_name = name
        self._at = end
        return Lexeme("FIELD_NAME", at, end)

    def _end_of_input(self, at: int) -> None:
        if self._stack:
            context = self._stack[-1]
            place = self._source(context.start)
            raise self._end(f": expected close marker for {context.kind} (start marker at {place})", at)


def token_at(payload: bytes, path: Sequence[str | int]) -> Token | None:
    """Return the token of the value at `path` (keys and indices from the root), None if there is no such value.

    Raises JsonParseError if the payload breaks off before it.
    """
    tokens = JsonTokens(payload)
    tokens.next()
    for step in path:
        if not _step_into(tokens, step):
            return None
    if tokens.token is None:
        return None
    return Token(*position(payload, tokens.token.start), tokens.token.name)


def _step_into(tokens: JsonTokens, step: str | int) -> bool:
    kind = "START_OBJECT" if isinstance(step, str) else "START_ARRAY"
    if tokens.token is None or tokens.token.name != kind:
        return False
    index = 0
    while (token := tokens.next()) is not None and not token.name.startswith("END_"):
        key: str | int | None = index
        if isinstance(step, str):
            key = tokens.field_name
            tokens.next()
        if key == step:
            return True
        tokens.skip_children()
        index += 1
    return False
