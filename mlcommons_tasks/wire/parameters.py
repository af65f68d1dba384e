"""Query parameters and paths as OpenSearch reads them: the last of a name wins, each must be known.

Source: OpenSearch 3.6.0 `RestUtils`, `RestRequest`, `BaseRestHandler`, `Booleans`. Knows no HTTP framework.
"""

from __future__ import annotations

import re

from mlcommons_tasks.errors import BadRequest, IllegalArgument

#: What every route takes, whatever its handler asks for.
RESPONSE_PARAMETERS = frozenset({"error_trace", "filter_path", "format", "human", "pretty"})

_ESCAPE = re.compile("%(%|[0-9a-fA-F]{2})")
_BROKEN = re.compile("(?:%%)*%(?!%|[0-9a-fA-F]{2})")
_SPOKEN = r"A-Za-z0-9_\-!.~'()*:@&=+$,;/\u00a0-\U0010ffff"  # what may stand in a java.net.URI as it is
_URI_PATH = re.compile(
    rf"(?://[^/?#]*)?((?:[{_SPOKEN}]|%[0-9a-fA-F]{{2}})*)"
    rf"(?:\?(?:[{_SPOKEN}?\[\]]|%[0-9a-fA-F]{{2}})*)?(?:#(?:[{_SPOKEN}?\[\]]|%[0-9a-fA-F]{{2}})*)?"
)


def parse_boolean(value: str) -> bool:
    """Return the value of a boolean parameter; an empty one is true.

    Raises:
        IllegalArgument: it is neither `true` nor `false`.
    """
    if value in ("true", ""):
        return True
    if value == "false":
        return False
    raise IllegalArgument(f"Failed to parse value [{value}] as only [true] or [false] are allowed.")


def decode(text: str, *, plus_is_space: bool = False) -> str:
    """Return a raw part of a request line decoded; `%%` is one percent sign.

    `text` holds one character a byte.

    Raises:
        IllegalArgument: a percent sign stands before anything but two hexadecimal digits.
    """
    if (broken := _BROKEN.search(_ESCAPE.sub(lambda found: "\0" * len(found[0]), text))) is not None:
        raise _bad_escape(text, broken.end() - 1)
    if plus_is_space:
        text = text.replace("+", " ")
    decoded = _ESCAPE.sub(lambda found: "%" if found[1] == "%" else chr(int(found[1], 16)), text)
    return decoded.encode("latin-1", "replace").decode("utf-8", "replace")


def java_path(target: str) -> str | None:
    """Return the decoded path of a request target as java.net.URI sees it, None if that cannot read the target.

    What stands between a leading `//` and the next slash is a host to it.

    Raises:
        IllegalArgument: an escape in the path is broken, which is found out before.
    """
    decode(target.partition("?")[0])
    found = _URI_PATH.fullmatch(target)
    return None if found is None else decode(found[1])


class BadParameter(BadRequest):
    """A parameter's name or value cannot be decoded."""

    type = "bad_parameter_exception"

    def __init__(self, cause: IllegalArgument) -> None:
        super().__init__(f"java.lang.IllegalArgumentException: {cause.reason}", caused_by=cause)


class Parameters:
    """The parameters of one request, and which of them were asked for."""

    def __init__(self, query_string: str, path: str) -> None:
        """Read a raw query string; `path` is the raw path.

        Raises:
            BadParameter: an escape in it is broken.
        """
        self._path = path
        self._values: dict[str, str] = {}
        self._consumed: set[str] = set()
        for pair in re.split("[&;]", query_string.partition("#")[0]):
            name, equals, value = pair.lstrip("=").partition("=")  # `=1` is a name without a value
            if not name:
                continue
            try:
                self._values[decode(name, plus_is_space=True)] = decode(value, plus_is_space=True) if equals else ""
            except IllegalArgument as error:
                raise BadParameter(error) from error

    def text(self, name: str, default: str | None = None) -> str | None:
        """Return the parameter's value, and count it as known."""
        self._consumed.add(name)
        return self._values.get(name, default)

    def boolean(self, name: str, default: bool = False) -> bool:
        """Return the parameter's boolean value, and count it as known."""
        value = self.text(name)
        return default if value is None else parse_boolean(value)

    def has(self, name: str) -> bool:
        """Say whether the parameter was sent; it does not count as known."""
        return name in self._values

    def refuse_unknown(self, *path_parameters: str) -> None:
        """Refuse parameters that nobody asked for; `path_parameters` are the names the route's path binds.

        Raises:
            IllegalArgument: names them in order, with near names if there are some.
        """
        known = self._consumed | RESPONSE_PARAMETERS | set(path_parameters)
        unknown = sorted(name for name in self._values if name not in known)
        if not unknown:
            return
        listed = ", ".join(_with_suggestion(name, known) for name in unknown)
        plural = "s" if len(unknown) > 1 else ""
        raise IllegalArgument(f"request [{decode(self._path)}] contains unrecognized parameter{plural}: {listed}")


def _bad_escape(text: str, at: int) -> IllegalArgument:
    if at == len(text) - 1:
        return IllegalArgument(f"unterminated escape sequence at end of string: {text}")
    if at == len(text) - 2:
        return IllegalArgument(f"partial escape sequence at end of string: {text}")
    return IllegalArgument(f"invalid escape sequence `{text[at : at + 3]}' at index {at} of: {text}")


def _with_suggestion(name: str, known: set[str]) -> str:
    scored = [(1 - _distance(name, other) / max(len(name), len(other)), other) for other in known]
    near = [other for score, other in sorted(scored, key=lambda each: (-each[0], each[1])) if score > 0.5]
    if not near:
        return f"[{name}]"
    if len(near) == 1:
        return f"[{name}] -> did you mean [{near[0]}]?"
    return f"[{name}] -> did you mean any of [{', '.join(near)}]?"


def _distance(left: str, right: str) -> int:
    """Return the Levenshtein distance."""
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(right, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]
