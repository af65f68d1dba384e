"""The classic home of an OpenSearch with plugins: `modules/` and `plugins/`, put together once in the cache.

Knows files and descriptors. Must not know processes or settings.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

from mlcommons_tasks.errors import StartError
from mlcommons_tasks.node.distribution import Distribution, Module, hold_lock

_JAVA_FEATURE = 21  # what OpenSearch 3 is compiled for


def assemble(distribution: Distribution) -> Path:
    """Give the folder that holds `modules/` and `plugins/`; makes it when it is not there."""
    homes = distribution.cache_dir / "homes"
    target = homes / distribution.lock.digest[:16]
    if target.is_dir():
        return target
    unfinished = homes / f"{target.name}.unfinished"
    try:
        homes.mkdir(exist_ok=True)
        with hold_lock(homes / "assembly.lock"):
            if not target.is_dir():
                shutil.rmtree(unfinished, ignore_errors=True)
                _fill(distribution, unfinished)
                unfinished.rename(target)
    except OSError as error:
        raise StartError(
            f"the cache folder {homes} cannot be written: {error.strerror or error}",
            hint="Make it writable, or name another with MLCOMMONS_TASKS_CACHE_DIR.",
        ) from error
    return target


def _fill(distribution: Distribution, home: Path) -> None:
    (home / "modules").mkdir(parents=True)
    (home / "plugins").mkdir()
    for file in distribution.lock.files:
        source = distribution.path(file)
        folder = home / file.into
        if file.into.startswith("plugins/"):
            with zipfile.ZipFile(source) as archive:
                archive.extractall(folder)
        elif file.into.startswith("modules/"):
            folder.mkdir(exist_ok=True)
            (folder / source.name).symlink_to(os.path.relpath(source, folder))
    for module in distribution.lock.modules:
        descriptor = _descriptor(module, distribution.version)
        (home / "modules" / module.name / "plugin-descriptor.properties").write_text(descriptor, encoding="utf-8")


def _descriptor(module: Module, version: str) -> str:
    properties = {
        "name": module.name,
        "description": module.name,
        "version": version,
        "opensearch.version": version,
        "java.version": str(_JAVA_FEATURE),
        "classname": module.classname,
        "extended.plugins": ",".join(module.extends),
        "has.native.controller": "false",
    }
    return "".join(f"{key}={value}\n" for key, value in properties.items())
