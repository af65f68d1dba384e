"""`?filter_path=`: which parts of a reply are wanted. Pure.

Source: OpenSearch 3.6.0 `FilterPath`, `FilterPathBasedFilter`; Jackson's `FilteringGeneratorDelegate`, which writes an
object or array only once something in it is wanted.
"""

from __future__ import annotations

import re
from typing import Any

from mlcommons_tasks.errors import IllegalArgument
from mlcommons_tasks.wire.simple_match import simple_match

Path = tuple[str, ...]  #: names from the root, `*` and `**` among them; an empty one has been walked to its end

_DOT = re.compile(r"(?<!\\)\.")
_NOTHING = object()


def filtered(body: Any, filter_path: str | None) -> Any:
    """Return what `filter_path` leaves of a body, `{}` if nothing: names with a minus go, then the others stay.

    Raises:
        IllegalArgument: there is a minus without a name.
    """
    wishes = [wish.strip() for wish in (filter_path or "").split(",") if wish.strip()]
    includes = [_path(wish) for wish in wishes if not wish.startswith("-")]
    excludes = [_path(wish[1:]) for wish in wishes if wish.startswith("-")]
    if () in excludes:
        raise IllegalArgument("filters cannot be null or empty")
    for paths, inclusive in ((includes, True), (excludes, False)):
        if paths and body is not _NOTHING:
            body = _kept(body, paths, inclusive=inclusive)
    return {} if body is _NOTHING else body


def _path(wish: str) -> Path:
    names = [name.replace("\\.", ".") for name in _DOT.split(wish)]
    return tuple(names if names[-1] else names[:-1])  # a dot at the end says nothing


def _kept(value: Any, paths: list[Path], *, inclusive: bool) -> Any:
    """Return the part of a value that some but not all of which may be wanted, or _NOTHING."""
    if isinstance(value, dict):
        kept = {name: item for name, item in _members(value, paths, inclusive=inclusive) if item is not _NOTHING}
        return kept or _NOTHING
    if isinstance(value, (list, tuple)):
        items = [_kept(item, paths, inclusive=inclusive) for item in value]
        return [item for item in items if item is not _NOTHING] or _NOTHING
    return _NOTHING if inclusive else value


def _members(value: dict[str, Any], paths: list[Path], *, inclusive: bool) -> Any:
    for name, item in value.items():
        further = [path[1:] for path in paths if simple_match(path[0], name)]
        if () in further:
            yield name, item if inclusive else _NOTHING
            continue
        further += [path for path in paths if path[0] == "**"]
        if further:
            yield name, _kept(item, further, inclusive=inclusive)
        else:
            yield name, _NOTHING if inclusive else item
