"""Query parameters as OpenSearch reads them: the last of a name wins, each must be known, booleans are strict.

Source: OpenSearch 3.6.0 `RestUtils`, `RestRequest`, `BaseRestHandler`, `Booleans`. Knows no HTTP framework.
"""

from __future__ import annotations

import difflib
from urllib.parse import unquote, unquote_plus

from mlcommons_tasks.errors import IllegalArgument

#: What every route takes, whatever its handler asks for.
RESPONSE_PARAMETERS = frozenset(
    {"error_trace", "filter_path", "format", "human", "pretty", "source", "source_content_type"}
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


def decode_path_segment(segment: str) -> str:
    """Return a raw path segment decoded; a plus sign stays one."""
    return unquote(segment)


class Parameters:
    """The parameters of one request, and which of them were asked for."""

    def __init__(self, query_string: str, path: str) -> None:
        self._path = path
        self._values: dict[str, str] = {}
        for pair in query_string.replace(";", "&").split("&"):
            if pair:
                name, _, value = pair.partition("=")
                self._values[unquote_plus(name)] = unquote_plus(value)
        self._consumed: set[str] = set()

    def text(self, name: str, default: str | None = None) -> str | None:
        """Return the parameter's value, and count it as known."""
        self._consumed.add(name)
        return self._values.get(name, default)

    def boolean(self, name: str, default: bool = False) -> bool:
        """Return the parameter's boolean value, and count it as known."""
        value = self.text(name)
        return default if value is None else parse_boolean(value)

    def refuse_unknown(self, *path_parameters: str) -> None:
        """Refuse parameters that nobody asked for; `path_parameters` are the names the route's path binds.

        Raises:
            IllegalArgument: names them in order, with a near name if there is one.
        """
        known = self._consumed | RESPONSE_PARAMETERS | set(path_parameters)
        unknown = sorted(name for name in self._values if name not in known)
        if not unknown:
            return
        listed = ", ".join(self._with_suggestion(name, known) for name in unknown)
        plural = "s" if len(unknown) > 1 else ""
        raise IllegalArgument(f"request [{self._path}] contains unrecognized parameter{plural}: {listed}")

    @staticmethod
    def _with_suggestion(name: str, known: set[str]) -> str:
        near = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.75)
        if not near:
            return f"[{name}]"
        if len(near) == 1:
            return f"[{name}] -> did you mean [{near[0]}]?"
        return f"[{name}] -> did you mean any of [{', '.join(near)}]?"
