"""Java's ahead-of-time cache, which more than halves the start: where it is and whether it can be used.

Knows JDK 25's flags. Must not know processes: node.recording makes the cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import platform
from collections.abc import Sequence
from pathlib import Path

from mlcommons_tasks.node.distribution import Distribution
from mlcommons_tasks.node.runtime import java_version

_FIRST_JDK = 25
_EXERCISE = "2"  #: of what the recorded node is made to do; another one makes another cache


def cache_file(distribution: Distribution, jvm_flags: Sequence[str]) -> Path | None:
    """Give the place of the cache for these jars, this Java and these flags; None when there can be none.

    Modules in folders of their own, as plugins want them, are loaded by class loaders of their own,
    which the cache leaves out.
    """
    java = java_version(distribution.java)
    if distribution.is_classic or not java or int(java.split(".")[0]) < _FIRST_JDK:
        return None
    identity = [_EXERCISE, distribution.class_path, _build(distribution), platform.machine(), *jvm_flags]
    key = hashlib.sha256("\0".join([distribution.lock.digest, *identity]).encode()).hexdigest()[:16]
    return distribution.cache_dir / "aot" / f"opensearch-{distribution.version}-jre-{java}-{key}.aot"


def use_flags(distribution: Distribution, jvm_flags: Sequence[str]) -> list[str]:
    """Give the flags that use the cache; none when it was not recorded. Java ignores one that does not fit."""
    file = cache_file(distribution, jvm_flags)
    return [f"-XX:AOTCache={file}"] if file and file.is_file() else []


def _build(distribution: Distribution) -> str:
    """Tell this Java from any other, wherever it lies: the cache fits a copy in another folder too."""
    home = distribution.java.parent.parent
    with contextlib.suppress(OSError):
        return (home / "release").read_text(encoding="utf-8") + str((home / "lib" / "modules").stat().st_size)
    return str(distribution.java)
