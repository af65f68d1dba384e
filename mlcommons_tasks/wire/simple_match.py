"""Lists and wildcards in parameters: `actions=a*,b`, `h=*time*`. Pure.

Source: OpenSearch 3.6.0 `Regex.simpleMatch`, `Strings.splitStringByCommaToArray`.
"""

from __future__ import annotations

import re
from functools import lru_cache


def comma_list(text: str | None) -> tuple[str, ...]:
    """Return what stands between commas, spaces and all; empty ones at the end are none."""
    parts = (text or "").split(",")
    while parts and not parts[-1]:
        parts.pop()
    return tuple(parts)


def has_wildcard(pattern: str) -> bool:
    """Say whether a pattern may match anything but itself."""
    return "*" in pattern


def simple_match(pattern: str, text: str) -> bool:
    """Say whether a text is what a pattern says; a star is any text, an empty one too, and case counts."""
    return pattern == text or ("*" in pattern and _compiled(pattern).fullmatch(text) is not None)


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in re.split(r"\*+", pattern)), re.DOTALL)
