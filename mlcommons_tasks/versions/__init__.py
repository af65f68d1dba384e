"""How the versions of ML Commons answer: the table of their differences, and the profile of one of them.

Knows facts; not how they are used, nor HTTP.
"""

from __future__ import annotations

import functools

from mlcommons_tasks.versions.profile import Failure, Profile
from mlcommons_tasks.versions.table import ROWS, UnknownVersionError, numbers_of

__all__ = ["CURRENT", "DEFAULT", "NEWEST", "OLDEST", "ROWS", "Failure", "Profile", "UnknownVersionError", "profile_of"]

DEFAULT = "3.6.0"
OLDEST, NEWEST = "1.3", "3.6"
#: The first and the last minor version of each major one.
_MINORS = {1: (3, 3), 2: (0, 19), 3: (0, 6)}


@functools.cache
def profile_of(version: str) -> Profile:
    """Return how a version answers; it is written like `2.19` or `2.19.1`.

    Raises:
        UnknownVersionError: it is none, or not from 1.3 to 3.6.
    """
    numbers = numbers_of(version)
    major, minor, _ = numbers
    first, last = _MINORS.get(major, (1, 0))
    if not first <= minor <= last:
        raise UnknownVersionError(version)
    return Profile(version, **{name: row.at(numbers) for name, row in ROWS.items()})


CURRENT = profile_of(DEFAULT)  #: of the version that is emulated unless it is told otherwise
