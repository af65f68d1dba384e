"""The characters of JSON: strings, numbers, words, white space, and Jackson's sentences where they break. Pure.

Observed on OpenSearch 3.6.0 (Jackson 2.x over UTF-8 bytes): lines and columns count from 1, columns are bytes.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from mlcommons_tasks.errors import JsonParseError, ServerError

SOURCE = "[Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled);"
MAX_NUMBER_LENGTH = 1000

_EXPECTED = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
_WHITE = re.compile(rb"[ \t\r\n]*")
_NEWLINE = re.compile(rb"\r\n|\r|\n")
_CHARS = rb"""(?:[^"\\\x00-\x1f\x80-\xff]+|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})"""
_CHARS += rb"""|[\xc0-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf7][\x80-\xbf]{3})*"""
_STRING = re.compile(_CHARS)
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WORD = re.compile(r"[\w$]*")
_LITERALS = {b"t": (b"true", "VALUE_TRUE"), b"f": (b"false", "VALUE_FALSE"), b"n": (b"null", "VALUE_NULL")}
_XCONTENT = {
    "VALUE_TRUE": "VALUE_BOOLEAN",
    "VALUE_FALSE": "VALUE_BOOLEAN",
    "VALUE_NUMBER_INT": "VALUE_NUMBER",
    "VALUE_NUMBER_FLOAT": "VALUE_NUMBER",
}


def position(payload: bytes, offset: int) -> tuple[int, int]:
    """Return line and column, both from 1 and the column in bytes, of a byte offset."""
    line, start = 1, 0
    for newline in _NEWLINE.finditer(payload, 0, offset):
        line, start = line + 1, newline.end()
    return line, offset - start + 1


class Lexeme(NamedTuple):
    """A token as offsets: Jackson's name for it, and its first and past-the-last byte."""

    jackson_name: str
    start: int
    end: int

    @property
    def name(self) -> str:
        """OpenSearch's name, as in `found [VALUE_NUMBER]`; Jackson's own tells ints from floats, true from false."""
        return _XCONTENT.get(self.jackson_name, self.jackson_name)


class JsonScanner:
    """Reads lexemes out of a payload; knows which kind of value it is in, not what came before."""

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.token: Lexeme | None = None
        self._at = 3 if payload.startswith(b"\xef\xbb\xbf") else 0
        self._inside: str | None = None  # Object, Array, or None at the root
        self._broken: tuple[Lexeme, JsonParseError] | None = None  # a string token and what is wrong inside it

    def place(self, offset: int) -> tuple[int, int]:
        """Return line and column of a byte offset, as the parser that is imitated counts them."""
        return position(self.payload, offset)

    def located(self, message: str, offset: int) -> str:
        """Return Jackson's sentence with the place behind it."""
        return f"{message}\n at {self._source(offset)}"

    def _source(self, offset: int) -> str:
        line, col = self.place(offset)
        return f"{SOURCE} line: {line}, column: {col}]"

    def _value(self, at: int) -> Lexeme:
        first = self.payload[at : at + 1]
        if first == b'"':
            end, error = self._string_end(at, "string value", " in VALUE_STRING")
            token = Lexeme("VALUE_STRING", at, end)
            self._broken = None if error is None else (token, error)
        elif first in b"{[":
            token = Lexeme("START_OBJECT" if first == b"{" else "START_ARRAY", at, at + 1)
        elif first in b"-0123456789":
            token = self._number(at)
        elif first in _LITERALS:
            word, name = _LITERALS[first]
            if self._word(at) != word.decode():
                raise self._unrecognized(at)
            token = Lexeme(name, at, at + len(word))
        else:
            raise self._no_value(at, first)
        self._at = token.end
        return token

    def _number(self, at: int) -> Lexeme:
        found = _NUMBER.match(self.payload, at)
        if found is None:
            raise self._bad_sign(at)
        end = found.end()
        after = self.payload[end : end + 1]
        whole = found[1] is None and found[2] is None
        if whole and after.isdigit():
            raise self._error("Invalid numeric value: Leading zeroes not allowed", end)
        if after == b"." and whole:
            problem, bad = "Decimal point not followed by a digit", end + 1
            if bad == len(self.payload):
                bad = end
            raise self._unexpected(bad, f" in numeric value: {problem}", raw=True)
        if after in (b"e", b"E") and found[2] is None:
            bad = end + 2 if self.payload[end + 1 : end + 2] in (b"+", b"-") else end + 1
            if bad == len(self.payload):
                raise self._end(f" in {self.token.jackson_name if self.token else None}", bad)
            raise self._unexpected(bad, " in numeric value: Exponent indicator not followed by a digit", raw=True)
        if self._inside is None and after and after not in b" \t\r\n":
            raise self._unexpected(end, ": Expected space separating root-level values", raw=True)
        if end - at > MAX_NUMBER_LENGTH and (digits := len(re.sub(rb"[^0-9]", b"", found[0]))) > MAX_NUMBER_LENGTH:
            raise beyond("Number value length", digits, MAX_NUMBER_LENGTH, "NumberLength")
        return Lexeme("VALUE_NUMBER_INT" if whole else "VALUE_NUMBER_FLOAT", at, end)

    def _bad_sign(self, at: int) -> JsonParseError:
        sign, after = chr(self.payload[at]), self.payload[at + 1 : at + 2]
        if not after:
            name = self.token.jackson_name if self.token else None
            return self._end(f" in {name}" if sign == "-" else " in a Number value", at + 1)
        if sign == "-" and after == b".":
            return self._unexpected(at + 1, f": expected a valid value {_EXPECTED}")
        bad = at + 1
        if after == b"I":
            word = self._word(at + 1)
            if word == "Infinity":
                return self._nonstandard(f"{sign}Infinity", at)
            if word.startswith("In"):
                return self._unrecognized(at, f"{sign}{word}")
            bad = at + 2
        if sign == "+":
            flag = "enable `JsonReadFeature.ALLOW_LEADING_PLUS_SIGN_FOR_NUMBERS` to allow"
            message = f"JSON spec does not allow numbers to have plus signs: {flag}"
            return self._error(f"Unexpected character ('+' (code 43)) in numeric value: {message}", at + 1)
        return self._unexpected(
            bad, " in numeric value: expected digit (0-9) to follow minus sign, for valid numeric value"
        )

    def _no_value(self, at: int, first: bytes) -> JsonParseError:
        if first in b",}" or (first == b"]" and self._inside == "Array"):
            return self._unexpected(at, ": expected a value")
        if first == b"+":
            return self._bad_sign(at)
        word = self._word(at)
        if word in ("NaN", "Infinity"):
            return self._nonstandard(word, at)
        if first[0] >= 0x80 and chr(first[0]).isalpha():  # Jackson takes this one byte for a Latin-1 letter
            if 0x80 <= (self.payload[at + 1 : at + 2] or b" ")[0] < 0xC0:
                return self._bad_utf8(at + 1, "")
            word = chr(first[0]) + self._word(at + 1)
        if word:
            return self._unrecognized(at, word)
        return self._unexpected(at, f": expected a valid value {_EXPECTED}")

    def _string_end(self, at: int, what: str, where: str) -> tuple[int, JsonParseError | None]:
        """Return the offset past the closing quote, or how far the string is good and what is wrong there."""
        found = _STRING.match(self.payload, at + 1)
        end = found.end() if found else at + 1
        bad = self.payload[end : end + 1]
        if bad == b'"':
            return end + 1, None
        if not bad:
            return end, self._end(where, end)
        if bad == b"\\":
            return end, self._bad_escape(end)
        if bad[0] < 0x20:
            message = f"Illegal unquoted character ((CTRL-CHAR, code {bad[0]}))"
            return end, self._error(f"{message}: has to be escaped using backslash to be included in {what}", end)
        return end, self._bad_utf8(end, where)

    def _bad_escape(self, at: int) -> JsonParseError:
        kind = self.payload[at + 1 : at + 2]
        if kind and kind != b"u":
            return self._error(f"Unrecognized character escape {_described(self._char(at + 1))}", at + 1)
        bad = at + 2
        while self.payload[bad : bad + 1] and self.payload[bad] in b"0123456789abcdefABCDEF":
            bad += 1
        if bad >= len(self.payload):
            return self._end(" in character escape sequence", len(self.payload))
        return self._unexpected(bad, ": expected a hex-digit for character escape sequence")

    def _bad_utf8(self, at: int, where: str) -> JsonParseError:
        lead = self.payload[at]
        more = 1 if 0xC0 <= lead < 0xE0 else 2 if 0xE0 <= lead < 0xF0 else 3 if 0xF0 <= lead < 0xF8 else 0
        if not more:
            return self._error(f"Invalid UTF-8 start byte 0x{lead:x}", at + 1)
        for bad in range(at + 1, at + 1 + more):
            if bad == len(self.payload):
                return self._end(where, bad)
            if self.payload[bad] & 0xC0 != 0x80:
                return self._error(f"Invalid UTF-8 middle byte 0x{self.payload[bad]:x}", bad + 1)
        return self._error(f"Invalid UTF-8 start byte 0x{lead:x}", at + 1)  # U+FFFD itself, or a surrogate

    def _skip_white(self) -> int:
        """Step over white space and comments; return and keep the offset of what follows."""
        while True:
            found = _WHITE.match(self.payload, self._at)
            self._at = found.end() if found else self._at
            char = self.payload[self._at : self._at + 1]
            if char == b"/":
                self._at = self._comment_end(self._at)
                continue
            if char and char[0] < 0x20:
                problem = "only regular white space (\\r, \\n, \\t) is allowed between tokens"
                raise self._error(f"Illegal character ((CTRL-CHAR, code {char[0]})): {problem}", self._at + 1)
            return self._at

    def _comment_end(self, at: int) -> int:
        size = len(self.payload)
        mark = self.payload[at + 1 : at + 2]
        if mark == b"*":
            end = self.payload.find(b"*/", at + 2)
            if end >= 0:
                return end + 2
        elif mark == b"/":
            newline = _NEWLINE.search(self.payload, at)
            return newline.end() if newline else size
        elif mark:
            raise self._unexpected(at + 1, ": was expecting either '*' or '/' for a comment")
        raise self._end(" in a comment", size)

    def _word(self, at: int) -> str:
        found = _WORD.match(self.payload[at : at + 1100].decode("utf-8", "replace"))
        return found[0] if found else ""

    def _char(self, at: int) -> str:
        return self.payload[at : at + 4].decode("utf-8", "replace")[:1]

    def _unrecognized(self, at: int, word: str | None = None) -> JsonParseError:
        word = self._word(at) if word is None else word
        word = word[:256] + "..." if len(word) > 256 else word
        return self._error(f"Unrecognized token '{word}': was expecting {_EXPECTED}", at)

    def _nonstandard(self, word: str, at: int) -> JsonParseError:
        message = f"Non-standard token '{word}': enable `JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS` to allow"
        return self._error(message, at + len(word))

    def _unexpected(self, at: int, comment: str, *, raw: bool = False) -> JsonParseError:
        char = chr(self.payload[at]) if raw else self._char(at)
        if char == "\ufffd":
            return self._bad_utf8(at, "")
        last = at if raw else at + len(char.encode()) - 1  # where Jackson stands after reading the whole character
        return self._error(f"Unexpected character ({_described(char)}){comment}", last)

    def _error(self, message: str, offset: int) -> JsonParseError:
        return JsonParseError(self.located(message, offset))

    def _end(self, where: str, offset: int) -> JsonParseError:
        return JsonParseError(self.located(f"Unexpected end-of-input{where}", offset), type="json_e_o_f_exception")


def _described(char: str) -> str:
    code = ord(char) if char else -1
    if code < 0x20 or 0x7F <= code < 0xA0:
        return f"(CTRL-CHAR, code {code})"
    return f"'{char}' (code {code} / 0x{code:x})" if code > 255 else f"'{char}' (code {code})"


def beyond(what: str, found: int, limit: int, getter: str) -> ServerError:
    """Return the 500 for a limit of Jackson's."""
    message = f"{what} ({found}) exceeds the maximum allowed ({limit}, from `StreamReadConstraints.getMax{getter}()`)"
    return ServerError(message, type="stream_constraints_exception")


def unquote(raw: bytes) -> str:
    """Return the characters of a string given with its quotes."""
    text = raw[1:-1]
    if b"\\" not in text:
        return text.decode("utf-8", "replace")
    return str(json.loads(raw.decode("utf-8", "replace")))
